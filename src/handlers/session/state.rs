//! The state itself, and what may be asked about it.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::login::{Account, Login};
use super::overrides::Overrides;
use super::parked::Parked;
use super::rare::Rare;
use super::repeats::Repeats;
use super::stage::{ControlTls, DataState, Leaving, Pending, UploadWait};
use crate::filesystems::{FSState, Held, LoginFS};
use crate::handlers::config::FTPConfig;
use crate::handlers::data::DataChannel;
use crate::ioloop::line::Terminator;
use crate::ioloop::{AsyncChat, ChannelId, Linger, Remote, Stream};
use crate::limits::Slot;
use crate::proto::address::canonical;
use crate::proto::listing::MlsxFacts;
use crate::proto::reply::Reply;
use crate::proto::transfer_type::TransferType;
use crate::server_state::ServerState;
use crate::time::after;

/// The state of one control connection, which every method of
/// [`FTPHandler`](crate::FTPHandler) gets: as the attributes of pyftpdlib's `FTPHandler`.
///
/// An idle session takes less than 1 KiB of memory in all.
pub struct FTPSession {
    pub(crate) chat: AsyncChat,
    pub(crate) config: Arc<FTPConfig>,
    pub(crate) server: Arc<ServerState>,
    /// The session's slot of the server's limits. It is given back when dropped.
    pub(crate) slot: Slot,
    pub(crate) remote: Remote,
    pub(crate) id: ChannelId,
    pub(super) peer: SocketAddr,
    local: OnceCell<Box<SocketAddr>>,
    started: SystemTime,
    /// The time at which the loop began the current call.
    pub(crate) now: Instant,

    pub(crate) login: Login,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) attempted_logins: u32,
    /// When the client must have logged in.
    pub(super) login_by: Option<Instant>,
    /// The file system of the user, once somebody is logged in.
    pub(crate) fs: Option<LoginFS>,
    /// The user of the transfer in progress, if that user has logged out meanwhile.
    pub(super) transfer_user: Option<Box<Account>>,

    /// The TLS of the control connection, after AUTH was accepted.
    pub(crate) tls: Option<Box<ControlTls>>,
    /// Whether AUTH implies PROT P: its argument was SSL or TLS-P.
    pub(crate) auth_protects: bool,
    /// Whether PBSZ was given.
    pub(crate) pbsz: bool,
    /// Whether data connections are put under TLS.
    pub(crate) prot: bool,

    pub(crate) data: DataState,
    pub(crate) pending: Option<Box<Pending>>,
    /// When the last preliminary reply has left; `None` until it has.
    pub(crate) announced: Option<Instant>,
    /// Whether the client closed its side of the last data connection of a short download before
    /// the final reply. True before the first one.
    pub(crate) closes_data: bool,
    /// The upload that waits for its file.
    pub(crate) upload_wait: Option<Box<UploadWait>>,
    /// A data connection that is over, and whose client may still send.
    pub(crate) lingering: Option<Box<Linger>>,
    /// A pending transfer that another one has replaced, and that must be ended.
    pub(crate) replaced: Option<Box<Pending>>,
    /// What RNFR has named.
    pub(crate) rnfr: Option<Arc<Held>>,
    /// The position that REST has given.
    pub(crate) rest: u64,
    /// Whether that was given for a transfer that has not taken it.
    pub(crate) rest_is_old: bool,
    /// The bytes that ALLO has announced.
    pub(crate) allo: u64,
    pub(crate) facts: MlsxFacts,
    pub(crate) transfer_type: TransferType,
    pub(crate) epsv_all: bool,
    pub(crate) leaving: Leaving,
    /// Whether the session ends because others need its slots.
    pub(crate) makes_room: bool,
    pub(crate) greeted: bool,
    /// What the handler may override that is no method; `None`: it overrides nothing.
    pub(crate) overrides: Option<&'static Overrides<Self>>,
    /// Whether the handler sends a reply.
    pub(super) in_respond: bool,
    /// Whether the handler logs a line.
    pub(super) in_log: Cell<bool>,
    /// Whether a hook may decide about the final reply of a transfer.
    pub(super) may_decide: bool,
    /// Whether the client has sent a command line.
    pub(crate) spoken: bool,
    /// Whether commands wait until the client has read replies.
    pub(crate) waits_for_room: bool,
    /// The jobs on the pool that commands wait for.
    pub(crate) parked: Option<Box<Parked<Self>>>,
    /// When the client will have been silent for too long.
    pub(crate) idle: Option<Instant>,
    /// The reply to the command in progress.
    pub(super) answer: Option<Reply>,
    /// The lines of the log that come again and again.
    pub(super) repeats: Repeats,
    /// What few sessions have.
    pub(super) rare: Option<Box<Rare<Self>>>,
}

/// What a new session consists of.
pub(crate) struct NewSession {
    pub(crate) stream: Stream,
    pub(crate) peer: SocketAddr,
    pub(crate) config: Arc<FTPConfig>,
    pub(crate) server: Arc<ServerState>,
    pub(crate) slot: Slot,
    pub(crate) remote: Remote,
    pub(crate) id: ChannelId,
    pub(crate) now: Instant,
}

impl FTPSession {
    pub(crate) fn new(new: NewSession) -> Self {
        let mut chat = AsyncChat::new(new.stream);
        chat.set_terminator(Terminator::Line);
        chat.set_limit(LINE_LIMIT);
        let timeout = new.config.timeout;
        let started = chat.stream.clock().date();
        new.slot.set_session(&new.remote, new.id);
        Self {
            chat,
            idle: timeout.map(|timeout| after(new.now, timeout)),
            login_by: new.config.login_timeout.map(|time| after(new.now, time)),
            config: new.config,
            server: new.server,
            slot: new.slot,
            remote: new.remote,
            id: new.id,
            peer: SocketAddr::new(canonical(new.peer.ip()), new.peer.port()),
            local: OnceCell::new(),
            started,
            now: new.now,
            login: Login::default(),
            username: String::new(),
            password: String::new(),
            attempted_logins: 0,
            fs: None,
            transfer_user: None,
            tls: None,
            auth_protects: false,
            pbsz: false,
            prot: false,
            data: DataState::None,
            pending: None,
            announced: Some(new.now),
            closes_data: true,
            upload_wait: None,
            lingering: None,
            replaced: None,
            rnfr: None,
            rest: 0,
            rest_is_old: false,
            allo: 0,
            facts: MlsxFacts::default(),
            transfer_type: TransferType::default(),
            epsv_all: false,
            leaving: Leaving::No,
            makes_room: false,
            greeted: false,
            overrides: None,
            in_respond: false,
            in_log: Cell::new(false),
            may_decide: false,
            spoken: false,
            waits_for_room: false,
            parked: None,
            answer: None,
            repeats: Repeats::default(),
            rare: None,
        }
    }

    // --- the client and the user

    /// The settings of the server's sessions.
    #[must_use]
    pub fn config(&self) -> &FTPConfig {
        &self.config
    }

    /// The client's address. An IPv4 address is never shown as an IPv6 one.
    #[must_use]
    pub fn remote_ip(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The client's port.
    #[must_use]
    pub fn remote_port(&self) -> u16 {
        self.peer.port()
    }

    /// The address and port of the server that the client has connected to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        **self.local.get_or_init(|| {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
            Box::new(match self.chat.stream().local_addr().unwrap_or(unknown) {
                SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_none() => SocketAddr::V6(v6),
                other => SocketAddr::new(canonical(other.ip()), other.port()),
            })
        })
    }

    /// When the client connected.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Whether a user is logged in.
    #[must_use]
    pub fn authenticated(&self) -> bool {
        self.login.is_done()
    }

    /// The name that USER has given; `""` before USER. In the callbacks of a transfer: the name
    /// of the user who has begun it, even if another one has logged in meanwhile.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password of the user; `""` before the login, and after
    /// [`on_login`](crate::FTPHandler::on_login) unless the authorizer
    /// [keeps it](crate::authorizers::Authorizer::keeps_password).
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The failed logins since the last successful one. A login as `anonymous` does not reset
    /// the number.
    #[must_use]
    pub fn attempted_logins(&self) -> u32 {
        self.attempted_logins
    }

    /// The user's root and current directory; `None` before the login.
    #[must_use]
    pub fn fs(&self) -> Option<&FSState> {
        self.fs.as_ref().map(|fs| &fs.state)
    }

    /// The representation type that TYPE has set; ASCII before TYPE.
    #[must_use]
    pub fn transfer_type(&self) -> TransferType {
        self.transfer_type
    }

    /// The open data connection, if there is one.
    #[must_use]
    pub fn data_channel(&self) -> Option<&DataChannel> {
        match &self.data {
            DataState::Open(open) => Some(&open.channel),
            _ => None,
        }
    }

    /// The real path of the file of the transfer that is in progress, or that waits for its data
    /// connection. After the stock body of STOU: the name that it has made.
    #[must_use]
    pub fn transfer_file(&self) -> Option<&Path> {
        match &self.pending {
            Some(pending) => pending.transfer.file_name(),
            None => self.data_channel()?.file_name(),
        }
    }

    /// The identifier of the session on its loop.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// A handle of the loop, for hooks and for other threads. It runs functions on the loop,
    /// and sends messages to this session or another one, which get them in
    /// [`on_message`](crate::FTPHandler::on_message).
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Ends the transfer in progress, if there is one, with this reply in place of 226. The
    /// transfer counts as cut. It ends as soon as the hook has returned.
    pub fn end_transfer(&mut self, reply: impl Into<Reply>) {
        if let DataState::Open(open) = &mut self.data {
            open.channel.end(reply);
        }
    }

    /// The time at which the loop began the current call.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    // --- the connection

    /// Closes the session at once. Replies that the socket takes without waiting are sent.
    pub fn close(&mut self) {
        self.chat.close();
    }

    /// Closes the session when the client has read the replies.
    pub fn close_when_done(&mut self) {
        self.chat.close_when_done();
    }

    /// Whether the session is closed, or will be when the client has read the replies.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.chat.is_closing()
    }

    /// What few sessions have.
    pub(super) fn rare(&mut self) -> &mut Rare<Self> {
        self.rare.get_or_insert_default()
    }

    /// Gives back the memory of what few sessions have, if this one has nothing of it.
    pub(super) fn tidy(&mut self) {
        if self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }

    // --- what the session waits for

    /// When the handshake must be finished.
    pub(crate) fn handshake_deadline(&self) -> Option<Instant> {
        let (_, deadline) = self.tls.as_ref()?.handshake.as_ref()?;
        Some(*deadline)
    }

    /// Whether the session ends when its transfer does.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    /// What QUIT has waited for has ended: closes the session. The client may have sent more
    /// meanwhile, and can read the last replies all the same.
    pub(crate) fn quit_at_last(&mut self) {
        self.leaving = Leaving::No;
        self.close_when_done();
    }

    /// Whether no transfer is in progress or pending, and no job is running.
    pub(crate) fn is_at_rest(&self) -> bool {
        let transfers = self
            .data_channel()
            .is_some_and(|d| d.transfer_in_progress());
        let pending = self.pending.is_some() || self.upload_wait.is_some();
        !transfers && !self.owes_reply() && !pending && !self.is_parked()
    }

    /// Whether a transfer is over whose final reply waits. No command runs meanwhile.
    pub(crate) fn owes_reply(&self) -> bool {
        matches!(self.data, DataState::Ending(_))
    }

    /// Whether a transfer is in progress, according to the data handler.
    pub(crate) fn transfer_active(&self) -> bool {
        match &self.data {
            DataState::Open(open) => open.dtp.transfer_in_progress(&open.channel),
            DataState::Ending(_) => true,
            _ => self.held_reply().is_some(),
        }
    }

    /// Resets all parameters of transfers to their defaults, as REIN does.
    pub(crate) fn reset_parameters(&mut self) {
        self.transfer_type = TransferType::default();
        self.facts = MlsxFacts::default();
        self.epsv_all = false;
        self.rest = 0;
        self.allo = 0;
        self.rnfr = None;
        self.reset_prot();
    }

    /// Resets PBSZ and PROT: data connections are in clear text, unless TLS is implicit or AUTH
    /// has asked for the protection of both.
    pub(crate) fn reset_prot(&mut self) {
        let protects = self.has_implicit_tls() || self.auth_protects;
        self.pbsz = protects;
        self.prot = protects;
    }

    /// Whether commands wait for jobs on the pool.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Whether commands wait for the authorizer, for a reply that is held back, for a job, or
    /// for the file of an upload.
    pub(crate) fn is_waiting(&self) -> bool {
        self.login.is_waiting() || self.is_parked() || self.upload_wait.is_some()
    }

    /// Whether commands wait for another thread.
    pub(crate) fn waits_for_threads(&self) -> bool {
        self.login.is_asked() || self.is_parked()
    }

    /// When the client will have been silent for too long. A client that itself waits for a
    /// job is not timed out.
    pub(crate) fn idle_deadline(&self) -> Option<Instant> {
        self.idle.filter(|_| !self.is_parked() || self.is_closing())
    }

    /// Starts to measure the client's silence from now.
    pub(crate) fn restart_idle(&mut self) {
        let timeout = self.idle_timeout();
        self.idle = timeout.map(|timeout| after(self.now, timeout));
    }
}

impl fmt::Debug for FTPSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FTPSession")
            .field("peer", &self.peer)
            .field("username", &self.username)
            .field("authenticated", &self.authenticated())
            .finish_non_exhaustive()
    }
}

/// The longest command line in bytes, without its end: as pyftpdlib's.
const LINE_LIMIT: usize = 2048;

// An idle session takes less than 1 KiB in all.
const _: () = assert!(size_of::<FTPSession>() <= 768);

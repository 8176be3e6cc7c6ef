//! All the state of one control connection, and what a hook may ask of it. What
//! commands do is elsewhere, and so is the driving of its sockets.

use std::cell::OnceCell;
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::Level;

use super::data::PendingTransfer;
use super::dispatchers::{ActiveDTP, PassiveDTP};
use super::parking::Parked;
use super::{FTPConfig, TransferType, data};
use crate::filesystems::{AbstractedFS, FSState};
use crate::ioloop::tls::Tls;
use crate::ioloop::{AsyncChat, ChannelId, Remote, Stream};
use crate::limits::Slot;
use crate::log::{TARGET, escape};
use crate::proto::address::canonical;
use crate::proto::listing::MlsxFacts;
use crate::proto::reply::{sanitize, sanitize_bytes};
use crate::server_state::ServerState;
use crate::time::after;
use crate::tls::{ControlHandshake, TlsSession};

/// The state of one control connection, which every method of
/// [`FTPHandler`](super::FTPHandler) gets: as the attributes of pyftpdlib's `FTPHandler`.
///
/// Idle, it takes less than 1 KiB of memory in all.
pub struct FTPSession {
    pub(crate) chat: AsyncChat,
    pub(crate) config: Arc<FTPConfig>,
    pub(crate) server: Arc<ServerState>,
    /// Its place among the connections of the server, given back when dropped.
    pub(crate) slot: Slot,
    pub(crate) remote: Remote,
    pub(crate) id: ChannelId,
    peer: SocketAddr,
    local: OnceCell<SocketAddr>,
    started: SystemTime,
    /// Of the call in progress.
    pub(crate) now: Instant,

    pub(crate) login: Login,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) attempted_logins: u32,
    pub(crate) fs: Option<FSState>,

    /// TLS, once AUTH was accepted.
    pub(crate) tls: Option<Box<ControlTls>>,
    /// Whether PBSZ was given.
    pub(crate) pbsz: bool,
    /// Whether data connections are to be under TLS.
    pub(crate) prot: bool,

    pub(crate) data: DataState,
    pub(crate) pending: Option<Box<PendingTransfer>>,
    /// A promised transfer that another has taken the place of, to be ended.
    pub(crate) replaced: Option<Box<PendingTransfer>>,
    pub(crate) rnfr: Option<PathBuf>,
    pub(crate) rest: u64,
    pub(crate) facts: MlsxFacts,
    pub(crate) transfer_type: TransferType,
    pub(crate) epsv_all: bool,
    pub(crate) leaving: Leaving,
    pub(crate) greeted: bool,
    /// Whether any command has come yet.
    pub(crate) spoken: bool,
    /// Whether commands wait until the client has read replies.
    pub(crate) waits_for_room: bool,
    /// Work off the loop that commands wait for.
    pub(crate) parked: Option<Box<Parked>>,
    /// When the client will have been silent for too long.
    pub(crate) idle: Option<Instant>,
    pub(crate) last_response: String,
    timers: Option<Box<Timers>>,
}

/// How far the login has come.
#[derive(Default)]
pub(crate) enum Login {
    #[default]
    No,
    /// The authorizer answers later; until then no command is looked at.
    Asked(Box<Asked>),
    /// Refused; the reply is held back, and no command is looked at.
    Refused(Box<Refused>),
    Done,
}

/// A question to the authorizer.
pub(crate) struct Asked {
    /// Names it, so that the answer to another one is not taken for its own.
    pub(crate) number: u64,
    pub(crate) password: String,
}

/// A refusal that is held back.
pub(crate) struct Refused {
    pub(crate) until: Instant,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) text: String,
}

impl Login {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether commands have to wait.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::Asked(_) | Self::Refused(_))
    }

    /// Whether the reply is held back.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Refused(refused) => Some(refused.until),
            _ => None,
        }
    }
}

/// Whether the session ends when its transfer does; until then no command is
/// looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// By QUIT, which was replied to.
    Quit,
    /// Since the server is to end.
    Drained,
}

/// TLS on the control connection.
pub(crate) struct ControlTls {
    /// Ties the data connections to the control connection.
    pub(crate) session: TlsSession,
    /// The handshake and its deadline, until the handshake is finished.
    pub(crate) handshake: Option<(ControlHandshake, Instant)>,
}

/// The data connection in its stages.
#[derive(Default)]
pub(crate) enum DataState {
    #[default]
    None,
    Listening(Box<PassiveDTP>),
    Connecting(Box<ActiveDTP>),
    Open(Box<data::DataConnection>),
}

/// Names a timer of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(u32);

#[derive(Default)]
struct Timers {
    last: u32,
    list: Vec<Timer>,
}

struct Timer {
    id: TimerId,
    deadline: Instant,
    every: Option<Duration>,
}

/// What a session is made of.
pub(crate) struct Arrival {
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
    pub(crate) fn new(arrival: Arrival) -> Self {
        let mut chat = AsyncChat::new(arrival.stream);
        chat.set_limit(LINE_LIMIT);
        let peer = SocketAddr::new(canonical(arrival.peer.ip()), arrival.peer.port());
        Self {
            chat,
            idle: arrival
                .config
                .timeout
                .map(|timeout| after(arrival.now, timeout)),
            config: arrival.config,
            server: arrival.server,
            slot: arrival.slot,
            remote: arrival.remote,
            id: arrival.id,
            peer,
            local: OnceCell::new(),
            started: SystemTime::now(),
            now: arrival.now,
            login: Login::default(),
            username: String::new(),
            password: String::new(),
            attempted_logins: 0,
            fs: None,
            tls: None,
            pbsz: false,
            prot: false,
            data: DataState::None,
            pending: None,
            replaced: None,
            rnfr: None,
            rest: 0,
            facts: MlsxFacts::default(),
            transfer_type: TransferType::default(),
            epsv_all: false,
            leaving: Leaving::No,
            greeted: false,
            spoken: false,
            waits_for_room: false,
            parked: None,
            last_response: String::new(),
            timers: None,
        }
    }

    // --- who

    /// The settings of the server.
    #[must_use]
    pub fn config(&self) -> &FTPConfig {
        &self.config
    }

    /// The client's address (an IPv4 one is never shown as IPv6).
    #[must_use]
    pub fn remote_ip(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The client's port.
    #[must_use]
    pub fn remote_port(&self) -> u16 {
        self.peer.port()
    }

    /// The address that the client has connected to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self.local.get_or_init(|| {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
            match self.chat.stream().local_addr().unwrap_or(unknown) {
                SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_none() => SocketAddr::V6(v6),
                other => SocketAddr::new(canonical(other.ip()), other.port()),
            }
        })
    }

    /// When the client has connected.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Whether a user is logged in.
    #[must_use]
    pub fn authenticated(&self) -> bool {
        self.login.is_done()
    }

    /// The name of USER, `""` before.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password of the user who is logged in, `""` before.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Failed logins since the last good one.
    #[must_use]
    pub fn attempted_logins(&self) -> u32 {
        self.attempted_logins
    }

    /// The user's place in the file system; `None` before login.
    #[must_use]
    pub fn fs(&self) -> Option<&FSState> {
        self.fs.as_ref()
    }

    /// Whether the control connection is under TLS, at least as far as the
    /// handshake: as pyftpdlib's `_ssl_requested`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// What TLS says of the control connection: version, cipher suite, the
    /// client's certificates.
    #[must_use]
    pub fn tls_state(&self) -> Option<&rustls::CommonState> {
        self.chat.stream().tls().map(Tls::state_of)
    }

    /// The representation type that TYPE has set.
    #[must_use]
    pub fn transfer_type(&self) -> TransferType {
        self.transfer_type
    }

    /// The open data connection.
    #[must_use]
    pub fn data_channel(&self) -> Option<&data::DataChannel> {
        match &self.data {
            DataState::Open(open) => Some(&open.channel),
            _ => None,
        }
    }

    /// The name of the session on its loop.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// What reaches its loop from hooks and from other threads: for functions to
    /// run there, channels to add, and messages to this session or another, which
    /// come to [`on_message`](super::FTPHandler::on_message).
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Ends the transfer in progress, if there is one, with this reply in place of
    /// 226: as a cut one, as soon as the hook has returned.
    pub fn end_transfer(&mut self, reply: impl Into<String>) {
        if let DataState::Open(open) = &mut self.data {
            open.channel.end(reply);
        }
    }

    /// The time of the call in progress.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    // --- replies

    /// Sends a reply: a code, a space, and text on one line. What could end the
    /// line or act on a terminal becomes `?`.
    pub fn respond(&mut self, resp: &str) {
        self.respond_at(Level::Debug, resp);
    }

    /// Sends a reply, and logs it as a warning.
    pub fn respond_w_warning(&mut self, resp: &str) {
        self.respond_at(Level::Warn, resp);
    }

    /// Sends a reply, and logs it at `level` (below `debug` as `-> 200 ...`).
    pub fn respond_at(&mut self, level: Level, resp: &str) {
        let resp = sanitize(resp);
        self.last_response.clear();
        self.last_response.push_str(&resp);
        self.push_line(&resp);
        if log::log_enabled!(target: TARGET, Level::Debug) {
            self.log_at(level, format_args!("-> {resp}"));
        } else {
            self.log_at(level, resp.get(4..).unwrap_or_default());
        }
    }

    /// Sends a reply with a name in it, whose bytes need not be UTF-8.
    pub(crate) fn respond_bytes(&mut self, resp: &[u8]) {
        if let Ok(resp) = std::str::from_utf8(resp) {
            return self.respond(resp);
        }
        self.push_bytes_line(resp);
        self.last_response = sanitize(&String::from_utf8_lossy(resp)).into_owned();
        self.logline(format_args!("-> {}", self.last_response));
    }

    /// Sends a line with a name in it, whose bytes need not be UTF-8.
    pub(crate) fn push_bytes_line(&mut self, line: &[u8]) {
        self.push_encoded(&sanitize_bytes(line));
        self.chat.push(b"\r\n");
    }

    /// Sends a line of a reply that has more than one; CRLF is added.
    pub fn push_line(&mut self, line: &str) {
        let line = sanitize(line);
        self.push_encoded(line.as_bytes());
        self.chat.push(b"\r\n");
    }

    /// Sends `code` with a text that may be too long for one line: as pyftpdlib
    /// does with banners and messages of users.
    pub(crate) fn respond_message(&mut self, code: u16, text: &str) {
        if text.chars().count() <= 75 {
            self.respond(&format!("{code} {text}"));
        } else {
            self.push_line(&format!("{code}-{text}"));
            self.respond(&format!("{code} "));
        }
    }

    /// Sends text in the encoding of the session.
    pub(crate) fn push_encoded(&mut self, text: &[u8]) {
        if self.config.encoding.is_utf8() {
            self.chat.push(text);
        } else {
            let mut wire = Vec::with_capacity(text.len());
            self.config.encoding.encode_text(text, &mut wire);
            self.chat.push(&wire);
        }
    }

    /// Closes the session at once; what was replied is sent if the client takes it.
    pub fn close(&mut self) {
        self.chat.close();
    }

    /// Closes the session when the client has taken the replies.
    pub fn close_when_done(&mut self) {
        self.chat.close_when_done();
    }

    /// Whether it is closed, or about to be.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.chat.is_closing()
    }

    // --- files

    /// Runs a function as the user who is logged in, where the authorizer knows
    /// how to become one: as pyftpdlib's. Stock bodies access files in it.
    pub fn run_as_current_user<T>(&self, function: impl FnOnce(&Self) -> T) -> T {
        struct Terminate<'a>(&'a FTPSession);
        impl Drop for Terminate<'_> {
            fn drop(&mut self) {
                let session = self.0;
                session
                    .config
                    .authorizer
                    .terminate_impersonation(&session.username);
            }
        }
        self.config
            .authorizer
            .impersonate_user(&self.username, &self.password);
        let _terminate = Terminate(self);
        function(self)
    }

    /// Runs an operation of the file system as the user who is logged in.
    pub(crate) fn on_fs<T>(
        &self,
        operation: impl FnOnce(&dyn AbstractedFS, &FSState) -> T,
    ) -> Option<T> {
        let fs = self.fs.as_ref()?;
        Some(self.run_as_current_user(|s| operation(&*s.config.abstracted_fs, fs)))
    }

    // --- timers

    /// Calls [`on_timer`](super::FTPHandler::on_timer) after `delay`. The
    /// timers of a session end with it. It has at most 64: one more is not set, which is
    /// logged, and there is no name of it.
    pub fn call_later(&mut self, delay: Duration) -> Option<TimerId> {
        self.add_timer(delay, None)
    }

    /// Calls [`on_timer`](super::FTPHandler::on_timer) every `delay`, of at least 1 ms; as
    /// [`call_later`](Self::call_later).
    pub fn call_every(&mut self, delay: Duration) -> Option<TimerId> {
        self.add_timer(delay, Some(delay))
    }

    /// Takes a timer back.
    pub fn cancel_timer(&mut self, id: TimerId) {
        if let Some(timers) = &mut self.timers {
            timers.list.retain(|timer| timer.id != id);
        }
    }

    fn add_timer(&mut self, delay: Duration, every: Option<Duration>) -> Option<TimerId> {
        let deadline = after(self.now, delay);
        let timers = self.timers.get_or_insert_default();
        if timers.list.len() >= TIMERS_MAX {
            log::error!(target: TARGET, "a session has too many timers; one was not set");
            return None;
        }
        timers.last = timers.last.wrapping_add(1);
        let id = TimerId(timers.last);
        timers.list.push(Timer {
            id,
            deadline,
            every,
        });
        Some(id)
    }

    /// Takes a timer that is due, or sets it anew.
    pub(crate) fn take_due_timer(&mut self) -> Option<TimerId> {
        let now = self.now;
        let timers = self.timers.as_mut()?;
        let index = timers.list.iter().position(|timer| timer.deadline <= now)?;
        let timer = &mut timers.list[index];
        let id = timer.id;
        match timer.every {
            // Never due again within the same call.
            Some(delay) => timer.deadline = after(now, delay.max(Duration::from_millis(1))),
            None => drop(timers.list.swap_remove(index)),
        }
        Some(id)
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let timers = self.timers.as_ref()?;
        timers.list.iter().map(|timer| timer.deadline).min()
    }

    /// When the handshake has to be finished.
    pub(crate) fn handshake_deadline(&self) -> Option<Instant> {
        let (_, deadline) = self.tls.as_ref()?.handshake.as_ref()?;
        Some(*deadline)
    }

    /// Whether it ends when its transfer does.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    /// Whether nothing is going on that could be finished.
    pub(crate) fn is_at_rest(&self) -> bool {
        let transfers = self
            .data_channel()
            .is_some_and(|d| d.transfer_in_progress());
        !transfers && self.pending.is_none() && !self.is_parked()
    }

    /// Data connections as a new session has them: in clear, unless TLS is implicit.
    pub(crate) fn reset_prot(&mut self) {
        let tls = self.server.tls.as_ref();
        let implicit = tls.is_some_and(|tls| tls.config.implicit);
        self.pbsz = implicit;
        self.prot = implicit;
    }

    /// Whether commands wait for an answer from elsewhere, or for their time.
    pub(crate) fn is_waiting(&self) -> bool {
        self.login.is_waiting() || self.is_parked()
    }

    /// Whether commands wait for what another thread does.
    pub(crate) fn waits_for_threads(&self) -> bool {
        matches!(self.login, Login::Asked(_)) || self.is_parked()
    }

    /// When the client will have been silent for too long: not while it is the
    /// one who waits.
    pub(crate) fn idle_deadline(&self) -> Option<Instant> {
        self.idle.filter(|_| !self.is_parked() || self.is_closing())
    }

    /// The client's silence counts from now.
    pub(crate) fn restart_idle(&mut self) {
        self.idle = self.config.timeout.map(|timeout| after(self.now, timeout));
    }

    // --- log

    /// Logs a message with the prefix of the session.
    pub fn log(&self, message: impl Display) {
        self.log_at(Level::Info, message);
    }

    /// Logs a line in or out, when the level is `debug`.
    pub fn logline(&self, message: impl Display) {
        self.log_at(Level::Debug, message);
    }

    /// Logs a message at `level` with the prefix of the session.
    pub fn log_at(&self, level: Level, message: impl Display) {
        if log::log_enabled!(target: TARGET, level) {
            // Here, and not in the logger only: that may be anybody's.
            let line = format!("{} {message}", self.prefix());
            log::log!(target: TARGET, level, "{}", escape(&line));
        }
    }

    /// What precedes each line of the log.
    fn prefix(&self) -> String {
        let mut prefix = String::with_capacity(48);
        let mut rest = self.config.log_prefix.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            prefix.push_str(before);
            let Some((key, after)) = after.split_once('}') else {
                prefix.push('{');
                rest = after;
                continue;
            };
            match key {
                "remote_ip" => prefix.push_str(&self.peer.ip().to_string()),
                "remote_port" => prefix.push_str(&self.peer.port().to_string()),
                "username" => prefix.push_str(&self.username),
                _ => prefix.extend(["{", key, "}"]),
            }
            rest = after;
        }
        prefix.push_str(rest);
        prefix
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

/// The longest command line, without its CRLF: as pyftpdlib's.
const LINE_LIMIT: usize = 2048;

/// Timers of a session.
pub(crate) const TIMERS_MAX: usize = 64;

// An idle session is to take less than 1 KiB in all.
const _: () = assert!(size_of::<FTPSession>() <= 768);

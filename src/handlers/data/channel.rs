//! The state of a data connection.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::DTPConfig;
use super::room::{Bounds, Room};
use super::throttle::Throttle;
use super::tls::DataTls;
use crate::filesystems::FSFile;
use crate::ioloop::{ChannelWaker, Stream};
use crate::limits::Slot;
use crate::producers::Producer;
use crate::proto::ascii::FromNetwork;
use crate::proto::reply::Reply;
use crate::proto::transfer_type::TransferType;
use crate::sys::Pipe;
use crate::time::after;
use crate::tls::{Direction, TlsSession};
use crate::uploads::Claim;

/// The state of one data connection: as the attributes of pyftpdlib's `DTPHandler`.
pub struct DataChannel {
    pub(crate) stream: Stream,
    pub(crate) tls: Option<Box<DataTls>>,
    config: DTPConfig,
    sendfile_allowed: bool,
    pub(super) bounds: Bounds,
    pub(crate) slot: Slot,
    pub(crate) cmd: Cow<'static, str>,
    pub(crate) transfer: Transfer,
    /// The claim of an upload to its file.
    pub(crate) claim: Option<Claim>,
    pub(crate) file_name: Option<PathBuf>,
    /// What is listed, if the transfer is a stock listing.
    pub(crate) listed: Option<PathBuf>,
    pub(super) transfer_type: TransferType,
    username: String,
    /// How long the connection may make no progress; `None`: without limit.
    pub timeout: Option<Duration>,
    /// The bytes that are received at once, when they pass through the server's memory. At
    /// most 65,536.
    pub ac_in_buffer_size: usize,
    /// The bytes that are sent at once, when they pass through the server's memory.
    pub ac_out_buffer_size: usize,
    pub(super) tot_bytes_sent: u64,
    pub(super) tot_bytes_received: u64,
    started: Instant,
    pub(super) last_progress: Instant,
    /// When the transfer had last moved [`WORTH`] bytes since the time before, and how many it has
    /// moved from then on.
    worth: (Instant, u64),
    pub(crate) now: Instant,
    pub(super) wake_at: Option<Instant>,
    /// Wakes the connection when its producer has more, or its file takes more.
    pub(super) waker: Arc<ChannelWaker>,
    pub(super) throttle: Throttle,
    /// The reply with which a hook has asked to end the transfer.
    pub(super) ending: Option<Reply>,
    /// What the session is to log about the connection.
    pub(crate) note: Option<String>,
    /// What the loop lends, while the connection runs.
    pub(super) lent: Lent,
}

/// What the loop lends to the connection that runs.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) pipe: Option<Pipe>,
    /// Whether no other channel has work in this turn.
    pub(crate) is_alone: bool,
}

/// What a new data connection consists of.
pub(crate) struct Opening {
    pub(crate) stream: Stream,
    pub(crate) slot: Slot,
    pub(crate) config: DTPConfig,
    /// Whether the server's settings allow `sendfile` and `splice`.
    pub(crate) sendfile_allowed: bool,
    pub(crate) bounds: Bounds,
    pub(crate) throttle: Throttle,
    pub(crate) waker: Arc<ChannelWaker>,
    pub(crate) username: String,
    /// The TLS session of the control connection.
    pub(crate) tls: Option<TlsSession>,
    pub(crate) now: Instant,
}

/// The transfer on a data connection.
#[derive(Default)]
pub(crate) enum Transfer {
    #[default]
    None,
    Sending(Sending),
    Receiving(Receiving),
}

#[derive(Default)]
pub(crate) struct Sending {
    pub(super) out: Vec<u8>,
    pub(super) sent: usize,
    /// Kept until the end of the transfer: the file is closed after the socket, and learns
    /// then whether everything was sent.
    pub(crate) producer: Option<Box<dyn Producer>>,
    /// Whether the producer has made its last bytes.
    pub(super) ended: bool,
    /// Whether the producer waits for its waker.
    pub(super) waits: bool,
    /// The position in the file, while `sendfile` is used.
    pub(super) sendfile_at: Option<u64>,
}

pub(crate) struct Receiving {
    pub(crate) file: Box<dyn FSFile>,
    pub(super) translation: Option<FromNetwork>,
    /// The position in the file, while `splice` is used.
    pub(super) splice_at: Option<u64>,
    /// Whether the file was told that the upload begins.
    pub(super) begun: bool,
    /// What bounds the upload.
    pub(super) room: Option<Room>,
}

impl Receiving {
    /// Tells the file that the upload begins, once: the connection is established.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        self.file.begin()
    }

    /// Writes bytes as far as there is room. Returns the reply if that is not all.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Option<Reply>> {
        let Self { file, room, .. } = self;
        let Some(room) = room else {
            file.write_all(bytes)?;
            return Ok(None);
        };
        let (left, refusal) = room.left(&mut **file)?;
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        file.write_all(&bytes[..size])?;
        room.wrote(size);
        Ok((size < bytes.len()).then_some(refusal))
    }

    /// Writes what the translation of TYPE A holds back, after the last byte has come. Returns the
    /// reply if there is no room for it.
    pub(crate) fn end_translation(&mut self) -> io::Result<Option<Reply>> {
        let mut rest = Vec::new();
        if let Some(translation) = &mut self.translation {
            translation.finish(&mut rest);
        }
        match rest.is_empty() {
            true => Ok(None),
            false => self.write(&rest),
        }
    }
}

impl DataChannel {
    pub(crate) fn new(opening: Opening) -> Self {
        let Opening { config, now, .. } = opening;
        Self {
            stream: opening.stream,
            tls: opening.tls.map(|session| Box::new(DataTls::new(session))),
            timeout: config.timeout,
            ac_in_buffer_size: config.ac_in_buffer_size,
            ac_out_buffer_size: config.ac_out_buffer_size,
            config,
            sendfile_allowed: opening.sendfile_allowed,
            bounds: opening.bounds,
            slot: opening.slot,
            cmd: Cow::Borrowed(""),
            transfer: Transfer::None,
            claim: None,
            file_name: None,
            listed: None,
            transfer_type: TransferType::default(),
            username: opening.username,
            tot_bytes_sent: 0,
            tot_bytes_received: 0,
            started: now,
            last_progress: now,
            worth: (now, 0),
            now,
            wake_at: None,
            throttle: opening.throttle,
            waker: opening.waker,
            ending: None,
            note: None,
            lent: Lent::default(),
        }
    }

    /// The connection is from now on for another user.
    pub(super) fn set_user(&mut self, config: DTPConfig, throttle: Throttle, username: String) {
        self.throttle = throttle;
        self.timeout = config.timeout;
        self.ac_in_buffer_size = config.ac_in_buffer_size;
        self.ac_out_buffer_size = config.ac_out_buffer_size;
        self.config = config;
        self.username = username;
        self.wake_at = None;
    }

    /// The settings of data connections.
    #[must_use]
    pub fn config(&self) -> &DTPConfig {
        &self.config
    }

    /// The user of the session.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The client's address on this connection.
    ///
    /// # Errors
    /// The connection is not open any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Ends the transfer with this reply, for example `552 Quota exceeded.`, in place of 226.
    /// The transfer counts as cut. It ends as soon as the hook has returned. Under TLS a download
    /// ends without `close_notify` then, so that it does not look whole.
    pub fn end(&mut self, reply: impl Into<Reply>) {
        if self.transfer_in_progress() {
            self.ending = Some(reply.into());
        }
    }

    /// The command that the transfer belongs to; `""` before the transfer.
    #[must_use]
    pub fn cmd(&self) -> &str {
        &self.cmd
    }

    /// The real path of the file that is transferred, if the transfer is one of a file.
    #[must_use]
    pub fn file_name(&self) -> Option<&Path> {
        self.file_name.as_deref()
    }

    /// Whether the client sends.
    #[must_use]
    pub fn receive(&self) -> bool {
        matches!(self.transfer, Transfer::Receiving(_))
    }

    /// The bytes sent so far.
    #[must_use]
    pub fn tot_bytes_sent(&self) -> u64 {
        self.tot_bytes_sent
    }

    /// The bytes received so far.
    #[must_use]
    pub fn tot_bytes_received(&self) -> u64 {
        self.tot_bytes_received
    }

    /// The bytes on the wire so far, in both directions.
    #[must_use]
    pub fn get_transmitted_bytes(&self) -> u64 {
        self.tot_bytes_sent + self.tot_bytes_received
    }

    /// The time since the connection was opened.
    #[must_use]
    pub fn get_elapsed_time(&self) -> Duration {
        self.now.saturating_duration_since(self.started)
    }

    /// Whether a transfer has begun.
    #[must_use]
    pub fn transfer_in_progress(&self) -> bool {
        !matches!(self.transfer, Transfer::None)
    }

    /// Whether the connection is under TLS, or will be.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_secure())
    }

    /// The time at which the loop began the current call.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Pauses the connection: it neither sends nor receives for `pause`, or longer if the
    /// [limits of the session](crate::FTPSession::set_throttle) want that.
    pub fn sleep(&mut self, pause: Duration) {
        let limited = self.throttle.pause_after(self.now);
        self.wake_at = Some(after(self.now, pause)).max(limited);
    }

    /// Whether the connection is paused.
    #[must_use]
    pub fn is_sleeping(&self) -> bool {
        self.wake_at.is_some_and(|wake_at| wake_at > self.now)
    }

    /// The file of an upload whose file system must be asked for its space.
    pub(crate) fn wants_space(&self) -> Option<&Path> {
        match &self.transfer {
            Transfer::Receiving(receiving) => {
                let room = receiving.room.as_ref()?;
                room.wants_space().then(|| receiving.file.name())
            }
            _ => None,
        }
    }

    /// An upload may write so many bytes now; `None`: any number.
    /// `others` uploads are in progress besides.
    pub(crate) fn set_space(&mut self, left: Option<u64>, others: usize) {
        if let Transfer::Receiving(receiving) = &mut self.transfer
            && let Some(room) = &mut receiving.room
        {
            room.set_space(left, others);
        }
    }

    /// Whether the kernel may move bytes on its own. It cannot encrypt them, and cannot
    /// reach a connection in memory.
    pub(super) fn may_use_kernel(&self) -> bool {
        self.sendfile_allowed && !self.is_secure() && self.stream.network().is_none()
    }

    /// When the last byte was moved, or when the last pause ends.
    pub(crate) fn last_progress(&self) -> Instant {
        self.wake_at.map_or(self.last_progress, |wake_at| {
            wake_at.max(self.last_progress)
        })
    }

    /// Since when the transfer has moved next to nothing. Pauses of a throttle are no progress.
    pub(crate) fn idle_since(&self) -> Instant {
        self.worth.0
    }

    /// How many bytes wait to be sent.
    pub(crate) fn queued_bytes(&self) -> usize {
        let waiting = match &self.transfer {
            Transfer::Sending(sending) => sending.out.len() - sending.sent,
            Transfer::None | Transfer::Receiving(_) => 0,
        };
        waiting + self.stream.queued_bytes()
    }

    pub(super) fn direction(&self) -> Direction {
        match self.transfer {
            Transfer::None => Direction::None,
            Transfer::Sending(_) if matches!(&*self.cmd, "LIST" | "NLST" | "MLSD") => {
                Direction::Listing
            }
            Transfer::Sending(_) => Direction::Download,
            Transfer::Receiving(_) => Direction::Upload,
        }
    }

    /// A transfer begins.
    pub(super) fn start_progress(&mut self) {
        self.last_progress = self.now;
        self.worth = (self.now, 0);
    }

    fn note_progress(&mut self, bytes: u64) {
        self.last_progress = self.now;
        self.worth.1 += bytes;
        if self.worth.1 >= WORTH {
            self.worth = (self.now, 0);
        }
    }

    /// Keeps the system from taking more than about so many bytes that the client has not read.
    pub(crate) fn limit_send_buffer(&self, bytes: usize) {
        self.stream.limit_send_buffer(bytes);
    }

    pub(super) fn progress(&mut self, sent: usize, received: usize) {
        self.tot_bytes_sent += sent as u64;
        self.tot_bytes_received += received as u64;
        self.note_progress((sent + received) as u64);
        self.throttle_by(sent + received);
        if let Some(claim) = &mut self.claim {
            claim.seen(self.now);
        }
    }
}

/// A transfer that moves fewer bytes in ten seconds does not keep the slots of its session from
/// others.
const WORTH: u64 = 1024;

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("cmd", &self.cmd)
            .field("file_name", &self.file_name)
            .field("sent", &self.tot_bytes_sent)
            .field("received", &self.tot_bytes_received)
            .finish_non_exhaustive()
    }
}

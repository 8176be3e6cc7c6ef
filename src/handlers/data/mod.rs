//! Data connections: the server-DTP of RFC 959.
//!
//! [`DTPHandler`] is the behaviour, [`DataChannel`] the state, the functions of
//! this module are the stock bodies. A data connection knows nothing of its
//! session: it moves bytes between a socket and a file or a producer, within a
//! budget for each turn (`drive`), and tells how it ended; `finish` does the rest.

mod drive;
mod finish;
mod secure;
mod splice;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FTPConfig, FTPSession, TransferType};
use crate::error::strerror;
use crate::filesystems::FSFile;
use crate::ioloop::Stream;
use crate::limits::Slot;
use crate::producers::{FileProducer, Producer};
use crate::proto::ascii::FromNetwork;
use crate::sys::Pipe;
use crate::time::after;

pub(crate) use self::drive::{DataConnection, Drive, Outcome};
pub(crate) use self::finish::{finish, forget_pending, forget_replaced};
pub(crate) use self::secure::DataTls;
pub use self::secure::secure_connection;
use self::splice::splice;

/// What a data connection does: as pyftpdlib's `DTPHandler`, to be overridden
/// method by method. There is one value for each data connection; its state is
/// the [`DataChannel`].
pub trait DTPHandler {
    /// The connection is made; no transfer has begun.
    fn on_open(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// Puts the connection under TLS, before a transfer begins: the client's
    /// handshake is waited for.
    fn secure_connection(&mut self, d: &mut DataChannel) {
        secure_connection(d);
    }

    /// The handshake is finished, and belongs to this session.
    fn handle_ssl_established(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// All is transferred, and good-bye is said under TLS.
    fn handle_ssl_shutdown(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// The handshake has failed, which is logged: the transfer ends with 522.
    fn handle_failed_ssl_handshake(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// Whether binary downloads go by `sendfile`.
    fn use_sendfile(&self, d: &DataChannel) -> bool {
        use_sendfile(d)
    }

    /// Whether binary uploads go by `splice`, past [`recv`](Self::recv): a
    /// handler that overrides that one overrides this one, to return false.
    fn use_splice(&self, d: &DataChannel) -> bool {
        use_sendfile(d)
    }

    /// Sends bytes, then closes.
    fn push(&mut self, d: &mut DataChannel, bytes: Vec<u8>) {
        push(d, bytes);
    }

    /// Sends what a producer makes, then closes.
    fn push_with_producer(&mut self, d: &mut DataChannel, producer: Box<dyn Producer>) {
        let sendfile = self.use_sendfile(d);
        push_with_producer(d, producer, sendfile);
    }

    /// Receives into a file, until the client closes.
    fn enable_receiving(&mut self, d: &mut DataChannel, upload: Upload) {
        let splice = self.use_splice(d);
        enable_receiving(d, upload, splice);
    }

    /// Sends what there is room for; 0: nothing, an event will tell.
    ///
    /// # Errors
    /// Those of the connection.
    fn send(&mut self, d: &mut DataChannel, bytes: &[u8]) -> io::Result<usize> {
        send(d, bytes)
    }

    /// Receives what is there; `None`: nothing, an event will tell; 0: the end.
    ///
    /// # Errors
    /// Those of the connection.
    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        recv(d, buffer)
    }

    /// Receives once and writes it to the file.
    ///
    /// # Errors
    /// Those of the connection and those of the file.
    fn handle_read(&mut self, d: &mut DataChannel) -> Result<Received, TransferError> {
        handle_read(self, d)
    }

    /// No byte has moved for [`timeout`](crate::DTPConfig::timeout). True: end the
    /// session with 421, as the stock body does; false: wait again.
    fn handle_timeout(&mut self, d: &mut DataChannel) -> bool {
        let _ = d;
        true
    }

    /// The connection is about to be closed.
    fn close(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// Bytes on the wire so far.
    fn get_transmitted_bytes(&self, d: &DataChannel) -> u64 {
        d.get_transmitted_bytes()
    }

    /// Time since the connection was made.
    fn get_elapsed_time(&self, d: &DataChannel) -> Duration {
        d.get_elapsed_time()
    }

    /// Whether a transfer has begun.
    fn transfer_in_progress(&self, d: &DataChannel) -> bool {
        d.transfer_in_progress()
    }
}

/// The data handler that overrides nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct StockDTPHandler;

impl DTPHandler for StockDTPHandler {}

/// What came of [`DTPHandler::handle_read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing: an event will tell.
    Nothing,
    /// The client has closed.
    End,
}

/// What a transfer failed with.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// The connection.
    Connection(io::Error),
    /// The file, or the producer.
    File(io::Error),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(err) | Self::File(err) => f.write_str(&strerror(err)),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(err) | Self::File(err) => Some(err),
        }
    }
}

/// What a command sends on the data connection.
pub enum Outgoing {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// What a producer makes.
    Producer(Box<dyn Producer>),
    /// A file: logged, and told to `on_file_sent` or its sister.
    File(PathBuf, Box<dyn Producer>),
}

impl Outgoing {
    /// A file that stands at `position`.
    #[must_use]
    pub fn file(file: Box<dyn FSFile>, position: u64, transfer_type: TransferType) -> Self {
        let name = file.name().to_owned();
        let producer = FileProducer::new(file, position, transfer_type);
        Self::File(name, Box::new(producer))
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Producer(_) => f.write_str("Producer"),
            Self::File(name, _) => write!(f, "File({})", name.display()),
        }
    }
}

/// What a command receives on the data connection.
pub struct Upload {
    /// Where it goes.
    pub file: Box<dyn FSFile>,
    /// Where the file stands; `None` if each write goes to its end.
    pub position: Option<u64>,
    /// The representation type.
    pub transfer_type: TransferType,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("file", &self.file.name())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// A transfer whose data connection is not there yet: 150 was replied.
pub(crate) enum PendingTransfer {
    Send(Outgoing, Cow<'static, str>, TransferType),
    Receive(Upload, Cow<'static, str>),
}

/// The state of one data connection.
pub struct DataChannel {
    pub(crate) stream: Stream,
    pub(crate) tls: Option<Box<DataTls>>,
    config: Arc<FTPConfig>,
    _slot: Slot,
    pub(crate) cmd: Cow<'static, str>,
    transfer: Transfer,
    file_name: Option<PathBuf>,
    transfer_type: TransferType,
    username: String,
    /// How long it may make no progress.
    pub timeout: Option<Duration>,
    /// Bytes received at once, when they go through our memory. At most 65,536.
    pub ac_in_buffer_size: usize,
    /// Bytes sent at once, when they go through our memory.
    pub ac_out_buffer_size: usize,
    tot_bytes_sent: u64,
    tot_bytes_received: u64,
    started: Instant,
    last_progress: Instant,
    now: Instant,
    wake_at: Option<Instant>,
    /// The reply with which it is to end now.
    ending: Option<String>,
    /// What the log of the session is to tell of it.
    pub(crate) note: Option<String>,
    /// The loop's buffer and pipe, while the connection runs.
    pub(crate) lent: Lent,
}

/// What the loop lends to the connection that runs.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) pipe: Option<Pipe>,
    /// Whether nothing else has work in this turn.
    pub(crate) is_alone: bool,
}

#[derive(Default)]
enum Transfer {
    #[default]
    None,
    Sending(Sending),
    Receiving(Receiving),
}

#[derive(Default)]
struct Sending {
    out: Vec<u8>,
    sent: usize,
    producer: Option<Box<dyn Producer>>,
    /// Whether the producer has made its last bytes. It is kept all the same: the
    /// file is closed after the socket, and told then whether all was sent.
    ended: bool,
    /// Where in the file, by `sendfile`.
    sendfile_at: Option<u64>,
}

struct Receiving {
    file: Box<dyn FSFile>,
    translation: Option<FromNetwork>,
    /// Where in the file, by `splice`.
    splice_at: Option<u64>,
}

impl DataChannel {
    pub(crate) fn new(stream: Stream, s: &FTPSession, slot: Slot) -> Self {
        let (config, now) = (&s.config, s.now);
        Self {
            username: s.username.clone(),
            timeout: config.dtp.timeout,
            ending: None,
            note: None,
            tls: DataTls::of(s),
            stream,
            config: Arc::clone(config),
            _slot: slot,
            cmd: Cow::Borrowed(""),
            transfer: Transfer::None,
            file_name: None,
            transfer_type: TransferType::default(),
            ac_in_buffer_size: config.dtp.ac_in_buffer_size,
            ac_out_buffer_size: config.dtp.ac_out_buffer_size,
            tot_bytes_sent: 0,
            tot_bytes_received: 0,
            started: now,
            last_progress: now,
            now,
            wake_at: None,
            lent: Lent::default(),
        }
    }

    /// The settings of the server.
    #[must_use]
    pub fn config(&self) -> &FTPConfig {
        &self.config
    }

    /// The user whose session it belongs to.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// Where it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Ends the transfer with this reply in place of 226: as a cut one, as soon as
    /// the hook has returned. `552 Quota exceeded.`, for one.
    pub fn end(&mut self, reply: impl Into<String>) {
        if self.transfer_in_progress() {
            self.ending = Some(reply.into());
        }
    }

    /// The command that the transfer belongs to, `""` before.
    #[must_use]
    pub fn cmd(&self) -> &str {
        &self.cmd
    }

    /// The real path of the file that is transferred, if it is one.
    #[must_use]
    pub fn file_name(&self) -> Option<&Path> {
        self.file_name.as_deref()
    }

    /// Whether the transfer comes from the client.
    #[must_use]
    pub fn receive(&self) -> bool {
        matches!(self.transfer, Transfer::Receiving(_))
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn tot_bytes_sent(&self) -> u64 {
        self.tot_bytes_sent
    }

    /// Bytes received so far.
    #[must_use]
    pub fn tot_bytes_received(&self) -> u64 {
        self.tot_bytes_received
    }

    /// Bytes on the wire so far.
    #[must_use]
    pub fn get_transmitted_bytes(&self) -> u64 {
        self.tot_bytes_sent + self.tot_bytes_received
    }

    /// Time since the connection was made.
    #[must_use]
    pub fn get_elapsed_time(&self) -> Duration {
        self.now.saturating_duration_since(self.started)
    }

    /// Whether a transfer has begun.
    #[must_use]
    pub fn transfer_in_progress(&self) -> bool {
        !matches!(self.transfer, Transfer::None)
    }

    /// The time of the call in progress.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Neither sends nor receives for a while.
    pub fn sleep(&mut self, pause: Duration) {
        self.wake_at = Some(after(self.now, pause));
    }

    /// Whether it sleeps.
    #[must_use]
    pub fn is_sleeping(&self) -> bool {
        self.wake_at.is_some_and(|wake_at| wake_at > self.now)
    }

    fn progress(&mut self, sent: usize, received: usize) {
        self.tot_bytes_sent += sent as u64;
        self.tot_bytes_received += received as u64;
        self.last_progress = self.now;
    }
}

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

// --- stock bodies

/// Stock [`DTPHandler::use_sendfile`]: as the server is set up.
#[must_use]
pub fn use_sendfile(d: &DataChannel) -> bool {
    // What the kernel sends by itself is not encrypted, and not in memory only.
    d.config.use_sendfile && !d.is_secure() && d.stream.network().is_none()
}

/// Stock [`DTPHandler::push`].
pub fn push(d: &mut DataChannel, bytes: Vec<u8>) {
    d.transfer = Transfer::Sending(Sending {
        out: bytes,
        ..Sending::default()
    });
}

/// Stock [`DTPHandler::push_with_producer`]; `sendfile` lets the kernel send
/// what is a plain file of the system, byte for byte.
pub fn push_with_producer(d: &mut DataChannel, mut producer: Box<dyn Producer>, sendfile: bool) {
    let position = producer
        .file()
        .filter(|_| sendfile)
        .map(|source| source.position);
    d.transfer = Transfer::Sending(Sending {
        producer: Some(producer),
        sendfile_at: position,
        ..Sending::default()
    });
}

/// Stock [`DTPHandler::enable_receiving`]; `splice` lets the kernel write to
/// what is a plain file of the system, byte for byte.
pub fn enable_receiving(d: &mut DataChannel, upload: Upload, splice: bool) {
    let binary = upload.transfer_type == TransferType::Binary;
    let splice = splice && binary && upload.file.as_file().is_some();
    d.transfer_type = upload.transfer_type;
    d.file_name = Some(upload.file.name().to_owned());
    d.transfer = Transfer::Receiving(Receiving {
        file: upload.file,
        translation: (!binary).then(FromNetwork::default),
        splice_at: upload.position.filter(|_| splice),
    });
}

/// Stock [`DTPHandler::send`].
///
/// # Errors
/// Those of the connection.
pub fn send(d: &mut DataChannel, bytes: &[u8]) -> io::Result<usize> {
    let sent = d.stream.write(bytes)?.unwrap_or(0);
    if sent > 0 {
        d.progress(sent, 0);
    }
    Ok(sent)
}

/// Stock [`DTPHandler::recv`].
///
/// # Errors
/// Those of the connection.
pub fn recv(d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let received = d.stream.read(buffer)?;
    if let Some(received @ 1..) = received {
        d.progress(0, received);
    }
    Ok(received)
}

/// Stock [`DTPHandler::handle_read`]: by `splice`, or through
/// [`DTPHandler::recv`] and the translation of TYPE A.
///
/// # Errors
/// Those of the connection and those of the file.
pub fn handle_read<D: DTPHandler + ?Sized>(
    h: &mut D,
    d: &mut DataChannel,
) -> Result<Received, TransferError> {
    if let Transfer::Receiving(receiving) = &d.transfer
        && receiving.splice_at.is_some()
        && let Some(received) = splice(d)?
    {
        return Ok(received);
    }
    let mut buffer = mem::take(&mut d.lent.buffer);
    let size = d
        .ac_in_buffer_size
        .clamp(1, buffer.len().max(1))
        .min(buffer.len());
    let received = h.recv(d, &mut buffer[..size]);
    let result = match received {
        Err(err) => Err(TransferError::Connection(err)),
        Ok(None) => Ok(Received::Nothing),
        Ok(Some(0)) => Ok(Received::End),
        Ok(Some(received)) => store(d, &buffer[..received]).map(|()| Received::Bytes(received)),
    };
    d.lent.buffer = buffer;
    result
}

/// Writes what was received to the file, translated as TYPE asks for: for
/// [`DTPHandler::handle_read`] of one's own.
///
/// # Errors
/// Those of the file.
pub fn store(d: &mut DataChannel, bytes: &[u8]) -> Result<(), TransferError> {
    let Transfer::Receiving(receiving) = &mut d.transfer else {
        return Ok(());
    };
    match &mut receiving.translation {
        None => receiving.file.write_all(bytes),
        Some(translation) => {
            let mut text = Vec::with_capacity(bytes.len() + 1);
            translation.convert(bytes, &mut text);
            receiving.file.write_all(&text)
        }
    }
    .map_err(TransferError::File)
}

//! Data connections: the server-DTP of RFC 959.
//!
//! [`DTPHandler`] is the behaviour, [`DataChannel`] the state, the functions of
//! this module are the stock bodies. A data connection knows nothing of its
//! session: it moves bytes between a socket and a file or a producer, within a
//! budget for each turn, and tells how it ended. [`finish`] does the rest, always
//! in the same order: close the socket, close the file, reply, log, callback.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use mio::Interest;

use super::session::DataState;
use super::{FTPConfig, FTPHandler, FTPSession, TransferLog, TransferType};
use crate::error::strerror;
use crate::filesystems::FSFile;
use crate::ioloop::Stream;
use crate::ioloop::stream::{is_disconnect, readable};
use crate::producers::{FileProducer, More, Producer};
use crate::proto::ascii::FromNetwork;
use crate::servers::Seat;
use crate::sys::Pipe;

/// What a data connection does: as pyftpdlib's `DTPHandler`, to be overridden
/// method by method. There is one value for each data connection; its state is
/// the [`DataChannel`].
pub trait DTPHandler {
    /// The connection is made; no transfer has begun.
    fn on_open(&mut self, d: &mut DataChannel) {
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

/// The state of one data connection.
pub struct DataChannel {
    pub(crate) stream: Stream,
    config: Arc<FTPConfig>,
    _seat: Seat,
    pub(crate) cmd: Cow<'static, str>,
    transfer: Transfer,
    file_name: Option<PathBuf>,
    transfer_type: TransferType,
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
    /// The loop's buffer and pipe, while the connection runs.
    pub(crate) lent: Lent,
}

/// What the loop lends to the connection that runs.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) pipe: Option<Pipe>,
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
    pub(crate) fn new(stream: Stream, config: &Arc<FTPConfig>, seat: Seat, now: Instant) -> Self {
        Self {
            stream,
            config: Arc::clone(config),
            _seat: seat,
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
        self.started.elapsed()
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
        self.wake_at = Some(self.now + pause);
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
    d.config.use_sendfile
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
        .filter(|(file, _)| sendfile && file.as_file().is_some())
        .map(|(_, position)| position);
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

/// Receives by `splice`. `None`: the system cannot, from now on we do not.
fn splice(d: &mut DataChannel) -> Result<Option<Received>, TransferError> {
    let Transfer::Receiving(receiving) = &mut d.transfer else {
        return Ok(None);
    };
    let Some(at) = receiving.splice_at else {
        return Ok(None);
    };
    let pipe = d.lent.pipe.take().map_or_else(Pipe::new, Ok);
    let (Ok(pipe), Some(file)) = (pipe, receiving.file.as_file()) else {
        receiving.splice_at = None;
        return Ok(None);
    };
    let filled = match d.stream.splice(&pipe, CHUNK) {
        Ok(filled) => filled,
        Err(err) if is_disconnect(&err) || d.tot_bytes_received > 0 => {
            return Err(TransferError::Connection(err));
        }
        Err(_) => {
            receiving.splice_at = None;
            return Ok(None);
        }
    };
    let Some(filled) = filled else {
        d.lent.pipe = Some(pipe);
        return Ok(Some(Received::Nothing));
    };
    let mut written = 0;
    let mut possible = true;
    while possible && written < filled {
        match pipe.drain_to(file, at + written as u64, filled - written) {
            Ok(0) => return Err(TransferError::File(io::ErrorKind::WriteZero.into())),
            Ok(drained) => written += drained,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if written == 0 && d.tot_bytes_received == 0 => possible = false,
            // The pipe still holds bytes: it is dropped, not handed back.
            Err(err) => return Err(TransferError::File(err)),
        }
    }
    receiving.splice_at = possible.then_some(at + filled as u64);
    if !possible {
        // Not for this file: what the pipe holds goes through our memory.
        let drained = pipe.drain_into(&mut *receiving.file, filled);
        drained.map_err(TransferError::File)?;
    }
    d.lent.pipe = Some(pipe);
    if filled == 0 {
        return Ok(Some(Received::End));
    }
    d.progress(0, filled);
    Ok(Some(Received::Bytes(filled)))
}

// --- driving

/// A data connection and its handler.
pub(crate) struct DataConnection {
    pub(crate) channel: DataChannel,
    pub(crate) dtp: Box<dyn DTPHandler>,
}

/// How a data connection came to its end.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All was transferred: 226.
    Complete,
    /// The client has cut it: 426 with the bytes so far.
    Cut,
    /// The file, or something here, has failed: 426 with a text.
    Failed(String),
    /// The client stalls: 421, and the session ends.
    TimedOut,
    /// A command has closed it: with a reply of its own.
    Aborted(&'static str),
    /// The session is over, or there was no transfer: no reply.
    Silent,
}

/// What is next for a data connection.
pub(crate) enum Drive {
    /// Events, or a deadline.
    Wait,
    /// Another round.
    Again,
    /// The end.
    Finished(Outcome),
}

impl DataConnection {
    pub(crate) fn new(mut channel: DataChannel, mut dtp: Box<dyn DTPHandler>) -> Self {
        dtp.on_open(&mut channel);
        Self { channel, dtp }
    }

    /// Begins to send.
    pub(crate) fn send(
        &mut self,
        outgoing: Outgoing,
        cmd: Cow<'static, str>,
        transfer_type: TransferType,
        now: Instant,
    ) {
        self.begin(cmd, transfer_type, now);
        match outgoing {
            Outgoing::Bytes(bytes) => self.dtp.push(&mut self.channel, bytes),
            Outgoing::Producer(producer) => {
                self.dtp.push_with_producer(&mut self.channel, producer);
            }
            Outgoing::File(name, producer) => {
                self.channel.file_name = Some(name);
                self.dtp.push_with_producer(&mut self.channel, producer);
            }
        }
    }

    /// Begins to receive.
    pub(crate) fn receive(&mut self, upload: Upload, cmd: Cow<'static, str>, now: Instant) {
        self.begin(cmd, upload.transfer_type, now);
        self.dtp.enable_receiving(&mut self.channel, upload);
    }

    fn begin(&mut self, cmd: Cow<'static, str>, transfer_type: TransferType, now: Instant) {
        self.channel.cmd = cmd;
        self.channel.transfer_type = transfer_type;
        self.channel.now = now;
        self.channel.last_progress = now;
    }

    /// Moves what can be moved within a turn's budget.
    pub(crate) fn drive(&mut self, now: Instant) -> Drive {
        let d = &mut self.channel;
        d.now = now;
        if d.is_sleeping() {
            return Drive::Wait;
        }
        d.wake_at = None;
        match &d.transfer {
            Transfer::None if d.stream.is_abandoned() => Drive::Finished(Outcome::Silent),
            Transfer::None => Drive::Wait,
            Transfer::Sending(_) => self.drive_sending().unwrap_or_else(Drive::failed),
            Transfer::Receiving(_) => self.drive_receiving().unwrap_or_else(Drive::failed),
        }
    }

    fn drive_receiving(&mut self) -> Result<Drive, TransferError> {
        let d = &mut self.channel;
        let mut budget = TURN_BUDGET;
        while budget > 0 && !d.is_sleeping() {
            match self.dtp.handle_read(d)? {
                Received::Bytes(size) => budget = budget.saturating_sub(size.max(MIN_COST)),
                Received::Nothing => return Ok(Drive::Wait),
                Received::End => return Ok(Drive::Finished(Outcome::Complete)),
            }
        }
        Ok(if d.is_sleeping() {
            Drive::Wait
        } else {
            Drive::Again
        })
    }

    fn drive_sending(&mut self) -> Result<Drive, TransferError> {
        let Transfer::Sending(sending) = &self.channel.transfer else {
            return Ok(Drive::Wait);
        };
        if sending.sendfile_at.is_some()
            && let Some(drive) = self.channel.drive_sendfile()?
        {
            return Ok(drive);
        }
        let mut budget = TURN_BUDGET;
        let mut steps = PRODUCER_STEPS;
        while budget > 0 && steps > 0 {
            let d = &mut self.channel;
            if d.is_sleeping() || !d.stream.is_writable() {
                return Ok(Drive::Wait);
            }
            if !d.fill(&mut steps)? {
                return Ok(Drive::Finished(Outcome::Complete));
            }
            let Some(bytes) = d.take_out() else { continue };
            let end = bytes.0.len().min(bytes.1 + d.ac_out_buffer_size.max(1));
            let sent = self.dtp.send(d, &bytes.0[bytes.1..end]);
            d.put_out(bytes, *sent.as_ref().unwrap_or(&0));
            budget = budget.saturating_sub(sent.map_err(TransferError::Connection)?.max(MIN_COST));
        }
        Ok(Drive::Again)
    }

    /// What to watch the socket for.
    pub(crate) fn interest(&self, now: Instant) -> Option<Interest> {
        let d = &self.channel;
        if d.wake_at.is_some_and(|wake_at| wake_at > now) {
            return None;
        }
        match &d.transfer {
            Transfer::None | Transfer::Receiving(_) => Some(readable()),
            Transfer::Sending(_) => Some(Interest::WRITABLE),
        }
    }

    /// When something has to be done without an event.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let stall = self.stall_at();
        [self.channel.wake_at, stall].into_iter().flatten().min()
    }

    fn stall_at(&self) -> Option<Instant> {
        let timeout = self.channel.config.dtp.timeout?;
        Some(self.channel.last_progress + timeout)
    }

    /// Whether the client has stalled for too long.
    pub(crate) fn has_stalled(&mut self, now: Instant) -> bool {
        if self.channel.is_sleeping() || self.stall_at().is_none_or(|stall| stall > now) {
            return false;
        }
        let over = self.dtp.handle_timeout(&mut self.channel);
        if !over {
            self.channel.last_progress = now;
        }
        over
    }
}

impl Drive {
    fn failed(err: TransferError) -> Self {
        Self::Finished(match err {
            TransferError::Connection(_) => Outcome::Cut,
            TransferError::File(err) => Outcome::Failed(strerror(&err)),
        })
    }
}

impl DataChannel {
    /// Sends by `sendfile`. `None`: the system cannot, from now on we do not.
    fn drive_sendfile(&mut self) -> Result<Option<Drive>, TransferError> {
        let mut budget = TURN_BUDGET;
        while budget > 0 {
            let Transfer::Sending(sending) = &mut self.transfer else {
                return Ok(None);
            };
            let (Some(at), Some(producer)) = (sending.sendfile_at, &mut sending.producer) else {
                return Ok(None);
            };
            let Some(file) = producer.file().map(|(file, _)| file) else {
                return Ok(None);
            };
            let Some(system_file) = file.as_file() else {
                return Ok(None);
            };
            let sent = match self.stream.sendfile(system_file, at, budget) {
                Ok(None) => return Ok(Some(Drive::Wait)),
                Ok(Some(sent)) => sent,
                Err(err) if is_disconnect(&err) => return Err(TransferError::Connection(err)),
                Err(_) if self.tot_bytes_sent == 0 => {
                    log::warn!(target: crate::log::TARGET, "sendfile() failed; falling back on using plain send");
                    sending.sendfile_at = None;
                    return Ok(None);
                }
                Err(err) => return Err(TransferError::File(err)),
            };
            let at = at + sent as u64;
            // A short count at the end of the file saves asking once more.
            let ended = sent == 0 || (sent < budget && file.size().is_ok_and(|size| at >= size));
            sending.sendfile_at = Some(at);
            if sent > 0 {
                self.progress(sent, 0);
            }
            if ended {
                return Ok(Some(Drive::Finished(Outcome::Complete)));
            }
            budget -= sent;
        }
        Ok(Some(Drive::Again))
    }

    /// Makes bytes to send, if there are none; false at the end.
    fn fill(&mut self, steps: &mut usize) -> Result<bool, TransferError> {
        let wanted = self.ac_out_buffer_size;
        let Transfer::Sending(sending) = &mut self.transfer else {
            return Ok(false);
        };
        if sending.sent < sending.out.len() {
            return Ok(true);
        }
        sending.out.clear();
        sending.sent = 0;
        while let Some(producer) = &mut sending.producer {
            if sending.out.len() >= wanted || *steps == 0 {
                return Ok(true);
            }
            *steps -= 1;
            match producer.more(&mut sending.out) {
                Ok(More::Yes) => {}
                Ok(More::End) => {
                    producer.finish(true);
                    sending.producer = None;
                }
                Err(err) => return Err(TransferError::File(err)),
            }
        }
        Ok(!sending.out.is_empty())
    }

    /// Takes the bytes to send out of the state, so that a hook may use both.
    fn take_out(&mut self) -> Option<(Vec<u8>, usize)> {
        match &mut self.transfer {
            Transfer::Sending(sending) if !sending.out.is_empty() => {
                Some((mem::take(&mut sending.out), sending.sent))
            }
            _ => None,
        }
    }

    fn put_out(&mut self, (out, before): (Vec<u8>, usize), sent: usize) {
        if let Transfer::Sending(sending) = &mut self.transfer {
            sending.sent = (before + sent).min(out.len());
            sending.out = out;
        }
    }
}

/// Ends the data connection of a session: closes the socket, closes the file,
/// replies, logs, and calls one of the four callbacks of files.
pub(crate) fn finish<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, outcome: Outcome) {
    let DataState::Open(open) = mem::take(&mut s.data) else {
        return;
    };
    let DataConnection {
        mut channel,
        mut dtp,
    } = *open;
    dtp.close(&mut channel);
    let bytes = dtp.get_transmitted_bytes(&channel);
    let elapsed = dtp.get_elapsed_time(&channel);
    let DataChannel {
        stream,
        transfer,
        file_name,
        cmd,
        ..
    } = channel;
    drop(stream);
    let receive = matches!(transfer, Transfer::Receiving(_));
    let outcome = close_file(transfer, outcome);
    let completed = matches!(outcome, Outcome::Complete);
    reply(s, &outcome, bytes);
    if let Some(filename) = &file_name {
        h.log_transfer(
            s,
            &TransferLog {
                cmd: &cmd,
                filename,
                receive,
                completed,
                elapsed,
                bytes,
            },
        );
        match (receive, completed) {
            (true, true) => h.on_file_received(s, filename),
            (false, true) => h.on_file_sent(s, filename),
            (true, false) => h.on_incomplete_file_received(s, filename),
            (false, false) => h.on_incomplete_file_sent(s, filename),
        }
    }
    if matches!(outcome, Outcome::TimedOut) || s.quit_pending {
        s.close_when_done();
    }
    s.restart_idle();
}

/// Closes the file; an upload that cannot be closed well is not complete.
fn close_file(transfer: Transfer, outcome: Outcome) -> Outcome {
    let completed = matches!(outcome, Outcome::Complete);
    match transfer {
        Transfer::Receiving(mut receiving) => match receiving.file.finish(completed) {
            Err(err) if completed => Outcome::Failed(strerror(&err)),
            _ => outcome,
        },
        Transfer::Sending(mut sending) => {
            if let Some(producer) = &mut sending.producer {
                producer.finish(completed);
            }
            outcome
        }
        Transfer::None => outcome,
    }
}

fn reply(s: &mut FTPSession, outcome: &Outcome, bytes: u64) {
    match outcome {
        Outcome::Complete => s.respond("226 Transfer complete."),
        Outcome::Cut => s.respond(&format!("426 Transfer aborted; {bytes} bytes transmitted.")),
        Outcome::Failed(text) => s.respond_w_warning(&format!("426 {text}; transfer aborted.")),
        Outcome::TimedOut => s.respond_at(Level::Info, "421 Data connection timed out."),
        Outcome::Aborted(text) => s.respond_at(Level::Info, text),
        Outcome::Silent => {}
    }
}

/// Bytes that one connection moves in one turn, so that others have theirs soon.
const TURN_BUDGET: usize = 128 * 1024;

/// Bytes spliced at once, a fifth of a millisecond. Half of it costs a third more
/// for each byte, twice as much saves nothing.
const CHUNK: usize = 512 * 1024;

/// What moving anything costs of the budget, however little it is.
const MIN_COST: usize = 1024;

/// Times that a producer is asked in one turn.
const PRODUCER_STEPS: usize = 64;

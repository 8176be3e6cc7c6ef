//! TLS between a stream and its socket: rustls without buffers, so that a connection at rest
//! holds none.
//!
//! Ciphertext is read into a buffer that the thread lends, and decrypted there. An incomplete
//! record is kept until the rest of it comes. Written bytes are encrypted by whole records into
//! the same buffer, and what the socket does not take is kept.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use mio::Interest;
pub(crate) use rustls::CommonState;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use super::socket::{RawStream, readable};
use super::tls_words::{failed, not_tls};

/// What is called around each step of a handshake: rustls does not tell the objects in its
/// configuration which connection it asks them for.
pub(crate) trait HandshakeContext: Send + Sync {
    /// A step begins on this thread. `kind`: of the handshake, as far as it has come.
    fn enter(&self, kind: Option<HandshakeKind>);

    /// The step has ended.
    fn leave(&self);
}

/// What TLS on a new connection begins with.
pub(crate) struct NewTls {
    pub(crate) config: Arc<ServerConfig>,
    /// Until the handshake is finished.
    pub(crate) context: Option<Box<dyn HandshakeContext>>,
}

/// The server's side of TLS on one connection.
pub(crate) struct Tls {
    connection: UnbufferedServerConnection,
    context: Option<Box<dyn HandshakeContext>>,
    /// Received bytes of a record or a message that is not complete. Empty at rest.
    incoming: Vec<u8>,
    /// Decrypted bytes that are not read yet. Empty at rest.
    plain: Vec<u8>,
    /// How many bytes of `plain` were read.
    taken: usize,
    /// Encrypted bytes that the socket has not taken yet. Empty at rest.
    outgoing: Vec<u8>,
    /// Whether `incoming` holds bytes that were not processed yet.
    put_back: bool,
    /// Whether the peer has sent its `close_notify`.
    end_received: bool,
    /// Whether our `close_notify` is sent, or waits in `outgoing`.
    end_sent: bool,
    /// An error that came after decrypted data, which is read first.
    failure: Option<io::Error>,
}

impl Tls {
    /// Begins as the server. `sent_in_clear` are bytes that the peer has to get before the
    /// handshake.
    pub(crate) fn new(new: NewTls, sent_in_clear: Vec<u8>) -> io::Result<Self> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(new.config).map_err(failed)?,
            context: new.context,
            incoming: Vec::new(),
            plain: Vec::new(),
            taken: 0,
            outgoing: sent_in_clear,
            put_back: false,
            end_received: false,
            end_sent: false,
            failure: None,
        })
    }

    /// Takes back bytes that were received before the handshake began. They belong to it.
    pub(crate) fn put_back(&mut self, received: &[u8]) {
        self.incoming.extend_from_slice(received);
        self.put_back = !self.incoming.is_empty();
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The state of the connection in rustls.
    pub(crate) fn state_of(&self) -> &CommonState {
        &self.connection
    }

    /// Whether TLS 1.3 is spoken.
    pub(crate) fn is_tls13(&self) -> bool {
        self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// The name of the version, once it is negotiated.
    pub(crate) fn version(&self) -> Option<&'static str> {
        self.connection.protocol_version()?.as_str()
    }

    /// How many bytes a record adds to its data.
    fn overhead(&self) -> usize {
        match self.connection.protocol_version() {
            // TLS 1.3 adds a header, a content type and a tag; TLS 1.2 a header, a nonce and a tag.
            Some(ProtocolVersion::TLSv1_3) => 5 + 1 + 16,
            _ => 5 + 8 + 16,
        }
    }

    /// Whether the handshake has resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether decrypted bytes, or the end, wait to be read.
    pub(crate) fn is_readable(&self) -> bool {
        self.has_plain() || self.end_received || self.failure.is_some()
    }

    fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// How many encrypted bytes wait to be sent.
    pub(crate) fn outgoing_size(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether encrypted bytes wait to be sent.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the peer has sent `close_notify`. Without it, a third party may have cut the
    /// connection.
    pub(crate) fn end_received(&self) -> bool {
        self.end_received
    }

    /// Whether an incomplete record has come.
    pub(crate) fn has_partial_record(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// The interest to watch the socket for, if the layer above wants `wanted`.
    pub(crate) fn interest(&self, wanted: Option<Interest>) -> Option<Interest> {
        let wanted = match self.is_handshaking() {
            true => Some(readable()),
            false => wanted,
        };
        let sends = self.has_outgoing().then_some(Interest::WRITABLE);
        match (wanted, sends) {
            (Some(wanted), Some(sends)) => Some(wanted | sends),
            (wanted, sends) => wanted.or(sends),
        }
    }

    /// Goes on with the handshake as far as possible. Returns whether it is finished.
    ///
    /// # Errors
    /// Those of the connection; `InvalidData` if the handshake has failed, `UnexpectedEof` if the
    /// peer has closed the connection.
    pub(crate) fn handshake(&mut self, socket: &mut RawStream) -> io::Result<bool> {
        let mut scratch = Scratch::lend();
        self.flush(socket)?;
        // No event comes for bytes that were put back.
        let mut is_there = std::mem::take(&mut self.put_back);
        while is_there || socket.is_readable() {
            let mut size = self.take_incoming(&mut scratch.0)?;
            if socket.is_readable() {
                match socket.read(&mut scratch.0[size..size + RECORD])? {
                    Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => size += read.unwrap_or(0),
                }
            }
            is_there = false;
            let received = &scratch.0[..size];
            let has_begun = self.connection.protocol_version().is_some();
            let other = not_tls(received).filter(|_| !has_begun);
            let (_, result) = self.process(&mut scratch.0, size, &mut []);
            let result = result.map_err(|err| match other {
                Some(other) => io::Error::new(io::ErrorKind::InvalidData, other),
                None => err,
            });
            // After a failure this sends the alert with the reason.
            let flushed = self.flush(socket);
            result?;
            flushed?;
            if !self.is_handshaking() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads and decrypts the bytes that have come. `None`: there are none; `Some(0)`: the end.
    ///
    /// # Errors
    /// Those of the connection; `InvalidData` for bytes that are not TLS.
    pub(crate) fn read(
        &mut self,
        socket: &mut RawStream,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        if self.has_plain() {
            return Ok(Some(self.take_plain(buffer)));
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut scratch = Scratch::lend();
        for _ in 0..READS {
            if self.end_received {
                return Ok(Some(0));
            }
            if !socket.is_readable() {
                return Ok(None);
            }
            let mut size = self.take_incoming(&mut scratch.0)?;
            // As many records as the caller has room for, and room for one whole record at least:
            // an incomplete one has to be kept, and even pieces are good for writing files.
            let records = buffer.len() / FRAGMENT * (FRAGMENT + self.overhead());
            let end = (size + RECORD).max(records).min(scratch.0.len());
            match socket.read(&mut scratch.0[size..end]) {
                Ok(Some(0)) => {
                    self.incoming.extend_from_slice(&scratch.0[..size]);
                    return Ok(Some(0));
                }
                Ok(read) => size += read.unwrap_or(0),
                Err(err) => return Err(err),
            }
            let (decrypted, result) = self.process(&mut scratch.0, size, buffer);
            let result = self.flush(socket).and(result);
            if decrypted > 0 {
                self.failure = result.err();
                return Ok(Some(decrypted));
            }
            result?;
        }
        // Records without data. The stream is still readable, so the caller tries again.
        Ok(None)
    }

    /// Encrypts and sends as many bytes as there is room for. `None`: there is none.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn write(
        &mut self,
        socket: &mut RawStream,
        bytes: &[u8],
    ) -> io::Result<Option<usize>> {
        if self.is_handshaking() || !self.flush(socket)? {
            return Ok(None);
        }
        if self.end_sent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let size = bytes.len().min(BATCH);
        let mut scratch = Scratch::lend();
        let encrypted = self.encrypt(&bytes[..size], &mut scratch.0)?;
        self.send(socket, &scratch.0[..encrypted])?;
        Ok(Some(size))
    }

    /// Sends what waits, and then `close_notify`. Returns whether all is sent.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn finish(&mut self, socket: &mut RawStream) -> io::Result<bool> {
        if !self.is_handshaking() && !std::mem::replace(&mut self.end_sent, true) {
            let mut scratch = Scratch::lend();
            let mut size = 0;
            if let ConnectionState::WriteTraffic(mut traffic) = self.state()? {
                let queued = traffic.queue_close_notify(&mut scratch.0);
                size = queued.map_err(io::Error::other)?;
            }
            self.outgoing.extend_from_slice(&scratch.0[..size]);
        }
        self.flush(socket)
    }

    /// Sends the encrypted bytes that wait. Returns whether all are sent.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn flush(&mut self, socket: &mut RawStream) -> io::Result<bool> {
        if self.outgoing.is_empty() {
            return Ok(true);
        }
        let outgoing = std::mem::take(&mut self.outgoing);
        self.send(socket, &outgoing)?;
        Ok(self.outgoing.is_empty())
    }

    /// Sends as many bytes as the socket takes, and keeps the rest.
    fn send(&mut self, socket: &mut RawStream, encrypted: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < encrypted.len() {
            match socket.write(&encrypted[sent..])? {
                Some(size) => sent += size,
                None => break,
            }
        }
        self.outgoing = encrypted[sent..].to_vec();
        Ok(())
    }

    /// Moves the bytes of an incomplete record to the start of `space`. There is room for a whole
    /// record behind them.
    fn take_incoming(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let kept = std::mem::take(&mut self.incoming);
        if kept.len() + RECORD > space.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a TLS message is too long",
            ));
        }
        space[..kept.len()].copy_from_slice(&kept);
        Ok(kept.len())
    }

    fn take_plain(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.plain[self.taken..];
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        self.taken += size;
        if self.taken == self.plain.len() {
            self.plain = Vec::new();
            self.taken = 0;
        }
        size
    }

    /// Processes `received[..size]`: data goes to `buffer`, and to `plain` when that is full;
    /// answers go to `outgoing`. Returns the size of the data in `buffer`, and the error that came
    /// after it.
    fn process(
        &mut self,
        received: &mut [u8],
        size: usize,
        buffer: &mut [u8],
    ) -> (usize, io::Result<()>) {
        let mut decrypted = 0;
        let result = self.process_records(&mut received[..size], buffer, &mut decrypted);
        if let Some(context) = &self.context {
            context.leave();
        }
        if !self.is_handshaking() {
            self.context = None;
        }
        (decrypted, result)
    }

    fn process_records(
        &mut self,
        received: &mut [u8],
        buffer: &mut [u8],
        decrypted: &mut usize,
    ) -> io::Result<()> {
        let mut done = 0;
        let mut failure = None;
        loop {
            // After a failure only the alert is fetched: rustls must not process the same bytes
            // again.
            if failure.is_some() && !self.connection.wants_write() {
                break;
            }
            let records = &mut received[done..];
            if let Some(context) = &self.context {
                context.enter(self.connection.handshake_kind());
            }
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(records);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(failed)?.payload;
                        let room = &mut buffer[*decrypted..];
                        let fits = payload.len().min(room.len());
                        room[..fits].copy_from_slice(&payload[..fits]);
                        *decrypted += fits;
                        self.plain.extend_from_slice(&payload[fits..]);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.outgoing)?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.end_received = true,
                // More bytes have to come, or the connection is closed.
                Ok(_) => {
                    done += discard;
                    break;
                }
                // An alert may have to be sent.
                Err(err) if failure.is_none() => failure = Some(err),
                Err(_) => break,
            }
            done += discard;
        }
        if let Some(err) = failure {
            // Nothing may follow the alert.
            self.end_sent = true;
            return Err(failed(err));
        }
        self.incoming.extend_from_slice(&received[done..]);
        Ok(())
    }

    /// The state of the connection. rustls has to see the incomplete record that is kept, since it
    /// remembers positions in it.
    fn state(&mut self) -> io::Result<State<'_>> {
        let status = self.connection.process_tls_records(&mut self.incoming);
        debug_assert_eq!(status.discard, 0, "an incomplete record is never discarded");
        status.state.map_err(failed)
    }

    fn encrypt(&mut self, bytes: &[u8], space: &mut [u8]) -> io::Result<usize> {
        match self.state()? {
            ConnectionState::WriteTraffic(mut traffic) => {
                traffic.encrypt(bytes, space).map_err(io::Error::other)
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

type State<'a> = ConnectionState<'a, 'a, ServerConnectionData>;

/// Appends a message of the handshake to the bytes that wait to be sent.
fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    outgoing: &mut Vec<u8>,
) -> io::Result<()> {
    let start = outgoing.len();
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return Ok(());
    };
    outgoing.resize(start + size.required_size, 0);
    let encoded = data.encode(&mut outgoing[start..]);
    outgoing.truncate(start + encoded.map_err(io::Error::other)?);
    Ok(())
}

/// The buffer of this thread. It goes back to the thread when this is dropped.
struct Scratch(Vec<u8>);

impl Scratch {
    fn lend() -> Self {
        match SCRATCH.take() {
            lent if lent.is_empty() => Self(vec![0; SCRATCH_SIZE]),
            lent => Self(lent),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // This fails only while the thread ends, when nothing needs the buffer any more.
        let _ = SCRATCH.try_with(|scratch| scratch.set(buffer));
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How many bytes are encrypted and sent at once: four records.
const BATCH: usize = 64 * 1024;

/// The most data in a record, in bytes.
const FRAGMENT: usize = 16_384;

/// The size of the longest record, with its header (RFC 8446 §5.2, RFC 5246 §6.2.3).
const RECORD: usize = 5 + 16_384 + 2048;

/// The size of the buffer that a thread lends: room for a batch with its headers, or for a long
/// message with a record behind it.
const SCRATCH_SIZE: usize = 96 * 1024;

/// How many times one call reads the socket at most.
const READS: usize = 4;

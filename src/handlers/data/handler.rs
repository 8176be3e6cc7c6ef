//! The behaviour of a data connection, and its stock bodies.

use std::io;
use std::mem;
use std::time::Duration;

use super::channel::{DataChannel, Receiving, Sending, Transfer};
use super::payload::{Received, TransferError, Upload};
use super::room::Room;
use super::splice::splice;
use super::tls::Stage;
use crate::producers::Producer;
use crate::proto::ascii::FromNetwork;
use crate::proto::transfer_type::TransferType;

/// The behaviour of a data connection: as pyftpdlib's `DTPHandler`. Override the methods that
/// you want to change. Each data connection has its own value; its state is the
/// [`DataChannel`].
pub trait DTPHandler {
    /// The connection is open. No transfer has begun.
    fn on_open(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// Puts the connection under TLS, before a transfer begins. The transfer waits for the
    /// client's handshake.
    fn secure_connection(&mut self, d: &mut DataChannel) {
        secure_connection(d);
    }

    /// The handshake is finished, and the connection belongs to this session.
    fn handle_ssl_established(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// Everything is transferred, and `close_notify` is sent.
    fn handle_ssl_shutdown(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// The handshake has failed. The failure is logged, and the transfer ends with 522.
    fn handle_failed_ssl_handshake(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// Whether binary downloads use `sendfile`.
    fn use_sendfile(&self, d: &DataChannel) -> bool {
        use_sendfile(d)
    }

    /// Whether binary uploads use `splice`, which bypasses [`recv`](Self::recv). A handler
    /// that overrides `recv` must return false here.
    fn use_splice(&self, d: &DataChannel) -> bool {
        use_sendfile(d)
    }

    /// Sends some bytes, then closes the connection.
    fn push(&mut self, d: &mut DataChannel, bytes: Vec<u8>) {
        push(d, bytes);
    }

    /// Sends the output of a producer, then closes the connection.
    fn push_with_producer(&mut self, d: &mut DataChannel, producer: Box<dyn Producer>) {
        let sendfile = self.use_sendfile(d);
        push_with_producer(d, producer, sendfile);
    }

    /// Receives into a file until the client closes the connection.
    fn enable_receiving(&mut self, d: &mut DataChannel, upload: Upload) {
        let splice = self.use_splice(d);
        enable_receiving(d, upload, splice);
    }

    /// Sends as many bytes as the socket takes, and returns their number. After 0 an event
    /// comes when there is room.
    ///
    /// # Errors
    /// An error of the connection: the transfer is cut.
    fn send(&mut self, d: &mut DataChannel, bytes: &[u8]) -> io::Result<usize> {
        send(d, bytes)
    }

    /// Receives the bytes that have arrived, and returns their number. `None`: none have, and
    /// an event comes when there are some. 0: the client has closed the connection.
    ///
    /// # Errors
    /// An error of the connection: the transfer is cut.
    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        recv(d, buffer)
    }

    /// Receives once, and writes the bytes to the file.
    ///
    /// # Errors
    /// An error of the connection or of the file: the transfer ends.
    fn handle_read(&mut self, d: &mut DataChannel) -> Result<Received, TransferError> {
        handle_read(self, d)
    }

    /// No byte has moved for [`timeout`](crate::DTPConfig::timeout). Return true to end the
    /// session with 421, as the stock body does, and false to wait for that time again.
    fn handle_timeout(&mut self, d: &mut DataChannel) -> bool {
        let _ = d;
        true
    }

    /// The connection is going to be closed.
    fn close(&mut self, d: &mut DataChannel) {
        let _ = d;
    }

    /// The bytes on the wire so far, in both directions.
    fn get_transmitted_bytes(&self, d: &DataChannel) -> u64 {
        d.get_transmitted_bytes()
    }

    /// The time since the connection was opened.
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

/// Stock [`DTPHandler::use_sendfile`]: as [`use_sendfile`](crate::FTPConfig::use_sendfile)
/// says, but never under TLS.
#[must_use]
pub fn use_sendfile(d: &DataChannel) -> bool {
    d.may_use_kernel()
}

/// Stock [`DTPHandler::push`].
pub fn push(d: &mut DataChannel, bytes: Vec<u8>) {
    d.transfer = Transfer::Sending(Sending {
        out: bytes,
        ..Sending::default()
    });
}

/// Stock [`DTPHandler::push_with_producer`]. `sendfile` lets the kernel send a file of the
/// system whose bytes are sent as they are.
pub fn push_with_producer(d: &mut DataChannel, mut producer: Box<dyn Producer>, sendfile: bool) {
    producer.set_waker(d.waker.waker());
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

/// Stock [`DTPHandler::enable_receiving`]. `splice` lets the kernel write to a file of the
/// system, in TYPE I.
pub fn enable_receiving(d: &mut DataChannel, mut upload: Upload, splice: bool) {
    upload.file.set_waker(d.waker.waker());
    let binary = upload.transfer_type == TransferType::Binary;
    let splice = splice && binary && upload.file.as_file().is_some();
    d.transfer_type = upload.transfer_type;
    d.file_name = Some(upload.file.name().to_owned());
    d.transfer = Transfer::Receiving(Receiving {
        file: upload.file,
        translation: (!binary).then(FromNetwork::default),
        splice_at: upload.position.filter(|_| splice),
        begun: false,
        room: Room::new(d.bounds, upload.position),
    });
}

/// Stock [`DTPHandler::send`].
///
/// # Errors
/// An error of the connection.
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
/// An error of the connection.
pub fn recv(d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let received = d.stream.read(buffer)?;
    if let Some(received @ 1..) = received {
        d.progress(0, received);
    }
    Ok(received)
}

/// Stock [`DTPHandler::handle_read`]: uses `splice`, or [`DTPHandler::recv`] and the
/// translation of TYPE A.
///
/// # Errors
/// An error of the connection or of the file.
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
        .min(buffer.len())
        .min(d.step());
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

/// Writes received bytes to the file, translated as TYPE asks for: for overrides of
/// [`DTPHandler::handle_read`]. If they are too many for the settings, ends the transfer with 552.
///
/// # Errors
/// An error of the file.
pub fn store(d: &mut DataChannel, bytes: &[u8]) -> Result<(), TransferError> {
    let Transfer::Receiving(receiving) = &mut d.transfer else {
        return Ok(());
    };
    let written = match &mut receiving.translation {
        None => receiving.write(bytes),
        Some(translation) => {
            let mut text = Vec::with_capacity(bytes.len() + 1);
            translation.convert(bytes, &mut text);
            receiving.write(&text)
        }
    };
    if let Some(refusal) = written.map_err(TransferError::File)? {
        d.ending = Some(refusal);
    }
    Ok(())
}

/// Stock [`DTPHandler::secure_connection`]: the connection waits for the client's handshake.
/// Does nothing if the control connection is in clear text.
pub fn secure_connection(d: &mut DataChannel) {
    if let Some(tls) = &mut d.tls
        && !tls.is_secure()
    {
        tls.stage = Stage::Waiting;
    }
}

//! What stands for TLS in a build without the feature `tls`: types without values. Their only
//! field is private, so that the code around TLS needs no conditions.

use std::convert::Infallible;
/// The state of a connection, as rustls has it.
pub(crate) use std::convert::Infallible as CommonState;
use std::io;

use mio::Interest;

use super::socket::RawStream;

/// What TLS on a new connection begins with.
pub(crate) struct NewTls(Infallible);

/// The server's side of TLS on one connection.
pub(crate) struct Tls(Infallible);

impl Tls {
    pub(super) fn new(new: NewTls, _sent_in_clear: Vec<u8>) -> io::Result<Self> {
        match new.0 {}
    }

    pub(super) fn put_back(&mut self, _received: &[u8]) {
        match self.0 {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn state_of(&self) -> &CommonState {
        match self.0 {}
    }

    pub(crate) fn is_tls13(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn version(&self) -> Option<&'static str> {
        match self.0 {}
    }

    pub(crate) fn is_resumed(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn is_readable(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn outgoing_size(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn has_outgoing(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn end_received(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn has_partial_record(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn interest(&self, _wanted: Option<Interest>) -> Option<Interest> {
        match self.0 {}
    }

    pub(super) fn handshake(&mut self, _socket: &mut RawStream) -> io::Result<bool> {
        match self.0 {}
    }

    pub(super) fn read(
        &mut self,
        _socket: &mut RawStream,
        _buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        match self.0 {}
    }

    pub(super) fn write(
        &mut self,
        _socket: &mut RawStream,
        _bytes: &[u8],
    ) -> io::Result<Option<usize>> {
        match self.0 {}
    }

    pub(super) fn finish(&mut self, _socket: &mut RawStream) -> io::Result<bool> {
        match self.0 {}
    }

    pub(super) fn flush(&mut self, _socket: &mut RawStream) -> io::Result<bool> {
        match self.0 {}
    }
}

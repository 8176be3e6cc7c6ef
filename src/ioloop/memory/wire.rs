//! One end of a connection: what has come and was not read yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::Interest;

use crate::ioloop::event::Readiness;

/// One end of a connection.
pub(super) struct Wire {
    pub(super) peer_address: SocketAddr,
    /// The other end, unless it is closed.
    pub(super) peer: Option<usize>,
    /// Received and not read yet.
    input: VecDeque<u8>,
    /// The writes of the other end that have brought it: how many bytes of each are left, and its
    /// number.
    writes: VecDeque<(usize, u64)>,
    /// The most bytes of it.
    pub(super) capacity: usize,
    /// How many bytes of the input come before the byte that is urgent.
    urgent_at: Option<usize>,
    /// Whether the other end sends no more.
    pub(super) input_ended: bool,
    /// Whether this end sends no more.
    pub(super) output_ended: bool,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// To an address that no socket has: it never gets there.
    Connecting,
    Connected,
    /// Nobody listens at the other end.
    Refused,
    Reset,
}

impl Wire {
    pub(super) fn new(peer_address: SocketAddr, stage: Stage) -> Self {
        Self {
            peer_address,
            peer: None,
            input: VecDeque::new(),
            writes: VecDeque::new(),
            capacity: CAPACITY,
            urgent_at: None,
            input_ended: false,
            output_ended: false,
            stage,
        }
    }

    /// Why nothing can be read or written, now or ever.
    pub(super) fn failure(&self) -> Option<io::Error> {
        match self.stage {
            Stage::Connected => None,
            Stage::Connecting => Some(ErrorKind::WouldBlock.into()),
            Stage::Refused => Some(io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            Stage::Reset => Some(io::Error::from_raw_os_error(libc::ECONNRESET)),
        }
    }

    /// The connection is reset. What was not read is lost.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Reset;
        self.peer = None;
        self.input.clear();
        self.writes.clear();
        self.urgent_at = None;
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.input.len())
    }

    /// Whether bytes have come that were not read.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Bytes have come, by the write of this number. If `urgent`, the last of them is.
    pub(super) fn put(&mut self, bytes: &[u8], number: u64, urgent: bool) {
        if !bytes.is_empty() {
            self.writes.push_back((bytes.len(), number));
        }
        self.input.extend(bytes);
        if urgent && !bytes.is_empty() {
            self.urgent_at = Some(self.input.len() - 1);
        }
    }

    /// Copies what has come into `buffer`. A read stops before a byte that is urgent.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        if self.input.is_empty() && !self.input_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let until_urgent = self.urgent_at.filter(|at| *at > 0);
        let size = buffer.len().min(until_urgent.unwrap_or(self.input.len()));
        let (front, back) = self.input.as_slices();
        let first = size.min(front.len());
        buffer[..first].copy_from_slice(&front[..first]);
        buffer[first..size].copy_from_slice(&back[..size - first]);
        Ok(size)
    }

    /// How many bytes of the first write are left, and the number of that write.
    pub(super) fn first_write(&self) -> Option<(usize, u64)> {
        self.writes.front().copied()
    }

    /// Drops bytes that were read.
    pub(super) fn take(&mut self, size: usize) {
        self.input.drain(..size);
        let mut rest = size;
        while rest > 0
            && let Some((left, _)) = self.writes.front_mut()
        {
            let gone = rest.min(*left);
            *left -= gone;
            rest -= gone;
            if *left == 0 {
                self.writes.pop_front();
            }
        }
        self.urgent_at = self.urgent_at.and_then(|at| at.checked_sub(size));
    }

    /// What the socket is ready for, of what it is watched for. `has_room`: a write would not
    /// have to wait.
    pub(super) fn readiness(&self, interest: Interest, has_room: bool) -> Readiness {
        let failed = matches!(self.stage, Stage::Reset | Stage::Refused);
        let ended = self.input_ended && interest.is_readable();
        let input = self.has_input() && interest.is_readable();
        Readiness {
            readable: input || ended || failed,
            writable: failed || (interest.is_writable() && has_room),
            read_closed: ended || failed,
            write_closed: failed,
            urgent: interest.is_priority() && self.urgent_at.is_some(),
        }
    }

    /// Whether the other end has closed its side, or the connection has failed.
    pub(super) fn is_closed(&self) -> bool {
        self.input_ended || (self.stage != Stage::Connecting && self.peer.is_none())
    }
}

/// The most bytes that wait at one end, as in the buffer of a socket, unless it is set otherwise.
const CAPACITY: usize = 64 * 1024;

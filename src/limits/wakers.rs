//! How a worker is woken by another one, which has asked one of its sessions to leave.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// A pair of sockets for each worker. They are made before the fork, so that each worker has all
/// of them; a worker that replaces another has its pair.
#[derive(Default)]
pub(super) struct Wakers {
    pairs: OnceLock<Vec<Pair>>,
    /// The number of this worker.
    number: AtomicU16,
}

struct Pair {
    read: UnixStream,
    write: UnixStream,
}

impl Wakers {
    /// Makes the sockets.
    pub(super) fn make(&self, workers: usize) -> io::Result<()> {
        let pairs = (0..workers).map(|_| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            write.set_nonblocking(true)?;
            Ok(Pair { read, write })
        });
        let _ = self.pairs.set(pairs.collect::<io::Result<_>>()?);
        Ok(())
    }

    /// This process is the worker of this number from now on. Returns the socket that becomes
    /// readable when another one wakes it.
    pub(super) fn become_worker(&self, number: usize) -> io::Result<UnixStream> {
        let pair = self.pairs.get().and_then(|pairs| pairs.get(number));
        let pair = pair.ok_or(io::ErrorKind::NotFound)?;
        let number = u16::try_from(number).map_err(io::Error::other)?;
        self.number.store(number, Relaxed);
        pair.read.try_clone()
    }

    pub(super) fn number(&self) -> u16 {
        self.number.load(Relaxed)
    }

    pub(super) fn wake(&self, worker: u16) {
        let pairs = self.pairs.get();
        if let Some(pair) = pairs.and_then(|pairs| pairs.get(usize::from(worker))) {
            // If there is no room, the worker has not read earlier bytes yet: these do as well.
            let _ = (&pair.write).write(&[0]);
        }
    }
}

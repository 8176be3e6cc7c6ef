//! How another thread ends a server.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ioloop::Remote;

/// Ends servers from any thread: see [`FTPServer::serve_until`](crate::FTPServer::serve_until).
///
/// Copies of a value are the same value. It may be made before the servers, and one value may end
/// several of them. It cannot come too early: a server that begins to serve when its `Stop` was
/// triggered already ends at once. This is why it is a value and not a function that the server
/// would call again and again, or a message to its loop, which exists only while it serves.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    how: AtomicU8,
    /// The loops to wake, each with its number.
    loops: Mutex<Vec<(u64, Remote)>>,
    numbers: AtomicU64,
}

impl Stop {
    /// Makes a value that ends no server yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the servers as the first SIGTERM does: they stop listening, sessions at rest get 421,
    /// and transfers may finish within the
    /// [drain timeout](crate::FTPServer::set_drain_timeout). Does not wait for that.
    pub fn stop(&self) {
        self.trigger(GENTLY);
    }

    /// Ends the servers at once: transfers are cut. Does not wait for that.
    pub fn stop_now(&self) {
        self.trigger(NOW);
    }

    /// Whether [`stop`](Self::stop) or [`stop_now`](Self::stop_now) was called.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.how.load(SeqCst) >= GENTLY
    }

    /// Whether [`stop_now`](Self::stop_now) was called.
    pub(super) fn is_now(&self) -> bool {
        self.0.how.load(SeqCst) >= NOW
    }

    /// From now on, this loop is woken, until the result is dropped.
    pub(super) fn wake(&self, remote: Remote) -> Woken {
        let number = self.0.numbers.fetch_add(1, SeqCst);
        self.0.loops().push((number, remote));
        Woken {
            shared: Arc::clone(&self.0),
            number,
        }
    }

    fn trigger(&self, how: u8) {
        self.0.how.fetch_max(how, SeqCst);
        for (_, remote) in self.0.loops().iter() {
            // The loop looks at the value after each turn.
            remote.call(|_| {});
        }
    }
}

impl Shared {
    /// The list is whole even after a panic.
    fn loops(&self) -> MutexGuard<'_, Vec<(u64, Remote)>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop")
            .field("is_triggered", &self.is_triggered())
            .finish_non_exhaustive()
    }
}

/// A loop that a [`Stop`] wakes.
pub(super) struct Woken {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Woken {
    fn drop(&mut self) {
        let mut loops = self.shared.loops();
        loops.retain(|(number, _)| *number != self.number);
    }
}

/// How the servers are to end.
const GENTLY: u8 = 1;
const NOW: u8 = 2;

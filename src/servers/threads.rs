//! A thread for each connection, with its own loop.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use slab::Slab;

use super::accept::{NewConnection, Shortage, StartSession};
use crate::handlers::FTPHandler;
use crate::ioloop::{IOLoop, Io, PollParts, Remote};
use crate::limits::Admission;
use crate::log::TARGET;

/// The threads of a server, by their loops.
#[derive(Default)]
pub(super) struct Threads {
    running: Mutex<Running>,
    /// Notified when a thread ends.
    ended: Condvar,
}

#[derive(Default)]
struct Running {
    loops: Slab<Remote>,
    /// Whether sessions should end when they are at rest.
    draining: bool,
    /// Whether all threads should end; no thread begins any more.
    ending: bool,
}

impl Threads {
    /// Ends all sessions when they are at rest, also those that begin later.
    pub(super) fn drain(&self) {
        self.running().draining = true;
        self.call_all(|io| io.drain_all());
    }

    /// Calls a function on each loop.
    fn call_all(&self, function: fn(&mut Io<'_>)) {
        for (_, remote) in &self.running().loops {
            remote.call(function);
        }
    }

    /// Ends all loops, and waits for their threads. Threads that still block after
    /// `timeout` are left behind. Returns whether there were any.
    pub(super) fn end_all(&self, timeout: Duration) -> bool {
        self.running().ending = true;
        self.call_all(|io| io.stop());
        let end = Instant::now() + timeout;
        let mut running = self.running();
        while !running.loops.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let count = running.loops.len();
                log::warn!(target: TARGET, "{count} threads remained alive after {timeout:?}");
                // A second call does not wait for them again.
                running.loops.clear();
                return true;
            }
            let waited = self.ended.wait_timeout(running, left);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// A loop begins. Returns its number, or `None` if all threads should end.
    fn begin(&self, remote: Remote) -> Option<usize> {
        let mut running = self.running();
        (!running.ending).then(|| running.loops.insert(remote))
    }

    fn end(&self, number: usize) {
        self.running().loops.try_remove(number);
        self.ended.notify_all();
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread for each session.
pub(super) struct InThreads<F> {
    factory: Arc<F>,
    threads: Arc<Threads>,
    shortage: Shortage,
}

impl<F> InThreads<F> {
    pub(super) fn new(factory: F, threads: &Arc<Threads>) -> Self {
        Self {
            factory: Arc::new(factory),
            threads: Arc::clone(threads),
            shortage: Shortage::default(),
        }
    }
}

impl<H, F> StartSession for InThreads<F>
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + Sync + 'static,
{
    fn start(&mut self, io: &mut Io<'_>, connection: NewConnection) {
        if connection.admission != Admission::Admitted {
            // A refusal takes no thread.
            return connection.start_session(io, &*self.factory);
        }
        // Open the poll here, not in the thread: the limit of descriptors must count it
        // before the next connection is accepted.
        let parts = match PollParts::new() {
            Ok(parts) if connection.state.limits.is_reserved(&parts) => {
                return connection.refused().start_session(io, &*self.factory);
            }
            Ok(parts) => parts,
            Err(err) => {
                self.shortage
                    .log("cannot open a poll for a connection", &err);
                return connection.refused().start_session(io, &*self.factory);
            }
        };
        let (factory, threads) = (Arc::clone(&self.factory), Arc::clone(&self.threads));
        let server = io.remote();
        let (hand_over, connections) = mpsc::sync_channel(1);
        let builder = thread::Builder::new().name(connection.peer.to_string());
        let spawned = builder.spawn(move || {
            let Ok(connection) = connections.recv() else {
                return;
            };
            if let Err(err) = run_thread(connection, parts, &*factory, &threads) {
                log::error!(target: TARGET, "a connection was closed, because its loop failed: {err}");
            }
            // Wake the server, which may wait for the last thread to end.
            server.call(|_| {});
        });
        match spawned {
            Ok(_detached) => {
                self.shortage.end();
                let _ = hand_over.send(connection);
            }
            Err(err) => {
                self.shortage.log("cannot start a thread", &err);
                connection.refused().start_session(io, &*self.factory);
            }
        }
    }
}

/// The main function of a thread: runs the loop of its connection.
fn run_thread<H: FTPHandler + 'static>(
    connection: NewConnection,
    parts: PollParts,
    factory: &impl Fn(SocketAddr) -> H,
    threads: &Threads,
) -> io::Result<()> {
    let mut ioloop = IOLoop::from_parts(parts);
    let Some(number) = threads.begin(ioloop.remote()) else {
        return Ok(());
    };
    ioloop.with_io(|io| connection.start_session(io, factory));
    if threads.running().draining {
        ioloop.with_io(|io| io.drain_all());
    }
    let result = ioloop.run();
    ioloop.close();
    drop(ioloop);
    threads.end(number);
    result
}

//! Where the sessions of a server run: its concurrency model.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libc::SIGTERM;

use super::accept::{OnLoop, StartSession};
use super::processes::Processes;
use super::threads::{InThreads, Threads};
use crate::handlers::FTPHandler;
use crate::ioloop::PollParts;

/// Where the sessions of a server run.
pub(super) enum Model {
    /// On the loop of the server.
    Async,
    /// Each in a thread.
    Threads(Arc<Threads>),
    /// Each in a process.
    Processes(Processes),
}

/// A model and what starts sessions for it.
pub(super) type ModelAndStart = (Model, Box<dyn StartSession>);

/// Sessions run on the loop of the server.
pub(super) fn on_loop<H, F>(factory: F) -> ModelAndStart
where
    H: FTPHandler + 'static,
    F: FnMut(SocketAddr) -> H + 'static,
{
    (Model::Async, Box::new(OnLoop(factory)))
}

/// Sessions run in threads.
pub(super) fn in_threads<H, F>(factory: F) -> ModelAndStart
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + Sync + 'static,
{
    let threads = Arc::new(Threads::default());
    let start = InThreads::new(factory, &threads);
    (Model::Threads(threads), Box::new(start))
}

/// Sessions run in processes.
pub(super) fn in_processes<H, F>(factory: F) -> ModelAndStart
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + 'static,
{
    let (processes, start) = Processes::new(factory);
    (Model::Processes(processes), Box::new(start))
}

impl Model {
    /// The name of the model in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Threads(_) => "multi-thread",
            Self::Processes(_) => "multi-process",
        }
    }

    /// How many file descriptors of the server's process a connection takes.
    pub(super) fn descriptors(&self) -> u64 {
        match self {
            Self::Async => 1,
            Self::Threads(_) => 1 + PollParts::DESCRIPTORS,
            // Each process may have as many as the server.
            Self::Processes(_) => 0,
        }
    }

    /// Lets sessions in threads and processes end when they are at rest.
    pub(super) fn drain(&self) {
        match self {
            Self::Async => {}
            Self::Threads(threads) => threads.drain(),
            Self::Processes(processes) => processes.signal_all(SIGTERM),
        }
    }

    /// Whether there are processes of connections.
    pub(super) fn has_processes(&self) -> bool {
        match self {
            Self::Processes(processes) => !processes.is_empty(),
            Self::Async | Self::Threads(_) => false,
        }
    }

    /// Ends all threads and processes within `timeout`. Returns whether any was ended by
    /// force or left behind.
    pub(super) fn end_all(&mut self, timeout: Duration) -> bool {
        match self {
            Self::Async => false,
            Self::Threads(threads) => threads.end_all(timeout),
            Self::Processes(processes) => processes.end_all(timeout),
        }
    }
}

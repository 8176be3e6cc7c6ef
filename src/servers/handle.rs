//! A server on a thread of its own, and the handle by which its host ends it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::model::Model;
use super::server::{FTPServer, wrong};
use super::stop::Stop;
use crate::ioloop::{Remote, panic_text};

/// A server that serves on a thread of its own: [`ServerBuilder::spawn`](crate::ServerBuilder::spawn).
///
/// When the handle is dropped, the server ends as by [`stop`](Self::stop), and the drop waits for
/// its thread: transfers may finish, and then nothing of the server is left. While a panic unwinds,
/// it ends as by [`stop_now`](Self::stop_now).
#[must_use = "the server ends when its handle is dropped"]
pub struct ServerHandle {
    addresses: Vec<SocketAddr>,
    remote: Remote,
    stop: Stop,
    /// `None` once its end was waited for.
    thread: Option<JoinHandle<io::Result<ExitStatus>>>,
}

/// How a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus(u8);

impl ExitStatus {
    /// Whether all sessions and threads have ended by themselves, or at the request of the server.
    #[must_use]
    pub fn success(self) -> bool {
        self.0 == 0
    }

    /// The status as that of a process: [`FTPServer::exit_status`].
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.0)
    }
}

impl ServerHandle {
    /// The address of the first listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The addresses of the listeners, in the order in which they were added. A port that the
    /// system has chosen is there.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reaches the loop of the server, and its sessions: see [`Remote::call`] and
    /// [`Remote::send`]. When the server has ended, calls have no effect.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// A value that ends the server from other threads. It does not end it when dropped.
    #[must_use]
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Begins the end of the server: it stops listening, sessions at rest get 421, and transfers
    /// may finish within the [drain timeout](FTPServer::set_drain_timeout).
    /// [`join`](Self::join) waits for that.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Ends the server at once: transfers are cut.
    pub fn stop_now(&self) {
        self.stop.stop_now();
    }

    /// Whether the thread of the server has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the server has ended: by [`stop`](Self::stop), by a [`Stop`], by
    /// [`Io::stop`](crate::ioloop::Io::stop) on its loop, or by an error. Does not end it.
    ///
    /// # Errors
    /// Errors of the system's poll. The thread has panicked: the text of the panic is in the error.
    pub fn join(mut self) -> io::Result<ExitStatus> {
        match self.thread.take() {
            Some(thread) => wait(thread),
            None => Ok(ExitStatus(0)),
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        match thread::panicking() {
            true => self.stop.stop_now(),
            false => self.stop.stop(),
        }
        // A hook that drops the handle runs on that thread, which cannot wait for itself.
        if thread.thread().id() != thread::current().id()
            && let Err(err) = wait(thread)
        {
            log::error!(target: crate::log::TARGET, "a server has ended with an error: {err}");
        }
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("addresses", &self.addresses)
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Makes a server on a new thread, and serves there.
pub(super) fn spawn(
    addresses: Vec<SocketAddr>,
    build: impl FnOnce() -> io::Result<FTPServer> + Send + 'static,
) -> io::Result<ServerHandle> {
    let stop = Stop::new();
    let own_stop = stop.clone();
    let (ready, set_up) = mpsc::sync_channel(1);
    let builder = thread::Builder::new().name("ftpdlib".to_owned());
    let thread = builder.spawn(move || {
        let mut server = build()?;
        check(&server)?;
        server.handle_signals(false);
        // The receiver waits, unless it has panicked.
        let _ = ready.send(server.ioloop().remote());
        server.serve_until(&own_stop)?;
        Ok(ExitStatus(server.exit_status()))
    })?;
    match set_up.recv() {
        Ok(remote) => Ok(ServerHandle {
            addresses,
            remote,
            stop,
            thread: Some(thread),
        }),
        // The thread has ended before it was ready.
        Err(_) => Err(match wait(thread) {
            Err(err) => err,
            Ok(_) => io::Error::other("the server has ended before it was ready"),
        }),
    }
}

fn check(server: &FTPServer) -> io::Result<()> {
    if server.workers.is_some() {
        return Err(wrong(
            "a server on a thread cannot fork workers: serve_forever on the main thread can",
        ));
    }
    if matches!(server.model, Model::Processes(_)) {
        return Err(wrong(
            "a server on a thread cannot fork a process for each connection: serve_forever on the \
             main thread can, and a ThreadedFTPServer needs no processes",
        ));
    }
    Ok(())
}

/// Waits for a thread, whose panic becomes an error.
fn wait(thread: JoinHandle<io::Result<ExitStatus>>) -> io::Result<ExitStatus> {
    thread.join().unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        Err(io::Error::other(format!(
            "the thread of the server has panicked: {text}"
        )))
    })
}

//! A process for each connection, with its own loop.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGKILL, SIGQUIT, SIGTERM};

use super::accept::{NewConnection, Shortage, StartSession};
use crate::handlers::FTPHandler;
use crate::ioloop::{IOLoop, Io};
use crate::limits::{Admission, Slot};
use crate::log::{TARGET, write_through};
use crate::sys::{self, Fork, HeldSignals, Pid};

/// The processes of a server, and the connections that wait for one.
pub(super) struct Processes {
    connections: Receiver<NewConnection>,
    start_session: StartOn,
    /// The running processes, each with the slot of its connection.
    children: HashMap<Pid, Slot>,
    /// [`sys::fork`], which tests replace.
    pub(super) fork: fn() -> io::Result<Fork>,
    pub(super) shortage: Shortage,
    /// The process of a job.
    job: Option<Pid>,
    /// When each process was last asked whether it has ended.
    asked_all: Instant,
    /// Whether a process had to be killed, or ended itself by force.
    forced: bool,
}

/// [`NewConnection::start_session`] with the factory of the server.
type StartOn = Box<dyn Fn(&mut Io<'_>, NewConnection)>;

/// Queues the connections for which a process is to be forked.
pub(super) struct InProcesses<F> {
    factory: Arc<F>,
    queue: Sender<NewConnection>,
}

impl<H, F> StartSession for InProcesses<F>
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + 'static,
{
    /// Only queues the connection: the server forks between two turns of the loop, where
    /// the new process can drop all that is on the loop.
    fn start(&mut self, io: &mut Io<'_>, connection: NewConnection) {
        if connection.admission == Admission::Admitted {
            let _ = self.queue.send(connection);
        } else {
            connection.start_session(io, &*self.factory);
        }
    }
}

impl Processes {
    /// Returns the processes of a server, and what queues connections for them.
    pub(super) fn new<H, F>(factory: F) -> (Self, InProcesses<F>)
    where
        H: FTPHandler + 'static,
        F: Fn(SocketAddr) -> H + Send + 'static,
    {
        let (queue, connections) = mpsc::channel();
        let factory = Arc::new(factory);
        let in_processes = InProcesses {
            factory: Arc::clone(&factory),
            queue,
        };
        let start_session = move |io: &mut Io<'_>, connection: NewConnection| {
            connection.start_session(io, &*factory);
        };
        let processes = Self {
            connections,
            start_session: Box::new(start_session),
            children: HashMap::new(),
            job: None,
            fork: sys::fork,
            shortage: Shortage::default(),
            asked_all: Instant::now(),
            forced: false,
        };
        (processes, in_processes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Forks a process for each queued connection. If that fails, the connection gets its
    /// 421 on `ioloop`. In a new process, returns its connection and the signals that are
    /// held back until it handles them.
    pub(super) fn fork_all(&mut self, ioloop: &mut IOLoop) -> Option<(NewConnection, HeldSignals)> {
        let parent = sys::own_pid();
        while let Ok(connection) = self.connections.try_recv() {
            // Both processes would write what the log still holds.
            write_through();
            // Until the new process handles signals itself, the handlers that it inherits
            // would report them to this process.
            let held = HeldSignals::new();
            match (self.fork)() {
                Ok(Fork::Parent(pid)) => {
                    self.children.insert(pid, connection.slot);
                    self.shortage.end();
                }
                Ok(Fork::Child) => {
                    // The slots belong to the parent.
                    mem::forget(mem::take(&mut self.children));
                    // Close the sockets of the other connections in this process.
                    while self.connections.try_recv().is_ok() {}
                    if sys::signal_at_death_of_parent(parent, SIGTERM).is_err() {
                        process::exit(1);
                    }
                    return Some((connection, held));
                }
                Err(err) => {
                    self.shortage.log("cannot start a process", &err);
                    ioloop.with_io(|io| self.start_session(io, connection.refused()));
                }
            }
        }
        None
    }

    /// Runs a job that may block in a process of its own, if no earlier one still runs.
    pub(super) fn fork_job(&mut self, job: impl FnOnce()) {
        if self.job.is_some() {
            return;
        }
        let parent = sys::own_pid();
        write_through();
        let _held = HeldSignals::new();
        match (self.fork)() {
            Ok(Fork::Parent(pid)) => self.job = Some(pid),
            Ok(Fork::Child) => {
                // The slots belong to the parent.
                mem::forget(mem::take(&mut self.children));
                // It has the sockets of its parent, so it must not outlive it.
                let bound = sys::signal_at_death_of_parent(parent, SIGKILL);
                if bound.is_ok() {
                    job();
                    write_through();
                }
                process::exit(0);
            }
            Err(err) => self.shortage.log("cannot start a process", &err),
        }
    }

    /// Forgets the process of a job, if it has ended.
    fn reap_job(&mut self) {
        if let Some(pid) = self.job
            && !matches!(sys::wait(pid), Ok(None))
        {
            self.job = None;
        }
    }

    /// Starts a session on a loop of this process.
    pub(super) fn start_session(&self, io: &mut Io<'_>, connection: NewConnection) {
        (self.start_session)(io, connection);
    }

    /// Forgets the processes that have ended, and calls `ended` for each.
    pub(super) fn reap(&mut self, mut ended: impl FnMut(Pid)) {
        self.reap_job();
        while !self.is_empty() {
            match sys::ended_child() {
                Some(pid) if self.wait(pid, &mut ended) => {}
                // Other code waits for this child. Our children may be behind it.
                Some(_) => return self.wait_all(ended),
                // Other code may have waited for our children.
                None if self.asked_all.elapsed() >= ASK_ALL_EVERY => return self.wait_all(ended),
                None => return,
            }
        }
    }

    /// Asks for each process whether it has ended.
    fn wait_all(&mut self, mut ended: impl FnMut(Pid)) {
        self.asked_all = Instant::now();
        let pids: Vec<_> = self.children.keys().copied().collect();
        for pid in pids {
            self.wait(pid, &mut ended);
        }
    }

    /// Forgets a process if this server forked it and it has ended. Returns false if not.
    fn wait(&mut self, pid: Pid, ended: &mut impl FnMut(Pid)) -> bool {
        if !self.children.contains_key(&pid) {
            return false;
        }
        match sys::wait(pid) {
            Ok(None) => return false,
            Ok(Some(status)) if !status.success() => {
                self.forced |= status.code().is_some_and(|code| code > 128);
                log::warn!(target: TARGET, "the process {pid} of a connection has failed: {status}");
            }
            Ok(Some(_)) | Err(_) => {}
        }
        self.children.remove(&pid);
        ended(pid);
        true
    }

    /// Ends all processes, and kills those that still run after `timeout`. Returns whether
    /// any was ended by force.
    pub(super) fn end_all(&mut self, timeout: Duration) -> bool {
        if let Some(pid) = self.job {
            sys::kill(pid, SIGKILL);
        }
        self.signal_all(SIGQUIT);
        let end = Instant::now() + timeout;
        while !self.is_empty() && Instant::now() < end {
            self.reap(|_| {});
            thread::sleep(Duration::from_millis(10));
        }
        self.forced |= !self.is_empty();
        self.signal_all(SIGKILL);
        self.reap(|_| {});
        self.forced
    }

    pub(super) fn signal_all(&self, signal: i32) {
        for pid in self.children.keys() {
            sys::kill(*pid, signal);
        }
    }
}

/// How often each process is asked for, whatever the system reports about all children.
const ASK_ALL_EVERY: Duration = Duration::from_secs(1);

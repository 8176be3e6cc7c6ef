//! Servers for handlers that block: a thread, or a process, for each connection,
//! with a loop of its own. What runs on that loop is what runs on the server's.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::ops::{Deref, DerefMut};
use std::process;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGKILL, SIGQUIT, SIGTERM};
use slab::Slab;

use super::accept::{Host, Newcomer};
use super::{BACKLOG, FTPServer, Model, parse};
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::{Footing, IOLoop, Io, Remote};
use crate::limits::{Admission, Slot};
use crate::log::{TARGET, write_through};
use crate::sys::{self, Fork, HeldSignals, Pid};

/// A server with a thread for each connection: as pyftpdlib's `ThreadedFTPServer`.
///
/// Methods of the handler may block there: they hold up their own session only.
/// What it is set up with is that of [`FTPServer`], which it stands for.
#[derive(Debug)]
pub struct ThreadedFTPServer(FTPServer);

/// A server with a process for each connection: as pyftpdlib's
/// `MultiprocessFTPServer`.
///
/// The process that makes it must have no other threads when it serves. What it is
/// set up with is that of [`FTPServer`], which it stands for.
#[derive(Debug)]
pub struct MultiprocessFTPServer(FTPServer);

macro_rules! spawner {
    ($name:ident, $model:ident, $($bound:tt)*) => {
        impl $name {
            /// As [`FTPServer::bind`].
            ///
            /// # Errors
            /// As there.
            pub fn bind<H, F>(address: &str, config: FTPConfig, factory: F) -> io::Result<Self>
            where
                H: FTPHandler + 'static,
                F: Fn(SocketAddr) -> H + $($bound)* + 'static,
            {
                let (host, port) = parse(address)?;
                Self::bind_with(host, port, BACKLOG, config, factory)
            }

            /// As [`FTPServer::bind_with`].
            ///
            /// # Errors
            /// As there.
            pub fn bind_with<H, F>(
                host: &str,
                port: u16,
                backlog: i32,
                config: FTPConfig,
                factory: F,
            ) -> io::Result<Self>
            where
                H: FTPHandler + 'static,
                F: Fn(SocketAddr) -> H + $($bound)* + 'static,
            {
                let (model, host_of) = $model(factory);
                FTPServer::bind_as(host, port, backlog, config, model, host_of).map(Self)
            }

            /// As [`FTPServer::from_listener`].
            ///
            /// # Errors
            /// As there.
            pub fn from_listener<H, F>(
                listener: StdListener,
                config: FTPConfig,
                factory: F,
            ) -> io::Result<Self>
            where
                H: FTPHandler + 'static,
                F: Fn(SocketAddr) -> H + $($bound)* + 'static,
            {
                let (model, host_of) = $model(factory);
                FTPServer::listen_as(listener, config, model, host_of).map(Self)
            }
        }

        impl From<$name> for FTPServer {
            fn from(server: $name) -> Self {
                server.0
            }
        }

        impl Deref for $name {
            type Target = FTPServer;

            fn deref(&self) -> &FTPServer {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut FTPServer {
                &mut self.0
            }
        }
    };
}

spawner!(ThreadedFTPServer, in_threads, Send + Sync);
spawner!(MultiprocessFTPServer, in_processes, Send);

// --- threads

fn in_threads<H, F>(factory: F) -> (Model, Box<dyn Host>)
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + Sync + 'static,
{
    let threads = Arc::new(Threads::default());
    let host = InThreads {
        factory: Arc::new(factory),
        threads: Arc::clone(&threads),
        lack: Lack::default(),
    };
    (Model::Threads(threads), Box::new(host))
}

/// The threads of a server, by their loops.
#[derive(Default)]
pub(super) struct Threads {
    running: Mutex<Running>,
    ended: Condvar,
}

#[derive(Default)]
struct Running {
    loops: Slab<Remote>,
    /// Whether sessions are to come to their end.
    drains: bool,
    /// Whether all are to end; none begins any more.
    over: bool,
}

impl Threads {
    /// Has all come to their end, those that begin yet too.
    pub(super) fn drain(&self) {
        self.running().drains = true;
        self.call_all(|io| io.drain_all());
    }

    /// Calls a function on each loop.
    fn call_all(&self, function: fn(&mut Io<'_>)) {
        for (_, remote) in &self.running().loops {
            remote.call(function);
        }
    }

    /// Ends the loops of all, and waits for them; those that block are left alone.
    /// Returns whether there were any.
    pub(super) fn end_all(&self, patience: Duration) -> bool {
        self.running().over = true;
        self.call_all(|io| io.stop());
        let end = Instant::now() + patience;
        let mut running = self.running();
        while !running.loops.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let count = running.loops.len();
                log::warn!(target: TARGET, "{count} threads remained alive after {patience:?}");
                // They are not waited for a second time.
                running.loops.clear();
                return true;
            }
            let waited = self.ended.wait_timeout(running, left);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// A loop begins; `None`: none begins any more.
    fn begin(&self, remote: Remote) -> Option<usize> {
        let mut running = self.running();
        (!running.over).then(|| running.loops.insert(remote))
    }

    fn end(&self, number: usize) {
        self.running().loops.try_remove(number);
        self.ended.notify_all();
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct InThreads<F> {
    factory: Arc<F>,
    threads: Arc<Threads>,
    lack: Lack,
}

impl<H, F> Host for InThreads<F>
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + Sync + 'static,
{
    fn welcome(&mut self, io: &mut Io<'_>, newcomer: Newcomer) {
        if newcomer.admission != Admission::Admitted {
            // Who is turned away is not worth a thread.
            return newcomer.settle(io, &*self.factory);
        }
        // Here, not in the thread: the next to be accepted has to find them taken.
        let footing = match Footing::new() {
            Ok(footing) if newcomer.state.limits.is_reserved(&footing) => {
                return newcomer.refused().settle(io, &*self.factory);
            }
            Ok(footing) => footing,
            Err(err) => {
                self.lack.tell("a connection has no loop", &err);
                return newcomer.refused().settle(io, &*self.factory);
            }
        };
        let (factory, threads) = (Arc::clone(&self.factory), Arc::clone(&self.threads));
        let server = io.remote();
        let (hand_over, newcomers) = mpsc::sync_channel(1);
        let builder = thread::Builder::new().name(newcomer.peer.to_string());
        let spawned = builder.spawn(move || {
            let Ok(newcomer) = newcomers.recv() else {
                return;
            };
            if let Err(err) = run_thread(newcomer, footing, &*factory, &threads) {
                log::error!(target: TARGET, "a connection was cut: {err}");
            }
            // The server may wait for the last to end.
            server.call(|_| {});
        });
        match spawned {
            Ok(_detached) => {
                self.lack.is_over();
                let _ = hand_over.send(newcomer);
            }
            Err(err) => {
                self.lack.tell("cannot start a thread", &err);
                newcomer.refused().settle(io, &*self.factory);
            }
        }
    }
}

/// What the system had not got for a newcomer, told once until it has.
#[derive(Default)]
struct Lack {
    told: bool,
}

impl Lack {
    fn tell(&mut self, what: &str, err: &io::Error) {
        if !mem::replace(&mut self.told, true) {
            log::error!(target: TARGET, "{what}: {err}; newcomers get 421 until it works");
        }
    }

    fn is_over(&mut self) {
        self.told = false;
    }
}

fn run_thread<H: FTPHandler + 'static>(
    newcomer: Newcomer,
    footing: Footing,
    factory: &impl Fn(SocketAddr) -> H,
    threads: &Threads,
) -> io::Result<()> {
    let mut ioloop = IOLoop::on(footing);
    let Some(number) = threads.begin(ioloop.remote()) else {
        return Ok(());
    };
    ioloop.with_io(|io| newcomer.settle(io, factory));
    if threads.running().drains {
        ioloop.with_io(|io| io.drain_all());
    }
    let result = ioloop.run();
    ioloop.close();
    drop(ioloop);
    threads.end(number);
    result
}

// --- processes

fn in_processes<H, F>(factory: F) -> (Model, Box<dyn Host>)
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + 'static,
{
    let (queue, newcomers) = mpsc::channel();
    let factory = Arc::new(factory);
    let host = InProcesses {
        factory: Arc::clone(&factory),
        queue,
    };
    let settle = move |io: &mut Io<'_>, newcomer: Newcomer| newcomer.settle(io, &*factory);
    let processes = Processes {
        newcomers,
        settle: Box::new(settle),
        children: HashMap::new(),
        fork: sys::fork,
        lack: Lack::default(),
        asked: Instant::now(),
        stuck: false,
    };
    (Model::Processes(processes), Box::new(host))
}

/// Those who have connected and the processes that they have got.
pub(super) struct Processes {
    newcomers: Receiver<Newcomer>,
    settle: Settle,
    children: HashMap<Pid, Slot>,
    fork: fn() -> io::Result<Fork>,
    lack: Lack,
    /// When each of them was asked for.
    asked: Instant,
    /// Whether one of them was stuck at its end.
    stuck: bool,
}

/// [`Newcomer::settle`] with the factory of the server.
type Settle = Box<dyn Fn(&mut Io<'_>, Newcomer)>;

struct InProcesses<F> {
    factory: Arc<F>,
    queue: Sender<Newcomer>,
}

impl<H, F> Host for InProcesses<F>
where
    H: FTPHandler + 'static,
    F: Fn(SocketAddr) -> H + Send + 'static,
{
    /// Forked is between two turns of the loop, where all of it can be dropped in
    /// the new process.
    fn welcome(&mut self, io: &mut Io<'_>, newcomer: Newcomer) {
        if newcomer.admission == Admission::Admitted {
            let _ = self.queue.send(newcomer);
        } else {
            newcomer.settle(io, &*self.factory);
        }
    }
}

impl Processes {
    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Makes a process for each that has connected; `ioloop` is for those for whom
    /// there is none. Returns, in that process, who is to be served there, and the
    /// signals that wait until it listens for them.
    pub(super) fn start(&mut self, ioloop: &mut IOLoop) -> Option<(Newcomer, HeldSignals)> {
        let parent = sys::own_pid();
        while let Ok(newcomer) = self.newcomers.try_recv() {
            // What is not written yet would be written twice.
            write_through();
            // Until the new process listens for them, they would be told to this one.
            let held = HeldSignals::new();
            match (self.fork)() {
                Ok(Fork::Parent(pid)) => {
                    self.children.insert(pid, newcomer.slot);
                    self.lack.is_over();
                }
                Ok(Fork::Child) => {
                    // The slots are those of the old process.
                    mem::forget(mem::take(&mut self.children));
                    // Nor are the others' sockets for this one to keep open.
                    while self.newcomers.try_recv().is_ok() {}
                    if sys::signal_at_death_of_parent(parent, SIGTERM).is_err() {
                        process::exit(1);
                    }
                    return Some((newcomer, held));
                }
                Err(err) => {
                    self.lack.tell("cannot start a process", &err);
                    ioloop.with_io(|io| self.settle(io, newcomer.refused()));
                }
            }
        }
        None
    }

    /// Serves somebody in this process, as [`Newcomer::settle`].
    pub(super) fn settle(&self, io: &mut Io<'_>, newcomer: Newcomer) {
        (self.settle)(io, newcomer);
    }

    /// Forgets those that have ended; `ended` hears of each.
    pub(super) fn reap(&mut self, mut ended: impl FnMut(Pid)) {
        while !self.is_empty() {
            match sys::ended_child() {
                Some(pid) if self.wait(pid, &mut ended) => {}
                // Behind one that is for others to wait for there may be some of these;
                Some(_) => return self.wait_all(ended),
                // and others may have waited for some of these.
                None if self.asked.elapsed() >= ASK_EVERY => return self.wait_all(ended),
                None => return,
            }
        }
    }

    /// Asks for each of them.
    fn wait_all(&mut self, mut ended: impl FnMut(Pid)) {
        self.asked = Instant::now();
        let pids: Vec<_> = self.children.keys().copied().collect();
        for pid in pids {
            self.wait(pid, &mut ended);
        }
    }

    /// Forgets a process if it is one of them, and has ended. Returns whether it did.
    fn wait(&mut self, pid: Pid, ended: &mut impl FnMut(Pid)) -> bool {
        if !self.children.contains_key(&pid) {
            return false;
        }
        match sys::wait(pid) {
            Ok(None) => return false,
            Ok(Some(status)) if !status.success() => {
                self.stuck |= status.code().is_some_and(|code| code > 128);
                log::warn!(target: TARGET, "the process {pid} of a connection has ended: {status}");
            }
            Ok(Some(_)) | Err(_) => {}
        }
        self.children.remove(&pid);
        ended(pid);
        true
    }

    /// Ends all, if need be by force. Returns whether it had to be.
    pub(super) fn end_all(&mut self, patience: Duration) -> bool {
        self.kill_all(SIGQUIT);
        let end = Instant::now() + patience;
        while !self.is_empty() && Instant::now() < end {
            self.reap(|_| {});
            thread::sleep(Duration::from_millis(10));
        }
        self.stuck |= !self.is_empty();
        self.kill_all(SIGKILL);
        self.reap(|_| {});
        self.stuck
    }

    pub(super) fn kill_all(&self, signal: i32) {
        for pid in self.children.keys() {
            sys::kill(*pid, signal);
        }
    }
}

/// How often each process is asked for, whatever the system tells of all.
const ASK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpStream;

    use super::*;
    use crate::handlers::StockHandler;

    #[test]
    fn without_a_process_newcomers_get_421() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let config = FTPConfig::default();
        let server = MultiprocessFTPServer::from_listener(listener, config, |_| StockHandler);
        let mut server = server.unwrap().0;
        let Model::Processes(processes) = &mut server.model else {
            unreachable!()
        };
        processes.fork = || Err(io::ErrorKind::WouldBlock.into());
        let (address, remote) = (server.address(), server.ioloop().remote());
        let clients = thread::spawn(move || {
            for _ in 0..3 {
                let socket = TcpStream::connect(address).unwrap();
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                let mut lines = BufReader::new(socket).lines();
                let reply = lines.next().unwrap().unwrap();
                assert!(reply.starts_with("421 "), "{reply}");
                assert!(lines.next().is_none());
            }
            remote.call(|io| io.stop());
        });
        while !server.ioloop.is_stopped() && !clients.is_finished() {
            server.turn(Some(DEADLINE)).unwrap();
        }
        clients.join().unwrap();
        let Model::Processes(processes) = &server.model else {
            unreachable!()
        };
        assert!(processes.lack.told && processes.is_empty());
    }

    const DEADLINE: Duration = Duration::from_secs(20);
}

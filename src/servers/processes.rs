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

use libc::{SIGKILL, SIGQUIT, SIGTERM};

use super::accept::{NewConnection, Shortage, StartSession};
use super::locks::NextLook;
use crate::handlers::FTPHandler;
use crate::ioloop::{IOLoop, Io};
use crate::limits::{Admission, Slot};
use crate::log::{TARGET, after_fork, before_fork, write_through};
use crate::proto::address::canonical;
use crate::server_state::host_names::{HostName, HostNames};
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
    /// The processes that ask for host names.
    questions: Vec<Question>,
    /// When each process was last asked whether it has ended.
    asked_all: Instant,
    pub(super) next_look: NextLook,
    /// Whether a process had to be killed, or ended itself by force.
    forced: bool,
}

/// A process that asks for the address of a host name.
struct Question {
    pid: Pid,
    name: Arc<HostName>,
    since: Instant,
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
            questions: Vec::new(),
            fork: sys::fork,
            shortage: Shortage::default(),
            asked_all: Instant::now(),
            next_look: NextLook::default(),
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
            before_fork();
            // Until the new process handles signals itself, the handlers that it inherits
            // would report them to this process.
            let held = HeldSignals::new();
            match (self.fork)() {
                Ok(Fork::Parent(pid)) => {
                    let ip = canonical(connection.peer.ip());
                    connection.slot.set_process(pid, ip);
                    self.children.insert(pid, connection.slot);
                    self.shortage.end();
                }
                Ok(Fork::Child) => {
                    after_fork();
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

    /// Asks for the host names that are due, each in a process of its own: one that gets no answer
    /// does not delay the others.
    pub(super) fn ask_all(&mut self, names: &HostNames) {
        if names.is_empty() {
            return;
        }
        let room = QUESTIONS_MAX.saturating_sub(self.questions.len());
        for name in names.take_due(room) {
            self.ask(name);
        }
    }

    fn ask(&mut self, name: Arc<HostName>) {
        let parent = sys::own_pid();
        before_fork();
        let _held = HeldSignals::new();
        match (self.fork)() {
            Ok(Fork::Parent(pid)) => self.questions.push(Question {
                pid,
                name,
                since: Instant::now(),
            }),
            Ok(Fork::Child) => {
                after_fork();
                // The slots belong to the parent.
                mem::forget(mem::take(&mut self.children));
                // It has the sockets of its parent, so it must not outlive it.
                sys::exit_with_parent();
                let bound = sys::signal_at_death_of_parent(parent, SIGKILL);
                if bound.is_ok() {
                    name.ask();
                    write_through();
                }
                process::exit(0);
            }
            Err(err) => {
                name.give_back();
                self.shortage.log("cannot start a process", &err);
            }
        }
    }

    /// Forgets the processes of questions that have ended, and kills those that take too long.
    fn reap_questions(&mut self) {
        self.questions.retain(|question| {
            if !matches!(sys::wait(question.pid), Ok(None)) {
                question.name.give_back();
                return false;
            }
            if question.since.elapsed() > QUESTION_TIMEOUT {
                sys::kill(question.pid, SIGKILL);
            }
            true
        });
    }

    /// A process holds a lock and does not go on: kills it if it is one of this server.
    pub(super) fn kill_holder(&self, pid: Pid) {
        let asks = |question: &Question| question.pid == pid;
        if self.children.contains_key(&pid) || self.questions.iter().any(asks) {
            log::error!(target: TARGET, "the process {pid} of this server holds a lock and does not go on: it is killed");
            sys::kill(pid, SIGKILL);
        }
    }

    /// Starts a session on a loop of this process.
    pub(super) fn start_session(&self, io: &mut Io<'_>, connection: NewConnection) {
        (self.start_session)(io, connection);
    }

    /// Forgets the processes that have ended, and calls `ended` for each.
    pub(super) fn reap(&mut self, mut ended: impl FnMut(Pid)) {
        self.reap_questions();
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
        for question in &self.questions {
            sys::kill(question.pid, SIGKILL);
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

/// How often to look whether a process has ended, if no signal says so.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often each process is asked for, whatever the system reports about all children.
const ASK_ALL_EVERY: Duration = Duration::from_secs(1);

/// How many processes ask for host names at once.
const QUESTIONS_MAX: usize = 16;

/// A process that has asked for so long gets no answer any more: a resolver gives up earlier.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use std::io::Error;
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::handlers::StockHandler;
    use crate::sys::process_for_tests::{alone, fork_beside_harness};

    const ANSWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    /// Some names get no answer.
    fn look_up(name: &str) -> io::Result<Vec<Ipv4Addr>> {
        if name.starts_with("hung") {
            thread::sleep(Duration::from_secs(60));
            return Err(Error::other("no answer"));
        }
        Ok(vec![ANSWER])
    }

    fn local(number: usize) -> Option<IpAddr> {
        let last = u8::try_from(number).unwrap();
        Some(Ipv4Addr::new(10, 0, 0, last).into())
    }

    #[test]
    fn a_name_without_answer_delays_no_other() {
        const NAME: &str = "servers::processes::tests::a_name_without_answer_delays_no_other";
        alone(NAME, || {
            let (mut processes, _start) = Processes::new(|_| StockHandler);
            processes.fork = fork_beside_harness;
            let names = HostNames::default();
            // Fewer than there may be, so that there is room for all others in turn.
            for number in 1..QUESTIONS_MAX {
                names
                    .set_with(local(number), "hung", None, look_up)
                    .unwrap();
            }
            let others = QUESTIONS_MAX..QUESTIONS_MAX + 5;
            for number in others.clone() {
                names
                    .set_with(local(number), "quick", None, look_up)
                    .unwrap();
            }
            let end = Instant::now() + Duration::from_secs(20);
            while others
                .clone()
                .any(|number| names.address(local(number)) != Some(ANSWER))
            {
                assert!(Instant::now() < end, "a name was not asked for");
                processes.ask_all(&names);
                assert!(processes.questions.len() <= QUESTIONS_MAX);
                thread::sleep(Duration::from_millis(5));
                processes.reap(|_| {});
            }
            assert_eq!(names.address(local(1)), None);
            for question in &mut processes.questions {
                question.since = Instant::now().checked_sub(QUESTION_TIMEOUT * 2).unwrap();
            }
            while !processes.questions.is_empty() {
                assert!(Instant::now() < end, "a process was not killed");
                processes.reap(|_| {});
                thread::sleep(Duration::from_millis(5));
            }
        });
    }
}

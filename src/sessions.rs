//! Which sessions there are in this process, and how other threads list and close them.
//!
//! A session has no entry of its own here, which would take memory: each loop that has sessions is
//! known, and is asked. What a session does, and when it ends, is not known here.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

use crate::ioloop::{ChannelId, Io, Remote};
use crate::sys;

/// The sessions of a server in this process, for any thread: of
/// [`FTPServer::sessions`](crate::FTPServer::sessions) and
/// [`FTPSession::sessions`](crate::FTPSession::sessions).
///
/// It knows the sessions of its own process only: in a worker those of the worker, and in a server
/// of [`MultiprocessFTPServer`](crate::MultiprocessFTPServer) none, since each has a process of its
/// own. A master of workers has none either.
///
/// ```no_run
/// # use ftpdlib::{FTPConfig, FTPServer, handlers::StockHandler};
/// # let config = FTPConfig::default();
/// let mut server = FTPServer::bind(":2121", config, |_peer| StockHandler)?;
/// let sessions = server.sessions();
/// std::thread::spawn(move || -> std::io::Result<()> {
///     for session in sessions.list()? {
///         println!("{} {:?}", session.address, session.username);
///         if session.username.as_deref() == Some("joe") {
///             sessions.close(&session.id);
///         }
///     }
///     Ok(())
/// });
/// server.serve_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Sessions(Arc<Loops>);

/// A session, as it was when its loop was asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session for [`Sessions::close`].
    pub id: SessionId,
    /// The user who is logged in; `None` if nobody is.
    pub username: Option<String>,
    /// The client's address. An IPv4 address is never shown as an IPv6 one.
    pub address: SocketAddr,
    /// When the client connected.
    pub started: SystemTime,
    /// Whether a transfer is in progress.
    pub is_transferring: bool,
}

/// The name of a session in this process. No other session gets it.
#[derive(Clone)]
pub struct SessionId {
    remote: Remote,
    channel: ChannelId,
}

impl Sessions {
    pub(crate) fn new(loops: &Arc<Loops>) -> Self {
        Self(Arc::clone(loops))
    }

    /// The sessions, without those of clients that were turned away. It waits until each loop has
    /// answered, which takes as long as the method of a handler that runs there.
    ///
    /// # Errors
    /// `Deadlock` on the thread of a loop with sessions, for example in a method of a handler:
    /// call [`list_later`](Self::list_later) there. `TimedOut` if a loop has not answered within
    /// 10 s.
    pub fn list(&self) -> io::Result<Vec<SessionInfo>> {
        let here = thread::current().id();
        if self.0.own().loops.iter().any(|known| known.thread == here) {
            let text = "a loop cannot wait for itself: use Sessions::list_later";
            return Err(io::Error::new(io::ErrorKind::Deadlock, text));
        }
        let (sender, receiver) = mpsc::channel();
        self.list_later(move |sessions| {
            // The receiver may have given up.
            let _ = sender.send(sessions);
        });
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        receiver.recv_timeout(ANSWER_TIME).map_err(timed_out)
    }

    /// Calls `then` with the [list](Self::list), on the thread of the loop that answers last, or at
    /// once if there are no sessions. It must not block.
    pub fn list_later(&self, then: impl FnOnce(Vec<SessionInfo>) + Send + 'static) {
        let gathered = Arc::new(Gathered {
            sessions: Mutex::default(),
            then: Mutex::new(Some(Box::new(then))),
        });
        for remote in self.0.remotes() {
            let (loops, gathered) = (Arc::clone(&self.0), Arc::clone(&gathered));
            remote.call(move |io| {
                let mut question = Question::new(loops, Ask::List(Vec::new()));
                ask_all(io, &mut question);
                if let Ask::List(found) = question.ask {
                    gathered.add(found);
                }
            });
        }
    }

    /// Closes a session: it gets 421, and its transfer ends. Nothing happens if it has ended. This
    /// waits for nothing; the session ends when its loop comes to it.
    pub fn close(&self, id: &SessionId) {
        let of = Arc::clone(&self.0);
        id.remote.send(id.channel, Box::new(CloseSession(of)));
    }

    /// Closes, as [`close`](Self::close), each session in which this user is logged in, waits for
    /// the answer to a login, or has begun a transfer that goes on. Call it after the user was
    /// removed, so that none can log in again.
    pub fn close_user(&self, username: &str) {
        for remote in self.0.remotes() {
            let (loops, username) = (Arc::clone(&self.0), username.to_owned());
            remote.call(move |io| {
                ask_all(io, &mut Question::new(loops, Ask::Close(username)));
            });
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl SessionId {
    pub(crate) fn new(remote: Remote, channel: ChannelId) -> Self {
        Self { remote, channel }
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.channel == other.channel && self.remote.is_same(&other.remote)
    }
}

impl Eq for SessionId {}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:?})", self.channel)
    }
}

// --- how the sessions are asked

/// The message that closes a session of these loops.
pub(crate) struct CloseSession(Arc<Loops>);

/// What each channel of a loop is asked. Only the sessions of one server answer.
pub(crate) struct Question {
    of: Arc<Loops>,
    pub(crate) ask: Ask,
}

pub(crate) enum Ask {
    /// Each session adds itself.
    List(Vec<SessionInfo>),
    /// Sessions of this user close.
    Close(String),
}

impl Question {
    fn new(of: Arc<Loops>, ask: Ask) -> Self {
        Self { of, ask }
    }

    /// Whether the sessions of these loops are asked.
    pub(crate) fn is_of(&self, loops: &Arc<Loops>) -> bool {
        Arc::ptr_eq(&self.of, loops)
    }
}

impl CloseSession {
    /// Whether a session of these loops is meant.
    pub(crate) fn is_of(&self, loops: &Arc<Loops>) -> bool {
        Arc::ptr_eq(&self.0, loops)
    }
}

fn ask_all(io: &mut Io<'_>, question: &mut Question) {
    let question: &mut dyn Any = question;
    io.ask_all(question);
}

/// The answers of several loops. The last one of them drops it.
struct Gathered {
    sessions: Mutex<Vec<SessionInfo>>,
    then: Mutex<Option<Then>>,
}

type Then = Box<dyn FnOnce(Vec<SessionInfo>) + Send>;

impl Gathered {
    fn add(&self, found: Vec<SessionInfo>) {
        let sessions = &self.sessions;
        let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.extend(found);
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let sessions = self.sessions.get_mut();
        let sessions = mem::take(sessions.unwrap_or_else(PoisonError::into_inner));
        let then = self.then.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(then) = then.take() {
            then(sessions);
        }
    }
}

// --- the loops

/// The loops of this process that have sessions of a server.
#[derive(Default)]
pub(crate) struct Loops(Mutex<Own>);

#[derive(Default)]
struct Own {
    /// The process in which they are. A new process begins without any.
    pid: u32,
    loops: Vec<Known>,
}

struct Known {
    remote: Remote,
    thread: ThreadId,
    sessions: usize,
}

impl Loops {
    /// A session begins on the loop of this thread.
    pub(crate) fn begin(&self, remote: &Remote) {
        let loops = &mut self.own().loops;
        match loops.iter_mut().find(|known| known.remote.is_same(remote)) {
            Some(known) => known.sessions += 1,
            None => loops.push(Known {
                remote: remote.clone(),
                thread: thread::current().id(),
                sessions: 1,
            }),
        }
    }

    /// A session has ended on its loop.
    pub(crate) fn end(&self, remote: &Remote) {
        let loops = &mut self.own().loops;
        let at = loops.iter().position(|known| known.remote.is_same(remote));
        // A session of the parent is unknown here, which a new process drops.
        let Some(at) = at else { return };
        loops[at].sessions -= 1;
        if loops[at].sessions == 0 {
            loops.swap_remove(at);
        }
    }

    fn remotes(&self) -> Vec<Remote> {
        let own = self.own();
        own.loops.iter().map(|known| known.remote.clone()).collect()
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = sys::process_id();
        if own.pid != pid {
            own.pid = pid;
            own.loops.clear();
        }
        own
    }
}

/// How long a loop may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

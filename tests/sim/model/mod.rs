//! The judge: how an FTP server in the manner of pyftpdlib must behave.
//!
//! It is written from the RFCs, from pyftpdlib 2.2.0 and from the documents of this project, not
//! from `src/`. It gets what happens in the order in which it happens, at the server's end of the
//! network: bytes count as sent when the server's socket has accepted them, and as received when
//! they were taken out of it. What the network still holds has not happened.

use std::path::PathBuf;
use std::time::Duration;

use super::plan::scene::{Scene, Tree};
use super::plan::step::End;

/// `Ok`, or what is wrong.
pub type Verdict = Result<(), Fault>;

/// What is wrong, in a line: the client, the step, what was expected, what has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

/// Which promise is broken. Shrinking keeps the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// A reply whose code is not possible for the command in this state.
    Code,
    /// A reply whose text is not what the state says.
    Text,
    /// A reply that is no reply: its form is wrong.
    Form,
    /// A reply that no command has asked for, or a second one for the same command.
    Unasked,
    /// A reply that was due, and did not come.
    Missing,
    /// The bytes of a download, or of a listing.
    Data,
    /// The entries of a listing.
    Listing,
    /// The tree on the disk is not the model's.
    Tree,
    /// The bytes of a file on the disk are not the model's.
    File,
    /// A byte of another home.
    Secret,
    /// A callback: too many, too few, or in the wrong order.
    Callback,
    /// A limit on connections that did not hold, or that held too early.
    Limit,
    /// The server has closed a connection that it should keep, or keeps one.
    Connection,
    /// Sessions, sockets, timers, jobs or memory that remain.
    Leak,
    /// A turn that does more than its budget.
    Budget,
}

/// Who has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Client(End),
    /// The end of the stream was read.
    Server,
    /// A reset was read.
    ServerReset,
    /// The network has reset it, for both sides.
    Network,
}

/// What happened to a client. `conn` numbers the data connections of the world.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// `Server::connect` has succeeded.
    Connected,
    /// Bytes that the control socket of the server has accepted; under TLS, the plaintext in
    /// them, told when its record has gone out whole.
    Sent(&'a [u8]),
    /// Bytes that were read from the control connection; under TLS, the plaintext.
    Received(&'a [u8]),
    /// The control connection has ended. Told once for each side that ends it.
    Ended(By),
    /// The control connection is under TLS from here on (true), or its handshake has failed.
    Secured(bool),
    /// A data connection was made to the port of the server (passive), or accepted at the port
    /// of the client (active).
    DataOpened {
        conn: u32,
        passive: bool,
        port: u16,
    },
    /// A connection from a foreign address was made to a passive port.
    Stranger {
        port: u16,
    },
    /// The handshake of a data connection is done (true), or has failed.
    DataSecured {
        conn: u32,
        ok: bool,
    },
    DataSent {
        conn: u32,
        bytes: &'a [u8],
    },
    DataReceived {
        conn: u32,
        bytes: &'a [u8],
    },
    DataEnded {
        conn: u32,
        by: By,
    },
    /// A callback of the handler of this client's session.
    Callback(Callback),
    /// The server is at rest, this client has read all that the server has sent on its control
    /// connection, and nothing of its control bytes is on its way.
    Quiet,
}

/// A callback, with the name of the user or the real path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    Connect,
    Disconnect,
    Login(String),
    LoginFailed(String),
    Logout(String),
    FileSent(PathBuf),
    FileReceived(PathBuf),
    IncompleteFileSent(PathBuf),
    IncompleteFileReceived(PathBuf),
}

/// What the disk did to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The operation failed with this error, and has changed nothing that it should not.
    Failed { operation: &'static str, errno: i32 },
    /// It read or wrote less than it was asked to. Not an error: no command is excused.
    Short,
    /// A file or directory was changed, removed or put there by another hand.
    Changed,
}

/// The true state of the disk.
pub trait Disk {
    /// What is in a home now.
    fn tree(&self, home: usize) -> Tree;
}

/// What the server did in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// The most commands that one session began.
    pub commands: usize,
    /// The most bytes of data that one session moved.
    pub bytes: usize,
    /// How many operations on the disk there were.
    pub operations: usize,
    /// Open sessions.
    pub sessions: usize,
}

/// What is left when all clients have gone and the clock has passed all deadlines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remains {
    pub sessions: usize,
    pub sockets: usize,
    pub timers: usize,
    pub jobs: usize,
    pub queued_bytes: usize,
    /// Open files and directories of the disk.
    pub open_files: usize,
}

/// The judge of one world.
pub struct Model;

impl Model {
    /// `wall` is the wall clock at the start, in seconds since 1970.
    pub fn new(scene: &Scene, wall: i64) -> Self {
        let _ = (scene, wall);
        unimplemented!()
    }

    /// Something happened to `client`, the number in [`Scene::clients`], at `now`.
    pub fn event(
        &mut self,
        now: Duration,
        client: usize,
        event: Event<'_>,
        disk: &dyn Disk,
    ) -> Verdict {
        let _ = (now, client, event, disk);
        unimplemented!()
    }

    /// The disk has done something to an operation in `home` on `path` (an FTP path).
    pub fn damage(&mut self, now: Duration, home: usize, path: &[u8], damage: &Damage) {
        let _ = (now, home, path, damage);
        unimplemented!()
    }

    /// `Server::drain` or `Server::close` was called.
    pub fn drained(&mut self, now: Duration) {
        let _ = now;
        unimplemented!()
    }

    /// A turn is over.
    pub fn turn(&mut self, work: Work) -> Verdict {
        let _ = work;
        unimplemented!()
    }

    /// The world is over.
    pub fn end(&mut self, now: Duration, remains: Remains, disk: &dyn Disk) -> Verdict {
        let _ = (now, remains, disk);
        unimplemented!()
    }
}

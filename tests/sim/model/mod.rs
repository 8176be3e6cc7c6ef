//! The judge: how an FTP server in the manner of pyftpdlib must behave.
//!
//! It is written from the RFCs, from pyftpdlib 2.2.0 and from the documents of this project, not
//! from `src/`. It gets what happens in the order in which it happens, at the server's end of the
//! network: bytes count as sent when the server's socket has accepted them, and as received when
//! they were taken out of it. What the network still holds has not happened.

use std::path::PathBuf;
use std::time::Duration;

use crate::plan::scene::{Kind, Scene, Tree};
use crate::plan::step::End;

mod attributes;
pub mod calls;
mod data;
mod disk;
mod explain;
mod files;
mod finish;
mod judge;
mod lines;
mod listing;
mod lists;
mod login;
mod names;
mod plain;
mod quiet;
mod session;
mod shared;
mod start;
pub mod tests;
mod together;
mod transfer;
mod tree;
pub mod verbs;
mod ways;
mod wrong;

use judge::{HomeState, Judge, SLACK, World};
use lines::Cut;
use session::{Command, Port, Session, Stage};
use together::Together;
use transfer::Transfer;

/// How long a client may read the replies of a session that is closed.
const CLOSING: Duration = Duration::from_secs(30);

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
    /// What the server sends in a wrong order.
    Order,
}

/// Who has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Client(End),
    /// The end of the stream was read.
    Server,
    /// The end of the stream was read, without the end of TLS (`close_notify`) before it.
    ServerCut,
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
    /// The server is at rest, and this client has read all that the server has sent on the data
    /// connection, and would read more.
    DataQuiet {
        conn: u32,
    },
    /// A callback of the handler of this client's session.
    Callback(Callback),
    /// That callback has panicked: the session ends, and no other one.
    Panicked,
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

    /// The bytes of a file in a home, by its path without links.
    fn file(&self, home: usize, path: &[u8]) -> Option<Vec<u8>> {
        match self.tree(home).remove(path)?.kind {
            Kind::File(bytes) => Some(bytes),
            Kind::Dir | Kind::Link(_) => None,
        }
    }
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Debug)]
pub struct Model {
    world: World,
    /// By the number of the client. One that is being judged is taken out.
    sessions: Vec<Option<Box<Session>>>,
}

impl Model {
    /// `wall` is the wall clock at the start, in seconds since 1970.
    pub fn new(scene: &Scene, wall: i64) -> Self {
        let homes = scene.homes.iter().map(|home| HomeState {
            tree: tree::Model::new(home),
            shared: !home.private,
            changed: false,
            marker: home.marker.clone().into_bytes(),
            together: Together::new(home),
        });
        let sessions = scene.clients.iter().enumerate().map(|(index, client)| {
            let session = Session::new(index, client.from.ip());
            Some(Box::new(session))
        });
        Self {
            world: World {
                settings: scene.settings.clone(),
                users: scene.users.clone(),
                homes: homes.collect(),
                wall,
                drained: None,
                events: 0,
                strays: Vec::new(),
                has_few_ports: false,
            },
            sessions: sessions.collect(),
        }
    }

    /// The server has so few passive ports that a session may get the same one again.
    pub fn has_few_ports(&mut self) {
        self.world.has_few_ports = true;
    }

    /// Something happened to `client`, the number in [`Scene::clients`], at `now`.
    pub fn event(
        &mut self,
        now: Duration,
        client: usize,
        event: Event<'_>,
        disk: &dyn Disk,
    ) -> Verdict {
        let Some(mut session) = self.sessions[client].take() else {
            return Ok(());
        };
        self.world.events += 1;
        let mut judge = Judge {
            s: &mut session,
            w: &mut self.world,
            others: &self.sessions,
            now,
            disk,
        };
        let strays = judge.w.strays.len();
        let verdict = judge.event(event).and_then(|()| judge.settle_home());
        self.sessions[client] = Some(session);
        if self.world.strays.len() > strays {
            self.strayed();
        }
        verdict
    }

    /// A client has connected to a port that another session may have.
    fn strayed(&mut self) {
        let Some(stray) = self.world.strays.last() else {
            return;
        };
        let permits = self.world.settings.permit_foreign;
        for session in self.sessions.iter_mut().flatten() {
            let may = permits || session.ip == stray.from;
            let of = |port: &Port| port.passive && port.number == stray.number;
            if may && session.port.as_ref().is_some_and(of) {
                session.meet_stranger();
            }
        }
    }

    /// The disk has done something to an operation in `home` on `path` (an FTP path).
    pub fn damage(&mut self, now: Duration, home: usize, path: &[u8], damage: &Damage) {
        let _ = now;
        if *damage == Damage::Short {
            return;
        }
        let state = &mut self.world.homes[home];
        // In a shared home it may be the upload of another session.
        let is_private = !state.shared;
        state.changed = true;
        state.together.taint();
        for session in self.sessions.iter_mut().flatten() {
            let works = session.last_home == Some(home)
                || session.login.is_none() && !session.queue.is_empty();
            if !works || !session.is_alive() {
                continue;
            }
            session.relaxed = true;
            // Of several commands it is not known which one has met it.
            let is_only_one = session.queue.len() <= 1;
            if let Some(transfer) = &mut session.transfer {
                transfer.loose = true;
                transfer.unwritten |=
                    is_private && is_only_one && transfer.stores(home, path, damage);
            }
            for transfer in &mut session.ended {
                transfer.loose = true;
            }
        }
    }

    /// `Server::drain` or `Server::close` was called.
    pub fn drained(&mut self, now: Duration) {
        self.world.drained = Some(now);
    }

    /// A turn is over.
    pub fn turn(&mut self, work: Work) -> Verdict {
        // What ARCHITECTURE.md gives a channel in a turn: eight times 512 KiB at most.
        const BYTES: usize = 4 << 20;
        // Eight times sixteen, and a session may be called for a socket, a job, a deadline, and
        // since it was not done in the last turn.
        const COMMANDS: usize = 512;
        if work.bytes > BYTES || work.commands > COMMANDS {
            return Err(Fault {
                kind: FaultKind::Budget,
                text: format!("a turn did {work:?}"),
            });
        }
        Ok(())
    }

    /// The world is over.
    pub fn end(&mut self, now: Duration, remains: Remains, disk: &dyn Disk) -> Verdict {
        let zero = Remains::default();
        if remains != zero {
            return Err(Fault {
                kind: FaultKind::Leak,
                text: format!("at the end: {remains:?}"),
            });
        }
        for client in 0..self.sessions.len() {
            let Some(mut session) = self.sessions[client].take() else {
                continue;
            };
            let mut judge = Judge {
                s: &mut session,
                w: &mut self.world,
                others: &self.sessions,
                now,
                disk,
            };
            judge.over()?;
            self.sessions[client] = Some(session);
        }
        let Some(mut any) = self.sessions.first_mut().and_then(Option::take) else {
            return Ok(());
        };
        let mut judge = Judge {
            s: &mut any,
            w: &mut self.world,
            others: &self.sessions,
            now,
            disk,
        };
        (0..judge.w.homes.len()).try_for_each(|home| {
            let state = &judge.w.homes[home];
            match (state.shared, state.changed) {
                (true, _) => judge.shared_home_at_end(home),
                (false, false) => judge.compare(home),
                (false, true) => Ok(()),
            }
        })
    }
}

impl Judge<'_> {
    fn event(&mut self, event: Event<'_>) -> Verdict {
        if self.s.panicked {
            return self.after_panic(&event);
        }
        let is_silent = matches!(event, Event::Quiet | Event::DataQuiet { .. });
        if !is_silent && !matches!(event, Event::Callback(_)) {
            self.s.touched = self.now;
        }
        match event {
            Event::Connected => {
                self.s.stage = Stage::Silent;
                self.s.last_active = self.now;
                self.s.nobody_since = (self.now, self.now);
                self.s.crowd = self.crowd();
                Ok(())
            }
            Event::Sent(bytes) => {
                self.sent(bytes);
                Ok(())
            }
            Event::Received(bytes) => self.received(bytes),
            Event::Ended(by) => self.ended(by),
            Event::Secured(ok) => {
                match ok {
                    true => self.s.secure = true,
                    false => self.s.stage = Stage::Leaving,
                }
                if self.s.implied {
                    self.s.pbsz = true;
                    self.s.prot = true;
                }
                Ok(())
            }
            Event::DataOpened {
                conn,
                passive,
                port,
            } => self.data_opened(conn, passive, port),
            Event::Stranger { port } => {
                let of = |found: &Port| found.number == port;
                if self.w.settings.permit_foreign && self.s.port.as_ref().is_some_and(of) {
                    self.s.meet_stranger();
                }
                Ok(())
            }
            Event::DataSecured { conn, ok } => {
                if let Some(conn) = self.s.conn(conn) {
                    conn.is_secure = ok;
                    conn.was_reset |= !ok;
                }
                Ok(())
            }
            Event::DataSent { conn, bytes } => {
                self.data_sent(conn, bytes);
                Ok(())
            }
            Event::DataReceived { conn, bytes } => self.data(conn, bytes),
            Event::DataEnded { conn, by } => self.data_ended(conn, by),
            Event::DataQuiet { conn } => self.data_quiet(conn),
            Event::Callback(call) => self.called(call),
            Event::Panicked => {
                self.s.panicked = true;
                self.s.stage = Stage::Leaving;
                self.taint();
                self.forget_homes();
                Ok(())
            }
            Event::Quiet => self.quiet(),
        }
    }

    /// A session whose handler has panicked only has to end.
    fn after_panic(&mut self, event: &Event<'_>) -> Verdict {
        match event {
            Event::Ended(By::Client(end)) => self.s.client_end = Some(*end),
            Event::Ended(By::Network) => self.s.was_reset = true,
            Event::Ended(By::Server | By::ServerCut | By::ServerReset) => self.s.server_end = true,
            Event::Callback(Callback::Disconnect) => {
                self.s.disconnects += 1;
                self.s.left_at = self.w.events;
            }
            Event::Quiet => {
                let is_over = self.s.server_end || self.s.was_reset || self.s.client_end.is_some();
                if !is_over {
                    let what = "a session whose handler has panicked";
                    return self.fault(FaultKind::Connection, what, "its end", "silence");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn sent(&mut self, bytes: &[u8]) {
        let now = self.now;
        let sees = match &self.s.port {
            Some(port) if port.is_seen => port.conn,
            _ => None,
        };
        let at = self.w.events;
        let (queue, serial) = (&mut self.s.queue, &mut self.s.next_serial);
        if queue.is_empty() {
            self.s.head_since = now;
        }
        self.s.lines.push(bytes, |cut: Cut| {
            *serial += 1;
            queue.push_back(Command {
                serial: *serial,
                perm: match &cut {
                    Cut::Line(line) => verbs::parse(line, true).verb.and_then(|verb| verb.perm),
                    Cut::TooLong(_) => None,
                },
                cut,
                sent: now,
                at,
                sees,
            });
        });
    }

    fn received(&mut self, bytes: &[u8]) -> Verdict {
        let mut replies = Vec::new();
        if let Err(text) = self.s.replies.push(bytes, &mut replies) {
            return self.fault(FaultKind::Form, "a reply", "code, text, CR LF", &text);
        }
        for reply in &replies {
            self.s.is_shaking = false;
            self.reply(reply)?;
            self.calls_of_logins()?;
        }
        Ok(())
    }

    fn ended(&mut self, by: By) -> Verdict {
        match by {
            By::Client(end) => self.s.client_end = Some(end),
            By::Network => self.s.was_reset = true,
            By::Server | By::ServerCut | By::ServerReset => {
                self.s.server_end = true;
                if by != By::ServerReset && self.owes_transfer() {
                    let wanted = "the end of the transfer first";
                    return self.fault(FaultKind::Missing, "QUIT", wanted, "the end");
                }
                // Under TLS the client has said so in a record, which is not told.
                let notified = self.s.secure && self.s.queue.is_empty();
                let why = self.s.stage == Stage::Leaving
                    || self.goes_on_after_quit()
                    || self.s.lines.is_unfinished() && self.has_quit()
                    || self.has_not_read()
                    || self.is_cut_short(by)
                    || notified
                    || self.s.client_end.is_some()
                    || self.s.was_reset
                    || self.s.http
                    || self.s.is_shaking
                    || self.w.drained.is_some();
                if !why {
                    let got = format!("{by:?}");
                    return self.fault(
                        FaultKind::Connection,
                        "the control connection",
                        "open",
                        &got,
                    );
                }
            }
        }
        if self.s.server_end || self.s.was_reset || self.s.client_end == Some(End::Reset) {
            self.s.stage = Stage::Closed;
        }
        Ok(())
    }

    /// Whether a transfer was in progress at QUIT, and nothing has ended it since.
    fn owes_transfer(&self) -> bool {
        let is_certain = |transfer: &Transfer| {
            let mut conns = self.s.conns.iter();
            let conn = conns.find(|conn| Some(conn.id) == transfer.conn);
            !transfer.loose && conn.is_some_and(|conn| !conn.was_reset)
        };
        self.s.quit
            && !self.s.relaxed
            && self.s.client_end.is_none()
            && !self.s.was_reset
            && self.w.drained.is_none()
            && self.s.transfer.as_deref().is_some_and(is_certain)
    }

    /// Whether the time to read the replies is over, of a session that was idle for too long.
    fn has_not_read(&self) -> bool {
        let settings = &self.w.settings;
        let closing = match settings.timeout.is_zero() {
            true => CLOSING,
            false => CLOSING.min(settings.timeout),
        };
        let is_over = |since: Duration, limit: Duration| {
            !limit.is_zero() && self.now + SLACK >= since + limit + closing
        };
        // It runs no command while its replies are not read, so this may be the last one.
        is_over(self.s.last_active, settings.timeout)
            || self
                .s
                .conns
                .iter()
                .any(|conn| is_over(conn.opened, settings.data_timeout))
            || self.s.login.is_none() && is_over(self.s.nobody_since.0, settings.login_timeout)
    }

    /// Whether the server need not wait until the client has read the last reply: others need the
    /// slot.
    fn is_cut_short(&self, by: By) -> bool {
        by == By::ServerReset && self.makes_room() && !self.s.queue.is_empty()
    }

    /// Whether the client has sent commands after QUIT. They may reset the connection, and then it
    /// reads no reply any more.
    fn goes_on_after_quit(&self) -> bool {
        let mut after = self.s.queue.iter().skip_while(|command| !quits(command));
        after.nth(1).is_some()
    }

    fn has_quit(&self) -> bool {
        self.s.queue.iter().any(quits)
    }
}

fn quits(command: &Command) -> bool {
    match &command.cut {
        Cut::Line(line) => verbs::parse(line, true)
            .verb
            .is_some_and(|verb| verb.name == "QUIT"),
        Cut::TooLong(_) => false,
    }
}

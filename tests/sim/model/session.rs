//! What the model knows of one session.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Callback;
use super::lines::{Cut, Lines, Replies};
use super::transfer::Transfer;
use crate::plan::step::End;

/// A command that was sent and has no final reply yet.
#[derive(Clone, Debug)]
pub struct Command {
    pub serial: u64,
    pub cut: Cut,
    /// The permission that it needs.
    pub perm: Option<char>,
    pub sent: Duration,
    /// The number of the event.
    pub at: u64,
    /// A data connection that the server had certainly seen when the command was sent.
    pub sees: Option<u32>,
}

/// The data port: what PASV, EPSV, PORT or EPRT has left.
#[derive(Clone, Debug)]
pub struct Port {
    pub passive: bool,
    /// Of the server if passive, else of the client.
    pub number: u16,
    pub since: Duration,
    pub conn: Option<u32>,
    /// The server is at rest since the connection was made: it has certainly seen it.
    pub is_seen: bool,
    /// A foreign host has connected, which may have taken the place.
    pub stranger: bool,
}

/// A data connection.
#[derive(Clone, Debug)]
pub struct Conn {
    pub id: u32,
    /// The port of the server if it is passive, else of the client.
    pub number: u16,
    pub passive: bool,
    pub opened: Duration,
    /// Bytes that came before it was known for which transfer.
    pub early: Vec<u8>,
    pub received: usize,
    pub sent: Vec<u8>,
    pub by_client: Option<End>,
    /// When the client ended it.
    pub client_ended: Option<Duration>,
    /// The numbers of the events in which the client has sent bytes last, and has ended it.
    pub sent_at: u64,
    pub ended_at: u64,
    pub by_server: bool,
    pub was_reset: bool,
    /// The server has closed it without the end of TLS.
    pub is_cut: bool,
    pub is_secure: bool,
    /// It was made to a port that is not the session's.
    pub is_stray: bool,
    /// It is, or was, that of a data port.
    pub is_given: bool,
    /// The transfer that has used it, by the serial of its command.
    pub used_by: Option<u64>,
    /// The last time that bytes went either way.
    pub last: Duration,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not connected yet.
    New,
    /// The greeting has not come.
    Silent,
    Open,
    /// The server has said that it closes: after QUIT, 421, the last 530.
    Leaving,
    Closed,
}

/// A callback that a reply promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    Login(String),
    LoginFailed,
    Logout(String),
}

/// A file transfer that began, for its callback.
#[derive(Clone, Debug)]
pub struct Began {
    pub serial: u64,
    pub receive: bool,
    /// The real path without links, and as it was named.
    pub paths: [PathBuf; 2],
    /// Whether it was complete; `None` while its final reply has not come.
    pub complete: Option<bool>,
}

#[derive(Debug)]
pub struct Session {
    pub index: usize,
    pub ip: IpAddr,
    pub stage: Stage,
    pub lines: Lines,
    pub replies: Replies,
    pub queue: VecDeque<Command>,
    pub next_serial: u64,
    /// When the head of the queue became the head.
    pub head_since: Duration,
    /// The last command whose final reply has come was sent then.
    pub last_active: Duration,
    /// What [`Judge::crowd`](super::judge::Judge::crowd) said when the client connected.
    pub crowd: (usize, usize, usize),
    /// The last time that anything went over one of its connections.
    pub touched: Duration,
    pub client_end: Option<End>,
    pub was_reset: bool,
    pub server_end: bool,
    /// QUIT has got its reply.
    pub quit: bool,
    /// A callback of its handler has panicked.
    pub panicked: bool,
    /// It is over, and what it has left without a reply was taken into account.
    pub lost: bool,

    pub asked: Option<String>,
    /// All names that USER has given.
    pub asked_ever: Vec<String>,
    pub login: Option<usize>,
    /// The earliest and the latest time at which the session may have begun to be one without a
    /// user.
    pub nobody_since: (Duration, Duration),
    pub last_home: Option<usize>,
    pub attempts: u32,

    pub ascii: bool,
    pub rest: u128,
    pub rnfr: Option<Vec<u8>>,
    pub epsv_all: bool,
    pub facts: Vec<&'static str>,
    pub cwd: Vec<u8>,
    pub secure: bool,
    /// 234 has come, and nothing under TLS: the server closes if the handshake fails or is late.
    pub is_shaking: bool,
    pub pbsz: bool,
    pub prot: bool,
    pub implied: bool,

    pub port: Option<Port>,
    pub transfer: Option<Box<Transfer>>,
    pub conns: Vec<Conn>,
    /// Listings and downloads whose final reply has come, and whose data may still be read.
    pub ended: Vec<Transfer>,
    /// When PORT or EPRT has failed last: an ABOR that was sent before counts as in time.
    pub refused_at: Option<Duration>,
    /// 426 has come for a transfer that ABOR ended: 226 follows.
    pub aborted: bool,
    /// The file that a replaced upload has made, and taken away.
    pub replaced: Option<Vec<u8>>,
    /// A line of HTTP was sent: the server may close.
    pub http: bool,

    /// Commands are judged loosely until all are answered: the disk was at fault.
    pub relaxed: bool,
    /// What the command that is answered has found in a shared home is known.
    pub is_sure: bool,

    pub connects: u32,
    pub disconnects: u32,
    /// When: the number of the event.
    pub left_at: u64,
    pub due: VecDeque<Due>,
    pub called: VecDeque<Callback>,
    pub began: VecDeque<Began>,
    pub file_calls: VecDeque<Callback>,
}

pub const ALL_FACTS: [&str; 8] = [
    "type",
    "perm",
    "size",
    "modify",
    "unique",
    "unix.mode",
    "unix.uid",
    "unix.gid",
];

impl Conn {
    /// Whether it is over for one side.
    pub fn has_ended(&self) -> bool {
        self.by_client.is_some() || self.by_server || self.was_reset
    }
}

impl Session {
    pub fn new(index: usize, ip: IpAddr) -> Self {
        Self {
            index,
            ip,
            stage: Stage::New,
            lines: Lines::default(),
            replies: Replies::default(),
            queue: VecDeque::new(),
            next_serial: 0,
            head_since: Duration::ZERO,
            last_active: Duration::ZERO,
            crowd: (0, 0, 0),
            touched: Duration::ZERO,
            client_end: None,
            was_reset: false,
            server_end: false,
            quit: false,
            panicked: false,
            lost: false,
            asked: None,
            asked_ever: Vec::new(),
            login: None,
            nobody_since: (Duration::ZERO, Duration::ZERO),
            last_home: None,
            attempts: 0,
            ascii: true,
            rest: 0,
            rnfr: None,
            epsv_all: false,
            facts: ALL_FACTS[..5].to_vec(),
            cwd: b"/".to_vec(),
            secure: false,
            is_shaking: false,
            pbsz: false,
            prot: false,
            implied: false,
            port: None,
            transfer: None,
            conns: Vec::new(),
            ended: Vec::new(),
            refused_at: None,
            aborted: false,
            replaced: None,
            http: false,
            relaxed: false,
            is_sure: false,
            connects: 0,
            disconnects: 0,
            left_at: 0,
            due: VecDeque::new(),
            called: VecDeque::new(),
            began: VecDeque::new(),
            file_calls: VecDeque::new(),
        }
    }

    /// Whether the server may still do something for this session.
    pub fn is_alive(&self) -> bool {
        self.stage != Stage::New && self.disconnects == 0
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.transfer.is_none()
    }

    pub fn conn(&mut self, id: u32) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    /// Another connection may have the data port, and with it the transfer that waits there.
    pub fn meet_stranger(&mut self) {
        let Some(port) = &mut self.port else {
            return;
        };
        port.stranger = true;
        let of = Some((port.passive, port.number));
        if let Some(transfer) = &mut self.transfer
            && transfer.port == of
            && transfer.conn.is_none()
        {
            transfer.stolen = true;
            transfer.loose = true;
        }
    }

    /// What REIN and AUTH reset.
    pub fn reset_parameters(&mut self) {
        self.ascii = true;
        self.rest = 0;
        self.rnfr = None;
        self.epsv_all = false;
        self.facts = ALL_FACTS[..5].to_vec();
        self.pbsz = self.implied;
        self.prot = self.implied;
        self.port = None;
    }
}

//! The data connections of a client.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ftpdlib::testing::{Listener, Server};

use crate::judge::{Judge, Who};
use crate::link::Link;
use crate::plan::step::{Connect, Data, End, Pace, Way};
use crate::script::Net;
use crate::tls::TlsSide;

/// A data connection: asked for, made, or over.
pub struct DataConn<'a> {
    way: Way,
    connect: Connect,
    state: State,
    /// What the client does with it, once a transfer uses it.
    plan: Option<&'a Data>,
    /// The call by which the server has sent the reply 1xx of the transfer.
    begun: Option<u64>,
    /// Whether another transfer may use the connection, for all that the client knows.
    is_doubtful: bool,
    /// Whether the client has sent all that it will send.
    done: bool,
    /// Until then the client leaves the connection of the server alone.
    idle_until: Duration,
}

enum State {
    /// No reply to PASV or PORT yet.
    Asked(Option<Listener>),
    /// The client may connect to this port of the server.
    Port(u16),
    /// The server may connect.
    Listens(Listener),
    Open(Box<Link>),
    Over,
}

/// What a data connection needs of its client.
pub struct Around<'a> {
    pub server: &'a Server,
    pub judge: &'a mut Judge,
    pub client: usize,
    pub ip: IpAddr,
    pub net: &'a Net,
    pub pace: Pace,
    /// The number of the data connection among those of the client, from 1 on.
    pub number: usize,
    /// Counts the connections of the world.
    pub conns: &'a mut u32,
    /// Whether the client may ask for TLS.
    pub may_be_private: bool,
    /// For a connection under TLS.
    pub tls: Option<&'a TlsSide>,
}

impl<'a> DataConn<'a> {
    /// A data connection that the client asks for. `listener` is for active mode.
    pub fn new(way: Way, connect: Connect, listener: Option<Listener>) -> Self {
        Self {
            way,
            connect,
            state: State::Asked(listener),
            plan: None,
            begun: None,
            is_doubtful: false,
            done: false,
            idle_until: Duration::ZERO,
        }
    }

    /// Another transfer than that of the client's plan may use it.
    pub fn may_be_another(&mut self) {
        self.is_doubtful = true;
    }

    /// Whether no transfer uses it.
    pub fn is_free(&self) -> bool {
        self.plan.is_none()
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The reply has come: the port of a passive connection, or a 200.
    pub fn granted(&mut self, port: Option<u16>, around: &mut Around<'_>) {
        let now = around.judge.now;
        if self.connect == Connect::Late && !self.way.is_passive() {
            self.idle_until = now + LATE;
        }
        let State::Asked(listener) = &mut self.state else {
            return;
        };
        self.state = match (listener.take(), port) {
            (Some(listener), _) => State::Listens(listener),
            (None, Some(port)) => State::Port(port),
            (None, None) => State::Over,
        };
        if self.connect == Connect::Now {
            self.make(around);
        }
    }

    /// A transfer uses it.
    pub fn start(&mut self, plan: &'a Data) {
        self.plan = Some(plan);
        self.begun = None;
        self.done = false;
        if let State::Open(link) = &mut self.state {
            limit(link, plan);
        }
    }

    /// The transfer has got its reply 1xx, which this call has sent.
    pub fn begin(&mut self, call: u64, around: &mut Around<'_>) {
        self.begun = Some(call);
        if self.connect == Connect::Late {
            self.idle_until = Duration::ZERO;
            self.make(around);
        }
    }

    /// The transfer has its final reply, which this call has sent. Without a 1xx, another one may
    /// use the connection.
    pub fn finish(&mut self, call: u64, around: &mut Around<'_>) {
        if self.begun == Some(call) {
            around.judge.early(around.client, "the final reply");
        }
        if self.begun.is_none() {
            if let (State::Open(link), false) = (&mut self.state, self.done) {
                link.limit_reading(None);
            }
            self.plan = None;
        }
    }

    /// Ends the connection, or the attempt to make one.
    pub fn close(&mut self, end: End, now: Duration) {
        match &mut self.state {
            State::Open(link) => {
                self.done = true;
                link.end(end, now);
            }
            _ => self.state = State::Over,
        }
    }

    /// Takes the connection of the server, if it has made one. The system does that even before
    /// the client looks. With TLS the client must first have read what it is to expect there.
    pub fn accept(&mut self, around: &mut Around<'_>) {
        let is_ready = match self.state {
            State::Listens(_) => true,
            State::Asked(Some(_)) => !around.may_be_private,
            _ => false,
        };
        if is_ready {
            self.make(around);
        }
    }

    /// Makes the connection, if it can be made now.
    fn make(&mut self, around: &mut Around<'_>) -> bool {
        let (stream, port) = match &self.state {
            State::Port(port) => {
                let to = SocketAddr::new(around.server.address().ip(), *port);
                match around.server.connect(SocketAddr::new(around.ip, 0), to) {
                    Ok(stream) => (stream, *port),
                    Err(_) => {
                        self.state = State::Over;
                        return true;
                    }
                }
            }
            State::Listens(listener) | State::Asked(Some(listener)) => match listener.accept() {
                Ok((stream, _)) => (stream, listener.local_addr().port()),
                Err(_) => return false,
            },
            _ => return false,
        };
        let conn = *around.conns;
        *around.conns += 1;
        let client = around.client;
        let passive = self.way.is_passive();
        around.judge.opened(client, conn, passive, port);
        let who = Who {
            client,
            conn: Some(conn),
        };
        let mut link = Box::new(Link::new(
            who,
            stream,
            around.net,
            around.number,
            around.pace,
        ));
        if let Some(side) = around.tls {
            let (config, is_thief) = side.of_data(around.number);
            link.secure(config, is_thief, around.judge.now);
        }
        if let Some(plan) = self.plan {
            limit(&mut link, plan);
        }
        self.state = State::Open(link);
        true
    }

    /// Does what can be done now. Returns whether anything was.
    pub fn pump(&mut self, around: &mut Around<'_>) -> bool {
        let now = around.judge.now;
        let State::Open(link) = &mut self.state else {
            return false;
        };
        if now < self.idle_until {
            return false;
        }
        let mut moved = link.pump(now, around.judge);
        while link.take(now).is_some() {
            moved = true;
        }
        if let (Some(begun), Some(first)) = (self.begun, link.first_call())
            && first < begun
            && !self.is_doubtful
        {
            around.judge.early(around.client, "data");
        }
        if let (Some(plan), false) = (self.plan, self.done) {
            match plan {
                Data::Upload {
                    bytes,
                    pieces,
                    cut,
                    end,
                    eager,
                } if self.begun.is_some() || *eager => {
                    let bytes = &bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())];
                    send_pieces(link, bytes, pieces, now);
                    link.end(*end, now);
                    self.done = true;
                    moved = true;
                }
                Data::Download { read: Some(_), end } if link.has_read_enough() => {
                    link.end(*end, now);
                    self.done = true;
                    moved = true;
                }
                _ => {}
            }
        }
        if link.ended(now).is_some() && link.is_open() {
            // The server has closed it, so the client closes its side, too.
            link.abandon(around.judge);
            moved = true;
        }
        if !link.is_open() {
            self.state = State::Over;
            moved = true;
        }
        moved
    }

    /// When something happens by itself, after `now`.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        match &self.state {
            State::Open(_) if self.idle_until > now => Some(self.idle_until),
            State::Open(link) => link.next(now),
            _ => None,
        }
    }

    /// The number of the connection, if the client has read all that the server has sent, and
    /// would read more.
    pub fn read_dry(&self) -> Option<u32> {
        match &self.state {
            State::Open(link) => link.read_dry(),
            _ => None,
        }
    }

    /// Drops the connection without a word.
    pub fn abandon(&mut self, judge: &mut Judge) {
        if let State::Open(link) = &mut self.state {
            link.abandon(judge);
        }
        self.state = State::Over;
    }

    /// Whether it ends without help: bytes are on their way, or are still to come.
    pub fn is_busy(&self) -> bool {
        match (&self.state, &self.plan) {
            (State::Open(_), Some(Data::Idle) | None) => self.done,
            (State::Open(_), Some(_)) => true,
            _ => false,
        }
    }
}

/// How much of the server's bytes the client reads.
fn limit(link: &mut Link, plan: &Data) {
    link.limit_reading(match plan {
        Data::Idle => Some(0),
        Data::Download { read, .. } => *read,
        Data::Upload { .. } => None,
    });
}

/// Sends bytes in pieces of these sizes, which are used in turn.
fn send_pieces(link: &mut Link, mut bytes: &[u8], pieces: &[usize], now: Duration) {
    let mut sizes = pieces.iter().copied().cycle();
    while !bytes.is_empty() {
        let size = sizes.next().unwrap_or(bytes.len()).clamp(1, bytes.len());
        link.send(&bytes[..size], now);
        bytes = &bytes[size..];
    }
}

/// How long a late client waits before it accepts, in active mode.
const LATE: Duration = Duration::from_secs(1);

//! What the world tells the model and the trace, in the order in which it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::disk::{Disk, Note};
use crate::model::{By, Callback, Event, Fault, FaultKind, Model, Remains, Verdict};
use crate::world::Kind;

/// The model of a world, and the first fault that it has found.
pub struct Judge {
    model: Model,
    disk: Disk,
    pub now: Duration,
    pub fault: Option<Fault>,
    /// The data connections, by client, that have resumed the TLS session of another client.
    stolen: BTreeMap<usize, u32>,
    /// The data connections, by client, that have resumed the session of their own client. The
    /// server may have given the handshake up.
    resumed: BTreeMap<usize, u32>,
    /// The clients that have resumed their own session on a data connection, and the server knows
    /// it.
    proven: BTreeSet<usize>,
    /// Memory to read into.
    pub buffer: Vec<u8>,
}

/// A connection of a client: the control connection, or the data connection with this number.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub client: usize,
    pub conn: Option<u32>,
}

impl Judge {
    pub fn new(model: Model, disk: Disk) -> Self {
        Self {
            model,
            disk,
            now: Duration::ZERO,
            fault: None,
            stolen: BTreeMap::new(),
            resumed: BTreeMap::new(),
            proven: BTreeSet::new(),
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Tells the model that something happened to a client.
    pub fn event(&mut self, client: usize, event: Event<'_>) {
        if self.fault.is_none() {
            let verdict = self.model.event(self.now, client, event, &self.disk);
            self.keep(verdict);
        }
    }

    fn keep(&mut self, verdict: Verdict) {
        if let Err(fault) = verdict
            && self.fault.is_none()
        {
            self.fault = Some(fault);
        }
    }

    fn trace(&self, who: Who, what: &'static str, bytes: &[u8]) {
        let trace = &mut self.disk.lock().trace;
        match who.conn {
            None => trace.bytes(who.client, what, bytes),
            Some(conn) => trace.data(who.client, conn, what, bytes),
        }
    }

    /// The server has sent this before the reply 1xx of the transfer, or by the same call.
    pub fn early(&mut self, client: usize, what: &str) {
        let fault = Fault {
            kind: FaultKind::Order,
            text: format!("client {client}: expected the preliminary reply first, got {what}"),
        };
        self.keep(Err(fault));
    }

    /// The client begins something.
    pub fn step(&self, client: usize, what: &'static str) {
        self.disk.lock().trace.bytes(client, what, b"");
    }

    pub fn connected(&mut self, client: usize) {
        self.step(client, "connects");
        self.event(client, Event::Connected);
    }

    pub fn sent(&mut self, who: Who, bytes: &[u8]) {
        self.trace(who, ">", bytes);
        self.event(
            who.client,
            match who.conn {
                None => Event::Sent(bytes),
                Some(conn) => Event::DataSent { conn, bytes },
            },
        );
    }

    pub fn received(&mut self, who: Who, bytes: &[u8]) {
        self.trace(who, "<", bytes);
        if who.conn.is_some() && who.conn == self.stolen.get(&who.client).copied() {
            self.thief_got_in(who.client);
        }
        if who.conn.is_some() && who.conn == self.resumed.get(&who.client).copied() {
            self.proven.insert(who.client);
        }
        self.event(
            who.client,
            match who.conn {
                None => Event::Received(bytes),
                Some(conn) => Event::DataReceived { conn, bytes },
            },
        );
    }

    pub fn ended(&mut self, who: Who, by: By) {
        self.disk.lock().trace.end(who.client, who.conn, by);
        self.event(
            who.client,
            match who.conn {
                None => Event::Ended(by),
                Some(conn) => Event::DataEnded { conn, by },
            },
        );
    }

    /// A connection has resumed a TLS session: that of another client, or its own. Once a client
    /// has resumed its own on a data connection, nothing else is good for the later ones.
    pub fn resumed(&mut self, who: Who, is_thief: bool) {
        let Some(conn) = who.conn else { return };
        if !is_thief {
            self.resumed.insert(who.client, conn);
        } else if self.proven.contains(&who.client) {
            self.stolen.insert(who.client, conn);
        }
    }

    fn thief_got_in(&self, client: usize) {
        let text = format!("client {client} got in with the ticket of another one");
        let mut state = self.disk.lock();
        state.broken.get_or_insert((Kind::Ticket, text));
    }

    pub fn secured(&mut self, who: Who, ok: bool) {
        let what = if ok {
            "is under TLS"
        } else {
            "fails to be under TLS"
        };
        self.trace(who, what, b"");
        self.event(
            who.client,
            match who.conn {
                None => Event::Secured(ok),
                Some(conn) => Event::DataSecured { conn, ok },
            },
        );
    }

    fn check_thief(&mut self, client: usize, callback: &Callback) {
        match callback {
            Callback::FileSent(_) | Callback::FileReceived(_)
                if self.stolen.contains_key(&client) =>
            {
                self.thief_got_in(client);
            }
            Callback::IncompleteFileSent(_) | Callback::IncompleteFileReceived(_) => {
                self.stolen.remove(&client);
            }
            _ => {}
        }
    }

    pub fn opened(&mut self, client: usize, conn: u32, passive: bool, port: u16) {
        self.stolen.remove(&client);
        self.resumed.remove(&client);
        let what = if passive { "connects" } else { "accepts" };
        self.trace(
            Who {
                client,
                conn: Some(conn),
            },
            what,
            b"",
        );
        self.event(
            client,
            Event::DataOpened {
                conn,
                passive,
                port,
            },
        );
    }

    /// A turn of the server is over.
    pub fn turned(&mut self, sessions: usize) {
        let (notes, mut work) = {
            let mut state = self.disk.lock();
            (std::mem::take(&mut state.notes), state.work)
        };
        for note in notes {
            match note {
                Note::Callback { client, callback } => {
                    self.check_thief(client, &callback);
                    self.event(client, Event::Callback(callback));
                }
                Note::Panic { client } => self.event(client, Event::Panicked),
                Note::Damage { home, path, damage } => {
                    self.model.damage(self.now, home, &path, &damage);
                }
            }
        }
        work.sessions = sessions;
        if self.fault.is_none() {
            let verdict = self.model.turn(work);
            self.keep(verdict);
        }
    }

    pub fn drained(&mut self) {
        self.model.drained(self.now);
    }

    pub fn end(&mut self, remains: Remains) {
        if self.fault.is_none() {
            let verdict = self.model.end(self.now, remains, &self.disk);
            self.keep(verdict);
        }
    }
}

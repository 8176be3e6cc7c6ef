//! The run of a world: which event is the next one, and how far the server gets after it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};

use fastrand::Rng;
use ftpdlib::testing::Server;

use crate::client::{Client, Scene};
use crate::disk::{Disk, State};
use crate::handler::Recorder;
use crate::judge::Judge;
use crate::log;
use crate::model::{FaultKind, Model, Remains};
use crate::panics;
use crate::plan::scene::Tls;
use crate::script::{Disturbance, Script};
use crate::settings::{self, Late};
use crate::tls::{Certificate, TlsSide};
use crate::trace::Trace;

/// What a run was like.
#[derive(Debug)]
pub struct Report {
    /// How many clients have connected.
    pub sessions: usize,
    /// The hash of all that happened.
    pub hash: u64,
    pub events: u64,
    /// How often the clock was moved, and how many turns the server has made.
    pub moments: u64,
    pub turns: u64,
    pub trace: String,
}

/// Why a run is wrong.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub text: String,
    pub trace: String,
}

/// Shrinking keeps the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The model has found a fault.
    Model(FaultKind),
    /// Something has panicked: the server, or the simulator itself.
    Panic,
    /// The server never comes to rest.
    Restless,
    /// A step on the disk did not run as its user.
    Identity,
    /// The sessions hold too many bytes for their clients.
    Memory,
    /// A transfer did not end in its order.
    Order,
    /// A line of the log has what a client could forge another one with.
    Log,
    /// A TLS ticket was good for another client than its own.
    Ticket,
    /// Two runs of the same world differ.
    Differs,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// Runs a world. `with_trace`: the trace is also kept as a text.
pub fn run(script: &Script, with_trace: bool) -> Result<Report, Failure> {
    let disk = Disk::new(state(script, with_trace));
    let result = catch_unwind(AssertUnwindSafe(|| World::new(script, &disk).run()));
    let mut state = disk.lock();
    let trace = state.trace.take_text();
    let (kind, text) = match result {
        Ok(Ok((sessions, moments))) => {
            return Ok(Report {
                sessions,
                moments,
                turns: state.turn,
                hash: state.trace.hash(),
                events: state.trace.events(),
                trace,
            });
        }
        Ok(Err(wrong)) => wrong,
        Err(panic) => (Kind::Panic, panics::text(&*panic)),
    };
    Err(Failure { kind, text, trace })
}

fn state(script: &Script, with_trace: bool) -> State {
    let harms = script.disturbances.iter().filter_map(|what| match what {
        Disturbance::Operation { home, number, harm } => Some(((*home, *number), harm.clone())),
        _ => None,
    });
    let harms: BTreeMap<_, _> = harms.collect();
    let mut state = State::new(&script.scene.homes, harms, Trace::new(with_trace));
    state.reads = script.reads.max(1);
    state.capacity = script.capacity.max(state.used);
    state.random = script.schedule;
    state
}

struct World<'a> {
    script: &'a Script,
    server: Server,
    disk: Disk,
    late: Late,
    judge: Judge,
    clients: Vec<Client<'a>>,
    /// Whether the server may have done something for a client since it was looked at.
    looks: Vec<bool>,
    /// The clients of each host.
    hosts: HashMap<IpAddr, Vec<usize>>,
    /// When each client does something by itself.
    wakes: Vec<Duration>,
    conns: u32,
    rng: Rng,
    /// The disturbances that come at a time, the next one last.
    disturbances: Vec<(Duration, &'a Disturbance)>,
    /// When the next job runs.
    job_at: Option<Duration>,
    /// When the server is closed.
    close_at: Option<Duration>,
    /// Seconds since 1970, at the start.
    wall: i64,
    /// How many turns there were without the clock.
    turns: usize,
    /// How often the clock was moved.
    moments: u64,
}

type Wrong = (Kind, String);

impl<'a> World<'a> {
    fn new(script: &'a Script, disk: &Disk) -> Self {
        let scene = &script.scene;
        // Making the lines takes a while.
        log::watch(script.schedule.is_multiple_of(8));
        let late = Late::default();
        let config = settings::config(script, disk, &late);
        let addresses: BTreeMap<_, _> = scene
            .clients
            .iter()
            .enumerate()
            .map(|(number, client)| (client.from, number))
            .collect();
        let for_handler = disk.clone();
        let panics: BTreeMap<_, _> = script.disturbances.iter().filter_map(planned).collect();
        let factory = move |peer| {
            let number = addresses.get(&peer);
            let number = *number.expect("the address of a client");
            Recorder::new(for_handler.clone(), number, panics.get(&number).copied())
        };
        let address = scene.settings.address;
        let server = Server::new(config, address, script.schedule, factory);
        let mut server = server.expect("settings that can be used");
        server.set_max_cons(scene.settings.max_cons);
        server.set_max_cons_per_ip(scene.settings.max_cons_per_ip);
        server.set_max_cons_per_user(scene.settings.max_cons_per_user);
        server.set_tick(scene.settings.tick);
        let wall = server.date().duration_since(UNIX_EPOCH);
        let wall = wall.map_or(0, |since| since.as_secs().cast_signed());
        disk.lock().wall = wall;
        let mut disturbances: Vec<_> = script
            .disturbances
            .iter()
            .filter_map(|what| match what {
                Disturbance::Change { at, .. } | Disturbance::Drain { at, .. } => Some((*at, what)),
                Disturbance::Operation { .. } | Disturbance::Panic { .. } => None,
            })
            .collect();
        disturbances.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut model = Model::new(scene, wall);
        if script.ports > 0 {
            model.has_few_ports();
        }
        Self {
            script,
            disk: disk.clone(),
            late,
            judge: Judge::new(model, disk.clone()),
            clients: clients(script),
            looks: vec![false; scene.clients.len()],
            hosts: hosts(script),
            wakes: scene.clients.iter().map(|client| client.arrives).collect(),
            conns: 0,
            rng: Rng::with_seed(script.schedule),
            disturbances,
            job_at: None,
            close_at: None,
            wall,
            turns: 0,
            moments: 0,
            server,
        }
    }

    fn run(mut self) -> Result<(usize, u64), Wrong> {
        while self.clients.iter().any(|client| !client.is_gone()) {
            self.work_through_now()?;
            for client in &mut self.clients {
                client.tell_quiet(&mut self.judge);
            }
            self.check()?;
            self.check_memory()?;
            match self.next() {
                Some(next) => self.move_clock(next),
                None if self.clients.iter().all(Client::is_gone) => break,
                None => {
                    let text = "clients are there, and nothing will ever happen";
                    return Err((Kind::Restless, text.to_owned()));
                }
            }
        }
        self.end()?;
        Ok((self.clients.len(), self.moments))
    }

    /// Lets clients and server do all that they can do without the clock.
    fn work_through_now(&mut self) -> Result<(), Wrong> {
        self.turns = 0;
        loop {
            let mut moved = self.disturb();
            if !self.server.is_at_rest() {
                self.turn_until_rest()?;
                moved = true;
            }
            self.look_at_touched();
            moved |= self.pump_clients()?;
            if !moved {
                return Ok(());
            }
        }
    }

    /// Each client does what it can do, from a drawn one on, and the server reacts.
    fn pump_clients(&mut self) -> Result<bool, Wrong> {
        let count = self.clients.len();
        let first = self.rng.usize(..count);
        let mut moved = false;
        for offset in 0..count {
            let number = (first + offset) % count;
            if !self.looks[number] && self.wakes[number] > self.judge.now {
                continue;
            }
            let client = &mut self.clients[number];
            let mut scene = Scene {
                server: &self.server,
                judge: &mut self.judge,
                conns: &mut self.conns,
            };
            let has_moved = client.pump(&mut scene);
            self.looks[number] = has_moved;
            self.wakes[number] = client.next(self.judge.now).unwrap_or(Duration::MAX);
            if has_moved {
                moved = true;
                self.check()?;
                self.react()?;
                self.look_at_touched();
            }
        }
        Ok(moved)
    }

    /// Whose sockets the server has changed is to be looked at.
    fn look_at_touched(&mut self) {
        for host in self.server.take_touched() {
            for number in self.hosts.get(&host).into_iter().flatten() {
                self.looks[*number] = true;
            }
        }
    }

    /// The server makes turns, mostly until it is at rest.
    fn react(&mut self) -> Result<(), Wrong> {
        if self.rng.u8(..100) < self.script.hurried {
            for _ in 0..self.rng.usize(..3) {
                if !self.server.is_at_rest() {
                    self.turn()?;
                }
            }
            return Ok(());
        }
        self.turn_until_rest()
    }

    fn turn_until_rest(&mut self) -> Result<(), Wrong> {
        while !self.server.is_at_rest() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Wrong> {
        self.turns += 1;
        if self.turns > TURNS_MAX {
            let text = format!("{TURNS_MAX} turns, and the server is not at rest");
            return Err((Kind::Restless, text));
        }
        let wall = self.wall + self.judge.now.as_secs().cast_signed();
        self.disk.lock().begin_turn(wall);
        self.server.turn();
        self.see_time();
        self.judge.turned(self.server.sessions());
        self.check()
    }

    /// The clock moves by itself while the server works.
    fn see_time(&mut self) {
        let now = self.server.now();
        if now > self.judge.now {
            self.judge.now = now;
            self.disk.lock().trace.at(now);
        }
    }

    fn check(&mut self) -> Result<(), Wrong> {
        if let Some(line) = log::take() {
            return Err((Kind::Log, line));
        }
        // The loop of the server has caught it, and goes on.
        if let Some(panic) = panics::take() {
            return Err((Kind::Panic, panic));
        }
        if let Some(fault) = self.judge.fault.take() {
            return Err((Kind::Model(fault.kind), fault.text));
        }
        match self.disk.lock().broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    /// Now and then, since it looks at all sessions.
    fn check_memory(&self) -> Result<(), Wrong> {
        if !self.moments.is_multiple_of(16) {
            return Ok(());
        }
        let (held, sessions) = (self.server.queued_bytes(), self.server.sessions());
        if held > sessions * HELD_MAX {
            let text = format!("{sessions} sessions hold {held} bytes for their clients");
            return Err((Kind::Memory, text));
        }
        Ok(())
    }

    // --- time

    /// When something happens next.
    fn next(&mut self) -> Option<Duration> {
        let now = self.judge.now;
        if self.server.jobs() > 0 && self.job_at.is_none() {
            let delay = *[0, 10, 1000, 100_000, 3_000_000]
                .get(self.rng.usize(..5))
                .unwrap_or(&0);
            self.job_at = Some(now + Duration::from_micros(delay));
        }
        let clients = self.wakes.iter().copied();
        clients
            .filter(|wake| *wake < Duration::MAX)
            .chain(self.server.next_deadline())
            .chain(self.late.next())
            .chain(self.job_at)
            .chain(self.close_at)
            .chain(self.disturbances.last().map(|(at, _)| *at))
            .min()
    }

    fn move_clock(&mut self, next: Duration) {
        self.moments += 1;
        let now = next.max(self.judge.now);
        self.judge.now = now;
        self.server.set_now(now);
        self.disk.lock().trace.at(now);
        self.late.answer(now);
        if self.job_at.is_some_and(|at| at <= now) {
            self.job_at = None;
            let jobs = self.server.jobs();
            if jobs > 0 {
                let job = self.rng.usize(..jobs);
                self.disk.lock().trace.world("job", job as u64);
                self.server.run_job(job);
            }
        }
    }

    /// Does what comes at a time and not by a client.
    fn disturb(&mut self) -> bool {
        let now = self.judge.now;
        let mut any = false;
        while let Some((at, what)) = self.disturbances.last()
            && *at <= now
        {
            any = true;
            match what {
                Disturbance::Change {
                    home, path, harm, ..
                } => self.disk.lock().strike(*home, path, harm),
                Disturbance::Drain { patience, .. } => {
                    self.disk.lock().trace.world("drain", 0);
                    self.server.drain();
                    self.judge.drained();
                    self.close_at = Some(now + *patience);
                }
                Disturbance::Operation { .. } | Disturbance::Panic { .. } => {}
            }
            self.disturbances.pop();
        }
        if self.close_at.is_some_and(|at| at <= now) {
            any = true;
            self.close_at = None;
            self.disk.lock().trace.world("close", 0);
            self.server.close();
            self.judge.drained();
        }
        if any {
            self.judge.turned(self.server.sessions());
        }
        any
    }

    // --- the end

    /// All clients have gone: the deadlines of the server pass, and nothing may be left.
    fn end(&mut self) -> Result<(), Wrong> {
        for _ in 0..DEADLINES_MAX {
            self.turns = 0;
            self.disturb();
            self.turn_until_rest()?;
            match self.next() {
                Some(next) => self.move_clock(next),
                None => break,
            }
        }
        let remains = Remains {
            sessions: self.server.sessions(),
            sockets: self.server.open_sockets(),
            timers: self.server.timers(),
            jobs: self.server.jobs(),
            queued_bytes: self.server.queued_bytes(),
            open_files: self.disk.lock().open,
        };
        self.judge.end(remains);
        self.check()
    }
}

/// The client whose handler panics, and in which callback.
fn planned(disturbance: &Disturbance) -> Option<(usize, usize)> {
    match disturbance {
        Disturbance::Panic { client, callback } => Some((*client, *callback)),
        _ => None,
    }
}

fn hosts(script: &Script) -> HashMap<IpAddr, Vec<usize>> {
    let mut hosts: HashMap<_, Vec<_>> = HashMap::new();
    for (number, client) in script.scene.clients.iter().enumerate() {
        hosts.entry(client.from.ip()).or_default().push(number);
    }
    hosts
}

fn clients(script: &Script) -> Vec<Client<'_>> {
    let scene = &script.scene;
    let has_tls = scene.settings.tls != Tls::Off;
    let nets = script.nets.iter();
    let sides = nets.map(|net| has_tls.then(|| Certificate::shared().client(net.seed % 4 == 0)));
    let sides: Vec<Option<TlsSide>> = sides.collect();
    // A client waits longer than the server.
    let settings = &scene.settings;
    let longest = settings.timeout.max(settings.data_timeout);
    let longest = longest.max(settings.login_timeout);
    let longest = longest.max(settings.passive_timeout.max(settings.active_timeout));
    let patience = longest + PATIENCE;
    let clients = scene.clients.iter().zip(&script.nets).enumerate();
    clients
        .map(|(number, (client, net))| {
            let mut tls = sides[number].clone();
            // A user may share tickets between sessions from one address.
            let may_steal = |other: &usize| {
                let other = scene.clients.get(*other);
                other.is_some_and(|other| other.from.ip() != client.from.ip())
            };
            if let Some(other) = net.thief_of.filter(may_steal)
                && let (Some(tls), Some(other)) = (&mut tls, &sides[other])
            {
                tls.steal(other);
            }
            Client::new(number, client, net, tls, patience)
        })
        .collect()
}

/// How much longer a client waits for something to happen than the longest time-out of the server.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes that a session holds: 8 KiB of replies, and a buffer of data, which TLS holds
/// once more with what it adds.
const HELD_MAX: usize = 8 * 1024 + 3 * 65_536;
/// Turns without the clock after which the server counts as restless.
const TURNS_MAX: usize = 200_000;
/// Deadlines after the last client that are waited for.
const DEADLINES_MAX: usize = 20_000;

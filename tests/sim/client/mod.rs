//! A client, which carries out its steps over connections in memory. It draws nothing.

mod asked;
mod data;
pub mod replies;
mod steps;

use std::time::Duration;

use ftpdlib::testing::{Server, Stream};

use self::asked::{Asked, Command, What};
use self::data::{Around, DataConn};
use self::replies::{Replies, Reply};
use crate::judge::{Judge, Who};
use crate::link::Link;
use crate::model::Event;
use crate::plan::step::{self, End};
use crate::script::Net;
use crate::tls::TlsSide;

/// A client of the world.
pub struct Client<'a> {
    number: usize,
    script: &'a step::Client,
    net: &'a Net,
    tls: Option<TlsSide>,
    phase: Phase,
    control: Option<Link>,
    replies: Replies,
    /// Whether the greeting has come.
    greeted: bool,
    asked: Asked,
    data: Vec<DataConn<'a>>,
    /// The data connection for the next transfer.
    current: Option<usize>,
    /// The next step.
    next_step: usize,
    waits: Waits,
    /// The port of the last 227 or 229.
    passive_port: Option<u16>,
    /// Whether data connections are under TLS, and whether they always are.
    private: bool,
    always_private: bool,
    strangers: Vec<Stream>,
    /// Whether the server was told that the client sends no more.
    has_ended: bool,
    /// When the client gives up, unless something happens, and how long that is.
    gives_up: Duration,
    patience: Duration,
    /// When the model was told that all is quiet, unless something has happened since.
    quiet: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Coming,
    Here,
    Gone,
}

/// What the next step waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Nothing,
    /// The final replies of all commands.
    Replies,
    /// The reply to the command that asks for this data connection.
    Open(usize),
    Until(Duration),
}

/// What a client works with.
pub struct Scene<'a> {
    pub server: &'a Server,
    pub judge: &'a mut Judge,
    /// Counts the data connections of the world.
    pub conns: &'a mut u32,
}

impl<'a> Client<'a> {
    pub fn new(
        number: usize,
        script: &'a step::Client,
        net: &'a Net,
        tls: Option<TlsSide>,
        patience: Duration,
    ) -> Self {
        Self {
            number,
            script,
            net,
            tls,
            phase: Phase::Coming,
            control: None,
            replies: Replies::default(),
            greeted: false,
            asked: Asked::default(),
            data: Vec::new(),
            current: None,
            next_step: 0,
            waits: Waits::Nothing,
            passive_port: None,
            private: false,
            always_private: false,
            strangers: Vec::new(),
            has_ended: false,
            gives_up: Duration::MAX,
            patience,
            quiet: None,
        }
    }

    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// When the client does something by itself; after `now`, unless it has not come yet.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Coming => return Some(self.script.arrives),
            Phase::Gone => return None,
            Phase::Here => {}
        }
        let data = self.data.iter().filter_map(|data| data.next(now));
        let control = self.control.iter().filter_map(|link| link.next(now));
        let pause = match self.waits {
            Waits::Until(at) if at > now => Some(at),
            _ => None,
        };
        data.chain(control)
            .chain(pause)
            .chain([self.gives_up])
            .min()
    }

    /// Does all that can be done now. Returns whether anything was.
    pub fn pump(&mut self, scene: &mut Scene<'_>) -> bool {
        let now = scene.judge.now;
        let mut moved_at_all = false;
        match self.phase {
            Phase::Gone => return false,
            Phase::Coming if self.script.arrives > now => return false,
            Phase::Coming => {
                moved_at_all = true;
                self.connect(scene);
            }
            Phase::Here => {}
        }
        loop {
            self.accept_data(scene);
            let mut moved = self.pump_control(scene);
            moved |= self.pump_data(scene);
            moved |= self.step(scene);
            moved |= self.leave(scene);
            moved_at_all |= moved;
            if !moved || self.is_gone() || scene.judge.fault.is_some() {
                break;
            }
        }
        if moved_at_all {
            self.quiet = None;
            self.gives_up = now + self.patience;
        } else if now >= self.gives_up {
            // The last look of the model needs a server at rest.
            if scene.server.is_at_rest() {
                self.tell_quiet(scene.judge);
                self.give_up(scene);
            }
            return true;
        }
        moved_at_all
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        let stream = scene
            .server
            .connect(self.script.from, scene.server.address());
        let Ok(stream) = stream else {
            self.phase = Phase::Gone;
            return;
        };
        self.phase = Phase::Here;
        scene.judge.connected(self.number);
        let who = Who {
            client: self.number,
            conn: None,
        };
        self.control = Some(Link::new(who, stream, self.net, 0, self.script.pace));
    }

    fn pump_control(&mut self, scene: &mut Scene<'_>) -> bool {
        let now = scene.judge.now;
        let Some(link) = &mut self.control else {
            return false;
        };
        let mut moved = link.pump(now, scene.judge);
        while let Some((bytes, call)) = self.control.as_mut().and_then(|link| link.take(now)) {
            moved = true;
            for reply in self.replies.take(&bytes) {
                self.reply(&reply, call, scene);
            }
        }
        let ended = |link: &Link| link.ended(now).is_some() || !link.is_open();
        if self.control.as_ref().is_some_and(ended) {
            self.hang_up(scene);
            moved = true;
        }
        moved
    }

    fn accept_data(&mut self, scene: &mut Scene<'_>) {
        for index in 0..self.data.len() {
            self.with_data(index, scene, DataConn::accept);
        }
    }

    fn pump_data(&mut self, scene: &mut Scene<'_>) -> bool {
        let mut moved = false;
        for index in 0..self.data.len() {
            if !self.data[index].is_over() {
                moved |= self.with_data(index, scene, DataConn::pump);
            }
        }
        moved
    }

    fn with_data<T>(
        &mut self,
        index: usize,
        scene: &mut Scene<'_>,
        work: impl FnOnce(&mut DataConn<'a>, &mut Around<'_>) -> T,
    ) -> T {
        let mut around = Around {
            server: scene.server,
            judge: &mut *scene.judge,
            client: self.number,
            ip: self.script.from.ip(),
            net: self.net,
            pace: self.script.pace,
            number: index + 1,
            conns: &mut *scene.conns,
            may_be_private: self.tls.is_some(),
            tls: match &self.tls {
                Some(side) if self.private => Some(side),
                _ => None,
            },
        };
        work(&mut self.data[index], &mut around)
    }

    /// A reply has come. `call`: the number of the call by which the server has sent its end.
    fn reply(&mut self, reply: &Reply, call: u64, scene: &mut Scene<'_>) {
        if reply.code < 200 {
            let begun = match self.asked.begin() {
                Some(What::Transfer(begun)) => begun,
                _ => None,
            };
            let others = self.data.iter_mut().enumerate();
            for (_, other) in others.filter(|(index, _)| Some(*index) != begun) {
                other.may_be_another();
            }
            if let Some(index) = begun {
                self.with_data(index, scene, |data, around| data.begin(call, around));
            }
            return;
        }
        if !self.greeted {
            self.greeted = true;
            return;
        }
        // No command has asked for it.
        if reply.text == b"Passive data channel timed out." && !self.asked.has_begun() {
            return;
        }
        let Some(Command { what, .. }) = self.asked.end(reply.code) else {
            return;
        };
        let is_good = (200..300).contains(&reply.code);
        match what {
            What::Open(index) => self.opened(index, reply, scene),
            What::Transfer(Some(index)) => {
                self.with_data(index, scene, |data, around| data.finish(call, around));
            }
            What::Auth(implied) if reply.code == 234 => {
                // What was sent after AUTH in the clear gets no reply.
                self.asked.clear();
                self.always_private |= implied;
                self.private |= implied;
                if let (Some(link), Some(side)) = (&mut self.control, &self.tls) {
                    link.secure(&side.own, false, scene.judge.now);
                }
            }
            What::Prot(private) if is_good => self.private = private,
            What::Rein if is_good => self.private = self.always_private,
            _ => {}
        }
    }

    fn opened(&mut self, index: usize, reply: &Reply, scene: &mut Scene<'_>) {
        if !(200..300).contains(&reply.code) {
            self.data[index].close(End::Fin, scene.judge.now);
            return;
        }
        let port = reply.port();
        self.passive_port = port.or(self.passive_port);
        self.with_data(index, scene, |data, around| data.granted(port, around));
        if let Some(old) = self.current.replace(index)
            && self.data[old].is_free()
        {
            self.data[old].close(End::Fin, scene.judge.now);
        }
    }

    /// The control connection is over.
    fn hang_up(&mut self, scene: &mut Scene<'_>) {
        if let Some(mut link) = self.control.take() {
            link.abandon(scene.judge);
        }
        self.asked.clear();
        self.next_step = self.script.steps.len();
        self.waits = Waits::Nothing;
        self.strangers.clear();
        for data in &mut self.data {
            if !data.is_busy() {
                data.close(End::Fin, scene.judge.now);
            }
        }
    }

    /// Leaves when there is nothing more to do.
    fn leave(&mut self, scene: &mut Scene<'_>) -> bool {
        let is_through = self.next_step >= self.script.steps.len();
        let ready = is_through && self.waits == Waits::Nothing && self.asked.is_empty();
        let securing = self.control.as_ref().is_some_and(Link::is_securing);
        if let Some(link) = &mut self.control {
            if ready && self.greeted && !securing && !self.has_ended {
                self.has_ended = true;
                link.end(End::Fin, scene.judge.now);
                return true;
            }
            return false;
        }
        if self.data.iter().all(DataConn::is_over) {
            self.phase = Phase::Gone;
            return true;
        }
        false
    }

    /// Nothing has happened for very long.
    fn give_up(&mut self, scene: &mut Scene<'_>) {
        scene.judge.step(self.number, "gives up");
        self.hang_up(scene);
        for data in &mut self.data {
            data.abandon(scene.judge);
        }
        self.phase = Phase::Gone;
    }

    /// Tells the model that the client has read all, if it has: when something has happened, and
    /// once in a second.
    pub fn tell_quiet(&mut self, judge: &mut Judge) {
        let is_known = self.quiet.is_some_and(|at| judge.now < at + QUIET_AGAIN);
        if !is_known && self.control.as_ref().is_some_and(Link::is_quiet) {
            self.quiet = Some(judge.now);
            judge.event(self.number, Event::Quiet);
            for conn in self.data.iter().filter_map(DataConn::read_dry) {
                judge.event(self.number, Event::DataQuiet { conn });
            }
        }
    }
}

/// How often the model is told that nothing happens.
const QUIET_AGAIN: Duration = Duration::from_secs(1);

//! The loop that a session and its test share, which turns when the test does
//! something, until there is nothing left to do.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::ioloop::memory::Network;
use crate::ioloop::{ChannelId, IOLoop};

/// What everything of one test is in.
pub(super) struct World {
    ioloop: RefCell<IOLoop>,
    pub(super) network: Network,
    start: Instant,
    /// The session, and how to look at it.
    session: ChannelId,
    look: Look,
}

/// What the session waits for; `None`: it is over.
pub(super) type Look = fn(&mut IOLoop, ChannelId) -> Option<Waits>;

/// What a session waits for.
pub(super) struct Waits {
    /// For other threads: work that was given off the loop, or the authorizer.
    pub(super) for_threads: bool,
    /// For the end of a pause of its data connection.
    pub(super) for_the_clock: bool,
}

impl World {
    /// `begin` puts the session on the loop.
    pub(super) fn new(
        begin: impl FnOnce(&mut IOLoop, &Network) -> ChannelId,
        look: Look,
    ) -> io::Result<Rc<Self>> {
        let network = Network::default();
        let mut ioloop = IOLoop::in_memory(network.clone())?;
        let start = ioloop.now();
        let session = begin(&mut ioloop, &network);
        Ok(Rc::new(Self {
            ioloop: RefCell::new(ioloop),
            network,
            start,
            session,
            look,
        }))
    }

    pub(super) fn with<T>(&self, function: impl FnOnce(&mut IOLoop, ChannelId) -> T) -> T {
        function(&mut self.ioloop.borrow_mut(), self.session)
    }

    /// Turns until there is nothing left to do.
    #[track_caller]
    pub(super) fn settle(&self) {
        let mut ioloop = self.ioloop.borrow_mut();
        for _ in 0..TURNS {
            if ioloop.is_at_rest() {
                return;
            }
            turn(&mut ioloop, Duration::ZERO);
        }
        panic!("the session does not come to rest");
    }

    /// Turns until the session waits for no other thread, and there is nothing
    /// left to do.
    #[track_caller]
    pub(super) fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        self.settle();
        while self.waits().is_some_and(|waits| waits.for_threads) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "what the session waits for takes too long");
            turn(&mut self.ioloop.borrow_mut(), left);
            self.settle();
        }
    }

    pub(super) fn waits(&self) -> Option<Waits> {
        self.with(|ioloop, session| (self.look)(ioloop, session))
    }

    /// Moves the clock from deadline to deadline, and then to the end of `by`.
    #[track_caller]
    pub(super) fn advance(&self, by: Duration) {
        self.settle();
        let end = self.with(|ioloop, _| ioloop.now()) + by;
        while self.step(end) {}
        self.with(|ioloop, _| ioloop.set_now(end));
        self.settle();
    }

    /// Moves the clock to the next deadline, unless that is later than `end`.
    #[track_caller]
    fn step(&self, end: Instant) -> bool {
        let moved = self.with(|ioloop, _| {
            let next = ioloop.next_deadline().filter(|next| *next <= end);
            next.map(|next| ioloop.set_now(next)).is_some()
        });
        self.settle();
        moved
    }

    /// Lets time pass, or other threads work, if the session waits for that only.
    #[track_caller]
    pub(super) fn go_on(&self) -> bool {
        match self.waits() {
            Some(waits) if waits.for_threads => {
                self.wait();
                true
            }
            Some(waits) if waits.for_the_clock => {
                let end = self.with(|ioloop, _| ioloop.now()) + LONGEST_PAUSE;
                self.step(end)
            }
            _ => false,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.with(|ioloop, _| ioloop.now() - self.start)
    }

    pub(super) fn close(&self) {
        self.with(|ioloop, _| ioloop.close());
    }
}

#[track_caller]
fn turn(ioloop: &mut IOLoop, timeout: Duration) {
    let turned = ioloop.turn(Some(timeout));
    turned.expect("the poll works as long as there are descriptors");
}

/// After so many turns without a rest something is wrong.
const TURNS: usize = 1_000_000;

/// How long other threads may work, by the system's clock.
const PATIENCE: Duration = Duration::from_secs(10);

/// A data connection that pauses for longer will not go on.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

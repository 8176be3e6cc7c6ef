//! The loop of a test's session. It turns only inside calls of the test, each time until
//! nothing is left to do.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::ioloop::clock::Clock;
use crate::ioloop::memory::Network;
use crate::ioloop::{ChannelId, IOLoop};

/// The loop, the network in memory and the clock of one test.
pub(super) struct World {
    ioloop: RefCell<IOLoop>,
    pub(super) network: Network,
    start: Instant,
    session: ChannelId,
    /// Finds out what the session waits for.
    look: Look,
}

/// Returns what the session waits for, or `None` if it is over.
pub(super) type Look = fn(&mut IOLoop, ChannelId) -> Option<Waits>;

/// What a session waits for.
pub(super) struct Waits {
    /// For other threads: a job on the pool, or an authorizer that answers later.
    pub(super) for_threads: bool,
    /// For the end of a pause of its data connection.
    pub(super) for_the_clock: bool,
    /// To send the final reply of a download.
    pub(super) to_reply: bool,
}

impl World {
    /// Makes a loop in memory. `begin` adds the session to it and returns its number.
    pub(super) fn new(
        clock: Clock,
        begin: impl FnOnce(&mut IOLoop, &Network) -> ChannelId,
        look: Look,
    ) -> io::Result<Rc<Self>> {
        let network = Network::new(clock, None);
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

    /// Calls a function with the loop and the number of the session.
    pub(super) fn with<T>(&self, function: impl FnOnce(&mut IOLoop, ChannelId) -> T) -> T {
        function(&mut self.ioloop.borrow_mut(), self.session)
    }

    /// Turns the loop until nothing is left to do.
    ///
    /// # Panics
    /// If that takes more than [`TURNS`] turns.
    #[track_caller]
    pub(super) fn settle(&self) {
        let mut ioloop = self.ioloop.borrow_mut();
        for _ in 0..TURNS {
            if ioloop.is_at_rest() {
                return;
            }
            turn(&mut ioloop, Duration::ZERO);
        }
        panic!("the session is still busy after {TURNS} turns of the loop");
    }

    /// Turns the loop until the session waits for no other thread and nothing is left to do.
    ///
    /// # Panics
    /// If that takes more than [`WAIT_LIMIT`].
    #[track_caller]
    pub(super) fn wait(&self) {
        let end = Instant::now() + WAIT_LIMIT;
        self.settle();
        while self.waits().is_some_and(|waits| waits.for_threads) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the session waits for another thread, which takes more than {WAIT_LIMIT:?}"
            );
            turn(&mut self.ioloop.borrow_mut(), left);
            self.settle();
        }
    }

    /// What the session waits for; `None` if it is over.
    fn waits(&self) -> Option<Waits> {
        self.with(|ioloop, session| (self.look)(ioloop, session))
    }

    /// Moves the clock on by `by`, and stops at each deadline on the way.
    #[track_caller]
    pub(super) fn advance(&self, by: Duration) {
        self.settle();
        let end = self.with(|ioloop, _| ioloop.now()) + by;
        while self.step(end) {}
        self.with(|ioloop, _| ioloop.set_now(end));
        self.settle();
    }

    /// Moves the clock to the next deadline, unless that is later than `end`. Returns whether
    /// the clock was moved.
    #[track_caller]
    fn step(&self, end: Instant) -> bool {
        let moved = self.with(|ioloop, _| {
            let next = ioloop.next_deadline().filter(|next| *next <= end);
            next.map(|next| ioloop.set_now(next)).is_some()
        });
        self.settle();
        moved
    }

    /// If the session waits for another thread, waits for that; if its data connection pauses,
    /// moves the clock to the next deadline. Returns whether anything was done.
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

    /// If the final reply of a download waits for the client, moves the clock until it is due.
    /// Returns whether it did.
    #[track_caller]
    pub(super) fn pass_reply_pause(&self) -> bool {
        let waits = self.waits().is_some_and(|waits| waits.to_reply);
        waits && self.step(self.with(|ioloop, _| ioloop.now()) + LONGEST_PAUSE)
    }

    /// How far the clock was moved since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.with(|ioloop, _| ioloop.now() - self.start)
    }

    /// Closes the loop and all that is on it.
    pub(super) fn close(&self) {
        self.with(|ioloop, _| ioloop.close());
    }
}

#[track_caller]
fn turn(ioloop: &mut IOLoop, timeout: Duration) {
    let turned = ioloop.turn(Some(timeout));
    turned.expect("the poll works as long as there are descriptors");
}

/// A session that is still busy after so many turns will never be at rest.
const TURNS: usize = 1_000_000;

/// How long other threads may take, by the clock of the system.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// A longer pause of a data connection is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

//! For the tests of the reactor: a loop on another thread, and channels that report what
//! they receive.

use std::any::Any;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ftpdlib::ioloop::{Channel, ChannelId, IOLoop, Io, Readiness, Remote, Source};

use crate::DEADLINE;

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);

/// A loop on another thread, which ends when this value is dropped.
pub struct Thread {
    /// The way to the loop.
    pub remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts a loop after `set_up`.
    pub fn start(set_up: impl FnOnce(&mut IOLoop) + Send + 'static) -> Self {
        let (started, start) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut ioloop = IOLoop::new().unwrap();
            set_up(&mut ioloop);
            // The loop ends when it has no channels.
            ioloop.add(Quiet::default());
            started.send(ioloop.remote()).unwrap();
            ioloop.run().unwrap();
            ioloop.close();
        });
        Self {
            remote: start.recv_timeout(DEADLINE).unwrap(),
            thread: Some(thread),
        }
    }

    /// Runs a function on the loop and returns its result.
    pub fn ask<T: Send + 'static>(
        &self,
        function: impl FnOnce(&mut Io<'_>) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = mpsc::channel();
        self.remote
            .call(move |io| answer.send(function(io)).unwrap());
        answered.recv_timeout(DEADLINE).unwrap()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.remote.call(|io| io.stop());
        let result = self.thread.take().unwrap().join();
        assert!(result.is_ok() || std::thread::panicking());
    }
}

/// A channel without sockets that reports its messages and its calls.
///
/// The messages `panic`, `close`, `again`, `timeout` and `new` make it do these things.
#[derive(Default)]
pub struct Quiet {
    /// Where it reports.
    pub events: Option<mpsc::Sender<String>>,
    deadline: Option<Instant>,
    closed: bool,
}

impl Channel for Quiet {
    fn ready(&mut self, _io: &mut Io<'_>, _source: Source, _readiness: Readiness) {}

    fn again(&mut self, _io: &mut Io<'_>) {
        self.report("again".into());
    }

    fn timeout(&mut self, _io: &mut Io<'_>) {
        self.deadline = None;
        self.report("timeout".into());
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn message(&mut self, io: &mut Io<'_>, message: Box<dyn Any + Send>) {
        match *message.downcast::<&str>().unwrap() {
            "panic" => panic!("a bug"),
            "close" => self.closed = true,
            "again" => io.again(),
            "timeout" => self.deadline = Some(io.now() + MS),
            "new" => {
                let events = self.events.clone();
                let id = io.add(Self {
                    events,
                    ..Self::default()
                });
                io.send(id, Box::new("from another"));
            }
            text => self.report(text.into()),
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.closed = true;
        self.report("closed".into());
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Quiet {
    fn report(&self, text: String) {
        if let Some(events) = &self.events {
            let _ = events.send(text);
        }
    }
}

/// Adds such a channel to a loop; returns its number and what it reports.
pub fn quiet(thread: &Thread) -> (ChannelId, mpsc::Receiver<String>) {
    let (sender, events) = mpsc::channel();
    let id = thread.ask(move |io| {
        io.add(Quiet {
            events: Some(sender),
            ..Quiet::default()
        })
    });
    (id, events)
}

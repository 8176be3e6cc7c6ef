//! For the tests of the reactor: a loop on a thread of its own, and channels
//! that tell what they hear.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::any::Any;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ftpdlib::ioloop::{Channel, ChannelId, IOLoop, Io, Readiness, Remote, Source};

use crate::common::DEADLINE;

pub const MS: Duration = Duration::from_millis(1);

/// A loop on a thread of its own.
pub struct Thread {
    pub remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    pub fn start(set_up: impl FnOnce(&mut IOLoop) + Send + 'static) -> Self {
        let (started, start) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut ioloop = IOLoop::new().unwrap();
            set_up(&mut ioloop);
            // So that it is never empty.
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

    /// What a function says that runs on the loop.
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

/// A channel without sockets, that passes messages on and may panic.
#[derive(Default)]
pub struct Quiet {
    pub heard: Option<mpsc::Sender<String>>,
    deadline: Option<Instant>,
    closed: bool,
}

impl Channel for Quiet {
    fn ready(&mut self, _io: &mut Io<'_>, _source: Source, _readiness: Readiness) {}

    fn again(&mut self, _io: &mut Io<'_>) {
        self.tell("again".into());
    }

    fn timeout(&mut self, _io: &mut Io<'_>) {
        self.deadline = None;
        self.tell("timeout".into());
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
                let heard = self.heard.clone();
                let id = io.add(Self {
                    heard,
                    ..Self::default()
                });
                io.send(id, Box::new("from another"));
            }
            text => self.tell(text.into()),
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.closed = true;
        self.tell("closed".into());
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Quiet {
    fn tell(&self, text: String) {
        if let Some(heard) = &self.heard {
            let _ = heard.send(text);
        }
    }
}

/// A thread, and a way to make channels there that tell what they hear.
pub fn quiet(thread: &Thread) -> (ChannelId, mpsc::Receiver<String>) {
    let (heard, hears) = mpsc::channel();
    let id = thread.ask(move |io| {
        io.add(Quiet {
            heard: Some(heard),
            ..Quiet::default()
        })
    });
    (id, hears)
}

pub fn next(hears: &mpsc::Receiver<String>) -> String {
    hears.recv_timeout(DEADLINE).unwrap()
}

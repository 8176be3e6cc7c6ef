//! The reactor by itself: as pyftpdlib's `TestCallLater`, `TestCallEvery`,
//! `TestAsyncChat` and the tests of its loops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{DEADLINE, pattern, read_all};
use ftpdlib::ioloop::{
    Acceptor, AsyncChat, CallLater, Channel, ChannelId, ChatChannel, ChatHandler, Connector,
    IOLoop, Io, Readiness, Remote, Source, Stream,
};
use ftpdlib::producers::{More, Producer};
use ftpdlib::proto::line::Terminator;

const MS: Duration = Duration::from_millis(1);

/// Turns a loop on this thread until something is true.
#[track_caller]
fn turn_until(ioloop: &mut IOLoop, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time");
        ioloop.turn(Some(5 * MS)).unwrap();
    }
}

/// What was called, in order.
type Calls = Rc<RefCell<Vec<&'static str>>>;

fn note(calls: &Calls, name: &'static str) -> impl FnMut(&mut Io<'_>) + 'static {
    let calls = Rc::clone(calls);
    move |_| calls.borrow_mut().push(name)
}

// --- TestCallLater

#[test]
fn call_later_order() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    // Those of one deadline in the order they were set.
    for (delay, name) in [(20, "d"), (10, "b"), (0, "a"), (10, "c")] {
        ioloop.call_later(delay * MS, note(&calls, name));
    }
    turn_until(&mut ioloop, || calls.borrow().len() == 4);
    assert_eq!(*calls.borrow(), ["a", "b", "c", "d"]);
    assert_eq!(ioloop.turn(Some(MS)).unwrap(), None, "once only");
    assert_eq!(calls.borrow().len(), 4);
}

#[test]
fn call_later_reset() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let first = ioloop.call_later(20 * MS, note(&calls, "reset"));
    ioloop.call_later(30 * MS, note(&calls, "other"));
    // It is put off until the other one was called.
    while calls.borrow().is_empty() {
        first.reset();
        ioloop.turn(Some(MS)).unwrap();
    }
    assert_eq!(*calls.borrow(), ["other"]);
    assert!(!first.cancelled());
    turn_until(&mut ioloop, || calls.borrow().len() == 2);
    assert!(first.cancelled(), "called, and not to be called again");
    first.reset();
    assert_eq!(ioloop.turn(Some(MS)).unwrap(), None);
}

#[test]
fn call_later_cancel() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let first = ioloop.call_later(MS, note(&calls, "first"));
    let second = ioloop.call_later(2 * MS, note(&calls, "second"));
    assert!(!first.cancelled());
    first.cancel();
    first.cancel();
    assert!(first.cancelled() && !second.cancelled());
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    assert_eq!(*calls.borrow(), ["second"]);
    // Of one that was called, it changes nothing.
    second.cancel();
    assert_eq!(ioloop.turn(Some(MS)).unwrap(), None);
}

#[test]
fn call_later_cancels_another_that_is_due() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let second = Rc::new(RefCell::new(None::<CallLater>));
    let handle = Rc::clone(&second);
    ioloop.call_later(MS, move |_| handle.take().unwrap().cancel());
    *second.borrow_mut() = Some(ioloop.call_later(MS, note(&calls, "second")));
    ioloop.call_later(2 * MS, note(&calls, "third"));
    std::thread::park_timeout(5 * MS);
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    assert_eq!(*calls.borrow(), ["third"]);
}

#[test]
fn call_later_panic() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let bad = ioloop.call_later(MS, |_| panic!("a bug"));
    ioloop.call_later(2 * MS, note(&calls, "good"));
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    assert!(bad.cancelled());
}

#[test]
fn call_later_from_within() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let inner = Rc::clone(&calls);
    ioloop.call_later(Duration::ZERO, move |io| {
        assert_eq!(io.id(), None);
        io.call_later(Duration::ZERO, note(&inner, "inner"));
    });
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    // Far away is not an overflow.
    let far = ioloop.call_later(Duration::MAX, note(&calls, "never"));
    let next = ioloop.turn(Some(Duration::ZERO)).unwrap();
    assert!(next.unwrap() > Duration::from_secs(86_400));
    far.cancel();
    assert_eq!(ioloop.turn(Some(Duration::ZERO)).unwrap(), None);
}

// --- TestCallEvery

#[test]
fn call_every() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let often = ioloop.call_every(MS, note(&calls, "often"));
    let rarely = ioloop.call_every(Duration::from_secs(3600), note(&calls, "rarely"));
    turn_until(&mut ioloop, || calls.borrow().len() == 3);
    assert_eq!(*calls.borrow(), ["often"; 3]);
    assert!(!often.cancelled() && !rarely.cancelled());
}

/// One without a delay is called once a turn and starves nobody.
#[test]
fn call_every_without_delay() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    ioloop.call_every(Duration::ZERO, note(&calls, "zero"));
    for count in 1..=3 {
        ioloop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(calls.borrow().len(), count);
    }
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    ioloop.call_later(MS, move |_| flag.set(true));
    turn_until(&mut ioloop, || done.get());
}

#[test]
fn call_every_cancel() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let other = ioloop.call_every(MS, note(&calls, "other"));
    // One that cancels itself at the third time.
    let own = Rc::new(RefCell::new(None::<CallLater>));
    let (handle, count) = (Rc::clone(&own), Rc::new(Cell::new(0)));
    let counter = Rc::clone(&count);
    *own.borrow_mut() = Some(ioloop.call_every(MS, move |_| {
        counter.set(counter.get() + 1);
        if counter.get() == 3 {
            handle.borrow().as_ref().unwrap().cancel();
        }
    }));
    turn_until(&mut ioloop, || {
        calls.borrow().len() >= 6 && count.get() == 3
    });
    let seen = calls.borrow().len();
    turn_until(&mut ioloop, || calls.borrow().len() >= seen + 3);
    assert_eq!(count.get(), 3);
    other.cancel();
    assert_eq!(ioloop.turn(Some(Duration::ZERO)).unwrap(), None);
}

#[test]
fn call_every_panic() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let bad = ioloop.call_every(MS, move |_| {
        counter.set(counter.get() + 1);
        panic!("a bug");
    });
    ioloop.call_every(MS, note(&calls, "good"));
    turn_until(&mut ioloop, || calls.borrow().len() >= 5);
    assert_eq!(count.get(), 1);
    assert!(bad.cancelled());
}

// --- other threads

/// A loop on a thread of its own.
struct Thread {
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(set_up: impl FnOnce(&mut IOLoop) + Send + 'static) -> Self {
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
    fn ask<T: Send + 'static>(
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
struct Quiet {
    heard: Option<mpsc::Sender<String>>,
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
fn quiet(thread: &Thread) -> (ChannelId, mpsc::Receiver<String>) {
    let (heard, hears) = mpsc::channel();
    let id = thread.ask(move |io| {
        io.add(Quiet {
            heard: Some(heard),
            ..Quiet::default()
        })
    });
    (id, hears)
}

fn next(hears: &mpsc::Receiver<String>) -> String {
    hears.recv_timeout(DEADLINE).unwrap()
}

#[test]
fn remote_call_and_send_wake_a_sleeping_loop() {
    let thread = Thread::start(|_| {});
    for round in 0..100 {
        assert_eq!(thread.ask(move |_| round), round);
    }
    let (id, hears) = quiet(&thread);
    for _ in 0..100 {
        thread.remote.send(id, Box::new("hello"));
        assert_eq!(next(&hears), "hello");
    }
    // From many threads at once, in the order of each.
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let remote = thread.remote.clone();
            std::thread::spawn(move || (0..1000).for_each(|_| remote.send(id, Box::new("x"))))
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    for _ in 0..4000 {
        assert_eq!(next(&hears), "x");
    }
    // What is sent to channels from channels comes before the loop sleeps.
    thread.remote.send(id, Box::new("new"));
    assert_eq!(next(&hears), "from another");
    thread.remote.send(id, Box::new("again"));
    assert_eq!(next(&hears), "again");
    thread.remote.send(id, Box::new("timeout"));
    assert_eq!(next(&hears), "timeout");
    // A function that panics is no reason to stop.
    thread.remote.call(|_| panic!("a bug"));
    assert!(thread.ask(|_| true));
}

#[test]
fn a_late_message_reaches_nobody() {
    let thread = Thread::start(|_| {});
    let (old, heard_by_old) = quiet(&thread);
    thread.remote.send(old, Box::new("timeout"));
    thread.remote.send(old, Box::new("close"));
    // In the place of the other one.
    let (new, heard_by_new) = quiet(&thread);
    assert_ne!(old, new);
    assert_eq!(
        format!("{old:?}").split(',').next(),
        format!("{new:?}").split(',').next(),
        "the same slot"
    );
    thread.remote.send(old, Box::new("late"));
    thread.remote.send(new, Box::new("hello"));
    assert_eq!(next(&heard_by_new), "hello");
    assert!(heard_by_old.recv_timeout(DEADLINE).is_err(), "it is gone");
    // Nor does the deadline of the old one.
    let (other, _) = quiet(&thread);
    thread.remote.send(other, Box::new("timeout"));
    thread.remote.send(new, Box::new("timeout"));
    assert_eq!(next(&heard_by_new), "timeout");
    assert!(heard_by_new.try_recv().is_err());
}

#[test]
fn a_panic_closes_its_channel_only() {
    let thread = Thread::start(|_| {});
    let (bad, heard_by_bad) = quiet(&thread);
    let (good, heard_by_good) = quiet(&thread);
    thread.remote.send(bad, Box::new("panic"));
    thread.remote.send(good, Box::new("hello"));
    assert_eq!(next(&heard_by_good), "hello");
    assert_eq!(next(&heard_by_bad), "closed");
    assert!(heard_by_bad.recv_timeout(DEADLINE).is_err(), "it is gone");
    drop(thread);
    assert_eq!(next(&heard_by_good), "closed");
}

#[test]
fn run_ends_when_no_channel_is_left() {
    let mut ioloop = IOLoop::new().unwrap();
    ioloop.call_later(Duration::from_secs(3600), |_| {});
    ioloop.run().unwrap();
    let id = ioloop.add(Quiet::default());
    assert_eq!(ioloop.len(), 1);
    let remote = ioloop.remote();
    ioloop.call_later(MS, move |_| remote.send(id, Box::new("close")));
    ioloop.run().unwrap();
    assert!(ioloop.is_empty());
}

#[test]
fn stop_and_run_again() {
    let mut ioloop = IOLoop::new().unwrap();
    ioloop.add(Quiet::default());
    for _ in 0..2 {
        ioloop.call_later(MS, |io| io.stop());
        ioloop.run().unwrap();
        assert_eq!(ioloop.len(), 1);
    }
    let timer = ioloop.call_later(MS, |_| {});
    ioloop.close();
    assert!(ioloop.is_empty() && timer.cancelled());
}

// --- TestAsyncChat

/// Tells what happens, and does what the pieces say.
struct Chat {
    told: mpsc::Sender<String>,
}

impl Chat {
    fn tell(&self, text: impl Into<String>) {
        let _ = self.told.send(text.into());
    }
}

impl ChatHandler for Chat {
    fn on_connect(&mut self, chat: &mut AsyncChat, _io: &mut Io<'_>) {
        chat.set_limit(100);
        self.tell("connect");
    }

    fn found_terminator(&mut self, chat: &mut AsyncChat, piece: &[u8]) {
        let piece = String::from_utf8_lossy(piece).into_owned();
        match piece.split_once(' ') {
            Some(("count", count)) => {
                chat.set_terminator(Terminator::Count(count.parse().unwrap()));
            }
            Some(("until", end)) => {
                chat.set_terminator(Terminator::Bytes(end.as_bytes().to_vec().into()));
            }
            Some(("send", size)) => chat.push(&pattern(size.parse().unwrap())),
            Some(("produce", size)) => {
                let left = size.parse().unwrap();
                chat.push(b"<");
                chat.push_with_producer(Box::new(Ones { left, idle: false }));
                chat.push(b">");
            }
            _ if piece == "any" => chat.set_terminator(Terminator::None),
            _ if piece == "panic" => panic!("a bug"),
            _ if piece == "close" => chat.close(),
            _ if piece == "done" => chat.close_when_done(),
            _ => {}
        }
        self.tell(piece);
    }

    fn input_too_long(&mut self, _chat: &mut AsyncChat) {
        self.tell("too long");
    }

    fn message(&mut self, chat: &mut AsyncChat, message: Box<dyn Any + Send>) {
        chat.push(message.downcast::<String>().unwrap().as_bytes());
    }

    fn on_disconnect(&mut self) {
        self.tell("disconnect");
    }
}

/// Makes ones, some at a time, and every other time none.
struct Ones {
    left: usize,
    idle: bool,
}

impl Producer for Ones {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        self.idle = !self.idle;
        if self.idle {
            return Ok(More::Yes);
        }
        let size = self.left.min(10_000);
        self.left -= size;
        out.resize(out.len() + size, b'1');
        Ok(if self.left == 0 { More::End } else { More::Yes })
    }
}

fn chat() -> (Thread, SocketAddr, mpsc::Receiver<String>) {
    let (told, tells) = mpsc::channel();
    let (bound, address) = mpsc::channel();
    let thread = Thread::start(move |ioloop| {
        let acceptor =
            Acceptor::bind("127.0.0.1", 0, move |_| Chat { told: told.clone() }).unwrap();
        bound.send(acceptor.local_addr().unwrap()).unwrap();
        ioloop.add(acceptor);
    });
    (thread, address.recv_timeout(DEADLINE).unwrap(), tells)
}

fn connect(address: SocketAddr) -> TcpStream {
    common::connect_data(address)
}

#[track_caller]
fn expect(tells: &mpsc::Receiver<String>, texts: &[&str]) {
    for text in texts {
        assert_eq!(&next(tells), text);
    }
}

#[test]
fn terminators() {
    let (_thread, address, tells) = chat();
    let mut socket = connect(address);
    socket
        .write_all(b"a\r\n\r\nb\r\ncount 5\r\n12345\r\n678until ;\r\n")
        .unwrap();
    expect(&tells, &["connect", "a", "", "b", "count 5"]);
    expect(&tells, &["12345", "\r\n678"]);
    // The count goes on: "until", then " ;\r\n" waits for one more.
    expect(&tells, &["until"]);
    socket.write_all(b"x").unwrap();
    expect(&tells, &[" ;\r\nx"]);
}

#[test]
fn terminators_change_in_the_middle() {
    let (_thread, address, tells) = chat();
    let mut socket = connect(address);
    socket
        .write_all(b"until ;;\r\na;b;;until \r\n;;c\r\nany\r\nxyz")
        .unwrap();
    expect(&tells, &["connect", "until ;;", "a;b", "until \r\n", "c"]);
    expect(&tells, &["any", "xyz"]);
    socket.write_all(b"more").unwrap();
    let mut rest = String::new();
    while rest != "more" {
        rest.push_str(&next(&tells));
    }
}

/// As in asynchat, zero bytes stand for "whatever comes".
#[test]
fn a_count_of_zero() {
    let (_thread, address, tells) = chat();
    let mut socket = connect(address);
    socket.write_all(b"count 0\r\n").unwrap();
    expect(&tells, &["connect", "count 0"]);
    socket.write_all(b"x").unwrap();
    expect(&tells, &["x"]);
}

#[test]
fn limits() {
    let (_thread, address, tells) = chat();
    let mut socket = connect(address);
    let longest = "x".repeat(100);
    socket.write_all(longest.as_bytes()).unwrap();
    socket.write_all(b"\r\n").unwrap();
    expect(&tells, &["connect", &longest]);
    for size in [101, 5000, 200_000] {
        socket.write_all(&b"y".repeat(size)).unwrap();
        socket.write_all(b"\r\nz\r\n").unwrap();
        expect(&tells, &["too long", "z"]);
    }
}

/// While a peer does not take the output, its input waits.
#[test]
fn back_pressure() {
    let (_thread, address, tells) = chat();
    let mut socket = connect(address);
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(64 << 10)
        .unwrap();
    socket
        .write_all(b"send 8388608\r\nafter\r\ndone\r\n")
        .unwrap();
    expect(&tells, &["connect", "send 8388608"]);
    // Others are served meanwhile, and it is not.
    let mut other = connect(address);
    other.write_all(b"other\r\n").unwrap();
    expect(&tells, &["connect", "other"]);
    drop(other);
    expect(&tells, &["disconnect"]);
    assert!(tells.try_recv().is_err());
    let bytes = read_all(&mut socket);
    assert!(bytes == pattern(1 << 23));
    expect(&tells, &["after", "done", "disconnect"]);
}

#[test]
fn producers() {
    let (_thread, address, tells) = chat();
    let mut socket = connect(address);
    socket
        .write_all(b"produce 300000\r\nproduce 0\r\ndone\r\n")
        .unwrap();
    let bytes = read_all(&mut socket);
    assert_eq!(bytes.len(), 300_000 + 4);
    assert!(bytes.starts_with(b"<11") && bytes.ends_with(b"11><>"));
    expect(&tells, &["connect", "produce 300000", "produce 0", "done"]);
    expect(&tells, &["disconnect"]);
}

#[test]
fn ends_of_conversations() {
    let (thread, address, tells) = chat();
    for line in ["close", "done"] {
        let mut socket = connect(address);
        socket.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        assert_eq!(read_all(&mut socket), b"");
        expect(&tells, &["connect", line, "disconnect"]);
    }
    // The handler panics, and is told the end.
    let mut socket = connect(address);
    socket.write_all(b"panic\r\n").unwrap();
    assert_eq!(read_all(&mut socket), b"");
    expect(&tells, &["connect", "disconnect"]);
    // The peer goes, with a line that is not whole, and by a reset.
    let mut socket = connect(address);
    socket.write_all(b"whole\r\nhalf").unwrap();
    drop(socket);
    expect(&tells, &["connect", "whole", "disconnect"]);
    let socket = connect(address);
    expect(&tells, &["connect"]);
    socket2::SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(socket);
    expect(&tells, &["disconnect"]);
    // Half closed: what was asked for is sent.
    let mut socket = connect(address);
    socket.write_all(b"send 1000000\r\n").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut socket).len(), 1_000_000);
    expect(&tells, &["connect", "send 1000000", "disconnect"]);
    // The loop ends.
    let mut socket = connect(address);
    expect(&tells, &["connect"]);
    drop(thread);
    expect(&tells, &["disconnect"]);
    assert_eq!(read_all(&mut socket), b"");
    assert!(tells.recv().is_err());
}

#[test]
fn a_connector_gives_up_in_time() {
    // Somebody who does not accept, and whose queue is full.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..4 {
        let filler =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address.into());
        fillers.push(filler);
    }
    let (told, tells) = mpsc::channel();
    let mut ioloop = IOLoop::new().unwrap();
    let connector =
        Connector::connect("127.0.0.1", address.port(), 20 * MS, Chat { told }).unwrap();
    ioloop.add(connector);
    ioloop.run().unwrap();
    assert_eq!(tells.iter().collect::<Vec<_>>(), ["disconnect"]);
}

/// A conversation is reached from other threads by its name.
#[test]
fn messages_to_a_conversation() {
    let (told, tells) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = connect(listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    let thread = Thread::start(|_| {});
    let id = thread.ask(move |io| {
        socket.set_nonblocking(true).unwrap();
        let stream = Stream::new(mio::net::TcpStream::from_std(socket));
        io.add(ChatChannel::new(stream, Chat { told }))
    });
    expect(&tells, &["connect"]);
    thread.remote.send(id, Box::new("hello".to_owned()));
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    drop(peer);
    expect(&tells, &["disconnect"]);
    thread.remote.send(id, Box::new("late".to_owned()));
    assert!(thread.ask(|_| true));
}

/// Says hello in a moment, by a message to itself.
struct Later;

impl ChatHandler for Later {
    fn on_connect(&mut self, _chat: &mut AsyncChat, io: &mut Io<'_>) {
        let id = io.id().unwrap();
        io.call_later(MS, move |io| io.send(id, Box::new("hello\r\n")));
    }

    fn found_terminator(&mut self, _chat: &mut AsyncChat, _piece: &[u8]) {}

    fn message(&mut self, chat: &mut AsyncChat, message: Box<dyn Any + Send>) {
        chat.push(message.downcast_ref::<&str>().unwrap().as_bytes());
        chat.close_when_done();
    }
}

#[test]
fn an_accepted_conversation_knows_its_name() {
    let mut ioloop = IOLoop::new().unwrap();
    let acceptor = Acceptor::bind("127.0.0.1", 0, |_| Later).unwrap();
    let address = acceptor.local_addr().unwrap();
    ioloop.add(acceptor);
    let client = std::thread::spawn(move || {
        let mut text = String::new();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.read_to_string(&mut text).unwrap();
        text
    });
    while !client.is_finished() {
        ioloop.turn(Some(MS)).unwrap();
    }
    assert_eq!(client.join().unwrap(), "hello\r\n");
}

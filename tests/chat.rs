//! `AsyncChat` and the channels that start one: as pyftpdlib's `TestAsyncChat`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use ftpdlib::ioloop::{
    Acceptor, AsyncChat, ChatChannel, ChatHandler, Connector, IOLoop, Io, Stream, Terminator,
};
use ftpdlib::producers::{More, Producer};
use testkit::reactor::{MS, Thread};
use testkit::{DEADLINE, FullListener, Socket, next, pattern, read_all};

/// Reports what happens, and does what the pieces ask for.
struct Chat {
    sender: mpsc::Sender<String>,
}

impl Chat {
    fn report(&self, text: impl Into<String>) {
        let _ = self.sender.send(text.into());
    }
}

impl ChatHandler for Chat {
    fn on_connect(&mut self, chat: &mut AsyncChat, _io: &mut Io<'_>) {
        chat.set_limit(100);
        self.report("connect");
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
        self.report(piece);
    }

    fn input_too_long(&mut self, _chat: &mut AsyncChat) {
        self.report("too long");
    }

    fn message(&mut self, chat: &mut AsyncChat, message: Box<dyn Any + Send>) {
        chat.push(message.downcast::<String>().unwrap().as_bytes());
    }

    fn on_disconnect(&mut self) {
        self.report("disconnect");
    }
}

/// Produces ones, some at a time; every other time it produces nothing.
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
    let (sender, events) = mpsc::channel();
    let (bound, address) = mpsc::channel();
    let thread = Thread::start(move |ioloop| {
        let acceptor = Acceptor::bind("127.0.0.1", 0, move |_| Chat {
            sender: sender.clone(),
        })
        .unwrap();
        bound.send(acceptor.local_addr().unwrap()).unwrap();
        ioloop.add(acceptor);
    });
    (thread, address.recv_timeout(DEADLINE).unwrap(), events)
}

fn connect(address: SocketAddr) -> Socket {
    testkit::connect_data(address)
}

#[track_caller]
fn expect(events: &mpsc::Receiver<String>, texts: &[&str]) {
    for text in texts {
        assert_eq!(&next(events), text);
    }
}

#[test]
fn terminators() {
    let (_thread, address, events) = chat();
    let mut socket = connect(address);
    socket
        .write_all(b"a\r\n\r\nb\r\ncount 5\r\n12345\r\n678until ;\r\n")
        .unwrap();
    expect(&events, &["connect", "a", "", "b", "count 5"]);
    expect(&events, &["12345", "\r\n678"]);
    // The count includes what follows: after "until", " ;\r\n" needs one more byte.
    expect(&events, &["until"]);
    socket.write_all(b"x").unwrap();
    expect(&events, &[" ;\r\nx"]);
}

#[test]
fn terminators_change_in_the_middle() {
    let (_thread, address, events) = chat();
    let mut socket = connect(address);
    socket
        .write_all(b"until ;;\r\na;b;;until \r\n;;c\r\nany\r\nxyz")
        .unwrap();
    expect(&events, &["connect", "until ;;", "a;b", "until \r\n", "c"]);
    expect(&events, &["any", "xyz"]);
    socket.write_all(b"more").unwrap();
    let mut rest = String::new();
    while rest != "more" {
        rest.push_str(&next(&events));
    }
}

/// As in asynchat, a count of zero bytes accepts whatever comes.
#[test]
fn a_count_of_zero() {
    let (_thread, address, events) = chat();
    let mut socket = connect(address);
    socket.write_all(b"count 0\r\n").unwrap();
    expect(&events, &["connect", "count 0"]);
    socket.write_all(b"x").unwrap();
    expect(&events, &["x"]);
}

#[test]
fn limits() {
    let (_thread, address, events) = chat();
    let mut socket = connect(address);
    let longest = "x".repeat(100);
    socket.write_all(longest.as_bytes()).unwrap();
    socket.write_all(b"\r\n").unwrap();
    expect(&events, &["connect", &longest]);
    for size in [101, 5000, 200_000] {
        socket.write_all(&b"y".repeat(size)).unwrap();
        socket.write_all(b"\r\nz\r\n").unwrap();
        expect(&events, &["too long", "z"]);
    }
}

/// While a peer does not read the output, its input waits.
#[test]
fn back_pressure() {
    let (_thread, address, events) = chat();
    let mut socket = connect(address);
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(64 << 10)
        .unwrap();
    socket
        .write_all(b"send 8388608\r\nafter\r\ndone\r\n")
        .unwrap();
    expect(&events, &["connect", "send 8388608"]);
    // Other peers are served meanwhile; this one is not.
    let mut other = connect(address);
    other.write_all(b"other\r\n").unwrap();
    expect(&events, &["connect", "other"]);
    drop(other);
    expect(&events, &["disconnect"]);
    assert!(events.try_recv().is_err());
    let bytes = read_all(&mut socket);
    assert!(bytes == pattern(1 << 23));
    expect(&events, &["after", "done", "disconnect"]);
}

#[test]
fn producers() {
    let (_thread, address, events) = chat();
    let mut socket = connect(address);
    socket
        .write_all(b"produce 300000\r\nproduce 0\r\ndone\r\n")
        .unwrap();
    let bytes = read_all(&mut socket);
    assert_eq!(bytes.len(), 300_000 + 4);
    assert!(bytes.starts_with(b"<11") && bytes.ends_with(b"11><>"));
    expect(&events, &["connect", "produce 300000", "produce 0", "done"]);
    expect(&events, &["disconnect"]);
}

#[test]
fn ends_of_conversations() {
    let (thread, address, events) = chat();
    for line in ["close", "done"] {
        let mut socket = connect(address);
        socket.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        assert_eq!(read_all(&mut socket), b"");
        expect(&events, &["connect", line, "disconnect"]);
    }
    // The handler panics and is notified of the end.
    let mut socket = connect(address);
    socket.write_all(b"panic\r\n").unwrap();
    assert_eq!(read_all(&mut socket), b"");
    expect(&events, &["connect", "disconnect"]);
    // The peer closes after an incomplete line, and with a reset.
    let mut socket = connect(address);
    socket.write_all(b"whole\r\nhalf").unwrap();
    drop(socket);
    expect(&events, &["connect", "whole", "disconnect"]);
    let socket = connect(address);
    expect(&events, &["connect"]);
    socket2::SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(socket);
    expect(&events, &["disconnect"]);
    // Half closed: the requested bytes are still sent.
    let mut socket = connect(address);
    socket.write_all(b"send 1000000\r\n").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut socket).len(), 1_000_000);
    expect(&events, &["connect", "send 1000000", "disconnect"]);
    // The loop ends.
    let mut socket = connect(address);
    expect(&events, &["connect"]);
    drop(thread);
    expect(&events, &["disconnect"]);
    assert_eq!(read_all(&mut socket), b"");
    assert!(events.recv().is_err());
}

#[test]
fn a_connector_gives_up_in_time() {
    let full = FullListener::new();
    let (sender, events) = mpsc::channel();
    let mut ioloop = IOLoop::new().unwrap();
    let connector =
        Connector::connect("127.0.0.1", full.address.port(), 20 * MS, Chat { sender }).unwrap();
    ioloop.add(connector);
    ioloop.run().unwrap();
    assert_eq!(events.iter().collect::<Vec<_>>(), ["disconnect"]);
}

/// Other threads reach a conversation by its id.
#[test]
fn messages_to_a_conversation() {
    let (sender, events) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = connect(listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    let thread = Thread::start(|_| {});
    let id = thread.ask(move |io| {
        socket.set_nonblocking(true).unwrap();
        let stream = Stream::new(mio::net::TcpStream::from_std(socket.into_tcp()));
        io.add(ChatChannel::new(stream, Chat { sender }))
    });
    expect(&events, &["connect"]);
    thread.remote.send(id, Box::new("hello".to_owned()));
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    drop(peer);
    expect(&events, &["disconnect"]);
    thread.remote.send(id, Box::new("late".to_owned()));
    assert!(thread.ask(|_| true));
}

/// Sends a greeting a moment later, by a message to itself.
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

//! A whole server in memory, and its clients.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ftpdlib::handlers::StockHandler;
use ftpdlib::testing::{Server, Stream};
use ftpdlib::{FTPConfig, FTPHandler, FTPSession};

use super::place::place;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

pub(super) fn server(config: FTPConfig, seed: u64) -> Server {
    let address = at("10.0.0.1:21");
    Server::new(config, address, seed, |_| StockHandler).unwrap()
}

/// A client of a server.
pub(super) struct Client<'a> {
    pub(super) server: &'a Server,
    pub(super) stream: Stream,
    ip: &'static str,
}

impl<'a> Client<'a> {
    pub(super) fn new(server: &'a Server, ip: &'static str) -> Self {
        let from = at(&format!("{ip}:0"));
        let stream = server.connect(from, server.address()).unwrap();
        Self { server, stream, ip }
    }

    /// A client that is logged in.
    pub(super) fn login(server: &'a Server, ip: &'static str) -> Self {
        let client = Self::new(server, ip);
        let greeting = client.receive();
        assert!(greeting.starts_with("220 "), "{greeting}");
        client.command("USER user");
        let reply = client.command("PASS 12345");
        assert!(reply.starts_with("230 "), "{reply}");
        client
    }

    pub(super) fn send(&self, line: &str) {
        let line = format!("{line}\r\n");
        assert_eq!(self.stream.write(line.as_bytes()).unwrap(), line.len());
    }

    /// All that has come since the last call, without its last CRLF.
    pub(super) fn receive(&self) -> String {
        self.server.settle();
        let received = String::from_utf8(read(&self.stream)).unwrap();
        received.trim_end().to_owned()
    }

    pub(super) fn command(&self, line: &str) -> String {
        self.send(line);
        self.receive()
    }

    /// Sends PASV, and connects to the port of the reply.
    pub(super) fn passive(&self) -> Stream {
        let mut to = self.server.address();
        to.set_port(port(&self.command("PASV")));
        let from = at(&format!("{}:0", self.ip));
        let data = self.server.connect(from, to).unwrap();
        self.server.settle();
        data
    }

    /// Downloads what a command sends.
    pub(super) fn download(&self, command: &str) -> String {
        let data = self.passive();
        let opened = self.command(command);
        assert!(opened.starts_with("125 "), "{opened}");
        let bytes = read(&data);
        drop(data);
        assert_eq!(self.receive(), "226 Transfer complete.");
        String::from_utf8(bytes).unwrap()
    }
}

/// Reads all that has come.
pub(super) fn read(stream: &Stream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 100]);
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        all.extend(&buffer[..size]);
    }
    all
}

/// The port in a reply to PASV.
pub(super) fn port(reply: &str) -> u16 {
    let numbers = reply.trim_end_matches(").").rsplit(',');
    let numbers: Vec<u16> = numbers.take(2).map(|x| x.parse().unwrap()).collect();
    numbers[1] * 256 + numbers[0]
}

// --- clients

#[test]
fn clients_of_one_server() {
    let place = place();
    let server = server(place.config.clone(), 1);
    let clients: Vec<_> = (0..50)
        .map(|_| Client::login(&server, "10.0.0.2"))
        .collect();
    assert_eq!((server.sessions(), server.open_sockets()), (50, 50));
    let uploads: Vec<_> = (clients.iter().enumerate())
        .map(|(number, client)| {
            let data = client.passive();
            let reply = client.command(&format!("STOR {number}"));
            assert!(reply.starts_with("125 "), "{reply}");
            data
        })
        .collect();
    assert_eq!((server.open_sockets(), server.slots()), (100, 100));
    for (number, upload) in uploads.iter().enumerate() {
        upload
            .write(format!("bytes of {number}").as_bytes())
            .unwrap();
    }
    drop(uploads);
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.receive(), "226 Transfer complete.");
        let expected = format!("bytes of {number}");
        assert_eq!(place.read(&number.to_string()), expected.as_bytes());
    }
    assert!(server.timers() > 0);
    for client in &clients {
        client.send("QUIT");
    }
    server.settle();
    assert_eq!((server.sessions(), server.open_sockets()), (0, 0));
    assert_eq!((server.slots(), server.timers()), (0, 0));
    for client in &clients {
        assert_eq!(client.receive(), "221 Goodbye.");
        assert!(client.stream.is_closed());
    }
}

#[test]
fn active_mode() {
    let place = place();
    place.write("file", b"abc");
    let server = server(place.config, 1);
    let client = Client::login(&server, "10.0.0.2");
    let listener = server.listen(at("10.0.0.2:0")).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let port = listener.local_addr().port();
    client.send(&format!("PORT 10,0,0,2,{},{}", port / 256, port % 256));
    client.send("RETR file");
    server.settle();
    let (data, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), server.address().ip());
    assert_eq!(data.local_addr(), listener.local_addr());
    assert_eq!(read(&data), b"abc");
    // Nobody listens any more.
    drop(listener);
    drop(data);
    client.receive();
    let refused = client.command(&format!("PORT 10,0,0,2,{},{}", port / 256, port % 256));
    assert_eq!(refused, "425 Can't connect to specified address.");
}

/// A client that does not read keeps the server waiting, with few bytes in memory.
#[test]
fn a_small_buffer() {
    let place = place();
    place.write("file", &vec![b'x'; 1 << 20]);
    let server = server(place.config, 1);
    let client = Client::login(&server, "10.0.0.2");
    let data = client.passive();
    data.set_capacity(100);
    assert!(client.command("RETR file").starts_with("125 "));
    assert_eq!(read(&data).len(), 100);
    assert!((1..=128 * 1024).contains(&server.queued_bytes()));
    data.set_capacity(1 << 20);
    server.settle();
    assert_eq!(read(&data).len(), (1 << 20) - 100);
    assert_eq!(server.queued_bytes(), 0);
}

#[test]
fn urgent_data() {
    let place = place();
    let server = server(place.config, 1);
    let client = Client::login(&server, "10.0.0.2");
    let data = client.passive();
    assert!(client.command("STOR file").starts_with("125 "));
    // As clients send it: the interrupt of telnet, and a mark that is urgent.
    let line = b"\xff\xf4\xff\xf2ABOR\r\n";
    assert_eq!(client.stream.write_urgent(&line[..3]).unwrap(), 3);
    server.settle();
    client.stream.write(&line[3..]).unwrap();
    assert_eq!(
        client.receive(),
        "426 Transfer aborted via ABOR.\r\n226 ABOR command successful."
    );
    drop(data);
    assert_eq!(client.command("NOOP"), "200 I successfully did nothing'.");
}

#[test]
fn connections_that_nobody_accepts() {
    let server = server(place().config, 1);
    let from = at("10.0.0.2:0");
    let refused = server.connect(from, at("10.0.0.1:22")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let unanswered = server.connect(from, at("10.0.0.9:21")).unwrap();
    server.settle();
    let refused = unanswered.write(b"x").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(unanswered.peer_addr().is_err());
    server.close();
    let refused = server.connect(from, server.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

// --- limits

#[test]
fn limits() {
    let place = place();
    let mut server = server(place.config, 1);
    server.set_max_cons(4);
    server.set_max_cons_per_ip(2);
    server.set_max_cons_per_user(2);
    let [first, second] = [(); 2].map(|()| Client::login(&server, "10.0.0.2"));
    let third = Client::new(&server, "10.0.0.2");
    assert_eq!(
        third.receive(),
        "421 Too many connections from the same IP address."
    );
    let other = Client::new(&server, "10.0.0.3");
    other.receive();
    other.command("USER user");
    assert_eq!(
        other.command("PASS 12345"),
        "530 Too many connections of this user."
    );
    assert!(other.stream.is_closed());
    drop((third, other));
    // A user who has logged out has room again.
    first.command("REIN");
    let other = Client::login(&server, "10.0.0.3");
    // The listening socket counts, as in pyftpdlib.
    let last = Client::new(&server, "10.0.0.4");
    assert_eq!(
        last.receive(),
        "421 Too many connections. Service temporarily unavailable."
    );
    assert_eq!((server.sessions(), server.slots()), (3, 3));
    drop(second);
    assert!(
        Client::login(&server, "10.0.0.4")
            .stream
            .peer_addr()
            .is_ok()
    );
    drop(other);
}

// --- time

/// Reports the date at which a client has connected.
struct Dated;

impl FTPHandler for Dated {
    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let since = s.started().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        s.respond(format!("200 {}", since.as_secs()));
    }
}

#[test]
fn the_date() {
    let place = place();
    place.write("file", b"abc");
    let file = std::fs::File::open(place.home.path().join("file")).unwrap();
    let date = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(date(1_577_836_800)).unwrap();
    let server = Server::new(place.config, at("10.0.0.1:21"), 1, |_| Dated).unwrap();
    assert_eq!(server.date(), date(1_577_836_800));
    let early = Client::login(&server, "10.0.0.2");
    assert!(early.download("LIST").contains("Jan  1 00:00 file"));
    // It goes with the clock.
    server.set_now(server.now() + 365 * 86_400 * SECOND);
    let late = Client::login(&server, "10.0.0.2");
    assert!(late.download("LIST").contains("Jan  1  2020 file"));
    assert_eq!(late.command("NOOP"), "200 1609372800");
    server.set_date(date(1_000_000_000));
    assert_eq!(server.date(), date(1_000_000_000));
    let last = Client::login(&server, "10.0.0.2");
    assert_eq!(last.command("NOOP"), "200 1000000000");
}

#[test]
fn deadlines() {
    let server = server(place().config, 1);
    assert_eq!(
        (server.next_deadline(), server.now()),
        (None, Duration::ZERO)
    );
    let client = Client::login(&server, "10.0.0.2");
    assert_eq!(server.next_deadline(), Some(300 * SECOND));
    server.set_now(299 * SECOND);
    assert!(server.is_at_rest());
    assert_eq!(client.command("NOOP"), "200 I successfully did nothing'.");
    // The clock does not go back.
    server.set_now(SECOND);
    assert_eq!(server.now(), 299 * SECOND);
    server.set_now(599 * SECOND);
    assert!(!server.is_at_rest());
    assert_eq!(client.receive(), "421 Control connection timed out.");
}

// --- the end

#[test]
fn drain() {
    let place = place();
    let server = server(place.config.clone(), 1);
    let [idle, busy] = [(); 2].map(|()| Client::login(&server, "10.0.0.2"));
    let data = busy.passive();
    assert!(busy.command("STOR file").starts_with("125 "));
    server.drain();
    assert_eq!(idle.receive(), "421 Service is shutting down.");
    assert!(server.connect(at("10.0.0.2:0"), server.address()).is_err());
    assert_eq!((server.sessions(), busy.receive()), (1, String::new()));
    data.write(b"abc").unwrap();
    drop(data);
    let replies = "226 Transfer complete.\r\n421 Service is shutting down.";
    assert_eq!(busy.receive(), replies);
    assert_eq!((server.sessions(), server.open_sockets()), (0, 0));
    assert_eq!(place.read("file"), b"abc");
}

#[test]
fn close() {
    let place = place();
    let server = server(place.config, 1);
    let client = Client::login(&server, "10.0.0.2");
    let data = client.passive();
    client.command("STOR file");
    server.close();
    assert_eq!((server.sessions(), server.open_sockets()), (0, 0));
    assert_eq!((server.slots(), server.timers()), (0, 0));
    assert!(client.stream.is_closed() && data.is_closed());
}

/// The transfer that waits is replaced while the connection for it is there already.
#[test]
fn a_connection_for_the_transfer_that_replaces_another() {
    let place = place();
    let server = server(place.config.clone(), 1);
    let client = Client::login(&server, "10.0.0.2");
    for first in ["MLSD", "RETR a", "STOR b"] {
        place.write("a", b"x");
        let reply = client.command(first);
        assert!(reply.starts_with("150 "), "{reply}");
        let to = SocketAddr::new(server.address().ip(), port(&client.command("PASV")));
        // The server sees the command first.
        client.send("STOR f");
        let data = server.connect(at("10.0.0.2:0"), to).unwrap();
        assert_eq!(data.write(b"bytes").unwrap(), 5);
        data.shutdown();
        let replies = client.receive();
        let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["426", "150", "226"], "{replies}");
        assert_eq!(place.read("f"), b"bytes");
    }
}

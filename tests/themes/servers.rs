//! The server as a whole: as pyftpdlib's `TestFTPServer`; also on a loop with other channels, and
//! as a process that ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ftpdlib::FTPServer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::ioloop::{Acceptor, AsyncChat, ChatHandler, Connector, Io};
use testkit::{Client, DEADLINE, Server, await_refusal, config};

use crate::MODE;

fn bind(host: &str) -> (FTPServer, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let config = config(MODE, home.path());
    let server = FTPServer::bind_with(host, 0, 10, config, |_| StockHandler).unwrap();
    (server, home)
}

/// Turns the server on this thread while the client runs on another.
fn turn_while<T: Send + 'static>(
    server: &mut FTPServer,
    client: impl FnOnce() -> T + Send + 'static,
) -> T {
    let client = std::thread::spawn(client);
    let end = Instant::now() + DEADLINE;
    while !client.is_finished() {
        server.turn(Some(Duration::from_millis(5))).unwrap();
        assert!(Instant::now() < end, "not in time");
    }
    client.join().unwrap()
}

#[test]
fn address() {
    let (server, _home) = bind("127.0.0.1");
    assert_eq!(server.address().ip().to_string(), "127.0.0.1");
    assert_ne!(server.address().port(), 0);
    let (server, _home) = bind("::1");
    assert!(server.address().is_ipv6());
    let (server, _home) = bind("localhost");
    assert!(server.address().ip().is_loopback());
    let (server, _home) = bind("");
    assert!(server.address().ip().is_unspecified());
}

#[test]
fn addresses_as_text() {
    let home = tempfile::tempdir().unwrap();
    let bind =
        |address: &str| FTPServer::bind(address, config(MODE, home.path()), |_| StockHandler);
    for good in ["127.0.0.1:0", "[::1]:0", ":0", "[::]:0", "localhost:0"] {
        assert!(bind(good).is_ok(), "{good}");
    }
    for bad in ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"] {
        assert!(bind(bad).is_err(), "{bad}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let err = bind(&taken.local_addr().unwrap().to_string()).unwrap_err();
    assert_eq!(err.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn sock_instead_of_addr() {
    let home = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let config = config(MODE, home.path());
    let mut server = FTPServer::from_listener(socket, config, |_| StockHandler).unwrap();
    assert_eq!(server.address(), address);
    turn_while(&mut server, move || {
        Client::connect_in(MODE, address).expect_reply(220);
    });
}

#[test]
fn close_all() {
    let (mut server, _home) = bind("127.0.0.1");
    let address = server.address();
    let mut client = turn_while(&mut server, move || {
        let mut client = Client::connect_in(MODE, address);
        client.expect_reply(220);
        client.login(testkit::USER, testkit::PASSWORD);
        client
    });
    server.close_all();
    client.expect_eof();
    await_refusal(address);
    assert!(server.ioloop().is_empty());
    // Closing it again has no effect.
    server.close_all();
    server.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn dropped() {
    let (server, _home) = bind("127.0.0.1");
    let address = server.address();
    drop(server);
    await_refusal(address);
}

/// In the user's own loop, which learns when to turn next.
#[test]
fn turn() {
    let (mut server, _home) = bind("127.0.0.1");
    assert_eq!(server.turn(Some(Duration::ZERO)).unwrap(), None);
    let address = server.address();
    let _client = turn_while(&mut server, move || {
        let mut client = Client::connect_in(MODE, address);
        client.expect_reply(220);
        client.login(testkit::USER, testkit::PASSWORD);
        client.download("LIST");
        client
    });
    // The idle time-out of the client is a deadline.
    let next = server.turn(Some(Duration::ZERO)).unwrap().unwrap();
    assert!(next <= Duration::from_secs(300));
}

/// Sends each line back.
struct Echo;

impl ChatHandler for Echo {
    fn on_connect(&mut self, chat: &mut AsyncChat, _io: &mut Io<'_>) {
        chat.push(b"hello\r\n");
    }

    fn found_terminator(&mut self, chat: &mut AsyncChat, piece: &[u8]) {
        chat.push(piece);
        chat.push(b"\r\n");
        if piece == b"bye" {
            chat.close_when_done();
        }
    }
}

#[test]
fn another_protocol_on_the_same_loop() {
    let (sender, port) = mpsc::channel();
    let set_up = move |server: &mut FTPServer| {
        let echo = Acceptor::bind("127.0.0.1", 0, |_peer| Echo).unwrap();
        sender.send(echo.local_addr().unwrap()).unwrap();
        server.ioloop().add(echo);
    };
    let server = Server::build(MODE, "127.0.0.1", |_| {}, set_up, |_| StockHandler);
    let echo = port.recv_timeout(DEADLINE).unwrap();
    let mut client = server.login();
    let mut chats: Vec<_> = (0..5).map(|_| Client::connect_in(MODE, echo)).collect();
    for chat in &mut chats {
        assert_eq!(chat.line().unwrap(), b"hello");
        chat.send("a\r\nb\r\n");
        client.expect(257, "PWD");
        assert_eq!(chat.line().unwrap(), b"a");
        assert_eq!(chat.line().unwrap(), b"b");
    }
    for chat in &mut chats {
        chat.send("bye\r\nno more\r\n");
        assert_eq!(chat.line().unwrap(), b"bye");
        chat.expect_eof();
    }
    client.expect(257, "PWD");
}

/// A client on the loop, which reports the lines that come.
struct Caller(mpsc::Sender<String>);

impl ChatHandler for Caller {
    fn on_connect(&mut self, chat: &mut AsyncChat, _io: &mut Io<'_>) {
        assert!(chat.stream().peer_addr().is_ok());
        chat.push(b"NOOP\r\nQUIT\r\n");
    }

    fn found_terminator(&mut self, _chat: &mut AsyncChat, piece: &[u8]) {
        let line = String::from_utf8_lossy(piece).into_owned();
        self.0.send(line).unwrap();
    }

    fn on_disconnect(&mut self) {
        self.0.send("gone".to_owned()).unwrap();
    }
}

#[test]
fn connector() {
    let (sender, lines) = mpsc::channel();
    let (mut server, _home) = bind("127.0.0.1");
    let port = server.address().port();
    let caller = Connector::connect("127.0.0.1", port, DEADLINE, Caller(sender)).unwrap();
    server.ioloop().add(caller);
    let lines = turn_while(&mut server, move || {
        let mut all = Vec::new();
        while let Ok(line) = lines.recv_timeout(DEADLINE) {
            all.push(line);
        }
        all
    });
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("220 "), "{lines:?}");
    assert!(lines[1].starts_with("200 "), "{lines:?}");
    assert!(lines[2].starts_with("221 "), "{lines:?}");
    assert_eq!(lines[3], "gone");
}

#[test]
fn connector_that_is_refused() {
    let (sender, lines) = mpsc::channel();
    let (mut server, _home) = bind("127.0.0.1");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    // At once or by an event: the handler is notified.
    if let Ok(caller) = Connector::connect("127.0.0.1", port, DEADLINE, Caller(sender)) {
        server.ioloop().add(caller);
        let lines = turn_while(&mut server, move || lines.iter().collect::<Vec<_>>());
        assert_eq!(lines, ["gone"]);
    }
    assert_eq!(server.ioloop().len(), 1);
}

#[cfg(feature = "cli")]
mod process {
    use std::io::{BufRead, BufReader, Read};
    use std::net::SocketAddr;
    use std::process::{Child, ChildStderr, Command, Stdio};

    use testkit::{Client, await_refusal, tls_args};

    use crate::MODE;
    use crate::themes::FTPDLIB;

    /// The program, and the address in its log.
    struct Process {
        child: Child,
        address: SocketAddr,
        log: Option<BufReader<ChildStderr>>,
        _home: tempfile::TempDir,
        _certfile: Option<tempfile::NamedTempFile>,
    }

    impl Process {
        fn start() -> Self {
            let home = tempfile::tempdir().unwrap();
            let certfile = MODE.is_secure().then(testkit::certfile);
            let mut child = Command::new(FTPDLIB)
                .args(["-i", "127.0.0.1", "-p", "0", "-d"])
                .arg(home.path())
                .args(tls_args(certfile.as_ref()))
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut log = BufReader::new(child.stderr.take().unwrap());
            let address = loop {
                let mut line = String::new();
                assert_ne!(log.read_line(&mut line).unwrap(), 0, "it has ended");
                if let Some((_, rest)) = line.split_once(">>> starting FTP server on ") {
                    break rest.split(',').next().unwrap().parse().unwrap();
                }
            };
            Self {
                child,
                address,
                log: Some(log),
                _home: home,
                _certfile: certfile,
            }
        }

        fn signal(&self, name: &str) {
            let pid = self.child.id();
            let kill = format!("kill -{name} {pid}");
            let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
            assert!(status.success());
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn serve_forever_ends_by_a_signal() {
        for signal in ["TERM", "INT"] {
            let mut process = Process::start();
            let mut client = Client::connect_in(MODE, process.address);
            client.expect_reply(220);
            client.login("anonymous", "");
            let mut data = client.pasv();
            process.signal(signal);
            client.expect_reply(421);
            client.expect_eof();
            let mut rest = Vec::new();
            let _ = data.read_to_end(&mut rest);
            let status = process.child.wait().unwrap();
            assert_eq!(status.code(), Some(0), "{signal}");
            let mut log = String::new();
            let mut rest = process.log.take().unwrap();
            rest.read_to_string(&mut log).unwrap();
            assert!(log.contains(">>> shutting down FTP server, pid="), "{log}");
            await_refusal(process.address);
        }
    }

    /// The program goes on even when standard error is closed.
    #[test]
    fn a_log_that_nobody_reads() {
        let mut process = Process::start();
        drop(process.log.take());
        for _ in 0..3 {
            let mut client = Client::connect_in(MODE, process.address);
            client.expect_reply(220);
            client.login("anonymous", "");
            client.expect(221, "QUIT");
            client.expect_eof();
        }
        process.signal("TERM");
        assert_eq!(process.child.wait().unwrap().code(), Some(0));
    }
}

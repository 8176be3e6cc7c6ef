//! A server on a thread of its own, and a client of the standard library.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::missing_panics_doc, reason = "it is for tests only")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer};

/// A server that ends when the value is dropped.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `home` to `user`, whose password is `12345`.
    #[must_use]
    pub fn start(home: &Path, change: impl FnOnce(&mut FTPConfig)) -> Self {
        let users = DummyAuthorizer::new();
        users.add_user("user", "12345", home, "elradfmwMT").unwrap();
        let mut config = FTPConfig::default();
        config.set_authorizer(users);
        change(&mut config);
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let (tell, address) = mpsc::channel();
        let thread = thread::spawn(move || {
            let server = FTPServer::bind("127.0.0.1:0", config, |_peer| StockHandler);
            let mut server = server.unwrap();
            tell.send(server.address()).unwrap();
            while !ends.load(Relaxed) {
                server.turn(Some(Duration::from_millis(20))).unwrap();
            }
        });
        Self {
            address: address.recv().unwrap(),
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(
            ended.is_ok() || thread::panicking(),
            "the server has panicked"
        );
    }
}

/// Connects, with a time limit for each read and write.
#[must_use]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// A control connection: in clear, or under TLS.
#[derive(Debug)]
pub struct Control<S>(BufReader<S>);

impl<S: Read + Write> Control<S> {
    /// Takes the connection.
    pub fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Gives the connection back.
    pub fn into_inner(self) -> S {
        assert!(self.0.buffer().is_empty());
        self.0.into_inner()
    }

    /// Reads a reply, whose code must begin so. Returns its last line.
    #[track_caller]
    pub fn expect(&mut self, code: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "no reply");
            if line.as_bytes().get(3) == Some(&b' ') && !line.starts_with(' ') {
                break;
            }
        }
        assert!(line.starts_with(code), "{line}");
        line.trim_end().to_owned()
    }

    pub fn send(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub fn command(&mut self, line: &str, code: &str) -> String {
        self.send(line);
        self.expect(code)
    }

    #[track_caller]
    pub fn login(&mut self) {
        self.command("USER user", "331");
        self.command("PASS 12345", "230");
        self.command("TYPE I", "200");
    }

    /// Asks for a port of the server, with EPSV, and connects to it.
    #[track_caller]
    pub fn open_data(&mut self, server: SocketAddr) -> TcpStream {
        let reply = self.command("EPSV", "229");
        let port = reply.split('|').nth(3).unwrap().parse().unwrap();
        connect(SocketAddr::new(server.ip(), port))
    }
}

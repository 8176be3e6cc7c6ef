//! What the tests over sockets share: a server in a thread, on a port of the
//! system's choice and with a directory of its own; and a client that waits for
//! each reply no longer than a deadline.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod log;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::ioloop::Remote;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer};
use tempfile::TempDir;

pub const USER: &str = "user";
pub const PASSWORD: &str = "12345";

/// How long anything may take before the test has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A server that serves a directory of its own until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub home: TempDir,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// With the stock handler and the configuration of the tests.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// With a configuration that `change` has changed.
    pub fn with(change: impl FnOnce(&mut FTPConfig) + Send + 'static) -> Self {
        Self::build("127.0.0.1", change, |_| {}, |_| StockHandler)
    }

    /// With a handler of one's own.
    pub fn with_handler<H, F>(
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
        factory: F,
    ) -> Self
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + Send + 'static,
    {
        Self::build("127.0.0.1", change, |_| {}, factory)
    }

    /// On `host`; `set_up` gets the server before it runs.
    pub fn build<H, F>(
        host: &str,
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
        set_up: impl FnOnce(&mut FTPServer) + Send + 'static,
        factory: F,
    ) -> Self
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + Send + 'static,
    {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_owned();
        let host = host.to_owned();
        let (started, start) = mpsc::channel();
        let lines = log::kept();
        let thread = std::thread::spawn(move || {
            log::hand_on(lines);
            let mut config = test_config(&root);
            change(&mut config);
            let mut server = FTPServer::bind_with(&host, 0, 100, config, factory).unwrap();
            set_up(&mut server);
            let remote = server.ioloop().remote();
            started.send((server.address(), remote)).unwrap();
            server.ioloop().run().unwrap();
            server.close_all();
        });
        let (address, remote) = start.recv_timeout(DEADLINE).unwrap();
        Self {
            address,
            home,
            remote,
            thread: Some(thread),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A client that has read the greeting.
    pub fn connect(&self) -> Client {
        let mut client = Client::connect(self.connect_address());
        assert_eq!(client.reply().0, 220);
        client
    }

    /// A client that is logged in with all permissions, in TYPE I.
    pub fn login(&self) -> Client {
        let mut client = self.connect();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client
    }

    /// Keeps the server busy with `work`, in which it does nothing else.
    pub fn busy(&self, work: impl FnOnce() + Send + 'static) {
        let (started, start) = mpsc::channel();
        self.remote.call(move |_io| {
            started.send(()).unwrap();
            work();
        });
        start.recv_timeout(DEADLINE).unwrap();
    }

    /// Where to connect to: not to "all addresses".
    pub fn connect_address(&self) -> SocketAddr {
        match self.address.ip() {
            ip if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.address.port())
            }
            ip => SocketAddr::new(ip, self.address.port()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.remote.call(|io| io.stop());
        let result = self.thread.take().unwrap().join();
        if result.is_err() && !std::thread::panicking() {
            panic!("the server panicked");
        }
    }
}

/// All permissions for `user`, reading for anonymous, and no pause after a
/// wrong password.
pub fn test_config(home: &Path) -> FTPConfig {
    let mut authorizer = DummyAuthorizer::new();
    authorizer
        .add_user(USER, PASSWORD, home, "elradfmwMT")
        .unwrap();
    authorizer.add_anonymous(home).unwrap();
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.auth_failed_timeout = Duration::from_millis(1);
    config
}

/// A reply: its code, and all of its text with line breaks as they came.
pub type Reply = (u16, String);

/// A control connection.
pub struct Client {
    pub socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Without reading the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::from_socket(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
    }

    pub fn from_socket(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// The next line, without CRLF; `None` when the server has closed.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return Some(line);
            }
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(size) => self.buffer.extend_from_slice(&chunk[..size]),
                Err(err) if err.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(err) => panic!("no reply: {err}"),
            }
        }
    }

    /// The next reply; `None` when the server has closed.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        let mut reply = text(&self.line()?);
        let code: u16 = reply
            .get(..3)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("no reply: {reply:?}"));
        if reply.as_bytes().get(3) == Some(&b'-') {
            let end = format!("{code} ");
            loop {
                let line = text(&self.line()?);
                reply.push_str("\r\n");
                reply.push_str(&line);
                if line.starts_with(&end) {
                    break;
                }
            }
        }
        Some((code, reply))
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("the server has closed")
    }

    pub fn command(&mut self, command: impl AsRef<[u8]>) -> Reply {
        self.send([command.as_ref(), b"\r\n"].concat());
        self.reply()
    }

    /// Sends a command and checks the code of its reply, which is returned.
    #[track_caller]
    pub fn expect(&mut self, code: u16, command: impl AsRef<[u8]>) -> String {
        let command = command.as_ref();
        let reply = self.command(command);
        assert_eq!(
            reply.0,
            code,
            "{} -> {}",
            String::from_utf8_lossy(command),
            reply.1
        );
        reply.1
    }

    #[track_caller]
    pub fn expect_reply(&mut self, code: u16) -> String {
        let reply = self.reply();
        assert_eq!(reply.0, code, "{}", reply.1);
        reply.1
    }

    /// That the server has closed, and said no more before.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        let line = self.line();
        assert!(
            line.is_none(),
            "{:?}",
            line.map(|line| String::from_utf8_lossy(&line).into_owned())
        );
    }

    pub fn login(&mut self, user: &str, password: &str) {
        self.expect(331, format!("USER {user}"));
        self.expect(230, format!("PASS {password}"));
    }

    /// Whether the server has sent nothing that was not read yet.
    pub fn is_silent(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        let nothing = peeked.is_err_and(|err| err.kind() == io::ErrorKind::WouldBlock);
        self.buffer.is_empty() && nothing
    }

    /// A data connection by PASV.
    pub fn pasv(&mut self) -> TcpStream {
        let reply = self.expect(227, "PASV");
        connect_data(parse_227(&reply))
    }

    /// A data connection by EPSV.
    pub fn epsv(&mut self) -> TcpStream {
        let reply = self.expect(229, "EPSV");
        let ip = self.socket.peer_addr().unwrap().ip();
        connect_data(SocketAddr::new(ip, parse_229(&reply)))
    }

    /// A data connection by PORT.
    pub fn port(&mut self) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        self.expect(200, format!("PORT 127,0,0,1,{},{}", port / 256, port % 256));
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// Begins a transfer, whether its data connection was accepted already or not.
    #[track_caller]
    pub fn begin(&mut self, command: impl AsRef<[u8]>) -> String {
        let reply = self.command(command);
        assert!(matches!(reply.0, 125 | 150), "{}", reply.1);
        reply.1
    }

    /// Fetches by PASV and the command given.
    #[track_caller]
    pub fn download(&mut self, command: impl AsRef<[u8]>) -> Vec<u8> {
        let mut data = self.pasv();
        let reply = self.command(command);
        assert!(matches!(reply.0, 125 | 150), "{}", reply.1);
        let bytes = read_all(&mut data);
        self.expect_reply(226);
        bytes
    }

    /// Lists by EPSV, for IPv6.
    #[track_caller]
    pub fn download_epsv(&mut self) -> Vec<u8> {
        let mut data = self.epsv();
        self.begin("NLST");
        let bytes = read_all(&mut data);
        self.expect_reply(226);
        bytes
    }

    /// Stores by PASV and the command given; returns its first reply.
    #[track_caller]
    pub fn upload(&mut self, command: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> String {
        let mut data = self.pasv();
        let reply = self.command(command);
        assert!(matches!(reply.0, 125 | 150), "{}", reply.1);
        data.write_all(bytes.as_ref()).unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        drop(data);
        self.expect_reply(226);
        reply.1
    }

    /// The lines of a listing by PASV and the command given.
    #[track_caller]
    pub fn lines(&mut self, command: impl AsRef<[u8]>) -> Vec<String> {
        let bytes = self.download(command);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }
}

/// The address in a reply to PASV.
pub fn parse_227(reply: &str) -> SocketAddr {
    let inner = reply.split(['(', ')']).nth(1).unwrap();
    let parts: Vec<u16> = inner.split(',').map(|part| part.parse().unwrap()).collect();
    let octet = |index: usize| u8::try_from(parts[index]).unwrap();
    let ip = Ipv4Addr::new(octet(0), octet(1), octet(2), octet(3));
    SocketAddr::from((ip, parts[4] * 256 + parts[5]))
}

/// The port in a reply to EPSV.
pub fn parse_229(reply: &str) -> u16 {
    reply.split('|').nth(3).unwrap().parse().unwrap()
}

pub fn connect_data(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Reads to the end; a reset is an end too.
pub fn read_all(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(err) if err.kind() != io::ErrorKind::ConnectionReset => {
            panic!("data connection: {err}")
        }
        _ => bytes,
    }
}

/// Waits until something is true.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Bytes that do not repeat soon.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|index| ((index * 7919) >> 3).to_le_bytes()[0])
        .collect()
}

/// A file of this size that takes no room: more than the buffers of a connection
/// hold, so that sending it lasts until the client reads.
pub fn write_big(server: &Server, name: &str) -> u64 {
    let file = std::fs::File::create(server.path(name)).unwrap();
    file.set_len(BIG).unwrap();
    BIG
}

/// The size of such a file.
pub const BIG: u64 = 64 << 20;

/// Reads to the end, and returns how many bytes there were.
pub fn drain(socket: &mut TcpStream) -> u64 {
    io::copy(socket, &mut io::sink()).unwrap()
}

/// A control connection from another address of this machine, `127.0.0.2`.
pub fn connect_from(source: &str, address: SocketAddr) -> Client {
    let source: IpAddr = source.parse().unwrap();
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )
    .unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect_timeout(&address.into(), DEADLINE).unwrap();
    Client::from_socket(socket.into())
}

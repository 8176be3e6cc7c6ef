//! What the tests over sockets share: a server in a thread, on a port of the
//! system's choice and with a directory of its own; and a client that waits for
//! each reply no longer than a deadline.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod authority;
pub mod log;
pub mod socket;
pub mod tls;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::ioloop::Remote;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer};
use rustls::ClientConfig;
use tempfile::TempDir;

use self::socket::Socket;
use self::tls::{DataPort, MODE, Mode};

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
    config.tls = (MODE != Mode::Clear).then(tls::server_config);
    config
}

/// A reply: its code, and all of its text with line breaks as they came.
pub type Reply = (u16, String);

/// A control connection.
///
/// Where the [mode](tls::MODE) is TLS it secures itself as soon as it has read the
/// greeting, and asks for secure data connections, so that a test goes on as in
/// clear.
pub struct Client {
    pub socket: Socket,
    buffer: Vec<u8>,
    /// For this connection and its data connections, which share their tickets.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether AUTH, PBSZ and PROT are given when they are due.
    automatic: bool,
    /// Whether data connections are under TLS, as far as the replies tell.
    private: bool,
    /// The one that the next transfer is for.
    data: Option<Arc<DataPort>>,
}

impl Client {
    /// Without reading the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::from_socket(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
    }

    pub fn from_socket(socket: TcpStream) -> Self {
        set_deadlines(&socket);
        socket.set_nodelay(true).unwrap();
        Self {
            socket: Socket::new(socket),
            buffer: Vec::new(),
            tls: MODE.client_config(),
            automatic: MODE != Mode::Clear,
            private: false,
            data: None,
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.note_commands(bytes.as_ref());
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
                Err(err) if is_end(&err) => return None,
                Err(err) => panic!("no reply: {err}"),
            }
        }
    }

    /// The next reply; `None` when the server has closed.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let lines = self.try_lines()?;
        let text = String::from_utf8_lossy(&lines.join(&b"\r\n"[..])).into_owned();
        Some((code_of(&text), text))
    }

    /// The lines of the next reply, as they came.
    pub fn try_lines(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut lines = vec![self.line()?];
        if lines[0].get(3) == Some(&b'-') {
            let end = [&lines[0][..3], b" "].concat();
            while !lines[lines.len() - 1].starts_with(&end) {
                lines.push(self.line()?);
            }
        }
        let first = String::from_utf8_lossy(&lines[0]).into_owned();
        self.note_reply(code_of(&first), &first);
        Some(lines)
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
    pub fn pasv(&mut self) -> Socket {
        let reply = self.expect(227, "PASV");
        connect_data(parse_227(&reply))
    }

    /// A data connection by EPSV.
    pub fn epsv(&mut self) -> Socket {
        let reply = self.expect(229, "EPSV");
        let ip = self.socket.peer_addr().unwrap().ip();
        connect_data(SocketAddr::new(ip, parse_229(&reply)))
    }

    /// A data connection by PORT.
    pub fn port(&mut self) -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        self.expect(200, format!("PORT 127,0,0,1,{},{}", port / 256, port % 256));
        accept_data(&listener)
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
        let bytes = read_whole(&mut data);
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

/// What TLS adds.
impl Client {
    /// AUTH, and the handshake.
    pub fn auth(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        self.ask("AUTH TLS", "234 ");
        self.tls = Some(Arc::clone(config));
        self.socket.secure(Arc::clone(config));
        self.socket.handshake()
    }

    /// PBSZ and PROT P: data connections are under TLS from now on.
    pub fn protect(&mut self) {
        self.ask("PBSZ 0", "200 PBSZ=0 successful.");
        self.ask("PROT P", "200 Protection set to Private");
        self.private = true;
    }

    /// What has come behind the last reply.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Whether data connections are under TLS: for where no reply tells.
    pub fn assume_private(&mut self, private: bool) {
        self.private = private;
    }

    /// Gives a command, and leaves replies that are owed for others to be read later.
    fn ask(&mut self, command: &str, expected: &str) {
        // If nobody is there, no reply comes.
        let _ = self.socket.write_all(format!("{command}\r\n").as_bytes());
        let mut before = Vec::new();
        while let Some(line) = self.line() {
            if line.starts_with(expected.as_bytes()) {
                break;
            }
            before.extend_from_slice(&line);
            before.extend_from_slice(b"\r\n");
        }
        self.buffer.splice(..0, before);
    }

    /// What a reply means for TLS.
    fn note_reply(&mut self, code: u16, text: &str) {
        match code {
            220 if self.automatic && !self.socket.is_secure() => {
                let config = self.tls.clone().expect("the mode has one");
                // If the server leaves meanwhile, the test will see.
                if self.auth(&config).is_ok() {
                    self.protect();
                }
            }
            // Whoever comes anew has data connections in clear.
            230 if text == "230 Ready for new user." => self.private = false,
            331 if text.starts_with("331 Previous account information was flushed") => {
                self.private = false;
            }
            125 | 150 => {
                if let Some(data) = &self.data {
                    data.begin();
                }
            }
            200 if text == "200 Protection set to Private" => self.private = true,
            200 if text == "200 Protection set to Clear" => self.private = false,
            227 if text.starts_with("227 Entering passive mode") => {
                self.expect_data(text.rsplit(['(', ')']).nth(1).and_then(port_of_commas));
            }
            229 if text.starts_with("229 Entering extended passive mode") => {
                self.expect_data(Some(parse_229(text)));
            }
            _ => {}
        }
        let flushed = matches!(code, 230 | 331) && self.socket.is_secure() && !self.private;
        if flushed && self.automatic {
            self.protect();
        }
    }

    /// What commands mean for TLS.
    fn note_commands(&mut self, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines() {
            if let Some(numbers) = line.strip_prefix("PORT ") {
                self.expect_data(port_of_commas(numbers));
            } else if let Some(address) = line.strip_prefix("EPRT ") {
                let delimiter = address.chars().next().unwrap_or('|');
                let port = address.split(delimiter).nth(3);
                self.expect_data(port.and_then(|port| port.parse().ok()));
            }
        }
    }

    fn expect_data(&mut self, port: Option<u16>) {
        self.data = None;
        let Some(port) = port else { return };
        match self.tls.as_ref().filter(|_| self.private) {
            Some(config) => self.data = Some(DataPort::open(port, config)),
            None => DataPort::forget(port),
        }
    }
}

fn code_of(reply: &str) -> u16 {
    let code = reply.get(..3).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no reply: {reply:?}"))
}

/// The port of `h,h,h,h,p,p`.
fn port_of_commas(numbers: &str) -> Option<u16> {
    let mut parts = numbers
        .split(',')
        .skip(4)
        .map(|part| part.parse::<u8>().ok());
    let (high, low) = (parts.next()??, parts.next()??);
    Some(u16::from_be_bytes([high, low]))
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

/// A data connection, under TLS if the client who was told the port wants so.
pub fn connect_data(address: SocketAddr) -> Socket {
    let socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    data_socket(socket, address.port())
}

/// The data connection of a client who has told the port of this listener.
pub fn accept_data(listener: &TcpListener) -> Socket {
    let (socket, _) = listener.accept().unwrap();
    data_socket(socket, listener.local_addr().unwrap().port())
}

/// The same where it is accepted already.
pub fn data_socket(socket: TcpStream, port: u16) -> Socket {
    set_deadlines(&socket);
    // What follows the end of a handshake is not to wait for it to be acknowledged.
    socket.set_nodelay(true).unwrap();
    let mut socket = Socket::new(socket);
    if let Some(port) = DataPort::find(port) {
        port.secure(&mut socket);
    }
    socket
}

pub fn set_deadlines(socket: &TcpStream) {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
}

/// Reads to the end; a reset is an end too, and one that TLS misses a good-bye at.
pub fn read_all(socket: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(err) if !is_end(&err) => panic!("data connection: {err}"),
        _ => bytes,
    }
}

fn is_end(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(err.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// Reads to the end, which is a good one.
#[track_caller]
pub fn read_whole(socket: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    bytes
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
pub fn drain(socket: &mut impl Read) -> u64 {
    io::copy(socket, &mut io::sink()).unwrap()
}

/// A control connection from another address of this machine, `127.0.0.2`.
pub fn connect_from(source: &str, address: SocketAddr) -> Client {
    Client::from_socket(bound_to(source, address))
}

/// A data connection from there.
pub fn connect_data_from(source: &str, address: SocketAddr) -> Socket {
    data_socket(bound_to(source, address), address.port())
}

fn bound_to(source: &str, address: SocketAddr) -> TcpStream {
    let source: IpAddr = source.parse().unwrap();
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )
    .unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect_timeout(&address.into(), DEADLINE).unwrap();
    socket.into()
}

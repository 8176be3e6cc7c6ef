//! A client for measurements: it panics when something goes wrong.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::ClientConfig;
use socket2::{Domain, SockRef, Socket, Type};

use super::tls::Tls;
use super::wire::Wire;
use super::{DEADLINE, PASSWORD, USER};

/// A control connection.
pub struct Client {
    socket: Wire,
    buffer: Vec<u8>,
    /// For the data connections, after AUTH TLS.
    tls: Option<(Arc<Tls>, Arc<ClientConfig>)>,
}

impl Client {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::greeted(TcpStream::connect(address).unwrap())
    }

    /// Connects from another address of this machine.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        Self::greeted(connect_from(source, address))
    }

    fn greeted(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Self {
            socket: Wire::Plain(socket),
            buffer: Vec::new(),
            tls: None,
        };
        client.reply(220);
        client
    }

    /// Sends AUTH TLS and shakes hands.
    pub fn auth(mut self, tls: &Arc<Tls>) -> Self {
        self.command("AUTH TLS", 234);
        let session = tls.session();
        if let Wire::Plain(socket) = self.socket {
            self.socket = tls.handshake(&session, socket, 0, "control").unwrap();
        }
        self.tls = Some((Arc::clone(tls), session));
        self
    }

    pub fn login(&mut self) {
        self.login_as(USER);
    }

    pub fn login_as(&mut self, user: &str) {
        self.command(&format!("USER {user}"), 331);
        self.command(&format!("PASS {PASSWORD}"), 230);
    }

    /// Sends a command and reads a reply with this code.
    pub fn command(&mut self, command: &str, code: u16) -> String {
        self.send(command);
        self.reply(code)
    }

    pub fn send(&mut self, command: &str) {
        self.socket
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
    }

    /// Reads a reply with this code; returns its last line.
    pub fn reply(&mut self, code: u16) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if self.buffer.is_empty() {
                    // Thousands of clients are idle, so keep no buffer for each.
                    self.buffer = Vec::new();
                }
                let line = String::from_utf8(line).unwrap();
                let number = line.bytes().take_while(u8::is_ascii_digit).count();
                if number != 3 || line.as_bytes()[3] == b'-' {
                    continue;
                }
                assert_eq!(line[..3].parse(), Ok(code), "{line}");
                return line;
            }
            let mut chunk = [0; 512];
            let read = self.socket.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the server has closed, not replied {code}");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// Makes a data connection with PASV, in clear: a TLS handshake comes after 150.
    pub fn pasv(&mut self) -> TcpStream {
        let reply = self.command("PASV", 227);
        let inner = reply.split(['(', ')']).nth(1).unwrap();
        let parts: Vec<u16> = inner.split(',').map(|part| part.parse().unwrap()).collect();
        let port = parts[4] * 256 + parts[5];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = match self.socket.socket().local_addr().unwrap() {
            SocketAddr::V4(own) if *own.ip() != Ipv4Addr::LOCALHOST => {
                connect_from(*own.ip(), address)
            }
            _ => TcpStream::connect(address).unwrap(),
        };
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// Puts a data connection under TLS, if the client uses that.
    pub fn protected(&self, data: TcpStream) -> Wire {
        match &self.tls {
            Some((tls, session)) => tls.handshake(session, data, 1 << 18, "data").unwrap(),
            None => Wire::Plain(data),
        }
    }

    /// Downloads with PASV and a command; returns the number of bytes.
    pub fn download(&mut self, command: &str, buffer: &mut [u8]) -> u64 {
        let data = self.pasv();
        self.start(command);
        let mut data = self.protected(data);
        let mut total = 0;
        loop {
            match data.read(buffer).unwrap() {
                0 => break,
                read => total += read as u64,
            }
        }
        data.finish();
        self.reply(226);
        total
    }

    /// Downloads, but lets the kernel drop the bytes, which leaves the CPUs to the server.
    pub fn discard(&mut self, command: &str) {
        self.discard_by(command, |_| {});
    }

    /// The same; `each` gets the number of bytes that have come, each time.
    pub fn discard_by(&mut self, command: &str, mut each: impl FnMut(usize)) {
        let data = self.pasv();
        self.start(command);
        let data = SockRef::from(&data);
        let mut buffer = vec![MaybeUninit::uninit(); 1 << 18];
        loop {
            match data.recv_with_flags(&mut buffer, libc::MSG_TRUNC).unwrap() {
                0 => break,
                size => each(size),
            }
        }
        self.reply(226);
    }

    /// Uploads `count` times `bytes` with PASV and a command.
    pub fn upload(&mut self, command: &str, bytes: &[u8], count: usize) {
        let data = self.pasv();
        self.start(command);
        let mut data = self.protected(data);
        for _ in 0..count {
            data.write_all(bytes).unwrap();
        }
        data.finish();
        self.reply(226);
    }

    /// Sends the command of a transfer and reads 125 or 150.
    pub fn start(&mut self, command: &str) {
        self.send(command);
        while self.buffer.len() < 3 {
            let mut chunk = [0; 512];
            let read = self.socket.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the server has closed");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
        let code = if self.buffer.starts_with(b"125") {
            125
        } else {
            150
        };
        self.reply(code);
    }

    /// Sends QUIT and reads to the end of the connection.
    pub fn quit(mut self) {
        self.send("QUIT");
        self.left();
    }

    /// Reads to the end of the connection, after QUIT.
    pub fn left(mut self) {
        self.reply(221);
        self.socket.read_end();
    }
}

/// Connects from an address of this machine.
fn connect_from(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

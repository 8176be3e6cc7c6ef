//! The control connection of a client.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection};

use crate::data::{
    DataPort, accept_data, bound_to, connect_data, parse_227, parse_229, port_listener,
};
use crate::socket::set_deadlines;
use crate::transfers::{is_end, read_all, read_whole};
use crate::{DEADLINE, Mode, Socket};

/// A reply: its code, and all of its text with the line breaks as they came.
type Reply = (u16, String);

/// A control connection.
///
/// In a secure [`Mode`] it sends AUTH as soon as it has read the greeting, then PBSZ and
/// PROT P, so that the test goes on as in clear.
pub struct Client {
    /// The connection.
    pub socket: Socket,
    buffer: Vec<u8>,
    /// The TLS configuration of this connection and of its data connections, which share
    /// their tickets.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether the client sends AUTH, PBSZ and PROT by itself.
    automatic: bool,
    /// Whether data connections are under TLS, according to the replies so far.
    private: bool,
    /// The port of the data connection that the next transfer uses.
    data: Option<Arc<DataPort>>,
}

impl Client {
    /// Connects in clear, without reading the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_in(Mode::Clear, address)
    }

    /// Connects in this mode, without reading the greeting.
    pub fn connect_in(mode: Mode, address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
        Self::from_socket(mode, socket)
    }

    /// Connects from another address of this machine, such as `127.0.0.2`.
    pub fn connect_from(mode: Mode, source: &str, address: SocketAddr) -> Self {
        Self::from_socket(mode, bound_to(source, address))
    }

    /// Connects under TLS from the first byte, without reading the greeting.
    pub fn connect_implicit(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut client = Self::connect(address);
        client.tls = Some(Arc::clone(config));
        client.socket.secure(Arc::clone(config));
        client.socket.handshake().unwrap();
        client
    }

    fn from_socket(mode: Mode, socket: TcpStream) -> Self {
        set_deadlines(&socket);
        socket.set_nodelay(true).unwrap();
        Self {
            socket: Socket::new(socket),
            buffer: Vec::new(),
            tls: mode.client_config(),
            automatic: mode.is_secure(),
            private: false,
            data: None,
        }
    }

    /// Sends bytes, such as a command with its CRLF.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.note_commands(bytes.as_ref());
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads the next line, without CRLF; `None` means that the server has closed.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = end_of_line(&self.buffer) {
                let rest = self.buffer.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                return Some(line);
            }
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(size) => self.buffer.extend_from_slice(&chunk[..size]),
                Err(err) if is_end(&err) => return None,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => panic!("no reply: {err}"),
            }
        }
    }

    /// Reads the next reply; `None` means that the server has closed.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let lines = self.try_lines()?;
        let text = String::from_utf8_lossy(&lines.join(&b"\r\n"[..])).into_owned();
        Some((code_of(&text), text))
    }

    /// Reads the lines of the next reply, as they came.
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

    /// Reads the next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("the server has closed")
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub fn command(&mut self, command: impl AsRef<[u8]>) -> Reply {
        self.send([command.as_ref(), b"\r\n"].concat());
        self.reply()
    }

    /// Sends a command, checks the code of its reply, and returns the reply.
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

    /// Reads the next reply, checks its code, and returns it.
    #[track_caller]
    pub fn expect_reply(&mut self, code: u16) -> String {
        let reply = self.reply();
        assert_eq!(reply.0, code, "{}", reply.1);
        reply.1
    }

    /// Checks that the server closes and sends nothing before.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        let line = self.line();
        assert!(
            line.is_none(),
            "{:?}",
            line.map(|line| String::from_utf8_lossy(&line).into_owned())
        );
    }

    /// Checks that the server is shutting down: it says so and closes.
    #[track_caller]
    pub fn expect_shutdown(&mut self) {
        let reply = self.expect_reply(421);
        assert_eq!(reply, "421 Service is shutting down.");
        self.expect_eof();
    }

    /// Logs in.
    pub fn login(&mut self, user: &str, password: &str) {
        self.expect(331, format!("USER {user}"));
        self.expect(230, format!("PASS {password}"));
    }

    /// Whether the server has sent nothing since the last reply that was read.
    pub fn is_silent(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        let nothing = peeked.is_err_and(|err| err.kind() == io::ErrorKind::WouldBlock);
        self.buffer.is_empty() && nothing
    }

    /// Makes a data connection with PASV.
    pub fn pasv(&mut self) -> Socket {
        let reply = self.expect(227, "PASV");
        connect_data(parse_227(&reply))
    }

    /// Makes a data connection with EPSV.
    pub fn epsv(&mut self) -> Socket {
        let reply = self.expect(229, "EPSV");
        let ip = self.socket.peer_addr().unwrap().ip();
        connect_data(SocketAddr::new(ip, parse_229(&reply)))
    }

    /// Makes a data connection with PORT.
    pub fn port(&mut self) -> Socket {
        let (listener, command) = port_listener();
        self.expect(200, command);
        accept_data(&listener)
    }

    /// Begins a transfer: the reply may be 125 or 150.
    #[track_caller]
    pub fn begin(&mut self, command: impl AsRef<[u8]>) -> String {
        let reply = self.command(command);
        assert!(matches!(reply.0, 125 | 150), "{}", reply.1);
        reply.1
    }

    /// Ends a transfer, which may wait for its data connection: 426 for it, then 226.
    #[track_caller]
    pub fn abort(&mut self) {
        self.expect(426, "ABOR");
        self.expect_reply(226);
    }

    /// Downloads with PASV and this command.
    #[track_caller]
    pub fn download(&mut self, command: impl AsRef<[u8]>) -> Vec<u8> {
        let mut data = self.pasv();
        self.begin(command);
        let bytes = read_whole(&mut data);
        self.expect_reply(226);
        bytes
    }

    /// Downloads a listing with EPSV, as needed for IPv6.
    #[track_caller]
    pub fn download_epsv(&mut self) -> Vec<u8> {
        let mut data = self.epsv();
        self.begin("NLST");
        let bytes = read_all(&mut data);
        self.expect_reply(226);
        bytes
    }

    /// Uploads with PASV and this command; returns the first reply.
    #[track_caller]
    pub fn upload(&mut self, command: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> String {
        let mut data = self.pasv();
        let reply = self.begin(command);
        data.write_all(bytes.as_ref()).unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        drop(data);
        self.expect_reply(226);
        reply
    }

    /// Downloads the lines of a listing with PASV and this command.
    #[track_caller]
    pub fn lines(&mut self, command: impl AsRef<[u8]>) -> Vec<String> {
        let bytes = self.download(command);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }
}

/// TLS.
impl Client {
    /// Sends AUTH and shakes hands.
    pub fn auth(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        self.auth_as("TLS", config)
    }

    /// Sends AUTH with this argument and shakes hands. SSL and TLS-P imply PROT P.
    pub fn auth_as(&mut self, arg: &str, config: &Arc<ClientConfig>) -> io::Result<()> {
        self.ask(&format!("AUTH {arg}"), "234 ");
        self.private = matches!(arg.to_uppercase().as_str(), "SSL" | "TLS-P");
        self.tls = Some(Arc::clone(config));
        self.socket.secure(Arc::clone(config));
        self.socket.handshake()
    }

    /// Sends PBSZ and PROT P: data connections are under TLS from now on.
    pub fn protect(&mut self) {
        self.ask("PBSZ 0", "200 PBSZ=0 successful.");
        self.ask("PROT P", "200 Protection set to Private");
        self.private = true;
    }

    /// Takes the bytes that have come after the last reply.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Returns the certificate of the server, after the handshake.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let certificates = |tls: &mut ClientConnection| {
            let certificates = tls.peer_certificates().unwrap();
            certificates[0].clone().into_owned()
        };
        self.socket.ask(certificates)
    }

    /// Sets whether data connections are under TLS, where no reply says so.
    pub fn assume_private(&mut self, private: bool) {
        self.private = private;
    }

    /// Sends a command and reads up to its reply. Replies to earlier commands stay in the
    /// buffer.
    fn ask(&mut self, command: &str, expected: &str) {
        // If the server has closed, no reply comes.
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

    /// Notes what a reply means for TLS.
    fn note_reply(&mut self, code: u16, text: &str) {
        match code {
            220 if self.automatic && !self.socket.is_secure() => {
                let config = self.tls.clone().expect("the mode has one");
                // If the server closes meanwhile, the test notices.
                if self.auth(&config).is_ok() {
                    self.protect();
                }
            }
            // After REIN and USER the data connections are in clear again.
            230 if text == "230 Ready for new user." => self.private = false,
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

    /// Notes what commands mean for TLS.
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

/// Returns where the first CRLF begins.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        // A search by the standard library is fast in a build for tests, too.
        end += (&bytes[end..]).skip_until(b'\n').ok()?;
        match bytes[..end] {
            [.., b'\r', b'\n'] => return Some(end - 2),
            [.., b'\n'] if end < bytes.len() => {}
            _ => return None,
        }
    }
}

fn code_of(reply: &str) -> u16 {
    let code = reply.get(..3).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no reply: {reply:?}"))
}

/// Returns the port in `h,h,h,h,p,p`.
fn port_of_commas(numbers: &str) -> Option<u16> {
    let mut parts = numbers
        .split(',')
        .skip(4)
        .map(|part| part.parse::<u8>().ok());
    let (high, low) = (parts.next()??, parts.next()??);
    Some(u16::from_be_bytes([high, low]))
}

//! The client of a transcript.

#![allow(unreachable_pub, reason = "a module of a test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::SockRef;
use testkit::{PASSWORD, Socket};

use super::normal::Normaliser;
use super::script::{Action, Step, content, payload, unescape};

/// How long anything may take before the replay fails.
const DEADLINE: Duration = Duration::from_secs(10);

pub struct Client {
    server: SocketAddr,
    normaliser: Normaliser,
    control: Option<testkit::Client>,
    listener: Option<TcpListener>,
    /// Where the next passive connection goes.
    passive: Option<SocketAddr>,
    data: Option<Socket>,
    /// Whether the next passive connection waits for `D: connect`.
    late: bool,
    /// The last command that was sent.
    command: String,
    /// Whether the reply to it was 1xx.
    wanted: bool,
    seen: Vec<String>,
}

impl Client {
    pub fn new(server: SocketAddr, normaliser: Normaliser) -> Self {
        Self {
            server,
            normaliser,
            control: None,
            listener: None,
            passive: None,
            data: None,
            late: false,
            command: String::new(),
            wanted: false,
            seen: Vec::new(),
        }
    }

    pub fn normaliser(&self) -> &Normaliser {
        &self.normaliser
    }

    /// Takes the `S:` and `D<` lines since the last call.
    pub fn take_seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }

    pub fn play(&mut self, step: &Step, next: Option<&Step>) -> io::Result<()> {
        let text = step.text.as_str();
        match step.action {
            Action::Command => {
                let data = [Action::Data, Action::Payload];
                let more = next.is_some_and(|next| data.contains(&next.action));
                self.play_command(text, more)
            }
            Action::Raw => self.send(&unescape(text)),
            Action::Urgent => {
                SockRef::from(&self.control()?.socket).send_out_of_band(&unescape(text))?;
                Ok(())
            }
            Action::Payload if !self.wanted => Ok(()),
            Action::Payload => {
                self.data()?.write_all(&content(text))?;
                self.close_data();
                self.show_reply().map(drop)
            }
            Action::Data => self.play_data(text),
            Action::Directive => self.play_directive(text),
        }
    }

    /// Checks that the server has sent no more than was read.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.control.is_none() {
            return Ok(());
        }
        self.send(b"SYST\r\n")?;
        match self.read_reply()? {
            reply if reply[0].starts_with(b"215") => Ok(()),
            reply => Err(io::Error::other(format!(
                "a reply too many: {}",
                String::from_utf8_lossy(&reply[0])
            ))),
        }
    }

    fn play_command(&mut self, text: &str, more: bool) -> io::Result<()> {
        let mut text = text.replace("<STOU>", &self.normaliser.stou);
        let listening = text.contains("LISTEN>");
        if listening {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let port = listener.local_addr()?.port();
            let argument = format!("127,0,0,1,{},{}", port / 256, port % 256);
            text = text
                .replace("<LISTEN>", &argument)
                .replace("<ELISTEN>", &format!("|1|127.0.0.1|{port}|"));
            self.listener = Some(listener);
        }
        let mut bytes = unescape(&text);
        bytes.extend_from_slice(b"\r\n");
        self.command = text;
        self.send(&bytes)?;
        let reply = self.show_reply()?;
        self.wanted = reply.starts_with('1');
        if reply.starts_with("227 ") || reply.starts_with("229 ") {
            self.passive = Some(self.passive_address(&reply)?);
            if std::mem::take(&mut self.late) {
                self.data = None;
            } else {
                self.connect_data()?;
                // When this reply comes, the server has accepted.
                self.unseen("NOOP", "200")?;
            }
        } else if listening && reply.starts_with('2') {
            self.accept()?;
        } else if self.wanted && self.data.is_some() && !more {
            self.receive_all()?;
        }
        Ok(())
    }

    fn play_data(&mut self, text: &str) -> io::Result<()> {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("late", _) => self.late = true,
            ("connect", _) => self.connect_data()?,
            ("accept", _) => self.accept()?,
            ("receive", "") => self.receive_all()?,
            ("receive", size) => {
                let mut bytes = vec![0; size.parse().unwrap()];
                self.data()?.read_exact(&mut bytes)?;
                self.show_data(&bytes);
            }
            ("send", what) => self.data()?.write_all(&content(what))?,
            ("close", _) => self.close_data(),
            ("reset", _) => {
                self.data()?;
                if let Some(data) = self.data.take() {
                    testkit::reset(data);
                }
            }
            _ => panic!("unknown: D: {text}"),
        }
        Ok(())
    }

    fn play_directive(&mut self, text: &str) -> io::Result<()> {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("connect", _) => {
                self.connect()?;
                self.show_reply()?;
            }
            ("login", user) => {
                if self.control.is_none() {
                    self.connect()?;
                    self.read_reply()?;
                }
                self.unseen(&format!("USER {user}"), "331")?;
                self.unseen(&format!("PASS {PASSWORD}"), "230")?;
            }
            ("reply", _) => {
                self.show_reply()?;
            }
            ("sync", _) => {
                self.send(b"SYST\r\n")?;
                loop {
                    let reply = self.read_reply()?;
                    if reply[0].starts_with(b"215") {
                        break;
                    }
                    // A transfer may have begun only now.
                    self.wanted |= reply[0].starts_with(b"1");
                    self.show(&reply);
                }
            }
            ("eof", _) => {
                loop {
                    match self.show_reply() {
                        Ok(_) => {}
                        Err(err) if is_end(&err) => break,
                        Err(err) => return Err(err),
                    }
                }
                self.seen.push("S: <EOF>".to_owned());
                self.control = None;
            }
            ("pause", _) => {}
            _ => panic!("unknown: ! {text}"),
        }
        Ok(())
    }

    // --- the control connection

    fn connect(&mut self) -> io::Result<()> {
        self.control = Some(testkit::Client::connect(self.server));
        Ok(())
    }

    fn control(&mut self) -> io::Result<&mut testkit::Client> {
        let control = self.control.as_mut();
        control.ok_or_else(|| io::Error::other("no control connection"))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.control()?.send(bytes);
        Ok(())
    }

    /// Sends a command and reads its reply without showing them.
    fn unseen(&mut self, command: &str, code: &str) -> io::Result<()> {
        self.send(format!("{command}\r\n").as_bytes())?;
        let reply = self.read_reply()?;
        if reply[0].starts_with(code.as_bytes()) {
            return Ok(());
        }
        let reply = String::from_utf8_lossy(&reply[0]).into_owned();
        Err(io::Error::other(format!("{command}: {reply}")))
    }

    fn read_reply(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let lines = self.control()?.try_lines();
        lines.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn show(&mut self, reply: &[Vec<u8>]) {
        for line in reply {
            let line = self.normaliser.reply(line);
            self.seen.push(format!("S: {line}"));
        }
    }

    /// Reads a reply; returns its last line as it came.
    fn show_reply(&mut self) -> io::Result<String> {
        let reply = self.read_reply()?;
        self.show(&reply);
        Ok(String::from_utf8_lossy(&reply[reply.len() - 1]).into_owned())
    }

    // --- the data connection

    /// Only the port of the reply counts, since the address may be a masquerade.
    fn passive_address(&self, reply: &str) -> io::Result<SocketAddr> {
        let numbers: Vec<u16> = reply[4..]
            .split(|char: char| !char.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let port = match numbers[..] {
            [port] => port,
            [_, _, _, _, high, low] => high * 256 + low,
            _ => return Err(io::Error::other(format!("no address: {reply}"))),
        };
        Ok(SocketAddr::new(self.server.ip(), port))
    }

    fn connect_data(&mut self) -> io::Result<()> {
        let address = self.passive;
        let address = address.ok_or_else(|| io::Error::other("no passive address"))?;
        self.data = Some(testkit::connect_data(address));
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        let listener = self.listener.as_ref();
        let listener = listener.ok_or_else(|| io::Error::other("no listener"))?;
        SockRef::from(listener).set_read_timeout(Some(DEADLINE))?;
        let (socket, _) = listener.accept()?;
        self.data = Some(testkit::data_socket(socket, listener.local_addr()?.port()));
        Ok(())
    }

    fn data(&mut self) -> io::Result<&mut Socket> {
        let data = self.data.as_mut();
        data.ok_or_else(|| io::Error::other("no data connection"))
    }

    fn close_data(&mut self) {
        if let Some(data) = self.data.take() {
            let _ = data.shutdown(Shutdown::Write);
        }
    }

    fn receive_all(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        match self.data()?.read_to_end(&mut bytes) {
            Err(err) if !is_end(&err) => return Err(err),
            _ => self.show_data(&bytes),
        }
        self.close_data();
        self.show_reply().map(drop)
    }

    fn show_data(&mut self, bytes: &[u8]) {
        let mut lines = payload(bytes);
        let command = self.command.to_ascii_uppercase();
        if command.starts_with("MLSD") {
            lines.sort_by_key(|line| line.split_once("; ").map(|(_, name)| name.to_owned()));
        }
        for line in lines {
            let line = self.normaliser.line(&line);
            self.seen.push(format!("D< {line}"));
        }
    }
}

/// Whether the error means that the other side has closed.
fn is_end(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionReset, UnexpectedEof};
    matches!(err.kind(), ConnectionReset | UnexpectedEof)
}

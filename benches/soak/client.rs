//! Clients that behave well and clients that do not. A visit that cannot go on returns an error
//! instead of a panic.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::DEADLINE;
use crate::common::{Tls, Wire};

/// A control connection.
pub(crate) struct Client {
    wire: BufReader<Wire>,
    /// For the data connections, after AUTH TLS.
    tls: Option<(Arc<Tls>, Arc<ClientConfig>)>,
}

type Work = fn(&mut Client, Option<&Arc<Tls>>, &str) -> io::Result<()>;

/// The kinds of visits.
pub(crate) struct Visits;

impl Visits {
    /// Each visit gets a name to store files under.
    pub(crate) const ALL: &[(&str, Work)] = &[
        ("log in", |client, tls, _| {
            client.enter(tls)?;
            client.expect("NOOP", 200)?;
            client.quit()
        }),
        ("fetch", |client, tls, _| {
            client.enter(tls)?;
            for _ in 0..3 {
                client.fetch("RETR small")?;
            }
            client.fetch("RETR large")?;
            client.quit()
        }),
        ("list", |client, tls, _| {
            client.enter(tls)?;
            client.fetch("LIST")?;
            client.fetch("MLSD")?;
            client.quit()
        }),
        ("store", |client, tls, name| {
            client.enter(tls)?;
            let mut data = client.transfer(&format!("STOR {name}"))?;
            data.write_all(&vec![b'z'; 100_000])?;
            data.end();
            client.expect_reply(226)?;
            client.expect(&format!("DELE {name}"), 250)?;
            client.quit()
        }),
        ("abort", |client, tls, _| {
            client.enter(tls)?;
            let mut data = client.transfer("RETR large")?;
            data.read_exact(&mut [0; 1000])?;
            client.send("ABOR")?;
            // The transfer may already be over.
            client.reply()?;
            client.reply()?;
            client.expect("NOOP", 200)
        }),
        ("reset a download", |client, tls, _| {
            client.enter(tls)?;
            let mut data = client.transfer("RETR large")?;
            data.read_exact(&mut [0; 1000])?;
            data.reset_when_dropped()?;
            drop(data);
            client.reply()?;
            client.quit()
        }),
        ("cut an upload", |client, tls, name| {
            client.enter(tls)?;
            let mut data = client.transfer(&format!("STOR {name}"))?;
            data.write_all(&[0; 5000])?;
            data.reset_when_dropped()?;
            drop(data);
            client.expect_reply(426)?;
            client.send(&format!("DELE {name}"))?;
            // If the reset came before the upload began, there is no file.
            match client.read_reply()? {
                (250 | 550, _) => client.quit(),
                (_, line) => Err(io::Error::other(line)),
            }
        }),
        ("vanish in a transfer", |client, tls, _| {
            client.enter(tls)?;
            let _data = client.transfer("RETR large")?;
            client.wire.get_ref().reset_when_dropped()
        }),
        ("listen for nobody", |client, tls, _| {
            client.enter(tls)?;
            client.passive()?;
            client.expect("PASV", 227)?;
            Ok(())
        }),
        ("promise", |client, tls, name| {
            client.enter(tls)?;
            client.expect("PASV", 227)?;
            client.expect(&format!("STOR {name}"), 150)?;
            Ok(())
        }),
        ("reset", |client, _, _| {
            client.wire.get_ref().reset_when_dropped()
        }),
        ("leave", |client, _, _| {
            client.send("USER user")?;
            Ok(())
        }),
        ("guess", |client, _, _| {
            client.expect_reply(220)?;
            client.expect("USER user", 331)?;
            // The client does not wait for the reply, which is delayed.
            client.send("PASS wrong")
        }),
        ("break a handshake", |client, _, _| {
            client.expect_reply(220)?;
            client.expect("AUTH TLS", 234)?;
            client.send("and now for something completely different")?;
            let _ = client.wire.read_to_end(&mut Vec::new());
            Ok(())
        }),
    ];
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = open(address)?;
        Ok(Self {
            wire: BufReader::with_capacity(1024, Wire::Plain(socket)),
            tls: None,
        })
    }

    /// Returns the code of the next reply.
    pub(crate) fn reply(&mut self) -> io::Result<u16> {
        Ok(self.read_reply()?.0)
    }

    /// Reads the next reply, which has one line.
    fn read_reply(&mut self) -> io::Result<(u16, String)> {
        let mut line = String::new();
        if self.wire.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let code = line.get(..3).and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| io::Error::other(line.clone()))?;
        Ok((code, line))
    }

    pub(crate) fn send(&mut self, command: &str) -> io::Result<()> {
        self.wire
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())
    }

    fn expect_reply(&mut self, code: u16) -> io::Result<String> {
        let (is, line) = self.read_reply()?;
        match is == code {
            true => Ok(line),
            false => Err(io::Error::other(line)),
        }
    }

    fn expect(&mut self, command: &str, code: u16) -> io::Result<()> {
        self.send(command)?;
        self.expect_reply(code).map(drop)
    }

    /// Logs in, under TLS if there are settings for that.
    fn enter(&mut self, tls: Option<&Arc<Tls>>) -> io::Result<()> {
        self.expect_reply(220)?;
        if let Some(tls) = tls {
            self.expect("AUTH TLS", 234)?;
            let session = tls.session();
            let socket = self.wire.get_ref().socket().try_clone()?;
            let wire = tls.handshake(&session, socket, 0, "control")?;
            self.wire = BufReader::with_capacity(1024, wire);
            self.tls = Some((Arc::clone(tls), session));
            self.expect("PBSZ 0", 200)?;
            self.expect("PROT P", 200)?;
        }
        self.expect("USER user", 331)?;
        self.expect("PASS 12345", 230)?;
        self.expect("TYPE I", 200)
    }

    fn quit(&mut self) -> io::Result<()> {
        self.expect("QUIT", 221)?;
        match self.wire.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("more after QUIT")),
        }
    }

    /// Makes a data connection, which the server may not have accepted yet.
    fn passive(&mut self) -> io::Result<TcpStream> {
        self.send("PASV")?;
        let reply = self.expect_reply(227)?;
        let inner = reply.split(['(', ')']).nth(1).unwrap_or_default();
        let numbers = inner.split(',').skip(4);
        let numbers: Vec<u16> = numbers.filter_map(|number| number.parse().ok()).collect();
        let &[high, low] = &numbers[..] else {
            return Err(io::Error::other(reply));
        };
        open(SocketAddr::from((Ipv4Addr::LOCALHOST, high * 256 + low)))
    }

    /// Begins a transfer; returns its data connection.
    fn transfer(&mut self, command: &str) -> io::Result<Wire> {
        let socket = self.passive()?;
        self.send(command)?;
        match self.read_reply()? {
            (125 | 150, _) => {}
            (_, line) => return Err(io::Error::other(line)),
        }
        match &self.tls {
            Some((tls, session)) => tls.handshake(session, socket, 0, "data"),
            None => Ok(Wire::Plain(socket)),
        }
    }

    fn fetch(&mut self, command: &str) -> io::Result<()> {
        let mut data = self.transfer(command)?;
        let size = io::copy(&mut data, &mut io::sink());
        let reply = self.reply();
        match (size, reply) {
            (Ok(_), Ok(226)) => Ok(()),
            what => Err(io::Error::other(format!("{command}: {what:?}"))),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, DEADLINE)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

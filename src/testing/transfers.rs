//! The data connections and transfers of a test's client.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::data::{DataListener, DataPeer};
use super::reply::Reply;
use super::session::Session;
use crate::handlers::FTPHandler;

impl<H: FTPHandler + 'static> Session<H> {
    // --- data connections

    /// Opens a data connection with PASV, or with EPSV if the client has an IPv6 address.
    ///
    /// # Panics
    /// If the server refuses, or a reply from before was not read.
    #[track_caller]
    pub fn passive(&mut self) -> DataPeer {
        match self.try_passive() {
            Ok(data) => data,
            Err(reply) => panic!("no data connection: {reply}"),
        }
    }

    #[track_caller]
    fn try_passive(&mut self) -> Result<DataPeer, Reply> {
        let command = if self.peer.is_ipv4() { "PASV" } else { "EPSV" };
        let reply = self.command(command);
        let data = reply.port().map(|port| self.connect(self.peer.ip(), port));
        data.and_then(io::Result::ok).ok_or(reply)
    }

    /// Opens a data connection with PORT, or with EPRT if the client has an IPv6 address.
    ///
    /// # Panics
    /// If the server refuses, or a reply from before was not read.
    #[track_caller]
    pub fn active(&mut self) -> DataPeer {
        let any = SocketAddr::new(self.peer.ip(), 0);
        let listener = self.listen(any).expect("port 0 stands for a free port");
        let (ip, port) = (self.peer.ip(), listener.address().port());
        let reply = match ip {
            IpAddr::V4(ip) => {
                let ip = ip.to_string().replace('.', ",");
                self.command(&format!("PORT {ip},{},{}", port / 256, port % 256))
            }
            IpAddr::V6(ip) => self.command(&format!("EPRT |2|{ip}|{port}|")),
        };
        assert_eq!(reply.code(), 200, "{reply}");
        listener
            .accept()
            .expect("200 means that the server has connected")
    }

    /// Connects from the address `from` to a port of the server, for example after a PASV by
    /// hand.
    ///
    /// # Errors
    /// `ConnectionRefused` if the server does not listen on that port.
    #[track_caller]
    pub fn connect(&mut self, from: IpAddr, port: u16) -> io::Result<DataPeer> {
        self.world.settle();
        let (from, to) = (
            SocketAddr::new(from, 0),
            SocketAddr::new(self.local.ip(), port),
        );
        let stream = self.world.network.connect(from, to)?;
        let data = DataPeer::new(&self.world, stream);
        self.world.settle();
        Ok(data)
    }

    /// Listens at an address of the client, to send PORT or EPRT by hand. Port 0 stands for
    /// any free port.
    ///
    /// If the server connects to a port of the client at which nothing listens, the connection
    /// is refused. If it connects to an address that does not exist, the connection is never
    /// made. Listening at the address of the server makes one of its
    /// [`passive_ports`](crate::FTPConfig::passive_ports) unusable.
    ///
    /// # Errors
    /// `AddrInUse` if the port is in use.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<DataListener> {
        DataListener::bind(&self.world, address)
    }

    // --- transfers

    /// Fetches a file with TYPE I, PASV (or EPSV) and RETR. If the transfer pauses because of
    /// a speed limit, the clock of the test moves to the end of the pause.
    ///
    /// # Errors
    /// The reply with which the server refuses one of these commands or ends the transfer.
    ///
    /// # Panics
    /// If a reply from before was not read, or no final reply comes.
    #[track_caller]
    pub fn retr(&mut self, path: &str) -> Result<Vec<u8>, Reply> {
        self.set_binary()?;
        self.download(&format!("RETR {path}"))
    }

    /// Opens a data connection with PASV (or EPSV), sends a command such as `MLSD /`, and
    /// returns what the server sends on that connection. Bytes that are not UTF-8 become
    /// U+FFFD.
    ///
    /// # Errors
    /// As [`retr`](Self::retr).
    ///
    /// # Panics
    /// As [`retr`](Self::retr).
    #[track_caller]
    pub fn list(&mut self, command: &str) -> Result<String, Reply> {
        let bytes = self.download(command)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Stores a file with TYPE I, PASV (or EPSV) and STOR. Returns the final reply, or the
    /// first that refuses a command. Pauses pass as in [`retr`](Self::retr).
    ///
    /// # Panics
    /// As [`retr`](Self::retr).
    #[track_caller]
    pub fn stor(&mut self, path: &str, bytes: &[u8]) -> Reply {
        let opened = self.set_binary().and_then(|()| self.try_passive());
        let mut data = match opened {
            Ok(data) => data,
            Err(reply) => return reply,
        };
        let command = format!("STOR {path}");
        self.begin(&command);
        let mut sent = 0;
        loop {
            let before = sent;
            let open = !data.is_closed();
            sent += data.write(&bytes[sent..]);
            if sent == bytes.len() {
                data.close();
            }
            match self.next_of(&command, sent > before || open && data.is_closed()) {
                Some(reply) if reply.is_preliminary() => {}
                Some(reply) => return reply,
                None => {}
            }
        }
    }

    #[track_caller]
    fn set_binary(&mut self) -> Result<(), Reply> {
        let reply = self.command("TYPE I");
        if reply.is_good() { Ok(()) } else { Err(reply) }
    }

    #[track_caller]
    fn download(&mut self, command: &str) -> Result<Vec<u8>, Reply> {
        let mut data = self.try_passive()?;
        self.begin(command);
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            bytes.extend(data.read());
            match self.next_of(command, bytes.len() > before) {
                Some(reply) if reply.is_preliminary() => {}
                Some(reply) if reply.is_good() => {
                    bytes.extend(data.read());
                    return Ok(bytes);
                }
                Some(reply) => return Err(reply),
                None => {}
            }
        }
    }

    /// The next reply to a command that transfers. `None` means to try again: bytes have
    /// moved, time has passed, or another thread has answered.
    ///
    /// # Panics
    /// If none of these happens, so that no reply can come.
    #[track_caller]
    fn next_of(&mut self, command: &str, moved: bool) -> Option<Reply> {
        let reply = self.reply();
        if reply.is_none() && !moved && !self.world.go_on() {
            panic!(
                "{command}: no final reply, the session {}",
                match self.is_closed() {
                    true => "has ended",
                    false => "waits for the client, or for time to pass",
                }
            );
        }
        reply
    }
}

//! Data connections and transfers of a client.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::data::{DataListener, DataPeer};
use super::reply::Reply;
use super::session::Session;
use crate::handlers::FTPHandler;

impl<H: FTPHandler + 'static> Session<H> {
    // --- data connections

    /// Opens a data connection with PASV, or with EPSV if the client has an IPv6
    /// address.
    ///
    /// # Panics
    /// If that is refused.
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

    /// Opens a data connection with PORT, or with EPRT if the client has an IPv6
    /// address.
    ///
    /// # Panics
    /// If that is refused.
    #[track_caller]
    pub fn active(&mut self) -> DataPeer {
        let any = SocketAddr::new(self.peer.ip(), 0);
        let listener = self.listen(any).expect("the port is a free one");
        let (ip, port) = (self.peer.ip(), listener.address().port());
        let reply = match ip {
            IpAddr::V4(ip) => {
                let ip = ip.to_string().replace('.', ",");
                self.command(&format!("PORT {ip},{},{}", port / 256, port % 256))
            }
            IpAddr::V6(ip) => self.command(&format!("EPRT |2|{ip}|{port}|")),
        };
        assert_eq!(reply.code(), 200, "{reply}");
        listener.accept().expect("the server says that it is there")
    }

    /// Connects from an address to a port of the server, as after PASV by hand.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens there.
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

    /// Listens for PORT and EPRT by hand; port 0 stands for any. A connection of the
    /// server's to another port of the client is refused; one to an address that
    /// nobody has is never made. (At the server's own address, a port of
    /// [`passive_ports`](crate::FTPConfig::passive_ports) can be made unusable with it.)
    ///
    /// # Errors
    /// `AddrInUse`.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<DataListener> {
        DataListener::bind(&self.world, address)
    }

    // --- transfers

    /// Fetches a file: TYPE I, PASV, RETR. Pauses of the transfer (a speed limit) pass
    /// at once, by the clock of the test.
    ///
    /// # Errors
    /// The reply that says why not.
    ///
    /// # Panics
    /// If a reply from before was not read, or no final one comes.
    #[track_caller]
    pub fn retr(&mut self, path: &str) -> Result<Vec<u8>, Reply> {
        self.set_binary()?;
        self.download(&format!("RETR {path}"))
    }

    /// Fetches what a command sends on a data connection, such as `MLSD /`: PASV, then
    /// the command. What is not UTF-8 is U+FFFD.
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

    /// Stores a file: TYPE I, PASV, STOR. Returns the final reply. Pauses pass as in
    /// [`retr`](Self::retr).
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

    /// The next reply to a command that transfers. `None`: try again.
    #[track_caller]
    fn next_of(&mut self, command: &str, moved: bool) -> Option<Reply> {
        let reply = self.reply();
        if reply.is_none() && !moved && !self.world.go_on() {
            panic!(
                "{command}: no final reply, the session {}",
                match self.is_closed() {
                    true => "has ended",
                    false => "waits for something",
                }
            );
        }
        reply
    }
}

//! A client and its session.

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::world::{Waits, World};
use super::{DataListener, DataPeer, Reply};
use crate::handlers::connection::Connection;
use crate::handlers::{Arrival, FTPConfig, FTPHandler, FTPSession};
use crate::ioloop::memory::{MemoryStream, Network};
use crate::ioloop::{Channel, ChannelId, IOLoop, Stream};
use crate::limits::Admission;
use crate::server_state::ServerState;
use crate::servers::acceptor;

/// A client in memory that is connected to a session with a handler of type `H`. See
/// the [module](super) for how to use it.
///
/// Dropping it closes the session, with its last hooks.
pub struct Session<H: FTPHandler + 'static> {
    world: Rc<World>,
    /// The client's end, until it is closed there.
    control: Option<MemoryStream>,
    received: Vec<u8>,
    greeting: Reply,
    peer: SocketAddr,
    local: SocketAddr,
    handler: PhantomData<fn(H)>,
}

impl<H: FTPHandler + 'static> Session<H> {
    /// Connects, and reads the greeting. The client is 127.0.0.1:49151, the server
    /// 127.0.0.1:2121.
    ///
    /// # Errors
    /// If no greeting comes, TLS cannot be set up, or the system has no descriptor
    /// left for the loop.
    pub fn new(config: FTPConfig, handler: H) -> io::Result<Self> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self::with_addresses(config, handler, at(49_151), at(2121))
    }

    /// As [`new`](Self::new), as a client at `peer` that has connected to the server
    /// at `local`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_addresses(
        mut config: FTPConfig,
        handler: H,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> io::Result<Self> {
        let tls = acceptor(&config)?;
        if tls.is_some() {
            config.proto_cmds.insert_tls();
        }
        let server = Arc::new(ServerState::new(BACKLOG, tls));
        let mut control = None;
        let begin = |ioloop: &mut IOLoop, network: &Network| {
            let (client, stream) = network.pair(peer, local);
            control = Some(client);
            let now = ioloop.now();
            ioloop.with_io(|io| {
                io.add_with(|id, remote| {
                    let arrival = Arrival {
                        stream: Stream::in_memory(stream),
                        peer,
                        config: Arc::new(config),
                        slot: server.slot(),
                        server,
                        remote: remote.clone(),
                        id,
                        now,
                    };
                    Box::new(Connection::new(arrival, handler, Admission::Admitted))
                })
            })
        };
        let world = World::new(begin, look::<H>)?;
        world.wait();
        let mut received = Vec::new();
        receive(control.as_ref(), &mut received);
        let greeting = Reply::take(&mut received);
        Ok(Self {
            world,
            control,
            received,
            greeting: greeting.ok_or_else(|| io::Error::other("no greeting came"))?,
            peer,
            local,
            handler: PhantomData,
        })
    }

    /// What the server has said first.
    #[must_use]
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    // --- the control connection

    /// Sends a command, to which CRLF is added, and returns its reply: the first one,
    /// if more follow. What is given off the loop is waited for.
    ///
    /// # Panics
    /// If a reply from before was not read, or none comes now.
    #[track_caller]
    pub fn command(&mut self, line: &str) -> Reply {
        self.begin(line);
        self.world.wait();
        match self.reply() {
            Some(reply) => reply,
            None if self.is_closed() => panic!("{line}: the session has ended without a reply"),
            None => panic!("{line}: no reply yet; `send` it, and `advance` the clock"),
        }
    }

    /// Sends a command to which the next reply has to belong.
    #[track_caller]
    fn begin(&mut self, line: &str) {
        if let Some(reply) = self.reply() {
            panic!("{line}: a reply was not read before: {reply}");
        }
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// Logs in.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn login(&mut self, username: &str, password: &str) -> Reply {
        let reply = self.command(&format!("USER {username}"));
        assert_eq!(reply.code(), 331, "{reply}");
        let reply = self.command(&format!("PASS {password}"));
        assert_eq!(reply.code(), 230, "{reply}");
        reply
    }

    /// Sends bytes as they are: half a line, or several. What the session does not
    /// take is lost: it is closed, or the test has not read 64 KiB of its replies.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len()
            && let Some(Ok(size)) = self.control.as_ref().map(|x| x.write(&bytes[sent..]))
        {
            sent += size;
            self.world.settle();
        }
        self.world.settle();
    }

    /// The next reply, if it is there and whole.
    #[track_caller]
    pub fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = Reply::take(&mut self.received) {
                return Some(reply);
            }
            self.world.settle();
            if !receive(self.control.as_ref(), &mut self.received) {
                return None;
            }
        }
    }

    /// All that has come and was not read as a reply: what a client under TLS needs,
    /// which sends its part with [`send`](Self::send).
    #[track_caller]
    pub fn receive(&mut self) -> Vec<u8> {
        self.world.settle();
        while receive(self.control.as_ref(), &mut self.received) {
            self.world.settle();
        }
        std::mem::take(&mut self.received)
    }

    /// Sends no more, but still reads.
    #[track_caller]
    pub fn shutdown(&mut self) {
        if let Some(control) = &self.control {
            control.shutdown();
        }
        self.world.settle();
    }

    /// Closes the control connection, as a client that leaves without QUIT.
    #[track_caller]
    pub fn close(&mut self) {
        self.control = None;
        self.world.settle();
    }

    /// Cuts the control connection, as a client that crashes.
    #[track_caller]
    pub fn reset(&mut self) {
        if let Some(control) = &self.control {
            control.reset();
        }
        self.close();
    }

    /// Whether the session is over. Its last replies may still be read.
    #[track_caller]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.world.settle();
        self.control.as_ref().is_none_or(MemoryStream::is_closed)
    }

    // --- the server's side

    /// Does something with the handler and its session, as a hook would.
    ///
    /// # Panics
    /// If the session is over; and with the panic of the function.
    #[track_caller]
    pub fn with<T>(&mut self, function: impl FnOnce(&mut H, &mut FTPSession) -> T) -> T {
        self.world.settle();
        let result = self.world.with(|ioloop, id| {
            ioloop.visit(id, |channel, io| {
                // A panic there is not one of the session's: the test has failed.
                let guarded = |h: &mut H, s: &mut FTPSession| {
                    catch_unwind(AssertUnwindSafe(|| function(h, s)))
                };
                connection(channel).map(|connection| connection.hook(io, guarded))
            })
        });
        self.world.settle();
        match result.flatten().expect("the session is over") {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Waits for what the session has given off the loop, and for an authorizer that
    /// answers later, up to 10 s of real time.
    ///
    /// # Panics
    /// If that takes longer.
    #[track_caller]
    pub fn wait(&mut self) {
        self.world.wait();
    }

    /// Moves the clock. All that becomes due meanwhile happens in its order, each at
    /// its time.
    #[track_caller]
    pub fn advance(&mut self, by: Duration) {
        self.world.advance(by);
    }

    /// How far the clock was moved since the client has connected.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

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
    /// [`passive_ports`](FTPConfig::passive_ports) can be made unusable with it.)
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

impl<H: FTPHandler + 'static> Drop for Session<H> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
            self.world.close();
        }
    }
}

impl<H: FTPHandler + 'static> fmt::Debug for Session<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .field("greeting", &self.greeting)
            .finish_non_exhaustive()
    }
}

/// Reads what is there. Returns whether there was anything.
fn receive(control: Option<&MemoryStream>, received: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    let before = received.len();
    while let Some(Ok(size @ 1..)) = control.map(|control| control.read(&mut buffer)) {
        received.extend(&buffer[..size]);
    }
    received.len() > before
}

fn connection<'a, H: 'static>(
    channel: &'a mut (dyn Channel + 'static),
) -> Option<&'a mut Connection<H>> {
    let channel: &'a mut dyn Any = channel;
    channel.downcast_mut()
}

/// What the session waits for.
fn look<H: FTPHandler + 'static>(ioloop: &mut IOLoop, id: ChannelId) -> Option<Waits> {
    let looked = ioloop.visit(id, |channel, _| {
        let session = connection::<H>(channel)?.session();
        let data = session.data_channel();
        Some(Waits {
            for_threads: session.waits_for_threads(),
            for_the_clock: data.is_some_and(|data| data.is_sleeping()),
        })
    });
    looked.flatten()
}

const BACKLOG: i32 = 100;

//! A client in memory, and its session.

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::reply::Reply;
use super::world::{Waits, World};
use crate::handlers::connection::Connection;
use crate::handlers::{FTPConfig, FTPHandler, FTPSession, NewSession};
use crate::ioloop::clock::Clock;
use crate::ioloop::memory::{MemoryStream, Network};
use crate::ioloop::{Channel, ChannelId, IOLoop, Stream};
use crate::limits::Admission;
use crate::proto::address::canonical;
use crate::server_state::ServerState;
use crate::servers::acceptor;

/// A client in memory, connected to a session with a handler of type `H`. The
/// [module](super) shows how to use it.
///
/// Dropping the value closes the session, which calls its last hooks.
pub struct Session<H: FTPHandler + 'static> {
    pub(super) world: Rc<World>,
    /// The client's end of the control connection; `None` once the client has closed it.
    control: Option<MemoryStream>,
    /// Bytes that have arrived and were not taken as replies yet.
    received: Vec<u8>,
    greeting: Reply,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    handler: PhantomData<fn(H)>,
}

impl<H: FTPHandler + 'static> Session<H> {
    /// Connects, and reads the greeting. The client has the address 127.0.0.1:49151, the
    /// server 127.0.0.1:2121.
    ///
    /// # Errors
    /// No greeting comes, TLS cannot be set up, or the system has no descriptor left for the
    /// loop.
    pub fn new(config: FTPConfig, handler: H) -> io::Result<Self> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self::with_addresses(config, handler, at(49_151), at(2121))
    }

    /// As [`new`](Self::new), with the address `peer` for the client and `local` for the
    /// server.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_addresses(
        mut config: FTPConfig,
        handler: H,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> io::Result<Self> {
        let clock = Clock::by_hand();
        let tls = acceptor(&config, clock.clone())?;
        if tls.is_some() {
            config.proto_cmds.insert_tls();
        }
        let server = Arc::new(ServerState::new(BACKLOG, tls, &config.guard));
        let mut control = None;
        let begin = |ioloop: &mut IOLoop, network: &Network| {
            let (client, stream) = network.pair(peer, local);
            control = Some(client);
            let now = ioloop.now();
            ioloop.with_io(|io| {
                io.add_with(|id, remote| {
                    let arrival = NewSession {
                        stream: Stream::in_memory(stream),
                        peer,
                        config: Arc::new(config),
                        slot: server.slot(canonical(peer.ip())),
                        server,
                        remote: remote.clone(),
                        id,
                        now,
                    };
                    Box::new(Connection::new(arrival, handler, Admission::Admitted))
                })
            })
        };
        let world = World::new(clock, begin, look::<H>)?;
        world.wait();
        let mut received = Vec::new();
        receive(control.as_ref(), &mut received);
        let greeting = Reply::take(&mut received);
        Ok(Self {
            world,
            control,
            received,
            greeting: greeting
                .ok_or_else(|| io::Error::other("the session has sent no greeting"))?,
            peer,
            local,
            handler: PhantomData,
        })
    }

    /// The first reply of the server, after the client has connected: 220 as a rule.
    #[must_use]
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    // --- the control connection

    /// Sends a command, to which CRLF is added, and returns its first reply. Waits for jobs
    /// that the session offloads for it.
    ///
    /// # Panics
    /// If a reply from before was not read, no reply comes, or such a job takes more than 10 s.
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

    /// Sends a command, after making sure that the next reply will belong to it.
    ///
    /// # Panics
    /// If a reply from before was not read.
    #[track_caller]
    pub(super) fn begin(&mut self, line: &str) {
        if let Some(reply) = self.reply() {
            panic!("{line}: a reply was not read before: {reply}");
        }
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// Logs in with USER and PASS. Returns the 230 reply.
    ///
    /// # Panics
    /// If the server refuses.
    #[track_caller]
    pub fn login(&mut self, username: &str, password: &str) -> Reply {
        let reply = self.command(&format!("USER {username}"));
        assert_eq!(reply.code(), 331, "{reply}");
        let reply = self.command(&format!("PASS {password}"));
        assert_eq!(reply.code(), 230, "{reply}");
        reply
    }

    /// Sends bytes as they are: a part of a line, or several lines. Bytes that the session does
    /// not read are lost. That happens if the session is closed, or does not read on because
    /// 64 KiB of its replies were not read by the test.
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

    /// The next reply; `None` if none has arrived whole.
    ///
    /// The final reply of a download waits, 2 ms or 50 ms, for the client to close its side of the
    /// data connection. If that is all that the session waits for, the clock is moved on.
    #[track_caller]
    pub fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = Reply::take(&mut self.received) {
                return Some(reply);
            }
            self.world.settle();
            if !receive(self.control.as_ref(), &mut self.received) && !self.world.pass_reply_pause()
            {
                return None;
            }
        }
    }

    /// All bytes that have arrived and were not read as replies. A test of TLS passes them to
    /// its own TLS client, and sends that client's bytes with [`send`](Self::send).
    #[track_caller]
    pub fn receive(&mut self) -> Vec<u8> {
        self.world.settle();
        while receive(self.control.as_ref(), &mut self.received) {
            self.world.settle();
        }
        std::mem::take(&mut self.received)
    }

    /// Ends the client's direction of the control connection, which may still be read from.
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

    /// Resets the control connection (TCP RST), as when a client crashes.
    #[track_caller]
    pub fn reset(&mut self) {
        if let Some(control) = &self.control {
            control.reset();
        }
        self.close();
    }

    /// Whether the session is over. There may still be replies to read.
    #[track_caller]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.world.settle();
        self.control.as_ref().is_none_or(MemoryStream::is_closed)
    }

    // --- the server's side

    /// Calls a function with the handler and its session, in the way that a hook is called.
    ///
    /// # Panics
    /// If the session is over, or the function panics.
    #[track_caller]
    pub fn with<T>(&mut self, function: impl FnOnce(&mut H, &mut FTPSession) -> T) -> T {
        self.world.settle();
        let result = self.world.with(|ioloop, id| {
            ioloop.visit(id, |channel, io| {
                // The loop would take a panic for one of a hook and close the session. Here
                // it is a failed assertion of the test: catch it, and resume it below.
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

    /// Waits, up to 10 s of real time, for jobs that the session has offloaded and for an
    /// authorizer that answers later.
    ///
    /// # Panics
    /// If that takes longer.
    #[track_caller]
    pub fn wait(&mut self) {
        self.world.wait();
    }

    /// Moves the clock on by `by`. Deadlines on the way are met in their order, each at its
    /// time.
    #[track_caller]
    pub fn advance(&mut self, by: Duration) {
        self.world.advance(by);
    }

    /// How far the clock was moved since the client connected.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
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

/// Reads the bytes that have arrived. Returns whether there were any.
fn receive(control: Option<&MemoryStream>, received: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    let before = received.len();
    while let Some(Ok(size @ 1..)) = control.map(|control| control.read(&mut buffer)) {
        received.extend(&buffer[..size]);
    }
    received.len() > before
}

/// The channel of the session as the type that it is.
fn connection<'a, H: 'static>(
    channel: &'a mut (dyn Channel + 'static),
) -> Option<&'a mut Connection<H>> {
    let channel: &'a mut dyn Any = channel;
    channel.downcast_mut()
}

/// What the session waits for; `None` if it is over.
fn look<H: FTPHandler + 'static>(ioloop: &mut IOLoop, id: ChannelId) -> Option<Waits> {
    let looked = ioloop.visit(id, |channel, _| {
        let session = connection::<H>(channel)?.session();
        let data = session.data_channel();
        Some(Waits {
            for_threads: session.waits_for_threads(),
            for_the_clock: data.is_some_and(|data| data.is_sleeping()),
            to_reply: session.owes_reply(),
        })
    });
    looked.flatten()
}

const BACKLOG: i32 = 100;

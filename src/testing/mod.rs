//! Unit tests of handlers, with sessions in memory: without sockets, threads or waiting.
//!
//! A [`Session`] is a client that is connected to your handler. It sends commands and reads
//! replies, and transfers files over data connections in memory. Time passes only when the
//! test says so: a timeout of five minutes takes no real time. Everything else is as in a
//! server: the same commands, checks, hooks and file system.
//!
//! ```
//! use std::time::Duration;
//!
//! use ftpdlib::authorizers::DummyAuthorizer;
//! use ftpdlib::testing::Session;
//! use ftpdlib::{FTPConfig, FTPHandler, FTPSession};
//!
//! /// The handler to be tested: it counts logins, and overrides a command.
//! #[derive(Default)]
//! struct Counting {
//!     logins: u32,
//! }
//!
//! impl FTPHandler for Counting {
//!     fn on_login(&mut self, _s: &mut FTPSession, _username: &str) {
//!         self.logins += 1;
//!     }
//!
//!     fn ftp_noop(&mut self, s: &mut FTPSession) {
//!         s.respond(format!("200 {} logins.", self.logins));
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = tempfile::tempdir()?;
//! let authorizer = DummyAuthorizer::new();
//! authorizer.add_user("user", "12345", home.path(), "elradfmwMT")?;
//! let mut config = FTPConfig::default();
//! config.set_authorizer(authorizer);
//!
//! let mut session = Session::new(config, Counting::default())?;
//! assert_eq!(session.greeting().code(), 220);
//!
//! // Commands, with one reply each.
//! let reply = session.command("USER user");
//! assert_eq!(reply, "331 Username ok, send password.");
//! session.login("user", "12345");
//! assert_eq!(session.command("NOOP"), "200 1 logins.");
//!
//! // Files and listings, each over a new data connection.
//! assert_eq!(session.stor("greeting", b"hello"), "226 Transfer complete.");
//! assert_eq!(session.retr("greeting")?, b"hello");
//! assert!(session.list("NLST")?.contains("greeting"));
//! let refused = session.retr("nothing").unwrap_err();
//! assert_eq!(refused.code(), 550);
//!
//! // A transfer by hand, to do what clients should not do.
//! let mut data = session.passive();
//! assert_eq!(session.command("STOR cut").code(), 125);
//! data.write(b"hel");
//! data.reset();
//! assert_eq!(session.reply().map(|reply| reply.code()), Some(426));
//!
//! // The handler, and the session that its methods get.
//! session.with(|handler, s| {
//!     assert_eq!(handler.logins, 1);
//!     assert_eq!(s.username(), "user");
//! });
//!
//! // Time.
//! session.advance(Duration::from_secs(300));
//! let good_bye = session.reply().expect("a reply at the time-out");
//! assert_eq!(good_bye, "421 Control connection timed out.");
//! assert!(session.is_closed());
//! # Ok(())
//! # }
//! ```
//!
//! # When things happen
//!
//! The session runs inside the calls of the test. Each call lets the session do all that it
//! can do, and then returns. Nothing happens between two calls.
//!
//! Replies wait in their order, and [`reply`](Session::reply) takes the next one.
//! [`command`](Session::command) panics if a reply from before was not read, so that this
//! reply is not taken for that to the new command. A reply that needs time, such as the
//! delayed one to a wrong password, comes with [`advance`](Session::advance):
//!
//! ```
//! # use std::time::Duration;
//! # use ftpdlib::{FTPConfig, handlers::StockHandler, testing::Session};
//! # let mut session = Session::new(FTPConfig::default(), StockHandler)?;
//! session.command("USER nobody");
//! session.send(b"PASS guess\r\n");
//! assert_eq!(session.reply(), None);
//! session.advance(Duration::from_secs(3));
//! assert_eq!(session.reply().unwrap(), "530 Authentication failed.");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A job that a method gives to [`offload`](crate::FTPSession::offload) runs on a real
//! thread. Calls that need a reply wait for it, up to 10 s of real time, and so does
//! [`wait`](Session::wait). They wait in the same way for an authorizer that answers later.
//!
//! # A whole server
//!
//! A [`Server`] has many clients, each with its own sockets, and all limits of a server. It is
//! deterministic: the test turns its loop, moves its clock and runs its jobs, and everything
//! random follows from a seed.
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use ftpdlib::handlers::StockHandler;
//! use ftpdlib::testing::Server;
//! use ftpdlib::FTPConfig;
//!
//! let address: SocketAddr = "10.0.0.1:21".parse()?;
//! let mut server = Server::new(FTPConfig::default(), address, 7, |_peer| StockHandler)?;
//! server.set_max_cons_per_ip(1);
//!
//! // Two clients with the same address.
//! let first = server.connect("10.0.0.2:1024".parse()?, address)?;
//! let second = server.connect("10.0.0.2:1025".parse()?, address)?;
//! server.settle();
//! let mut buffer = [0; 100];
//! let size = first.read(&mut buffer)?;
//! assert!(buffer[..size].starts_with(b"220 "));
//! let size = second.read(&mut buffer)?;
//! assert!(buffer[..size].starts_with(b"421 "));
//!
//! // The second one was closed, and the first one has 60 s to log in.
//! assert_eq!(server.sessions(), 1);
//! let deadline = server.next_deadline().expect("a deadline");
//! assert_eq!(deadline.as_secs(), 60);
//! server.set_now(deadline);
//! server.settle();
//! assert_eq!(server.sessions(), 0);
//!
//! // Its socket lingers until the client has closed its side, too, or for 2 s.
//! assert_eq!(server.open_sockets(), 1);
//! drop(first);
//! server.settle();
//! assert_eq!(server.open_sockets(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is not in memory
//!
//! There are no workers, no signals, and no socket options. A [`Session`] has no limits on
//! connections either, and no urgent data; its jobs run on real threads, and new files have the
//! real time, which is also that of its listings. For TLS the test has to bring the client's side:
//! see [`Session::receive`]. TLS draws its own random numbers, and its tickets have the real time.

mod data;
mod reply;
mod server;
mod session;
mod sockets;
mod transfers;
mod world;

pub use data::{DataListener, DataPeer};
pub use reply::Reply;
pub use server::Server;
pub use session::Session;
pub use sockets::{Listener, Stream};

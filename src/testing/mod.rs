//! Unit tests of handlers: a session in memory, without sockets, threads or waiting.
//!
//! A [`Session`] is a client that is connected to your handler. It sends lines and
//! reads replies; files go over imaginary data connections; time passes when the
//! test says so, so that a timeout of five minutes takes no time at all. All else
//! is as in a server: the same commands, checks, hooks and file system.
//!
//! ```
//! use std::time::Duration;
//!
//! use ftpdlib::authorizers::DummyAuthorizer;
//! use ftpdlib::testing::Session;
//! use ftpdlib::{FTPConfig, FTPHandler, FTPSession};
//!
//! /// What is to be tested: counts logins, and knows a command more.
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
//!         s.respond(&format!("200 {} logins.", self.logins));
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = tempfile::tempdir()?;
//! let mut authorizer = DummyAuthorizer::new();
//! authorizer.add_user("user", "12345", home.path(), "elradfmwMT")?;
//! let mut config = FTPConfig::default();
//! config.set_authorizer(authorizer);
//!
//! let mut session = Session::new(config, Counting::default())?;
//! assert_eq!(session.greeting().code(), 220);
//!
//! // Commands, one reply each.
//! let reply = session.command("USER user");
//! assert_eq!(reply, "331 Username ok, send password.");
//! session.login("user", "12345");
//! assert_eq!(session.command("NOOP"), "200 1 logins.");
//!
//! // Files and listings, each over a data connection of its own.
//! assert_eq!(session.stor("greeting", b"hello"), "226 Transfer complete.");
//! assert_eq!(session.retr("greeting")?, b"hello");
//! assert!(session.list("NLST")?.contains("greeting"));
//! let refused = session.retr("nothing").unwrap_err();
//! assert_eq!(refused.code(), 550);
//!
//! // The same by hand, to do what clients should not.
//! let mut data = session.passive();
//! assert_eq!(session.command("STOR cut").code(), 125);
//! data.write(b"hel");
//! data.reset();
//! assert_eq!(session.reply().map(|reply| reply.code()), Some(426));
//!
//! // The handler, and what its methods get.
//! session.with(|handler, s| {
//!     assert_eq!(handler.logins, 1);
//!     assert_eq!(s.username(), "user");
//! });
//!
//! // Time.
//! session.advance(Duration::from_secs(300));
//! let good_bye = session.reply().expect("it is told");
//! assert_eq!(good_bye, "421 Control connection timed out.");
//! assert!(session.is_closed());
//! # Ok(())
//! # }
//! ```
//!
//! # When things happen
//!
//! In the calls of the test: each lets the session do all that it can do, and
//! returns. Nothing happens between them. Replies wait in their order:
//! [`command`](Session::command) demands that none is left over from before, so that
//! none is taken for the reply to something else; [`reply`](Session::reply) takes
//! the next one. A reply that needs time (the one to a wrong password is held
//! back) comes with [`advance`](Session::advance):
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
//! Work that a method gives to [`offload`](crate::FTPSession::offload) is done by real
//! threads. Those calls that need a reply wait for it, up to 10 s of real time, as
//! [`wait`](Session::wait) does; an authorizer that answers later is waited for in
//! the same way.
//!
//! # What is not here
//!
//! The limits of a server on connections; workers; signals; urgent data. The file
//! system is the one that is configured, and so are the times of files. Under TLS
//! the client's side is the test's: see [`Session::receive`].

mod data;
mod reply;
mod session;
mod transfers;
mod world;

pub use data::{DataListener, DataPeer};
pub use reply::Reply;
pub use session::Session;

//! pyftpdlib for Rust: an FTP server library on its own reactor.
//!
//! A server:
//!
//! ```no_run
//! use ftpdlib::authorizers::DummyAuthorizer;
//! use ftpdlib::handlers::StockHandler;
//! use ftpdlib::{FTPConfig, FTPServer};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     ftpdlib::log::config_logging(log::LevelFilter::Info)?;
//!     let mut authorizer = DummyAuthorizer::new();
//!     authorizer.add_user("user", "12345", "/home/user", "elradfmwMT")?;
//!     authorizer.add_anonymous("/srv/ftp")?;
//!     let mut config = FTPConfig::default();
//!     config.set_authorizer(authorizer);
//!     FTPServer::bind("127.0.0.1:2121", config, |_peer| StockHandler)?.serve_forever()?;
//!     Ok(())
//! }
//! ```
//!
//! # One shape, used four times
//!
//! A class of pyftpdlib is a trait here, whose methods all have default bodies; a
//! struct, which holds the state and is the first argument of each method; and
//! public functions, which are those default bodies, to be called as `super`.
//!
//! | behaviour, to override | state | default bodies |
//! |---|---|---|
//! | [`FTPHandler`] | [`FTPSession`] | [`handlers::commands`], [`handlers::dispatch`], [`handlers::dispatchers`] |
//! | [`DTPHandler`] | [`DataChannel`] | [`handlers::data`] |
//! | [`AbstractedFS`](filesystems::AbstractedFS) | [`FSState`](filesystems::FSState) | [`filesystems::local`] |
//! | [`ChatHandler`](ioloop::ChatHandler) | [`AsyncChat`](ioloop::AsyncChat) | in the trait |
//!
//! Class attributes are fields of [`FTPConfig`], shared by all sessions; attributes
//! of an instance are fields of the user's own type, of which there is one value
//! per session. An [`Authorizer`](authorizers::Authorizer) extends another by
//! naming it as its `inner`.
//!
//! # The modules
//!
//! | module | what it knows |
//! |---|---|
//! | [`ioloop`] | sockets, deadlines and turns; nothing of FTP |
//! | [`proto`] | commands, replies, addresses and listings as bytes; no socket, no clock |
//! | [`handlers`] | sessions, commands, data connections |
//! | [`producers`] | where the output of a connection comes from |
//! | [`authorizers`] | who may log in, where, and what they may do |
//! | [`filesystems`] | files inside a user's home; nothing of sessions |
//! | [`log`] | how a line of the log looks |
//! | [`testing`] | unit tests of handlers: sessions without sockets, and a clock to be moved |
//! | `offload` | threads for slow work; nothing of sessions |
//! | `servers` | the listening socket and its limits: [`FTPServer`] |
//! | `sys` | every `unsafe` block: the system calls that std does not have |
//!
//! # What always holds
//!
//! - All runs on the thread that calls [`FTPServer::serve_forever`], but for what is
//!   given to [`FTPSession::offload`]. No method waits for a client, for another
//!   session, or for another thread.
//! - No operation on files leaves the user's home, whatever links are put in its
//!   way meanwhile; none follows a path that was checked before.
//! - One final reply for each command, in the order of the commands, and none that
//!   no command has asked for.
//! - At the end of a transfer: the socket is closed, the file is closed, the reply
//!   goes out, the log line, the callback; exactly one of the four callbacks.
//! - Nothing that a client sends ends the process, makes a queue grow without
//!   bound, or forges a line of a reply, of a listing or of the log. A panic in a
//!   method of a user's handler ends that session only.

#![warn(missing_docs, missing_debug_implementations)]

pub mod authorizers;
mod error;
pub mod filesystems;
pub mod handlers;
pub mod ioloop;
mod limits;
pub mod log;
mod offload;
pub mod prefork;
pub mod producers;
pub mod proto;
mod servers;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that std does not have"
)]
mod sys;
pub mod testing;
mod tls;

pub use error::{AuthenticationFailed, AuthorizerError, FSError, FilesystemError, strerror};
pub use handlers::{
    ActiveDTPConfig, DTPConfig, DTPHandler, DataChannel, FTPConfig, FTPHandler, FTPSession,
    PassiveDTPConfig, ThrottledDTPHandler,
};
pub use offload::PoolFull;
/// What TLS is made with: for [`TlsConfig::ssl_context`].
pub use rustls;
pub use servers::{FTPServer, MultiprocessFTPServer, ThreadedFTPServer};
pub use tls::{CertFiles, ClientAuth, SessionReuse, TlsConfig, TlsError, TlsVersion, fingerprint};

/// The Rust code of the README, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// That of the guide for porters.
#[cfg(doctest)]
#[doc = include_str!("../PORTING.md")]
struct Porting;

//! pyftpdlib for Rust: an FTP server library on its own reactor.
//!
//! # A server in 15 lines
//!
//! ```no_run
//! use ftpdlib::authorizers::DummyAuthorizer;
//! use ftpdlib::handlers::StockHandler;
//! use ftpdlib::log::{LevelFilter, config_logging};
//! use ftpdlib::{FTPConfig, FTPServer};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     config_logging(LevelFilter::Info)?;
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
//! It serves until SIGINT or SIGTERM. In `Cargo.toml`, `default-features = false` leaves out
//! what only the program `ftpdlib` needs. What follows makes it a server of one's own.
//!
//! ## A handler
//!
//! A session calls a method of [`FTPHandler`] for whatever happens (`on_*`) and for each
//! command (`ftp_*`). What is not overridden is as in pyftpdlib; an overridden command
//! calls the stock one as a function:
//!
//! ```
//! use std::path::Path;
//!
//! use ftpdlib::handlers::commands;
//! use ftpdlib::{FTPHandler, FTPSession};
//!
//! /// One value for each session: its fields are the session's own.
//! #[derive(Default)]
//! struct GiveAndTake {
//!     uploads: u32,
//! }
//!
//! impl FTPHandler for GiveAndTake {
//!     fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
//!         self.uploads += 1;
//!         s.log(format_args!("{} has given {}", s.username(), file.display()));
//!     }
//!
//!     fn ftp_retr(&mut self, s: &mut FTPSession, path: &Path) {
//!         match self.uploads {
//!             0 => s.respond("550 Give before you take."),
//!             _ => commands::retr(s, path), // super
//!         }
//!     }
//! }
//! ```
//!
//! All sessions share one thread, so no method may wait: slow work goes to a pool with
//! [`FTPSession::offload`], which calls back with its result. A method may panic: that ends
//! its session only.
//!
//! ## Users
//!
//! [`DummyAuthorizer`](authorizers::DummyAuthorizer) holds a table of them, each with a home
//! that it cannot leave and with [permissions](authorizers::Perm). Who asks a database, or
//! keeps digests, implements [`Authorizer`](authorizers::Authorizer) above it.
//!
//! ```no_run
//! # use ftpdlib::authorizers::DummyAuthorizer;
//! # use ftpdlib::FTPConfig;
//! let mut users = DummyAuthorizer::new();
//! users.add_user("joe", "secret", "/srv/ftp/joe", "elradfmwMT")?;
//! users.override_perm("joe", "/srv/ftp/joe/archive", "elr", true)?; // read only, and all below
//! let mut config = FTPConfig::default();
//! config.set_authorizer(users);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## TLS, and other settings
//!
//! They are fields of [`FTPConfig`] and of [`TlsConfig`], all with a default:
//!
//! ```
//! # use std::time::Duration;
//! # use ftpdlib::{FTPConfig, TlsConfig};
//! let mut tls = TlsConfig::new("keycert.pem"); // a certificate chain and its key
//! tls.tls_control_required = true;
//! tls.tls_data_required = true;
//! let mut config = FTPConfig::default();
//! config.tls = Some(tls);
//! config.banner = "Welcome.".to_owned();
//! config.timeout = Some(Duration::from_secs(60));
//! config.passive_ports = Some((60_000..=60_100).collect());
//! ```
//!
//! ## Workers
//!
//! One loop holds tens of thousands of sessions, on one core. For more cores processes
//! are forked, each with a loop; a [`ThreadedFTPServer`] or [`MultiprocessFTPServer`] has a thread or
//! a process for each session, whose methods may block.
//!
//! ```no_run
//! # use ftpdlib::{FTPConfig, FTPServer, handlers::StockHandler};
//! # fn main() -> std::io::Result<()> {
//! # let config = FTPConfig::default();
//! let mut server = FTPServer::bind(":2121", config, |_peer| StockHandler)?;
//! server.set_max_cons_per_ip(10);
//! server.set_worker_processes(0); // one for each CPU
//! server.serve_forever()?;
//! std::process::exit(server.exit_status().into());
//! # }
//! ```
//!
//! ## Further on
//!
//! - a command of one's own: [`ProtoCmds::insert`](proto::command::ProtoCmds::insert) and
//!   [`FTPHandler::ftp_custom`]
//! - limits of speed: [`ThrottledDTPHandler`]; other data: [`DTPHandler`], [`producers`]
//! - files that are none of the disk's: [`AbstractedFS`](filesystems::AbstractedFS)
//! - another protocol on the same loop: [`FTPServer::ioloop`], [`ioloop`]
//! - in a loop of one's own: [`FTPServer::turn`]
//! - what a name of pyftpdlib's is here: [`porting`]
//! - how it works inside, and what may change: [`architecture`]
//! - the program, its configuration file, FTPS and its clients, figures: `README.md`; what
//!   people do with it: `docs/RECIPES.md`, and `examples/`
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
//! # The floors
//!
//! The modules from the bottom up. A module imports only from lower floors, modules on one
//! floor do not import each other, and the files form no circle. `tests/structure` reads this
//! table and all imports, and checks that.
//!
//! | module | knows | does not know |
//! |---|---|---|
//! | `time` | how to add a delay to a time without overflow | the clock |
//! | `sys` | the system calls that std lacks, and every `unsafe` block | why they are made |
//! | `error` | the texts of errors: [`FSError`] and others | the reply codes before them |
//! | [`log`](mod@log) | the form of a line of the log, and when it is written | what it says |
//! | [`ioloop`] | sockets, deadlines, turns, channels, TLS records | FTP |
//! | [`proto`] | commands, replies, addresses and listings, as bytes | sockets, files, users |
//! | `limits` | how many sockets there are and may be, over all processes | what they are for |
//! | `offload` | a pool of threads for slow jobs | sessions |
//! | `tls` | certificates, tickets, the order of a handshake: [`TlsConfig`] | sockets, commands |
//! | `server_state` | what the sessions of a server share besides the settings | sessions |
//! | [`filesystems`] | files inside a user's home | sessions, replies, permissions |
//! | [`authorizers`] | which users may log in, where, and what they may do | sessions, sockets, the pool |
//! | [`producers`] | where the output of a connection comes from | where it goes |
//! | `handlers::command`, `handlers::transfer_log` | a checked command, a transfer to be logged | what is done with it |
//! | [`handlers::data`](mod@handlers::data) | a data connection: bytes between a socket and a file | its session |
//! | `handlers::throttled`, `handlers::config` | a speed limit; the settings of all sessions | a session |
//! | `handlers::session` | the state of one control connection | what commands do |
//! | [`handlers::hooks`] | the methods of a handler, without bodies | the bodies |
//! | `handlers::log`, `handlers::files` | the lines of commands and transfers; the one door to the file system | which command runs |
//! | `handlers::check`, `handlers::turn` | whether a command may run, and whether now | what it does |
//! | `handlers::transfers` | how a transfer begins and ends | which command began it |
//! | `handlers::parking` | how the results of jobs come back to a session | what the jobs do |
//! | [`handlers::dispatchers`] | data connections that are not open yet: PASV, PORT | what they transfer |
//! | [`handlers::commands`] | the stock bodies of the commands | which of them are overridden |
//! | [`handlers::dispatch`], `handlers::lifecycle` | from a line to its method; the deadlines and the end of a session | sockets |
//! | `handlers::handler` | [`FTPHandler`]: the methods with their stock bodies | the driver |
//! | `handlers::connection` | how a session is driven, and which events it needs | what commands do |
//! | [`prefork`] | processes that serve in place of this one | what they serve |
//! | `servers` | listening sockets, and how a server ends: [`FTPServer`] | commands |
//! | [`testing`] | sessions without sockets, for unit tests of handlers | a server's limits |
//! | `main` | the program: its command line, configuration file and manual | how the library works inside |
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

#![warn(missing_docs, missing_debug_implementations, unnameable_types)]

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
mod server_state;
mod servers;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that std does not have"
)]
mod sys;
pub mod testing;
mod time;
mod tls;

pub use error::{AuthenticationFailed, AuthorizerError, FSError, FilesystemError, strerror};
pub use handlers::{
    ActiveDTPConfig, DTPConfig, DTPHandler, DataChannel, FTPConfig, FTPHandler, FTPSession,
    PassiveDTPConfig, ThrottledDTPHandler,
};
/// The poll: for sockets of one's own on an [`IOLoop`](ioloop::IOLoop).
pub use mio;
pub use offload::PoolFull;
/// What TLS is made with: for [`TlsConfig::ssl_context`].
pub use rustls;
pub use servers::{FTPServer, MultiprocessFTPServer, ThreadedFTPServer};
pub use tls::{CertFiles, ClientAuth, SessionReuse, TlsConfig, TlsError, TlsVersion, fingerprint};

/// The Rust code of the README, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Makes a module of each document, so that `cargo doc` has it as a page.
///
/// A document links to others by names that it defines at its end, for those who read the
/// file. The definitions here stand before those, and the first one of a name counts.
#[cfg(any(doc, doctest))]
macro_rules! pages {
    ($($(#[$attribute:meta])* $name:ident: $file:literal;)*) => { $(
        $(#[$attribute])*
        /// [program]: crate::docs::program
        /// [workers]: crate::docs::program#workers-threads-and-processes
        /// [end]: crate::docs::program#how-the-server-ends
        /// [security]: crate::docs::program#security
        /// [configuration]: crate::docs::configuration
        /// [ftps]: crate::docs::ftps
        /// [commands]: crate::docs::commands
        /// [embedding]: crate::docs::embedding
        /// [offload]: crate::docs::embedding#slow-work-off-the-loop
        /// [examples]: crate::docs::embedding#examples
        /// [recipes]: crate::docs::recipes
        /// [porting]: crate::porting
        /// [tls-names]: crate::porting#pyftpdlibhandlerstls_ftphandler
        /// [contributing]: crate::docs::contributing
        /// [architecture]: crate::architecture
        /// [glossary]: crate::architecture#glossary
        /// [differences]: crate::architecture#where-ftpdlib-differs-from-pyftpdlib-on-purpose
        /// [stable]: crate::architecture#what-is-stable
        /// [floors]: crate#the-floors
        ///
        #[doc = include_str!($file)]
        pub mod $name {}
    )* };
}

#[cfg(any(doc, doctest))]
pages! {
    porting: "../PORTING.md";
    architecture: "../ARCHITECTURE.md";
}

/// The guide to the library and the manual of the program: the files of `docs/`, as pages.
#[cfg(any(doc, doctest))]
pub mod docs {
    pages! {
        embedding: "../docs/EMBEDDING.md";
        program: "../docs/PROGRAM.md";
        configuration: "../docs/CONFIGURATION.md";
        ftps: "../docs/FTPS.md";
        commands: "../docs/COMMANDS.md";
        contributing: "../CONTRIBUTING.md";
        // What it shows is quoted from the examples: parts, which do not compile alone.
        #[cfg(not(doctest))]
        recipes: "../docs/RECIPES.md";
    }
}

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
//!     let authorizer = DummyAuthorizer::new();
//!     authorizer.add_user("user", "12345", "/home/user", "elradfmwMT")?;
//!     authorizer.add_anonymous("/srv/ftp")?;
//!     let mut config = FTPConfig::default();
//!     config.set_authorizer(authorizer);
//!     FTPServer::bind("127.0.0.1:2121", config, |_peer| StockHandler)?.serve_forever()?;
//!     Ok(())
//! }
//! ```
//!
//! The server runs until SIGINT or SIGTERM. In `Cargo.toml`, `default-features = false` leaves out
//! what only the program `ftpdlib` needs, and also FTPS: `features = ["aws-lc-rs"]` brings that
//! back. The next sections show how to change the server.
//!
//! ## A handler
//!
//! A session calls a method of [`FTPHandler`] for each event (`on_*`) and for each command
//! (`ftp_*`). A method that you do not override behaves as in pyftpdlib. An override calls the
//! stock body as a function:
//!
//! ```
//! use std::path::Path;
//!
//! use ftpdlib::handlers::commands;
//! use ftpdlib::{FTPHandler, FTPSession};
//!
//! /// Each session has its own value of this type.
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
//! All sessions share one thread, so no method may block. [`FTPSession::offload`] runs slow work
//! on a pool of threads and calls back with its result. A panic in a method ends its session
//! only.
//!
//! ## Users
//!
//! [`DummyAuthorizer`](authorizers::DummyAuthorizer) holds a table of users. Each has a home
//! that it cannot leave, and [permissions](authorizers::Perm). To ask a database, or to keep
//! password hashes, implement [`Authorizer`](authorizers::Authorizer) on top of it.
//!
//! ```no_run
//! # use ftpdlib::authorizers::DummyAuthorizer;
//! # use ftpdlib::FTPConfig;
//! let users = DummyAuthorizer::new();
//! users.add_user("joe", "secret", "/srv/ftp/joe", "elradfmwMT")?;
//! users.override_perm("joe", "/srv/ftp/joe/archive", "elr", true)?; // read only, and all below
//! let mut config = FTPConfig::default();
//! config.set_authorizer(users);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## TLS, and other settings
//!
//! Settings are fields of [`FTPConfig`] and of [`TlsConfig`]. Each has a default:
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
//! One loop holds tens of thousands of sessions on one core. To use more cores, the server forks
//! worker processes, each with a loop. A [`ThreadedFTPServer`] has a thread for each session,
//! and a [`MultiprocessFTPServer`] a process: there, methods may block.
//!
//! ```no_run
//! # use ftpdlib::{FTPConfig, FTPServer, handlers::StockHandler};
//! # fn main() -> std::io::Result<()> {
//! # let config = FTPConfig::default();
//! let mut server = FTPServer::bind(":2121", config, |_peer| StockHandler)?;
//! server.set_max_cons_per_ip(10);
//! server.set_worker_processes(0); // one worker for each CPU
//! server.serve_forever()?;
//! std::process::exit(server.exit_status().into());
//! # }
//! ```
//!
//! ## Further on
//!
//! - the guide to the library: [`docs::embedding`]; what people do with it: [`docs::recipes`]
//!   and `examples/`
//! - a new command: [`ProtoCmds::insert`](proto::command::ProtoCmds::insert) and
//!   [`FTPHandler::ftp_custom`]
//! - speed limits: [`ThrottledDTPHandler`]; other data: [`DTPHandler`], [`producers`]
//! - files that are not on disk: [`NoFS`](filesystems::NoFS); a file system for each login:
//!   [`FTPHandler::abstracted_fs`]
//! - users that change while the server runs, and who is there: [`Sessions`]
//! - another protocol on the same loop: [`FTPServer::ioloop`], [`ioloop`]
//! - several listeners, and the server on a thread of its own: [`FTPServer::builder`]
//! - the server inside your own loop: [`FTPServer::turn`], [`FTPServer::turn_all`]
//! - unit tests of a handler, or of a whole server, without sockets: [`testing`]
//! - the Rust name for each name of pyftpdlib: [`porting`]
//! - how the library works inside, and what may change: [`architecture`]
//! - the program: [`docs::program`], [`docs::configuration`], [`docs::ftps`]
//!
//! # One shape, used four times
//!
//! A class of pyftpdlib becomes three things: a trait, whose methods all have default bodies; a
//! struct, which holds the state and is the first argument of each method; and public
//! functions, which are the default bodies, to be called as `super`.
//!
//! | behaviour, to override | state | default bodies |
//! |---|---|---|
//! | [`FTPHandler`] | [`FTPSession`] | [`handlers::commands`], [`handlers::dispatch`], [`handlers::dispatchers`] |
//! | [`DTPHandler`] | [`DataChannel`] | [`handlers::data`] |
//! | [`AbstractedFS`](filesystems::AbstractedFS) | [`FSState`](filesystems::FSState) | [`filesystems::local`] |
//! | [`ChatHandler`](ioloop::ChatHandler) | [`AsyncChat`](ioloop::AsyncChat) | in the trait |
//!
//! Class attributes are fields of [`FTPConfig`], which all sessions share. Attributes of an
//! instance are fields of your type, of which each session has its own value. An
//! [`Authorizer`](authorizers::Authorizer) extends another one by returning it from `inner`.
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
//! | `random` | numbers that a client cannot guess, or that follow from a seed | what they are for |
//! | `sys` | the system calls that std lacks, and every `unsafe` block | why they are made |
//! | `error` | the texts of errors: [`FSError`] and others | the reply codes before them |
//! | [`log`](mod@log) | the form of a line of the log, and when it is written | what it says |
//! | `run_as` | how a process becomes another user for good | when, and what it serves |
//! | [`ioloop`] | sockets, deadlines, turns, channels, TLS records | FTP |
//! | [`proto`] | commands, replies, addresses and listings, as bytes | sockets, files, users |
//! | `limits` | how many sockets there are and may be, over all processes; a budget of memory | what they are for |
//! | `uploads` | which uploads are in progress, over all processes | who may upload |
//! | `guard` | which addresses fail to log in or connect too often, over all processes | sessions, replies |
//! | `offload` | a pool of threads for slow jobs | sessions |
//! | `tls` | certificates, tickets, the order of a handshake: [`TlsConfig`] | sockets, commands |
//! | [`filesystems`] | files inside a user's home | sessions, replies, permissions |
//! | `sessions` | which loops have sessions, and how these are listed and closed | what they do |
//! | `server_state` | what the sessions of a server share besides the settings | sessions |
//! | [`authorizers`] | which users may log in, where, and what they may do | sessions, sockets, the pool |
//! | [`producers`] | where the output of a connection comes from | where it goes |
//! | `handlers::command`, `handlers::transfer_log` | a checked command, a transfer to be logged | what is done with it |
//! | [`handlers::data`](mod@handlers::data) | a data connection: bytes between a socket and a file | its session |
//! | `handlers::throttled`, `handlers::config` | a speed limit; the settings of all sessions | a session |
//! | `handlers::session` | the state of one control connection | what commands do |
//! | [`handlers::hooks`] | the methods of a handler, without bodies | the bodies |
//! | `handlers::locking` | whether an upload may have its file | what it writes |
//! | `handlers::log`, `handlers::files` | the lines of commands and transfers; the one door to the file system | which command runs |
//! | `handlers::space` | whether a file system has space for an upload | when it is asked |
//! | `handlers::check`, `handlers::turn` | whether a command may run, and whether now | what it does |
//! | `handlers::user_fs` | the file system for hooks and jobs, as the user of the session | which hook asks |
//! | `handlers::transfers` | how a transfer begins and ends | which command began it |
//! | `handlers::pending` | how a transfer ends whose data connection does not come | when it does |
//! | `handlers::parking` | how the results of jobs come back to a session | what the jobs do |
//! | [`handlers::dispatchers`] | data connections that are not open yet: PASV, PORT | what they transfer |
//! | [`handlers::commands`] | the stock bodies of the commands | which of them are overridden |
//! | [`handlers::dispatch`], `handlers::lifecycle` | from a line to its method; the deadlines and the end of a session | sockets |
//! | `handlers::lines` | what precedes the command of a line; which lines of a client that has gone still count | when lines come |
//! | `handlers::handler` | [`FTPHandler`]: the methods with their stock bodies | the driver |
//! | `handlers::stock` | the handler that overrides nothing; each handler, as the stock bodies see it | what users override |
//! | `handlers::connection` | how a session is driven, and which events it needs | what commands do |
//! | [`prefork`] | processes that serve in place of this one | what they serve |
//! | `servers` | listening sockets, and how a server ends: [`FTPServer`] | commands |
//! | [`testing`] | sessions and servers without sockets, for tests | what they serve |
//! | `main` | the program: its command line, configuration file and manual | how the library works inside |
//!
//! # What always holds
//!
//! - All code runs on the thread that calls [`FTPServer::serve_forever`], except for the jobs
//!   of [`FTPSession::offload`]. No method waits for a client, for another session, or for
//!   another thread.
//! - No operation on files leaves the user's home, even if links are changed meanwhile. No
//!   operation uses a path that was only checked before.
//! - What a user may not do in a directory
//!   ([`override_perm`](authorizers::DummyAuthorizer::override_perm)) no operation does there, by
//!   whatever links and names, even if others rename directories meanwhile. The exception is a
//!   directory that somebody moves there who may, while an operation in it is in progress.
//! - Each step on the file system, also a later step of an open file or of a listing, runs
//!   between [`impersonate_user`](authorizers::Authorizer::impersonate_user) and
//!   [`terminate_impersonation`](authorizers::Authorizer::terminate_impersonation). The
//!   exceptions are `sendfile` and `splice`, by which the kernel moves the bytes of an open
//!   file: they run without the identity.
//! - Each command gets one final reply, in the order of the commands. No reply is sent that no
//!   command has asked for.
//! - A transfer ends in this order: the socket is closed, or only shut down while its client may
//!   still send, the file is closed, the handler may decide about the reply of a complete file
//!   ([`FTPHandler::confirm_transfer`]), the reply is sent, the log line is written, and exactly one
//!   of the four callbacks is called. A file that got a reply with an error is an incomplete one.
//! - Nothing that a client sends ends the process, makes a queue grow without bound, or forges a
//!   line of a reply, of a listing or of the log. A panic in a method of a handler ends that
//!   session only.

#![cfg_attr(
    not(feature = "tls"),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "the docs name the types of TLS"
    )
)]
#![warn(missing_docs, missing_debug_implementations, unnameable_types)]

pub mod authorizers;
mod error;
pub mod filesystems;
mod guard;
pub mod handlers;
pub mod ioloop;
mod limits;
pub mod log;
mod offload;
pub mod prefork;
pub mod producers;
pub mod proto;
mod random;
mod run_as;
mod server_state;
mod servers;
mod sessions;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that std does not have"
)]
mod sys;
pub mod testing;
mod time;
mod tls;
mod uploads;

pub use error::{AuthenticationFailed, AuthorizerError, FSError, FilesystemError, strerror};
pub use guard::GuardConfig;
pub use handlers::{
    ActiveDTPConfig, DTPConfig, DTPHandler, DataChannel, FTPConfig, FTPHandler, FTPSession,
    ListenTls, PassiveDTPConfig, ThrottledDTPHandler,
};
/// The poll, for your own sockets on an [`IOLoop`](ioloop::IOLoop).
pub use mio;
pub use offload::PoolFull;
pub use run_as::RunAs;
/// The TLS library, for [`TlsConfig::ssl_context`].
#[cfg(feature = "tls")]
pub use rustls;
pub use servers::{
    ExitStatus, FTPServer, Listen, MultiprocessFTPServer, ServerBuilder, ServerHandle, Stop,
    ThreadedFTPServer,
};
pub use sessions::{SessionId, SessionInfo, Sessions};
#[cfg(feature = "tls")]
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
        /// [log-lines]: crate::docs::program#log
        /// [security]: crate::docs::program#security
        /// [guessing]: crate::docs::program#guessed-passwords
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
        /// [testing]: crate::docs::testing
        /// [threats]: crate::docs::security
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
        testing: "../docs/TESTING.md";
        security: "../docs/SECURITY.md";
        // What it shows is quoted from the examples: parts, which do not compile alone.
        #[cfg(not(doctest))]
        recipes: "../docs/RECIPES.md";
    }
}

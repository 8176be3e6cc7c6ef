//! Servers: a listening socket whose connections become sessions, within limits, and how
//! a server ends. This module does not know what a session does.

mod accept;
mod builder;
mod constructors;
mod handle;
mod in_memory;
mod limits;
mod listen;
mod locks;
mod masquerade;
mod model;
mod processes;
mod room;
mod run_as;
mod serve;
mod server;
mod sessions;
mod signals;
mod spawners;
mod start;
mod stop;
mod threads;
mod turns;
mod worker_listeners;

pub use self::builder::ServerBuilder;
pub use self::handle::{ExitStatus, ServerHandle};
pub(crate) use self::in_memory::serve_in_memory;
pub use self::listen::Listen;
pub use self::server::FTPServer;
pub(crate) use self::server::acceptor;
pub use self::spawners::{MultiprocessFTPServer, ThreadedFTPServer};
pub use self::stop::Stop;

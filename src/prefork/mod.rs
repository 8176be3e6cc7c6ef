//! Workers: processes that are forked before clients connect, and a master that watches
//! over them.
//!
//! Listening sockets are made before the fork, and event loops after it: if two processes
//! shared a poll, each would get the events of the other's sockets.
//!
//! This module does not know what the workers serve: [`fork_processes`] works for any
//! program.

mod master;
mod restarts;
mod signals;

pub(crate) use self::master::{FORCED_END_TIMEOUT, Service, count, supervise};
pub use self::master::{Role, fork_processes};
pub(crate) use self::signals::{is_worker, take_early_reload, was_stopped};

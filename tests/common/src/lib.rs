//! What the tests of ftpdlib share: servers in threads and in processes, clients that wait
//! for each reply no longer than a deadline, certificates, and files and hooks that report
//! what happens to them.
//!
//! A test that cannot go on has failed, so nearly every function here panics instead of
//! returning an error.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "a test that cannot go on has failed"
)]

pub mod authority;
mod client;
mod data;
mod files;
mod hooks;
pub mod log;
mod mode;
mod program;
pub mod reactor;
mod server;
mod socket;
mod terminal;
mod tls;
mod transfers;
mod users;
mod wait;
mod wallet;
mod wrong_files;

pub use self::client::Client;
pub use self::data::{
    FullListener, accept_data, bound_to, connect_data, connect_data_from, data_socket, parse_227,
    parse_229, port_command, port_listener,
};
pub use self::files::{BIG, MemoryFS, OwnFile, Wrapper, pattern, sparse, write_big};
pub use self::hooks::{Hooks, expect_events, hide_planned_panics};
pub use self::mode::Mode;
pub use self::program::{Program, address_in, signal, tls_args};
pub use self::server::{Server, config};
pub use self::socket::{Socket, reset, reset_when_dropped, set_deadlines};
pub use self::terminal::Terminal;
pub use self::tls::{
    ALERT, Carried, certfile, client_config, client_configs_with, client_hello, each_version,
    expect_tls_end, serve, with_tls,
};
pub use self::transfers::{
    WAYS, Way, await_data, begin, drain, fetch, read_all, read_whole, store,
};
pub use self::users::set_users;
pub use self::wait::{at_once, await_refusal, next, wait_for};
pub use self::wallet::Wallet;
pub use self::wrong_files::{version_1, write_wrong_files};

use std::time::Duration;

/// The user that a server of the tests knows, with all permissions.
pub const USER: &str = "user";

/// The password of [`USER`].
pub const PASSWORD: &str = "12345";

/// How long anything may take before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

//! What the benches share: servers in their own processes, clients, what the system says of
//! a process, and the table at the end.
//!
//! The figures are what the server spends - its CPU time, its system calls, its memory - and
//! not how fast the client is. Next to each figure of ftpdlib stands that of pyftpdlib 2.2.0
//! from the same run, measured round by round in turn, if pyftpdlib is there:
//!
//! ```text
//! python3 -m venv /tmp/pyftpdlib && /tmp/pyftpdlib/bin/pip install pyftpdlib==2.2.0 pyOpenSSL
//! FTPDLIB_BENCH_PYTHON=/tmp/pyftpdlib/bin/python cargo bench
//! ```
//!
//! The words after `cargo bench --` choose parts of a bench: `tls` those with TLS, `clear`
//! those without.

#![allow(dead_code, reason = "each bench uses its own part of this")]
#![allow(unused_imports, reason = "each bench uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each bench, and public there")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the table is for standard output")]

mod client;
mod endpoint;
mod process;
mod samples;
mod server;
mod settings;
mod table;
mod tls;
mod which;
mod wire;

use std::time::Duration;

pub use self::client::Client;
pub use self::endpoint::Endpoint;
pub use self::process::{Memory, children, signal, traced_calls};
pub use self::samples::{Samples, micros, millis, number};
pub use self::server::{Server, servers};
pub use self::settings::{
    ALL_DESCRIPTORS, MIB, descriptors, file, home, rounds, setting, wanted, with_all_descriptors,
};
pub use self::table::{Table, Target, machine};
pub use self::tls::Tls;
pub use self::which::{Speech, Which, installed, python, words};
pub use self::wire::Wire;

pub const USER: &str = "user";
pub const PASSWORD: &str = "12345";

/// How long anything may take before the bench fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

//! The reactor at scale: what thousands of idle sessions cost, what they cost other sessions, and
//! how long a command waits while the server is busy or attacked.
//!
//! ```text
//! cargo bench --bench scale -- [--quick] [--sessions N] [idle] [fair] [attacks]
//! ```

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(
    unreachable_pub,
    reason = "a program, whose modules are public within it"
)]

mod attacks;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "compare has options for it")]
#[path = "../compare/cpus.rs"]
mod cpus;
mod fair;
mod idle;
mod meter;
mod options;

use std::path::Path;

use common::{Server, Speech, Table, Which, home, with_all_descriptors};
use options::Options;

fn main() {
    if meter::plays() || fair::plays() || attacks::plays() {
        return;
    }
    let options = Options::parse();
    with_all_descriptors();
    let home = home();
    let mut table = Table::alone("scale");
    if options.wants("idle") {
        idle::run(&mut table, home.path(), &options);
    }
    if options.wants("fair") {
        fair::run(&mut table, home.path(), &options);
    }
    if options.wants("attacks") {
        attacks::run(&mut table, home.path(), &options);
    }
    // The table counts all CPUs of the machine.
    cpus::choose("any").expect("all CPUs");
    table.print();
}

/// Starts a server on its CPU.
fn start(home: &Path) -> Server {
    let start = || Server::start(Which::Ftpdlib, Speech::Clear, home);
    cpus::in_place(start).expect("its CPU")
}

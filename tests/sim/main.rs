//! A simulated world: one seed, one run, and a model that judges every step.
//!
//! Without arguments, as in `cargo test`: the transcripts of faults that were found, and some
//! seconds of worlds from fixed seeds. By name: `run`, `replay`, `shrink`, `print`,
//! `unit`; see [`command`].

#![allow(clippy::print_stdout, reason = "the program tells how it went")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "all of this is one program")]
#![allow(
    dead_code,
    reason = "the generator of plans does not draw all of it yet"
)]

mod client;
mod command;
mod disk;
mod handler;
mod judge;
mod link;
mod log;
mod model;
mod panics;
mod plan;
mod runs;
mod script;
mod settings;
mod shrink;
mod smoke;
mod tls;
mod trace;
mod transcript;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    command::main(&arguments)
}

//! ftpdlib next to pyftpdlib, vsftpd, proftpd and pure-ftpd: what each spends on the same work on
//! the same tree, in turns. docs/BENCHMARKS.md describes it.
//!
//! ```text
//! cargo bench --bench compare -- [--quick] [--rows NAME..] [--cpus WHICH] [--svg DIR]
//! ```

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(
    unreachable_pub,
    reason = "a program, whose modules are public within it"
)]

mod alone;
mod bare;
mod chart;
#[path = "../common/mod.rs"]
mod common;
mod cpus;
mod entrants;
mod figures;
mod group;
mod many;
mod options;
mod packages;
mod servers;
mod transfers;
mod tree;

use std::fs;
use std::path::Path;
use std::process;

use common::{Speech, with_all_descriptors};
use entrants::{Entrant, entrants};
use figures::Figures;
use group::Group;
use options::Options;
use tree::Tree;

fn main() {
    bare::serve_if_asked();
    let options = Options::parse();
    with_all_descriptors();
    if let Err(err) = Group::new() {
        eprintln!("{err}: {NO_GROUP}");
        process::exit(2);
    }
    let (entrants, notes) = entrants();
    let tree = Tree::new(&options.scale).expect("a tree to serve");
    let names = entrants.iter().map(Entrant::name).collect();
    let mut figures = Figures::new(names, notes);
    cpus::choose(&options.cpus).expect("a CPU");
    let scoreboard = Path::new(SCOREBOARD);
    let was_there = scoreboard.exists();
    for speech in [Speech::Clear, Speech::Tls] {
        alone::run(&mut figures, &entrants, speech, &tree, &options);
        many::run(&mut figures, &entrants, speech, &tree, &options);
    }
    if !was_there {
        let _ = fs::remove_dir_all(scoreboard);
    }
    figures.print();
    if let Some(directory) = &options.svg {
        chart::draw(&figures, directory).expect("a directory for the charts");
    }
}

/// Where pure-ftpd notes its sessions; no option changes that.
const SCOREBOARD: &str = "/run/pure-ftpd";

const NO_GROUP: &str = "servers are measured in control groups: be root, or systemd-run --user --scope -p Delegate=yes";

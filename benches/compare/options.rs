//! What is asked for, and how much of it.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use crate::common::Speech;
use crate::cpus;

pub struct Options {
    pub scale: Scale,
    /// Where servers and clients run.
    pub cpus: String,
    /// Where charts are drawn, if they are.
    pub svg: Option<PathBuf>,
    rows: Vec<String>,
}

impl Options {
    pub fn parse() -> Self {
        let mut command = Command::new("cargo bench --bench compare --")
            .about("ftpdlib beside other servers, in CPU time and memory: docs/BENCHMARKS.md");
        let rows = Arg::new("rows")
            .long("rows")
            .value_name("NAME")
            .num_args(1..);
        command = command.args([
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("A minute, to see that all works: figures to forget"),
            rows.value_parser(ROWS)
                .help("These rows only, in clear or with TLS only"),
            Arg::new("cpus")
                .long("cpus")
                .value_name("WHICH")
                .value_parser(cpus::CHOICES)
                .default_value(cpus::CHOICES[0])
                .help("Servers and clients on one CPU, on one each, or where the system likes"),
            Arg::new("svg")
                .long("svg")
                .value_name("DIR")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Draw charts there"),
            // Cargo's.
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .hide(true),
        ]);
        let mut matches = command.get_matches_from(env::args_os());
        Self {
            scale: match matches.get_flag("quick") {
                true => Scale::QUICK,
                false => Scale::FULL,
            },
            cpus: matches.remove_one("cpus").unwrap_or_default(),
            svg: matches.remove_one("svg"),
            rows: matches.remove_many("rows").into_iter().flatten().collect(),
        }
    }

    /// Whether a row was asked for, or none in particular.
    pub fn wants(&self, speech: Speech, row: &str) -> bool {
        let speech = match speech {
            Speech::Clear => ROWS[0],
            Speech::Tls => ROWS[1],
        };
        // Words that choose a speech, and words that choose a row.
        let (speeches, rows): (Vec<_>, Vec<_>) = self
            .rows
            .iter()
            .partition(|word| ROWS[..2].contains(&word.as_str()));
        let asked = |words: &[&String], word| words.is_empty() || words.iter().any(|x| *x == word);
        asked(&speeches, speech) && asked(&rows, row)
    }
}

/// How much of all is done.
pub struct Scale {
    /// Times that each server has its turn.
    pub rounds: usize,
    /// Times with many clients.
    pub crowd_rounds: usize,
    /// The size of a large file.
    pub mib: usize,
    /// How many clients are many.
    pub clients: usize,
    /// The size of the file that each of them moves.
    pub share_mib: usize,
    /// Entries of a listing.
    pub entries: usize,
    /// What is short is done so many times in a turn: logins and small files,
    pub sessions: usize,
    /// listings,
    pub listings: usize,
    /// and NOOPs,
    pub noops: usize,
    /// or for this time, if that is less.
    pub turn: Duration,
}

impl Scale {
    const FULL: Self = Self {
        rounds: 5,
        crowd_rounds: 3,
        mib: 1024,
        clients: 300,
        share_mib: 10,
        entries: 10_000,
        sessions: 300,
        listings: 5,
        noops: 5000,
        turn: Duration::from_secs(1),
    };

    const QUICK: Self = Self {
        rounds: 2,
        crowd_rounds: 1,
        mib: 128,
        share_mib: 1,
        sessions: 100,
        listings: 2,
        noops: 1000,
        turn: Duration::from_millis(200),
        ..Self::FULL
    };

    /// The size of a file to warm up with.
    pub fn warm_mib(&self) -> usize {
        warm(self.mib)
    }
}

/// So many MiB, as one says.
pub fn size(mib: usize) -> String {
    match mib % 1024 {
        0 => format!("{} GiB", mib / 1024),
        _ => format!("{mib} MiB"),
    }
}

/// How much of some work is done once before, for what happens once.
pub fn warm(amount: usize) -> usize {
    amount.div_ceil(10)
}

const ROWS: [&str; 10] = [
    "clear", "tls", "stor", "retr", "login", "small", "list", "mlsd", "noop", "crowd",
];

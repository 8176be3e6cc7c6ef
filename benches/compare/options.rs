//! The options.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use crate::common::Speech;
use crate::cpus;

pub struct Options {
    pub scale: Scale,
    /// The CPUs of servers and clients.
    pub cpus: String,
    /// The directory for charts, if they are drawn.
    pub svg: Option<PathBuf>,
    rows: Vec<String>,
}

impl Options {
    pub fn parse() -> Self {
        let mut command = Command::new("cargo bench --bench compare --")
            .about("ftpdlib next to other servers, in CPU time and memory: docs/BENCHMARKS.md");
        let rows = Arg::new("rows")
            .long("rows")
            .value_name("NAME")
            .num_args(1..);
        command = command.args([
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("One minute, to see that each row runs: do not use its figures"),
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
            // Cargo adds this one.
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

    /// Whether a row is wanted: all of them are unless the command line names some.
    pub fn wants(&self, speech: Speech, row: &str) -> bool {
        let speech = match speech {
            Speech::Clear => ROWS[0],
            Speech::Tls => ROWS[1],
        };
        // Some words choose clear or TLS, others choose a row.
        let (speeches, rows): (Vec<_>, Vec<_>) = self
            .rows
            .iter()
            .partition(|word| ROWS[..2].contains(&word.as_str()));
        let asked = |words: &[&String], word| words.is_empty() || words.iter().any(|x| *x == word);
        asked(&speeches, speech) && asked(&rows, row)
    }
}

/// How much of everything is done.
pub struct Scale {
    /// The rounds in which each server has its turn.
    pub rounds: usize,
    /// The rounds with many clients.
    pub many_rounds: usize,
    /// The size of a large file.
    pub mib: usize,
    /// How many clients there are at once.
    pub clients: usize,
    /// The size of the file that each of them moves.
    pub share_mib: usize,
    /// The entries of a listing.
    pub entries: usize,
    /// How often short work is done in a turn: logins and small files,
    pub sessions: usize,
    /// listings,
    pub listings: usize,
    /// and NOOPs,
    pub noops: usize,
    /// or for this time, if that is shorter.
    pub turn: Duration,
}

impl Scale {
    const FULL: Self = Self {
        rounds: 5,
        many_rounds: 3,
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
        many_rounds: 1,
        mib: 128,
        share_mib: 1,
        sessions: 100,
        listings: 2,
        noops: 1000,
        turn: Duration::from_millis(200),
        ..Self::FULL
    };

    /// Returns the size of a file to warm up with.
    pub fn warm_mib(&self) -> usize {
        warm(self.mib)
    }
}

/// Returns a number of MiB in words.
pub fn size(mib: usize) -> String {
    match mib % 1024 {
        0 => format!("{} GiB", mib / 1024),
        _ => format!("{mib} MiB"),
    }
}

/// Returns how much of some work is done once before, for what happens only once.
pub fn warm(amount: usize) -> usize {
    amount.div_ceil(10)
}

const ROWS: [&str; 10] = [
    "clear", "tls", "stor", "retr", "login", "small", "list", "mlsd", "noop", "many",
];

//! The options.

use std::env;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

pub struct Options {
    /// The maximum of idle sessions.
    pub sessions: usize,
    pub scale: Scale,
    parts: Vec<String>,
}

impl Options {
    pub fn parse() -> Self {
        let command = Command::new("cargo bench --bench scale --")
            .about("Thousands of sessions, and who waits for whom: docs/BENCHMARKS.md");
        let sessions = Arg::new("sessions")
            .long("sessions")
            .value_name("N")
            .value_parser(clap::value_parser!(usize));
        let parts = Arg::new("parts").value_name("PART").num_args(0..);
        let command = command.args([
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("A few seconds, to see that each part runs: do not use its figures"),
            sessions.help("So many idle sessions at most (20000), as far as there are descriptors"),
            parts.value_parser(PARTS).help("These parts only"),
            // Cargo adds this one.
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .hide(true),
        ]);
        let mut matches = command.get_matches_from(env::args_os());
        let scale = match matches.get_flag("quick") {
            true => Scale::QUICK,
            false => Scale::FULL,
        };
        Self {
            sessions: matches.remove_one("sessions").unwrap_or(scale.sessions),
            scale,
            parts: matches.remove_many("parts").into_iter().flatten().collect(),
        }
    }

    /// Whether a part is wanted: all of them are unless the command line names some.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|x| x == part)
    }
}

/// How much of everything is done.
pub struct Scale {
    sessions: usize,
    /// The numbers of idle sessions at which logins are measured, in addition to none and all.
    pub levels: [usize; 2],
    /// How often each figure is measured,
    pub rounds: usize,
    /// with this number of logins,
    pub logins: usize,
    /// and with a file of this size.
    pub mib: usize,
    /// How long nothing happens.
    pub rest: Duration,
    /// Entries of the long listing.
    pub entries: usize,
    pub noops: usize,
    /// Connections of an attack,
    pub crowd: usize,
    /// and clients that come meanwhile.
    pub visits: usize,
}

impl Scale {
    const FULL: Self = Self {
        sessions: 20_000,
        levels: [5000, 10_000],
        rounds: 7,
        logins: 300,
        mib: 512,
        rest: Duration::from_secs(10),
        entries: 100_000,
        noops: 4000,
        crowd: 5000,
        visits: 50,
    };

    const QUICK: Self = Self {
        sessions: 500,
        levels: [125, 250],
        rounds: 3,
        logins: 50,
        mib: 64,
        rest: Duration::from_secs(1),
        entries: 2000,
        noops: 200,
        crowd: 1000,
        visits: 5,
    };
}

const PARTS: [&str; 3] = ["idle", "fair", "attacks"];

//! The table at the end.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::process::Command;
use std::thread;

use super::samples::{Samples, number};
use super::server::Server;
use super::which::python;

/// The figure that ftpdlib has to reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At most this fraction of the figure of pyftpdlib.
    Ratio(f64),
    /// At most this.
    AtMost(f64),
    /// At most this, or this fraction of the figure of pyftpdlib.
    Either(f64, f64),
    None,
}

/// The figures of a bench.
pub struct Table {
    title: &'static str,
    /// Whether there are no figures of pyftpdlib.
    alone: bool,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    work: String,
    ours: Samples,
    theirs: Samples,
    target: Target,
}

impl Table {
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            alone: false,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A table with figures of ftpdlib only.
    pub fn alone(title: &'static str) -> Self {
        Self {
            alone: true,
            ..Self::new(title)
        }
    }

    /// Adds a row with the samples of each server, in the order of
    /// [`installed`](super::which::installed).
    pub fn row(&mut self, work: impl Into<String>, samples: &[Samples], target: Target) {
        let of = |index: usize| samples.get(index).cloned().unwrap_or_default();
        self.rows.push(Row {
            work: work.into(),
            ours: of(0),
            theirs: of(1),
            target,
        });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a note about the handshakes of each server with TLS.
    pub fn handshakes(&mut self, what: &str, servers: &[Server]) {
        let notes: Vec<_> = servers.iter().filter_map(Server::handshakes).collect();
        if !notes.is_empty() {
            self.note(format!("handshakes of {what}:"));
            notes.into_iter().for_each(|note| self.note(note));
        }
    }

    pub fn print(&self) {
        let mut text = String::new();
        let _ = writeln!(text, "\n{} - {}", self.title, machine());
        let _ = writeln!(
            text,
            "median (least..most) of the rounds; of the server's own process\n"
        );
        let head = ["", "ftpdlib", "pyftpdlib 2.2.0", "ratio", "to reach"];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        for line in &lines {
            let _ = write!(text, "{:1$}", line[0], widths[0]);
            for (column, (cell, width)) in line.iter().zip(widths).enumerate().skip(1) {
                if self.alone && THEIRS.contains(&column) {
                    continue;
                }
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        if !self.alone && python().is_none() {
            text.push_str(
                "pyftpdlib 2.2.0 is not there: pip install pyftpdlib==2.2.0 pyOpenSSL, and name its python in FTPDLIB_BENCH_PYTHON\n",
            );
        }
        // A closed pipe is no error.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let both = !self.ours.is_empty() && !self.theirs.is_empty();
        let ratio = both.then(|| self.ours.median() / self.theirs.median());
        let ours = (!self.ours.is_empty()).then(|| self.ours.median());
        let (wanted, reached) = match self.target {
            Target::None => (String::new(), None),
            Target::AtMost(most) => (
                format!("<= {}", number(most)),
                ours.map(|ours| ours <= most),
            ),
            Target::Ratio(part) => (format!("<= x{part:.2}"), ratio.map(|ratio| ratio <= part)),
            Target::Either(most, part) => (
                format!("<= {} or x{part:.2}", number(most)),
                ours.map(|ours| ours <= most || ratio.is_some_and(|ratio| ratio <= part)),
            ),
        };
        let mark = match reached {
            Some(true) => "  ok",
            Some(false) => "  NO",
            None => "    ",
        };
        [
            self.work.clone(),
            self.ours.text(),
            self.theirs.text(),
            ratio.map_or_else(String::new, |ratio| format!("x{ratio:.2}")),
            wanted + mark,
        ]
    }
}

/// The machine and the commit that the figures belong to.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let commit = Command::new("git")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["describe", "--always", "--dirty"])
        .output();
    let commit = commit.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    let (model, kernel) = (model.unwrap_or("a CPU"), kernel.trim());
    format!("{cpus} x {model}, Linux {kernel}, commit {commit}")
}

/// The columns of pyftpdlib.
const THEIRS: [usize; 2] = [2, 3];

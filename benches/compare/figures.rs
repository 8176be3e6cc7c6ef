//! The figures, and which server is ahead.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::common::{Samples, Speech, machine, number};
use crate::entrants::BARE;

/// The kind of a figure; less is better in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The CPU time of all processes of a server.
    Cpu,
    /// Their private memory.
    Memory,
    /// The part of it that they have written to.
    Written,
    /// How long the client waited.
    Wall,
}

pub struct Row {
    pub speech: Speech,
    pub kind: Kind,
    pub title: String,
    pub unit: &'static str,
    /// The samples, in the order of the names of [`Figures`].
    samples: Vec<Samples>,
}

pub struct Figures {
    pub names: Vec<&'static str>,
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
    machine: String,
}

impl Figures {
    pub fn new(names: Vec<&'static str>, notes: Vec<String>) -> Self {
        Self {
            names,
            rows: Vec::new(),
            notes,
            machine: machine(),
        }
    }

    /// Adds a measurement of one server to a row, which is made if there is none yet.
    pub fn add(
        &mut self,
        (speech, kind, title, unit): (Speech, Kind, &str, &'static str),
        server: usize,
        value: f64,
    ) {
        let known = self
            .rows
            .iter()
            .position(|row| (row.speech, row.kind, row.title.as_str()) == (speech, kind, title));
        let row = known.unwrap_or_else(|| {
            self.rows.push(Row {
                speech,
                kind,
                title: title.to_owned(),
                unit,
                samples: vec![Samples::default(); self.names.len()],
            });
            self.rows.len() - 1
        });
        self.rows[row].samples[server].push(value);
    }

    /// Returns the rows of a table.
    pub fn of(&self, speech: Speech, kind: Kind) -> impl Iterator<Item = &Row> {
        let rows = self.rows.iter();
        rows.filter(move |row| (row.speech, row.kind) == (speech, kind))
    }

    pub fn print(&self) {
        let mut text = format!("\n{}\n", self.machine);
        for (speech, kind, title) in TABLES {
            let rows: Vec<_> = self.of(speech, kind).collect();
            if !rows.is_empty() {
                let _ = writeln!(text, "\n{title}\n");
                self.table(&mut text, &rows);
                let standings = rows.iter().filter_map(|row| row.standing(self));
                let standings: Vec<_> = standings.map(|standing| standing.ahead).collect();
                let first = standings.iter().filter(|ahead| **ahead).count();
                let _ = writeln!(
                    text,
                    "\nftpdlib is first in {first} of {}.",
                    standings.len()
                );
            }
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        // A closed pipe is no error.
        let _ = io::stdout().write_all(text.as_bytes());
    }

    /// Returns the tables in Markdown, as docs/BENCHMARKS.md shows them.
    fn table(&self, text: &mut String, rows: &[&Row]) {
        let mut lines = vec![vec![String::new()]];
        lines[0].extend(self.names.iter().map(|name| (*name).to_owned()));
        lines[0].push("ahead".into());
        lines.extend(rows.iter().map(|row| row.cells(self)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<_> = (0..lines[0].len()).filter_map(width).collect();
        lines.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
        for line in lines {
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
        }
    }
}

/// How ftpdlib stands in a row.
struct Standing {
    ahead: bool,
    /// The next server, or the first one if ftpdlib is behind.
    other: &'static str,
    /// The figure of the server that is behind, as a multiple of that of the other one.
    factor: f64,
}

impl Row {
    /// Returns the median of a server, by its index among the names.
    pub fn median(&self, server: usize) -> Option<f64> {
        let samples = &self.samples[server];
        (!samples.is_empty()).then(|| samples.median())
    }

    fn standing(&self, figures: &Figures) -> Option<Standing> {
        let ours = self.median(0)?;
        let others = figures.names.iter().enumerate().skip(1);
        let others = others.filter(|(_, name)| **name != BARE);
        let others = others.filter_map(|(server, name)| Some((self.median(server)?, *name)));
        let (best, other) = others.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Standing {
            ahead: ours <= best,
            other,
            factor: (ours / best).max(best / ours),
        })
    }

    fn cells(&self, figures: &Figures) -> Vec<String> {
        let mut cells = vec![format!("{}, {}", self.title, self.unit)];
        cells.extend(self.samples.iter().map(|samples| match samples.is_empty() {
            true => String::new(),
            false => cell(samples),
        }));
        cells.push(self.standing(figures).map_or_else(String::new, |standing| {
            let (first, second) = match standing.ahead {
                true => ("ftpdlib", standing.other),
                false => (standing.other, "ftpdlib"),
            };
            format!("{first}; {second} x{:.2}", standing.factor)
        }));
        cells
    }
}

/// Returns the median, and the spread of the rounds.
fn cell(samples: &Samples) -> String {
    let median = samples.median();
    let spread = (samples.quantile(1.0) - samples.quantile(0.0)) / 2.0;
    let median_text = number(median);
    match spread > 0.0 && median > 0.0 {
        true => format!("{median_text} ±{:.0}%", spread / median * 100.0),
        false => median_text,
    }
}

const TABLES: [(Speech, Kind, &str); 8] = [
    (
        Speech::Clear,
        Kind::Cpu,
        "CPU time of the server, in clear:",
    ),
    (Speech::Tls, Kind::Cpu, "CPU time of the server, TLS:"),
    (
        Speech::Clear,
        Kind::Memory,
        "Private memory of the server, in clear:",
    ),
    (
        Speech::Tls,
        Kind::Memory,
        "Private memory of the server, TLS:",
    ),
    (
        Speech::Clear,
        Kind::Written,
        "As much of it as was written to, in clear:",
    ),
    (
        Speech::Tls,
        Kind::Written,
        "As much of it as was written to, TLS:",
    ),
    (
        Speech::Clear,
        Kind::Wall,
        "What the client waits, in clear:",
    ),
    (Speech::Tls, Kind::Wall, "What the client waits, TLS:"),
];

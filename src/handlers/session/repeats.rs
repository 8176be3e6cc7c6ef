//! Lines of the log that a client can cause without end: the first ones of a kind are written, the
//! others are counted.

use std::cell::Cell;
use std::cmp::Ordering;
use std::panic::Location;
use std::time::{Duration, Instant};

use log::Level;

use crate::time::after;

/// What the lines of one kind have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// The code that logs them.
    Place(&'static Location<'static>),
    /// A command that is refused.
    Refused(&'a str),
    /// A command that has worked, and changes no file.
    Harmless(&'a str),
}

impl Kind<'_> {
    /// How many lines of this kind are written in an interval.
    fn few(self) -> u64 {
        match self {
            Self::Place(_) | Self::Refused(_) => FEW,
            Self::Harmless(_) => FEW_HARMLESS,
        }
    }
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    /// The last one of its kind for a while: [`Repeats::keep`] wants it.
    WriteAndKeep,
    /// The line is counted.
    Count,
}

/// The lines of a session by their kind. The first harmless one, which tells of the login, is always
/// written and not counted, so that an idle session has no table.
#[derive(Default)]
pub(super) struct Repeats {
    had_harmless: Cell<bool>,
    /// Whether no line is written.
    off: Cell<bool>,
    /// Taken out while it is used.
    table: Cell<Option<Box<Table>>>,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    /// When the first kind is to be reported of which lines were counted.
    due: Option<Instant>,
}

struct Row {
    place: Option<&'static Location<'static>>,
    /// Empty for a place.
    cmd: Box<str>,
    /// How many lines are written in an interval, which is a part of the kind.
    few: u64,
    /// When the lines are to be reported, and count anew.
    until: Instant,
    seen: u64,
    /// The last line that was written, if it is the last one for a while.
    kept: Option<Box<(Level, String)>>,
}

impl Row {
    fn is(&self, kind: Kind<'_>) -> bool {
        match kind {
            Kind::Place(place) => self.place == Some(place),
            Kind::Refused(cmd) | Kind::Harmless(cmd) => {
                self.place.is_none() && self.few == kind.few() && *self.cmd == *cmd
            }
        }
    }
}

impl Repeats {
    pub(super) fn turn_off(&self) {
        self.off.set(true);
    }

    pub(super) fn is_off(&self) -> bool {
        self.off.get()
    }

    /// Another line of this kind comes.
    pub(super) fn count(&self, kind: Kind<'_>, now: Instant) -> Verdict {
        if matches!(kind, Kind::Harmless(_)) && !self.had_harmless.replace(true) {
            return Verdict::Write;
        }
        self.with(|table| table.get_or_insert_default().count(kind, now))
    }

    /// Keeps a line, so that it can be written once more with the number of the lines like it.
    pub(super) fn keep(&self, kind: Kind<'_>, level: Level, line: &str) {
        self.with(|table| {
            let rows = table.as_mut().map(|table| table.rows.iter_mut());
            if let Some(row) = rows.into_iter().flatten().find(|row| row.is(kind)) {
                row.kept = Some(Box::new((level, line.to_owned())));
            }
        });
    }

    /// When lines are to be reported that were counted.
    pub(super) fn due(&self) -> Option<Instant> {
        self.with(|table| table.as_ref()?.due)
    }

    /// Takes the lines to report, each with how many like it were counted: those that are due at
    /// `now`, or all of them.
    pub(super) fn take(&self, now: Option<Instant>) -> Vec<(Level, String, u64)> {
        self.with(|table| {
            table
                .as_mut()
                .map_or_else(Vec::new, |table| table.take(now))
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Box<Table>>) -> T) -> T {
        let mut table = self.table.take();
        let result = work(&mut table);
        self.table.set(table);
        result
    }
}

impl Table {
    fn count(&mut self, kind: Kind<'_>, now: Instant) -> Verdict {
        let row = self.row(kind, now);
        if row.seen <= row.few && row.until <= now {
            (row.seen, row.until) = (0, after(now, INTERVAL));
        }
        row.seen += 1;
        match row.seen.cmp(&row.few) {
            Ordering::Less => Verdict::Write,
            Ordering::Equal => Verdict::WriteAndKeep,
            Ordering::Greater => {
                let until = row.until;
                self.due = Some(self.due.map_or(until, |due| due.min(until)));
                Verdict::Count
            }
        }
    }

    fn take(&mut self, now: Option<Instant>) -> Vec<(Level, String, u64)> {
        let mut taken = Vec::new();
        for row in &mut self.rows {
            if row.seen > row.few && now.is_none_or(|now| row.until <= now) {
                let counted = row.seen - row.few;
                row.seen = 0;
                taken.extend(row.kept.take().map(|kept| (kept.0, kept.1, counted)));
                row.until = after(now.unwrap_or(row.until), INTERVAL);
            }
        }
        let rows = self.rows.iter().filter(|row| row.seen > row.few);
        self.due = rows.map(|row| row.until).min();
        taken
    }

    /// The row of a kind. The last row is that of all kinds that find no other.
    fn row(&mut self, kind: Kind<'_>, now: Instant) -> &mut Row {
        let found = self.rows.iter().position(|row| row.is(kind));
        let index = found.unwrap_or_else(|| {
            if self.rows.len() < ROWS_MAX {
                let (place, cmd) = match kind {
                    Kind::Place(place) => (Some(place), ""),
                    Kind::Refused(cmd) | Kind::Harmless(cmd) => (None, cmd),
                };
                if self.rows.len() < ROWS_USUAL {
                    // Most sessions have few kinds.
                    self.rows.reserve_exact(1);
                }
                self.rows.push(Row {
                    place,
                    cmd: cmd.into(),
                    few: kind.few(),
                    until: after(now, INTERVAL),
                    seen: 0,
                    kept: None,
                });
            }
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }
}

/// How many lines of a kind are written in an interval.
const FEW: u64 = 10;

/// The same for commands that have worked: a client that walks through many directories is none that
/// attacks.
const FEW_HARMLESS: u64 = 100;

/// After this time lines are reported that were counted, and further ones are written again.
const INTERVAL: Duration = Duration::from_secs(60);

/// Up to here the table grows row by row.
const ROWS_USUAL: usize = 4;

/// How many kinds a session counts apart.
const ROWS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Kind<'_> = Kind::Refused("LIST");

    fn count(repeats: &Repeats, kind: Kind<'_>, times: u64, now: Instant) -> u64 {
        let written = (0..times).filter(|_| match repeats.count(kind, now) {
            Verdict::Write => true,
            Verdict::WriteAndKeep => {
                repeats.keep(kind, Level::Info, "line");
                true
            }
            Verdict::Count => false,
        });
        written.count() as u64
    }

    /// The lines of a session after its login.
    fn repeats() -> Repeats {
        let (repeats, login) = (Repeats::default(), Kind::Harmless("PASS"));
        assert_eq!(repeats.count(login, Instant::now()), Verdict::Write);
        assert!(repeats.with(|table| table.is_none()));
        repeats
    }

    #[test]
    fn the_first_lines_of_each_kind_are_written() {
        let (repeats, now) = (repeats(), Instant::now());
        let here = Kind::Place(Location::caller());
        assert_eq!(count(&repeats, LIST, 1000, now), FEW);
        assert_eq!(count(&repeats, here, FEW, now), FEW);
        assert_eq!(repeats.due(), Some(now + INTERVAL));
        let line = |counted| (Level::Info, "line".to_owned(), counted);
        assert_eq!(repeats.take(Some(now)), []);
        assert_eq!(repeats.take(Some(now + INTERVAL)), [line(1000 - FEW)]);
        assert_eq!(repeats.due(), None);
        // They count anew.
        let later = now + INTERVAL;
        assert_eq!(count(&repeats, LIST, 1000, later), FEW);
        assert_eq!(count(&repeats, here, FEW + 1, later), FEW);
        assert_eq!(repeats.take(None), [line(1000 - FEW), line(1)]);
        assert_eq!(repeats.take(None), []);
    }

    #[test]
    fn commands_that_work_have_more_lines() {
        let (repeats, now) = (repeats(), Instant::now());
        assert_eq!(count(&repeats, Kind::Refused("CWD"), 500, now), FEW);
        let harmless = Kind::Harmless("CWD");
        assert_eq!(count(&repeats, harmless, 500, now), FEW_HARMLESS);
        let counted = repeats
            .take(None)
            .into_iter()
            .map(|(_, _, counted)| counted);
        let expected = [500 - FEW, 500 - FEW_HARMLESS];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_table_is_bounded() {
        let (repeats, now) = (repeats(), Instant::now());
        let names: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
        let written = names
            .iter()
            .map(|name| count(&repeats, Kind::Refused(name), FEW, now));
        assert_eq!(written.sum::<u64>(), FEW * ROWS_MAX as u64);
        assert_eq!(repeats.take(None).len(), 1);
    }
}

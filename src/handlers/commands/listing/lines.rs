//! The lines of a listing, as a producer.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::form::{Form, Matches};
use super::names::Names;
use super::now::TimedStyle;
use crate::filesystems::{AbstractedFS, FSDir, Stat};
use crate::handlers::files::OpenDir;
use crate::producers::{More, Producer};
use crate::proto::listing::ListEntry;
use crate::proto::pattern::Pattern;

/// Makes the lines of a listing, in steps that are short however large the directory is: reads
/// some names at a time, sorts them in runs, merges the runs, and looks up each entry when its
/// line is made.
pub(super) struct Listing {
    dir: OpenDir,
    lines: Lines,
}

struct Lines {
    style: TimedStyle,
    form: Form,
    names: Names,
    /// Only names that match the pattern are listed, each after the prefix.
    pattern: Option<(Pattern, OsString)>,
}

impl Listing {
    /// All entries of a directory, in the order of the system.
    pub(super) fn unsorted(dir: OpenDir, style: TimedStyle, form: Form) -> Self {
        let lines = Lines {
            style,
            form,
            names: Names::Stream,
            pattern: None,
        };
        Self { dir, lines }
    }

    /// Sorts the names, as far as `sorted_max` bytes hold them (RFC 959 recommends sorting).
    pub(super) fn sorted(mut self, sorted_max: usize) -> Self {
        let TimedStyle { clock, budget, .. } = &self.lines.style;
        self.lines.names = Names::sorted(sorted_max, clock.clone(), budget);
        self
    }

    /// Lists only what a pattern matches.
    pub(super) fn matching(mut self, matches: Matches) -> Self {
        if let Some(first) = &matches.first {
            self.lines.names.add(first);
        }
        self.lines.pattern = Some((matches.pattern, matches.prefix));
        self
    }
}

impl Producer for Listing {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        let Self { dir, lines } = self;
        dir.step(|fs, dir| lines.step(fs, dir, out))
    }
}

impl Lines {
    fn step(
        &mut self,
        fs: &dyn AbstractedFS,
        dir: &mut dyn FSDir,
        out: &mut Vec<u8>,
    ) -> io::Result<More> {
        let pattern = self.pattern.as_ref().map(|(pattern, _)| pattern);
        if self.names.gather(dir, pattern)? {
            return Ok(More::Yes);
        }
        let start = out.len();
        for _ in 0..LINES {
            if out.len() - start > LINES_SIZE {
                break;
            }
            match self.names.next(dir) {
                Some(name) => self.line(fs, dir, &name?, out),
                None => return Ok(More::End),
            }
        }
        Ok(More::Yes)
    }

    /// Appends the line of an entry. An entry that does not exist any more has none.
    fn line(&mut self, fs: &dyn AbstractedFS, dir: &dyn FSDir, name: &OsStr, out: &mut Vec<u8>) {
        let shown = match &self.pattern {
            Some((pattern, _)) if !pattern.matches(name.as_bytes()) => return,
            Some((_, prefix)) => Some([prefix.as_bytes(), name.as_bytes()].concat()),
            None => None,
        };
        match &self.form {
            Form::Names => {
                let name = shown.map_or_else(|| name.to_owned(), OsString::from_vec);
                self.style.style.name_line(&name, out);
            }
            Form::List => {
                let Ok(stat) = dir.lstat(name) else {
                    return;
                };
                self.style.update_now(&stat);
                let target = stat.is_symlink().then(|| dir.readlink(name).ok()).flatten();
                let veil = &self.style.veil;
                let target = target.and_then(|target| veil.shown(target, || dir.stat(name)));
                let entry = ListEntry {
                    name,
                    stat: &stat,
                    target: target.as_deref(),
                };
                fs.format_list(&mut self.style.style, &entry, out);
            }
            Form::Facts(facts) => {
                let Some(stat) = stat_or_link(dir, name) else {
                    return;
                };
                let entry = ListEntry {
                    name,
                    stat: &stat,
                    target: None,
                };
                fs.format_mlsx(&mut self.style.style, facts, &entry, out);
            }
        }
    }
}

/// The attributes of an entry with its link followed; those of the link itself if it leads nowhere,
/// outside, or in a circle.
fn stat_or_link(dir: &dyn FSDir, name: &OsStr) -> Option<Stat> {
    dir.stat(name).ok().or_else(|| {
        let stat = dir.lstat(name).ok();
        stat.filter(Stat::is_symlink)
    })
}

/// The bytes of lines after which a step ends.
const LINES_SIZE: usize = 8 * 1024;

/// The entries that are looked up in one step.
const LINES: usize = 20;

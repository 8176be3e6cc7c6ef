//! The names of a directory, in sorted order as far as memory allows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use crate::filesystems::FSDir;
use crate::ioloop::clock::Clock;
use crate::limits::{Budget, Share};
use crate::proto::pattern::Pattern;

/// Where the names of a listing come from.
pub(super) enum Names {
    /// They are being read and sorted.
    Gather(Gather),
    /// They are sorted: the least name of each run, and the rest of the runs.
    Merge {
        least: BinaryHeap<Reverse<(OsString, usize)>>,
        runs: Vec<Run>,
        /// Given back with the runs.
        _memory: Share,
    },
    /// In the order of the system.
    Stream,
}

/// Names that are being read and sorted.
pub(super) struct Gather {
    runs: Vec<Run>,
    run: Run,
    /// Ends a step.
    clock: Clock,
    /// The bytes of memory that may be taken at most.
    max: usize,
    /// The bytes of memory that are taken, and those that are used. The first chunk is not part of
    /// the budget, so that small directories are sorted in any case.
    memory: Share,
    taken: usize,
    used: usize,
}

impl Names {
    /// Names that are sorted, as far as `sorted_max` bytes hold them, and as the budget of all
    /// listings permits. The clock ends the steps.
    pub(super) fn sorted(sorted_max: usize, clock: Clock, budget: &Arc<Budget>) -> Self {
        Self::Gather(Gather {
            runs: Vec::new(),
            run: Run::default(),
            clock,
            max: sorted_max,
            memory: budget.share(),
            taken: CHUNK,
            used: 0,
        })
    }

    /// Adds a name that was read already.
    pub(super) fn add(&mut self, name: &OsStr) {
        if let Self::Gather(gather) = self {
            gather.push(name);
        }
    }

    /// Reads and sorts some names. Returns false if that is done already.
    pub(super) fn gather(
        &mut self,
        dir: &mut dyn FSDir,
        pattern: Option<&Pattern>,
    ) -> io::Result<bool> {
        let Self::Gather(gather) = self else {
            return Ok(false);
        };
        if gather.read(dir, pattern)? {
            let mut runs = mem::take(&mut gather.runs);
            let memory = gather.memory.take();
            let least = runs
                .iter_mut()
                .enumerate()
                .filter_map(|(index, run)| Some(Reverse((run.next()?, index))))
                .collect();
            *self = Self::Merge {
                least,
                runs,
                _memory: memory,
            };
        }
        Ok(true)
    }

    /// The next name, once they are gathered.
    pub(super) fn next(&mut self, dir: &mut dyn FSDir) -> Option<io::Result<OsString>> {
        match self {
            Self::Stream => dir.next_name(),
            Self::Gather(_) => None,
            Self::Merge { least, runs, .. } => {
                let Some(mut top) = least.peek_mut() else {
                    // The names that were not sorted follow, if there are any.
                    *self = Self::Stream;
                    return dir.next_name();
                };
                let index = top.0.1;
                let name = match runs[index].next() {
                    Some(next) => mem::replace(&mut top.0.0, next),
                    None => PeekMut::pop(top).0.0,
                };
                Some(Ok(name))
            }
        }
    }
}

impl Gather {
    fn push(&mut self, name: &OsStr) {
        self.used += name.len() + NAME_COST;
        self.run.push(name);
    }

    /// Whether there is memory for a name of any length, or is now.
    fn has_room(&mut self) -> bool {
        if self.used >= self.max {
            return false;
        }
        if self.taken - self.used.min(self.taken) >= LONGEST + NAME_COST {
            return true;
        }
        let has_grown = self.memory.grow(CHUNK);
        if has_grown {
            self.taken += CHUNK;
        }
        has_grown
    }

    /// Reads some names, and sorts a run of them. Returns whether all are read that can be
    /// sorted.
    fn read(&mut self, dir: &mut dyn FSDir, pattern: Option<&Pattern>) -> io::Result<bool> {
        let mut ended = false;
        let end = self.clock.tick() + STEP_TIME;
        for count in 1..=GATHER_STEP {
            // A pattern may take some time for each name.
            if count % 8 == 0 && self.clock.tick() >= end {
                break;
            }
            // There is always room for one more name: one that is read must not be lost.
            if ended || !self.has_room() {
                ended = true;
                break;
            }
            match dir.next_name() {
                None => ended = true,
                Some(name) => {
                    let name = name?;
                    if pattern.is_none_or(|pattern| pattern.matches(name.as_bytes())) {
                        self.push(&name);
                    }
                }
            }
        }
        if ended || self.run.names.len() >= RUN {
            let mut run = mem::take(&mut self.run);
            run.sort();
            self.runs.push(run);
        }
        Ok(ended)
    }
}

/// Names that are sorted together and taken in that order. They lie in one piece of memory:
/// a hundred thousand small ones would take milliseconds to be freed.
#[derive(Default)]
pub(super) struct Run {
    bytes: Vec<u8>,
    /// Where each name lies.
    names: Vec<Range<usize>>,
    taken: usize,
}

impl Run {
    fn push(&mut self, name: &OsStr) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.names.push(start..self.bytes.len());
    }

    fn sort(&mut self) {
        self.bytes.shrink_to_fit();
        self.names.shrink_to_fit();
        let bytes = &self.bytes;
        self.names
            .sort_unstable_by(|a, b| bytes[a.clone()].cmp(&bytes[b.clone()]));
    }

    fn next(&mut self) -> Option<OsString> {
        let name = self.names.get(self.taken)?.clone();
        self.taken += 1;
        Some(OsStr::from_bytes(&self.bytes[name]).to_owned())
    }
}

/// The names that are read in one step. They take about as long as looking up 20 entries, so
/// that the steps of a turn take some milliseconds at most.
const GATHER_STEP: usize = 128;

/// The names that are sorted at once, which takes a fifth of a millisecond.
const RUN: usize = 1024;

/// The memory that a name takes in addition to its bytes.
const NAME_COST: usize = size_of::<Range<usize>>();

/// The longest name of a file system, in bytes.
const LONGEST: usize = 255;

/// The bytes that are taken at once.
const CHUNK: usize = 8 * 1024;

/// How long a step of matching names takes.
const STEP_TIME: Duration = Duration::from_micros(500);

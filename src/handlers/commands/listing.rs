//! Directories on the data connection - LIST, NLST, MLSD - and on the control
//! connection - STAT with a path, MLST.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::super::FTPSession;
use super::super::data::Outgoing;
use super::transfer::push_dtp_data;
use super::{on_fs, refuse};
use crate::error::FSError;
use crate::filesystems::{AbstractedFS, FSDir, Stat};
use crate::producers::{More, Producer};
use crate::proto::listing::{ListEntry, ListingStyle, MlsxFacts};
use crate::proto::pattern::{Pattern, has_magic};

/// Stock [`FTPHandler::ftp_list`](super::super::FTPHandler::ftp_list): as `ls -l`, sorted.
///
/// A pattern in the last component is matched if there is no such name.
pub fn list(s: &mut FTPSession, path: &Path) {
    match open(s, path, Form::List, SORTED_MAX) {
        Ok(listing) => push_dtp_data(s, listing, "LIST"),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_nlst`](super::super::FTPHandler::ftp_nlst): names only, sorted.
///
/// What a pattern matches is shown with its directory, as seen from the
/// current one, so that it can be asked for as it stands.
pub fn nlst(s: &mut FTPSession, path: &Path) {
    match open(s, path, Form::Names, SORTED_MAX) {
        Ok(listing) => push_dtp_data(s, listing, "NLST"),
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_mlsd`](super::super::FTPHandler::ftp_mlsd): with facts, in the order of the system.
pub fn mlsd(s: &mut FTPSession, path: &Path) {
    match on_fs(s, |fs, state| fs.listdir(state, path)) {
        Ok(dir) => {
            let listing = Listing::new(s, dir, Form::Facts(facts(s)));
            push_dtp_data(s, Outgoing::Producer(Box::new(listing)), "MLSD");
        }
        // RFC 3659 §7.2.1 wants 501 for what is there and is no directory. Flags
        // of ls are no argument for MLSD either.
        Err(err) if err.raw_os_error() == Some(libc::ENOTDIR) || looks_like_flags(path) => {
            s.respond("501 No such directory.");
        }
        Err(err) => refuse(s, &err),
    }
}

/// Stock [`FTPHandler::ftp_mlst`](super::super::FTPHandler::ftp_mlst).
pub fn mlst(s: &mut FTPSession, path: &Path) {
    let facts = facts(s);
    let mut style = style(s);
    let mut line = Vec::new();
    match on_fs(s, |fs, state| {
        let stat = fs.stat(state, path)?;
        let shown = fs.fs2ftp(state, path);
        let entry = ListEntry {
            name: OsStr::new(""),
            stat: &stat,
            target: None,
        };
        fs.format_mlsx(&mut style, &facts, &entry, &mut line);
        Ok(shown)
    }) {
        Err(err) => refuse(s, &err),
        Ok(shown) => {
            s.push_bytes_line(&[b"250-Listing \"", shown.as_bytes(), b"\":"].concat());
            // Fully qualified, since TVFS is supported (RFC 3659 §6).
            let facts = line.trim_ascii_end();
            s.push_bytes_line(&[b" ", facts, b" ", shown.as_bytes()].concat());
            s.respond("250 End MLST.");
        }
    }
}

/// STAT with a path: LIST on the control connection.
pub(super) fn stat(s: &mut FTPSession, path: &Path) {
    match open(s, path, Form::List, STAT_SORTED_MAX) {
        Err(err) => refuse(s, &err),
        Ok(listing) => {
            let shown = s
                .on_fs(|fs, state| fs.fs2ftp(state, path))
                .unwrap_or_default();
            s.push_bytes_line(&[b"213-Status of \"", shown.as_bytes(), b"\":"].concat());
            match listing {
                Outgoing::Bytes(line) => s.chat.push(&line),
                Outgoing::Producer(listing) | Outgoing::File(_, listing) => {
                    s.chat.push_with_producer(listing);
                }
            }
            s.respond("213 End of status.");
        }
    }
}

fn looks_like_flags(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_bytes().starts_with(b"-")
}

fn facts(s: &FTPSession) -> MlsxFacts {
    s.facts
        .with_perms(s.config.authorizer.get_perms(&s.username))
}

fn style(s: &FTPSession) -> ListingStyle {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let config = &s.config;
    ListingStyle::new(
        config.encoding,
        config.unicode_errors,
        config.use_gmt_times,
        now,
    )
}

/// What lists a path: a directory, the line of anything else, or the lines of
/// what a pattern matches. At most `sorted_max` bytes of names are sorted.
fn open(s: &FTPSession, path: &Path, form: Form, sorted_max: usize) -> Result<Outgoing, FSError> {
    let missing = match on_fs(s, |fs, state| fs.listdir(state, path)) {
        Ok(dir) => {
            let listing = Listing::new(s, dir, form).sorted(sorted_max);
            return Ok(Outgoing::Producer(Box::new(listing)));
        }
        Err(err) => err,
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(missing);
    };
    match on_fs(s, |fs, state| fs.lstat(state, path)) {
        Ok(stat) if stat.is_dir() => Err(missing),
        Ok(stat) => Ok(Outgoing::Bytes(one_line(s, path, name, &stat, &form))),
        Err(err) if err.is_not_found() && has_magic(name.as_bytes()) => {
            let dir = on_fs(s, |fs, state| fs.listdir(state, parent))?;
            let mut listing = Listing::new(s, dir, form).sorted(sorted_max);
            let pattern = Pattern::new(name.as_bytes());
            listing.pattern = Some((pattern, prefix(s, parent)));
            let listing = listing.matching(name.len())?;
            Ok(Outgoing::Producer(Box::new(listing)))
        }
        Err(err) => Err(err),
    }
}

/// The line of what is no directory.
fn one_line(s: &FTPSession, path: &Path, name: &OsStr, stat: &Stat, form: &Form) -> Vec<u8> {
    let mut line = Vec::new();
    let mut style = style(s);
    if matches!(form, Form::Names) {
        style.name_line(name, &mut line);
        return line;
    }
    let target = match stat.is_symlink() {
        true => on_fs(s, |fs, state| fs.readlink(state, path)).ok(),
        false => None,
    };
    let entry = ListEntry {
        name,
        stat,
        target: target.as_deref(),
    };
    s.config
        .abstracted_fs
        .format_list(&mut style, &entry, &mut line);
    line
}

/// Makes the lines of a listing, in steps that are short however large the
/// directory is: reads some names at a time, sorts them in runs, merges the
/// runs, and looks up each entry when its line is made.
struct Listing {
    fs: Arc<dyn AbstractedFS>,
    dir: Box<dyn FSDir>,
    style: ListingStyle,
    form: Form,
    names: Names,
    /// Of a pattern: only what matches is listed, with this before it.
    pattern: Option<(Pattern, OsString)>,
}

/// What the lines look like.
enum Form {
    List,
    Names,
    Facts(MlsxFacts),
}

/// Where the names come from.
enum Names {
    /// Being read and sorted.
    Gather {
        runs: Vec<Run>,
        run: Run,
        /// Bytes of memory that may still be taken.
        room: usize,
    },
    /// Sorted: the least of each run, and the rest of the runs.
    Merge {
        least: BinaryHeap<Reverse<(OsString, usize)>>,
        runs: Vec<Run>,
    },
    /// As the system gives them.
    Stream,
}

/// Names that are sorted together, and taken in that order. They lie in one piece of
/// memory: a hundred thousand small ones would take milliseconds to be given back.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    /// Where each name is.
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

impl Listing {
    fn new(s: &FTPSession, dir: Box<dyn FSDir>, form: Form) -> Self {
        Self {
            fs: Arc::clone(&s.config.abstracted_fs),
            dir,
            style: style(s),
            form,
            names: Names::Stream,
            pattern: None,
        }
    }

    /// RFC 959 recommends it.
    fn sorted(mut self, sorted_max: usize) -> Self {
        self.names = Names::Gather {
            runs: Vec::new(),
            run: Run::default(),
            room: sorted_max,
        };
        self
    }

    /// Looks for the first name that matches a pattern of that size. Fails if none
    /// does, as far as can be told with little work (not in a certain time: the
    /// reply must not depend on how busy the machine is).
    fn matching(mut self, pattern_size: usize) -> Result<Self, FSError> {
        let mut work = MATCH_WORK;
        let Names::Gather { run, .. } = &mut self.names else {
            return Ok(self);
        };
        while work > 0 {
            let Some(name) = self.dir.next_name() else {
                return Err(FSError::from_errno(libc::ENOENT));
            };
            let name = name?;
            let matches = |(pattern, _): &(Pattern, OsString)| pattern.matches(name.as_bytes());
            if self.pattern.as_ref().is_some_and(matches) {
                run.push(&name);
                break;
            }
            work = work.saturating_sub(NAME_WORK + pattern_size * name.len());
        }
        Ok(self)
    }

    /// Reads and sorts a run of names. When there are no more, they are merged.
    fn gather(&mut self) -> io::Result<()> {
        let Names::Gather { runs, run, room } = &mut self.names else {
            return Ok(());
        };
        let mut ended = false;
        let end = Instant::now() + STEP_TIME;
        for count in 1..=GATHER_STEP {
            // A pattern may take some time for each name.
            if count % 8 == 0 && Instant::now() >= end {
                break;
            }
            if ended || *room == 0 {
                ended = true;
                break;
            }
            match self.dir.next_name() {
                None => ended = true,
                Some(name) => {
                    let name = name?;
                    let matches =
                        |(pattern, _): &(Pattern, OsString)| pattern.matches(name.as_bytes());
                    if self.pattern.as_ref().is_none_or(matches) {
                        *room = room.saturating_sub(name.len() + NAME_COST);
                        run.push(&name);
                    }
                }
            }
        }
        if ended || run.names.len() >= RUN {
            let mut run = std::mem::take(run);
            run.sort();
            runs.push(run);
        }
        if ended {
            let mut runs = std::mem::take(runs);
            let least = runs
                .iter_mut()
                .enumerate()
                .filter_map(|(index, run)| Some(Reverse((run.next()?, index))))
                .collect();
            self.names = Names::Merge { least, runs };
        }
        Ok(())
    }

    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        match &mut self.names {
            Names::Stream => self.dir.next_name(),
            Names::Gather { .. } => None,
            Names::Merge { least, runs } => {
                let Some(mut top) = least.peek_mut() else {
                    // Beyond what is sorted, unless that was all.
                    self.names = Names::Stream;
                    return self.dir.next_name();
                };
                let index = top.0.1;
                let name = match runs[index].next() {
                    Some(next) => std::mem::replace(&mut top.0.0, next),
                    None => PeekMut::pop(top).0.0,
                };
                Some(Ok(name))
            }
        }
    }

    /// Appends the line of an entry; one that is gone, or whose link leads
    /// nowhere, has none.
    fn line(&mut self, name: &OsStr, out: &mut Vec<u8>) {
        let shown = match &self.pattern {
            Some((pattern, _)) if !pattern.matches(name.as_bytes()) => return,
            Some((_, prefix)) => Some([prefix.as_bytes(), name.as_bytes()].concat()),
            None => None,
        };
        match &self.form {
            Form::Names => {
                let name = shown.map_or_else(|| name.to_owned(), OsString::from_vec);
                self.style.name_line(&name, out);
            }
            Form::List => {
                let Ok(stat) = self.dir.lstat(name) else {
                    return;
                };
                let target = stat
                    .is_symlink()
                    .then(|| self.dir.readlink(name).ok())
                    .flatten();
                let entry = ListEntry {
                    name,
                    stat: &stat,
                    target: target.as_deref(),
                };
                self.fs.format_list(&mut self.style, &entry, out);
            }
            Form::Facts(facts) => {
                let Ok(stat) = self.dir.stat(name) else {
                    return;
                };
                let entry = ListEntry {
                    name,
                    stat: &stat,
                    target: None,
                };
                self.fs.format_mlsx(&mut self.style, facts, &entry, out);
            }
        }
    }
}

impl Producer for Listing {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        if matches!(self.names, Names::Gather { .. }) {
            self.gather()?;
            return Ok(More::Yes);
        }
        let start = out.len();
        for _ in 0..LINES {
            if out.len() - start > LINES_SIZE {
                break;
            }
            match self.next_name() {
                Some(name) => self.line(&name?, out),
                None => return Ok(More::End),
            }
        }
        Ok(More::Yes)
    }
}

/// How a directory is written before the names in it: nothing for the current
/// one, relative below it, absolute elsewhere.
fn prefix(s: &FTPSession, dir: &Path) -> OsString {
    let shown = s.on_fs(|fs, state| (fs.fs2ftp(state, dir), state.cwd().to_owned()));
    let (shown, cwd) = shown.unwrap_or_default();
    let shown = PathBuf::from(shown);
    let relative = shown.strip_prefix(Path::new(&cwd)).unwrap_or(&shown);
    let mut prefix = relative.as_os_str().to_owned();
    if !prefix.is_empty() && prefix.as_bytes() != b"/" {
        prefix.push("/");
    }
    prefix
}

/// Names read in one step: about as much work as looking up [`LINES`] entries, so
/// that the steps of a turn take some milliseconds at most.
const GATHER_STEP: usize = 128;

/// Names sorted at once, which takes a fifth of a millisecond.
const RUN: usize = 1024;

/// Memory for names to be sorted; the rest follows as the system gives it.
const SORTED_MAX: usize = 8 * 1024 * 1024;

/// The same for STAT.
const STAT_SORTED_MAX: usize = 8 * 1024;

/// What a name takes besides its bytes.
const NAME_COST: usize = size_of::<Range<usize>>();

/// Comparisons, of bytes, in search of the first match: some milliseconds.
const MATCH_WORK: usize = 2_000_000;

/// What reading a name counts in that.
const NAME_WORK: usize = 2_000;

/// How long a step of matching names takes.
const STEP_TIME: Duration = Duration::from_micros(500);

/// Bytes of lines after which a step ends.
const LINES_SIZE: usize = 8 * 1024;

/// Entries looked up in one step.
const LINES: usize = 20;

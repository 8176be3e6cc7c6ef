//! What lists a path: a directory, one line for something else, or the entries that match a
//! pattern.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::form::{Form, Matches};
use super::now::TimedStyle;
use crate::error::FSError;
use crate::filesystems::{AbstractedFS, FSDir, FSState, Stat};
use crate::proto::listing::ListEntry;
use crate::proto::pattern::{Pattern, has_magic};

/// What lists a path.
pub(super) enum Source {
    Directory(Box<dyn FSDir>),
    /// The line of something that is not a directory.
    Line(Vec<u8>),
    /// The entries of a directory that match a pattern.
    Matches(Box<dyn FSDir>, Matches),
}

/// Opens what lists a path.
pub(super) fn open(
    fs: &dyn AbstractedFS,
    state: &FSState,
    path: &Path,
    form: Form,
    style: &mut TimedStyle,
) -> Result<Source, FSError> {
    let missing = match fs.listdir(state, path) {
        Ok(dir) => {
            set_depth(fs, state, path, style);
            return Ok(Source::Directory(dir));
        }
        Err(err) => err,
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(missing);
    };
    set_depth(fs, state, parent, style);
    match fs.lstat(state, path) {
        Ok(stat) if stat.is_dir() => Err(missing),
        Ok(stat) => Ok(Source::Line(one_line(fs, state, path, &stat, form, style))),
        Err(err) if err.is_not_found() && has_magic(name.as_bytes()) => {
            let mut dir = fs.listdir(state, parent)?;
            let pattern = Pattern::new(name.as_bytes());
            let matches = Matches {
                first: first_match(&mut *dir, &pattern, name.len())?,
                pattern,
                prefix: prefix(fs, state, parent),
            };
            Ok(Source::Matches(dir, matches))
        }
        Err(err) => Err(err),
    }
}

/// Says how far below the home a directory is, if the listing hides targets for that.
fn set_depth(fs: &dyn AbstractedFS, state: &FSState, dir: &Path, style: &mut TimedStyle) {
    if style.veil.hides_outside {
        let (root, real) = (fs.realpath(state, state.root()), fs.realpath(state, dir));
        let below = real.strip_prefix(&root);
        style.veil.depth = below.map_or(0, |below| below.components().count());
    }
}

/// The line of something that is not a directory.
fn one_line(
    fs: &dyn AbstractedFS,
    state: &FSState,
    path: &Path,
    stat: &Stat,
    form: Form,
    style: &mut TimedStyle,
) -> Vec<u8> {
    let mut line = Vec::new();
    let name = path.file_name().unwrap_or_default();
    if matches!(form, Form::Names) {
        style.style.name_line(name, &mut line);
        return line;
    }
    style.update_now(stat);
    let target = match stat.is_symlink() {
        true => fs.readlink(state, path).ok(),
        false => None,
    };
    let veil = &style.veil;
    let target = target.and_then(|target| veil.shown(target, || fs.stat(state, path)));
    let entry = ListEntry {
        name,
        stat,
        target: target.as_deref(),
    };
    fs.format_list(&mut style.style, &entry, &mut line);
    line
}

/// Looks for the first name that matches a pattern of `size` bytes. `None`: it was not found
/// with a bounded amount of work. (The bound is not a time: the reply must not depend on how
/// busy the machine is.)
///
/// # Errors
/// No name matches, or the directory cannot be read.
fn first_match(
    dir: &mut dyn FSDir,
    pattern: &Pattern,
    size: usize,
) -> Result<Option<OsString>, FSError> {
    let mut work = MATCH_WORK;
    while work > 0 {
        let Some(name) = dir.next_name() else {
            return Err(FSError::from_errno(libc::ENOENT));
        };
        let name = name?;
        if pattern.matches(name.as_bytes()) {
            return Ok(Some(name));
        }
        work = work.saturating_sub(NAME_WORK + size * name.len());
    }
    Ok(None)
}

/// How a directory is written before the names in it: not at all if it is the current one,
/// relative below the current one, absolute elsewhere.
fn prefix(fs: &dyn AbstractedFS, state: &FSState, dir: &Path) -> OsString {
    let shown = PathBuf::from(fs.fs2ftp(state, dir));
    let cwd: &OsStr = state.cwd();
    let relative = shown.strip_prefix(Path::new(cwd)).unwrap_or(&shown);
    let mut prefix = relative.as_os_str().to_owned();
    if !prefix.is_empty() && prefix.as_bytes() != b"/" {
        prefix.push("/");
    }
    prefix
}

/// The comparisons of bytes in the search for the first match: some milliseconds.
const MATCH_WORK: usize = 2_000_000;

/// What reading a name counts in [`MATCH_WORK`].
const NAME_WORK: usize = 2_000;

//! How an operation reaches its files: from a home, past the questions of its command.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::checks::Checks;
use super::held::Held;
use super::jail::attributes::fstat;
use super::jail::home::{Dir, Home, Place, split};
use super::jail::resolve::How;
use super::jail::spot::Spot;
use crate::error::FSError;

/// A home, and what is asked before a file in it is used.
///
/// Where there is a question about a path, it is looked up in the way of
/// [`spot`](super::jail::spot): the question is about the path of the directory
/// whose handle is used. Otherwise the look-up knows no path, and needs fewer calls.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    home: Arc<Home>,
    checks: Option<Arc<Checks>>,
}

impl Way {
    pub(crate) fn new(home: &Arc<Home>, checks: Option<&Arc<Checks>>) -> Self {
        Self {
            home: Arc::clone(home),
            checks: checks.cloned(),
        }
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Opens the file at `path`, anywhere inside; links are followed.
    pub(crate) fn open_at(&self, path: &Path, how: How) -> Result<OwnedFd, FSError> {
        self.open_target(path, path, how)
    }

    /// Opens the file at `target`, to which a link at `path` leads, or in the directory at `path`.
    pub(crate) fn open_target(
        &self,
        path: &Path,
        target: &Path,
        how: How,
    ) -> Result<OwnedFd, FSError> {
        let Some(checks) = self.checks(path) else {
            return self.home.open_at(target, how);
        };
        for _ in 0..TRIES {
            let spot = match how.is_exclusive() {
                // It makes a file, so that a link with the name is not followed.
                true => self.home.find_name(target, libc::EEXIST)?,
                false => self.home.find(target)?,
            };
            ask(checks, path, &spot)?;
            if spot.is_dir() && how.makes() {
                return Err(FSError::from_errno(libc::EISDIR));
            }
            let opened = match spot.open(how) {
                // The name is that of a link by now.
                Err(err) if is_loop(&err) => continue,
                opened => opened?,
            };
            // The answer may depend on whether it is a directory.
            if fstat(opened.as_fd())?.is_dir() == spot.is_dir() {
                return Ok(opened);
            }
        }
        Err(FSError::from_errno(libc::ELOOP))
    }

    /// The directory of `path` and its last name, for operations that act on a name. The root
    /// has no name inside itself: for it the error is `at_root`.
    pub(crate) fn place<'a>(&'a self, path: &'a Path, at_root: i32) -> Result<Place<'a>, FSError> {
        if self.checks(path).is_none() {
            return self.home.place(path, at_root);
        }
        let (_, name) = split(path);
        let dir = self.spot(path, at_root)?.dir;
        Ok(Place { dir, name })
    }

    /// Keeps the directory of `path` open: see [`Held`].
    pub(crate) fn hold(&self, path: &Path, at_root: i32) -> Result<Held, FSError> {
        Held::new(&self.home, path, self.spot(path, at_root)?)
    }

    /// Opens a directory inside. For the root itself this makes no system call.
    pub(crate) fn dir(&self, path: &Path) -> Result<Dir<'_>, FSError> {
        if self.home.is_root(path) {
            if let Some(checks) = self.checks(path) {
                checks.ask(path, path)?;
            }
            return Ok(Dir::Root(self.home.root()));
        }
        Ok(Dir::Opened(self.open_at(path, How::directory())?))
    }

    /// Where a name is. If an earlier command has found it, that is where it must still be.
    fn spot(&self, path: &Path, at_root: i32) -> Result<Spot<'_>, FSError> {
        let held = self.checks.as_ref().and_then(|checks| checks.held(path));
        let found = held.map(|held| held.find(&self.home)).transpose()?;
        let spot = match found.flatten() {
            Some(spot) => spot,
            None => self.home.find_name(path, at_root)?,
        };
        if let Some(checks) = self.checks(path) {
            ask(checks, path, &spot)?;
        }
        Ok(spot)
    }

    /// The questions, if there are any about this path.
    fn checks(&self, path: &Path) -> Option<&Checks> {
        self.checks.as_deref().filter(|checks| checks.cover(path))
    }
}

/// Asks the questions about `path`, which leads to `spot`.
fn ask(checks: &Checks, path: &Path, spot: &Spot<'_>) -> Result<(), FSError> {
    let (given, real) = spot.paths();
    checks.ask(path, &given)?;
    real.map_or(Ok(()), |real| checks.ask(path, &real))
}

fn is_loop(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ELOOP | libc::EMLINK))
}

/// How many times a path is looked up while somebody keeps changing it.
const TRIES: usize = 8;

//! The state of one session's file system.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checks::{Checks, Question};
use super::held::Held;
use super::jail::home::Home;
use super::names::NameRules;
use super::way::Way;
use crate::error::FSError;
use crate::random::Random;

/// The state of one session's file system: its root and its current directory.
///
/// The first operation of [`local`](super::local) opens the root directory; the state holds
/// its handle from then on. If the directory has been removed, the next operation opens the one
/// that has its path now. A root that was renamed stays the root.
///
/// A clone is a state of its own: for an open directory or an open file of a file system of yours,
/// and for work on another thread.
pub struct FSState {
    root: Arc<Path>,
    cwd: Box<OsStr>,
    /// The handle of the root directory, once it is opened.
    home: Mutex<Option<Arc<Home>>>,
    /// Whether the file that is being opened is one of an upload.
    upload: bool,
    /// What new names are made of.
    random: Random,
    /// What is asked before the command in progress uses a file.
    checks: Option<Arc<Checks>>,
    /// The names that no path may lead to.
    rules: Option<Arc<NameRules>>,
}

impl FSState {
    /// Makes the state of a session. `root` is the user's home, a real, absolute path; `cwd`
    /// is the current directory, an absolute and normal FTP path. Opens nothing.
    #[must_use]
    pub fn new(root: &Path, cwd: OsString) -> Self {
        Self {
            root: Arc::from(root),
            cwd: cwd.into(),
            home: Mutex::default(),
            upload: false,
            random: Random::default(),
            checks: None,
            rules: None,
        }
    }

    /// The same state, whose new names are made of these numbers.
    pub(crate) fn with_random(self, random: Random) -> Self {
        Self { random, ..self }
    }

    /// The same state, in which no path leads to some names.
    pub(crate) fn with_rules(self, rules: Option<Arc<NameRules>>) -> Self {
        Self { rules, ..self }
    }

    /// Another state with the same root, rules and current directory, and no command in progress.
    pub(crate) fn copy(&self) -> Self {
        Self::new(&self.root, self.cwd.to_os_string()).with_rules(self.rules.clone())
    }

    /// This state with another root: that of a state which you keep, for files that are elsewhere.
    /// The functions of [`local`](super::local) then stay in that root. Both states share its
    /// handle. The questions of the command in progress, and whether it is an
    /// [upload](Self::is_upload), are those of this state; so is the current directory.
    #[must_use]
    pub fn with_root_of(&self, other: &Self) -> Self {
        // If it cannot be opened, the operation that follows says so.
        let home = other.home().ok();
        Self {
            root: Arc::clone(&other.root),
            home: Mutex::new(home),
            ..self.clone()
        }
    }

    /// The user's home, a real path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The current directory, an FTP path.
    #[must_use]
    pub fn cwd(&self) -> &OsStr {
        &self.cwd
    }

    /// Sets the current directory, an absolute and normal FTP path, without a check whether
    /// it exists.
    pub fn set_cwd(&mut self, cwd: OsString) {
        self.cwd = cwd.into();
    }

    /// Whether a file is being opened, or made, for an upload: for STOR, APPE or STOU. The server
    /// calls [`FSFile::begin`](super::FSFile::begin) then, before the first byte.
    #[must_use]
    pub fn is_upload(&self) -> bool {
        self.upload
    }

    /// What new names are made of.
    pub(super) fn random(&self) -> &Random {
        &self.random
    }

    /// Says whether the next file is opened for an upload.
    pub(crate) fn set_upload(&mut self, upload: bool) {
        self.upload = upload;
    }

    /// Whether the command in progress may use the file to which `path` leads: `real` is its path
    /// without links. `path` is the real path that the server has passed.
    ///
    /// The operations of [`local`](super::local) ask this. A file system of your own that resolves
    /// links by itself asks it for the path of what it has opened, before it reads or changes that.
    #[must_use]
    pub fn permits(&self, path: &Path, real: &Path) -> bool {
        let checks = self.checks.as_ref();
        checks.is_none_or(|checks| checks.ask(path, real).is_ok())
    }

    /// Forgets what the command before has asked.
    pub(crate) fn forget_checks(&mut self) {
        self.checks = None;
    }

    /// Asks this question too before the command in progress uses the file at `path`.
    pub(crate) fn add_check(
        &mut self,
        path: &Path,
        question: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) {
        let question: Question = Arc::new(question);
        Arc::make_mut(self.checks.get_or_insert_default()).add(path, question);
    }

    /// The command in progress uses what an earlier one has found.
    pub(crate) fn set_held(&mut self, held: Arc<Held>) {
        Arc::make_mut(self.checks.get_or_insert_default()).set_held(held);
    }

    /// The way of an operation to its files, from this home.
    pub(super) fn way(&self, home: &Arc<Home>) -> Way {
        Way::new(home, self.checks.as_ref())
    }

    /// As [`in_home`](Self::in_home), for an operation that takes its way.
    pub(super) fn on_way<T>(
        &self,
        operation: impl Fn(&Way) -> Result<T, FSError>,
    ) -> Result<T, FSError> {
        self.in_home(|home| operation(&self.way(home)))
    }

    /// The root directory. The first call opens it.
    ///
    /// # Errors
    /// The root does not exist, is not a directory, or cannot be opened.
    pub(super) fn home(&self) -> Result<Arc<Home>, FSError> {
        let mut home = self.lock_home();
        if let Some(home) = &*home {
            return Ok(Arc::clone(home));
        }
        Ok(Arc::clone(
            home.insert(Home::shared(&self.root, self.rules.as_ref())?),
        ))
    }

    /// Runs an operation in the root directory. If it fails because the root was removed, runs it
    /// again in the directory that has the path of the root now, as after a new login.
    ///
    /// # Errors
    /// Those of [`home`](Self::home) and of the operation.
    pub(super) fn in_home<T>(
        &self,
        operation: impl Fn(&Arc<Home>) -> Result<T, FSError>,
    ) -> Result<T, FSError> {
        let home = self.home()?;
        match operation(&home) {
            Err(err) if home.explains(&err) => {
                *self.lock_home() = None;
                operation(&self.home()?)
            }
            result => result,
        }
    }

    fn lock_home(&self) -> MutexGuard<'_, Option<Arc<Home>>> {
        // A panic cannot leave the value half changed, so a poisoned lock is fine.
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a state whose root is opened already.
    #[cfg(test)]
    pub(super) fn with_home(root: &Path, home: Home) -> Self {
        Self {
            home: Mutex::new(Some(Arc::new(home))),
            ..Self::new(root, "/".into())
        }
    }
}

impl Clone for FSState {
    /// A state of its own, with the same root, current directory, and questions of the command in
    /// progress. If the root is open, both have its handle.
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
            cwd: self.cwd.clone(),
            home: Mutex::new(self.lock_home().clone()),
            upload: self.upload,
            random: self.random.clone(),
            checks: self.checks.clone(),
            rules: self.rules.clone(),
        }
    }
}

impl fmt::Debug for FSState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FSState")
            .field("root", &self.root)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::FSState;

    #[test]
    fn the_state_of_a_session_is_small() {
        assert!(size_of::<FSState>() <= 88);
    }

    #[test]
    fn a_clone_has_a_current_directory_of_its_own() {
        let mut state = FSState::new(Path::new("/home/joe"), "/a".into());
        state.add_check(Path::new("/home/joe/x"), |_| false);
        let mut clone = state.clone();
        clone.set_cwd("/b".into());
        clone.forget_checks();
        assert_eq!(state.cwd(), OsStr::new("/a"));
        assert_eq!(
            (clone.root(), clone.cwd()),
            (state.root(), OsStr::new("/b"))
        );
        let path = Path::new("/home/joe/x");
        assert!(clone.permits(path, path));
        assert!(!state.permits(path, path));
        assert!(!state.clone().permits(path, path));
    }
}

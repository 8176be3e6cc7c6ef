//! The state of one session's file system.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::jail::home::Home;
use crate::error::FSError;
use crate::random::Random;

/// The state of one session's file system: its root and its current directory.
///
/// The first operation of [`local`](super::local) opens the root directory; the state holds
/// its handle from then on. If the directory has been removed, the next operation opens the one
/// that has its path now. A root that was renamed stays the root.
pub struct FSState {
    root: Arc<Path>,
    cwd: OsString,
    /// The handle of the root directory, once it is opened.
    home: Mutex<Option<Arc<Home>>>,
    /// Whether the file that is being opened is one of an upload.
    upload: bool,
    /// What new names are made of.
    random: Random,
}

impl FSState {
    /// Makes the state of a session. `root` is the user's home, a real, absolute path; `cwd`
    /// is the current directory, an absolute and normal FTP path. Opens nothing.
    #[must_use]
    pub fn new(root: &Path, cwd: OsString) -> Self {
        Self {
            root: Arc::from(root),
            cwd,
            home: Mutex::default(),
            upload: false,
            random: Random::default(),
        }
    }

    /// The same state, whose new names are made of these numbers.
    pub(crate) fn with_random(self, random: Random) -> Self {
        Self { random, ..self }
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
        self.cwd = cwd;
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

    /// The root directory. The first call opens it.
    ///
    /// # Errors
    /// The root does not exist, is not a directory, or cannot be opened.
    pub(super) fn home(&self) -> Result<Arc<Home>, FSError> {
        let mut home = self.lock_home();
        if let Some(home) = &*home {
            return Ok(Arc::clone(home));
        }
        Ok(Arc::clone(home.insert(Home::shared(&self.root)?)))
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
    use super::FSState;

    #[test]
    fn the_state_of_a_session_is_small() {
        assert!(size_of::<FSState>() <= 72);
    }
}

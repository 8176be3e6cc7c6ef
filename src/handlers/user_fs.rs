//! The file system for hooks and for jobs: as the user of the session sees it.

use std::ffi::OsStr;
use std::fmt;
use std::mem;
use std::sync::Arc;

use super::check::Lookup;
use super::files;
use super::session::FTPSession;
use crate::authorizers::{Identity, Perm};
use crate::error::FSError;
use crate::filesystems::{AbstractedFS, FSState, LoginFS, NameRules};

impl FTPSession {
    /// Runs a function with the identity of the logged-in user, if the authorizer has a way to
    /// take it: as pyftpdlib's. The identity is given up also if the function panics. The
    /// operations of stock bodies run in the same way, and so does [`with_fs`](Self::with_fs).
    pub fn run_as_current_user<T>(&self, function: impl FnOnce(&Self) -> T) -> T {
        files::identity(self).run(|| function(self))
    }

    /// Runs an operation of a hook on the file system of the user, as the operations of commands
    /// run: with the identity of the user, and without the names of
    /// [`deny`](crate::FTPConfig::deny) and [`hide`](crate::FTPConfig::hide). The identity is
    /// given up also if the operation panics. In the callbacks of a transfer the user is the one
    /// who has begun it, even if somebody else has logged in meanwhile.
    ///
    /// It runs on the loop; [`user_fs`](Self::user_fs) is for a job. What the operation opens is
    /// read, written and closed without the identity, unless another call of this method does
    /// that.
    ///
    /// Nobody asks the authorizer for a permission: the hook decides. Paths are real paths;
    /// [`AbstractedFS::ftp2fs`] makes one of an FTP path.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use ftpdlib::{FTPHandler, FTPSession};
    /// # struct Inbox;
    /// impl FTPHandler for Inbox {
    ///     fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
    ///         let done = file.with_extension("done");
    ///         if let Err(err) = s.with_fs(|fs, state| fs.rename(state, file, &done)) {
    ///             s.log(format_args!("cannot rename {}: {err}", file.display()));
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of the operation, and that nobody is logged in.
    pub fn with_fs<T>(
        &mut self,
        operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> Result<T, FSError>,
    ) -> Result<T, FSError> {
        files::run_now(self, operation)
    }

    /// The file system of the user for another thread: for the `work` of
    /// [`offload`](Self::offload). `None` before the login. The current directory is that of now,
    /// and stays.
    #[must_use]
    pub fn user_fs(&self) -> Option<UserFS> {
        Some(UserFS {
            fs: self.fs.as_ref()?.clone(),
            user: files::identity(self),
            rules: self.name_rules().cloned(),
        })
    }

    /// Changes the current directory, with the checks of CWD and without a reply. `path` is an FTP
    /// path, from the current directory or from `/`. The user needs the permission for CWD; the
    /// directory must exist, and lie in the home. For a directory of which the program knows
    /// better there is [`FSState::set_cwd`] in [`with_fs`](Self::with_fs), which checks nothing.
    ///
    /// # Errors
    /// Those of CWD, and that nobody is logged in. The directory stays the same.
    pub fn set_cwd(&mut self, path: impl AsRef<OsStr>) -> Result<(), FSError> {
        let lookup = Lookup::directory(self, path.as_ref());
        let Some(mut of_user) = self.user_fs() else {
            return self.with_fs(|_, _| Ok(()));
        };
        // A command that is in progress keeps its own questions.
        of_user.fs.state.forget_checks();
        let path = of_user.run(|fs, state| lookup.run(fs, state))?.into_path();
        let (authorizer, username) = (self.authorizer_handle(), self.username());
        if !authorizer.has_perm(username, Perm::ChangeDir, Some(&path)) {
            return Err(FSError::NotPermitted);
        }
        let state = &mut of_user.fs.state;
        files::ask_again_as(state, &authorizer, username, &path, Perm::ChangeDir);
        of_user.run(|fs, state| fs.chdir(state, &path))?;
        let cwd = of_user.fs.state.cwd().to_owned();
        self.with_fs(|_, state| {
            state.set_cwd(cwd);
            Ok(())
        })
    }

    /// Takes the position that REST has given for the next transfer; 0 if there is none. A RETR or
    /// STOR of your own begins there, as the stock ones do, which call this method themselves.
    ///
    /// A position that a transfer has not taken is forgotten when the next command comes.
    pub fn take_rest(&mut self) -> u64 {
        mem::take(&mut self.rest)
    }
}

/// The file system as a user sees it, for any thread: of [`FTPSession::user_fs`].
///
/// ```
/// # use std::path::Path;
/// # use ftpdlib::{FTPHandler, FTPSession};
/// # struct Counting;
/// impl FTPHandler for Counting {
///     fn ftp_size(&mut self, s: &mut FTPSession, path: &Path) {
///         let Some(mut files) = s.user_fs() else { return };
///         let path = path.to_owned();
///         let given = s.offload(
///             move || files.run(|fs, state| fs.getsize(state, &path)), // on a thread of the pool
///             |s, size| match size {
///                 Ok(size) => s.respond(format!("213 {size}")),
///                 Err(err) => s.respond(err),
///             },
///         );
///         if let Err(full) = given {
///             s.respond(format!("450 {full}."));
///         }
///     }
/// }
/// ```
#[derive(Clone)]
pub struct UserFS {
    fs: LoginFS,
    user: Identity,
    rules: Option<Arc<NameRules>>,
}

impl UserFS {
    /// Runs an operation as the user, as [`FTPSession::with_fs`] does. The identity is given up
    /// also if the operation panics.
    ///
    /// The authorizer takes the identity on the thread that calls this. If yours changes the
    /// identity of the whole process, let only the loop use files.
    pub fn run<T>(&mut self, operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> T) -> T {
        let Self { fs, user, rules } = self;
        user.run(|| files::fenced(fs, rules.as_ref(), operation))
    }
}

impl fmt::Debug for UserFS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFS")
            .field("fs", &self.fs)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

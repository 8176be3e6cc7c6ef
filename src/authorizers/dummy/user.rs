//! A user of the table: home, permissions and messages.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::authorizers::authorizer::{MSG_LOGIN, MSG_QUIT};
use crate::proto::perm::{Perm, Perms};

/// A virtual user, as [`DummyAuthorizer::user`](super::DummyAuthorizer::user) returns it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The password, in the clear. It is ignored for `anonymous`.
    pub password: String,
    /// The directory that is the user's root, as an absolute path without links.
    pub home: PathBuf,
    /// The permissions, except where [`override_perm`](super::DummyAuthorizer::override_perm)
    /// gives others.
    pub perm: Perms,
    /// The text of the 230 reply to a successful login.
    pub msg_login: String,
    /// The text of the 221 reply to QUIT.
    pub msg_quit: String,
    /// In the order in which they were added: the first that applies decides.
    pub(super) overrides: Vec<Override>,
}

/// The optional arguments of [`DummyAuthorizer::add_user_with`](super::DummyAuthorizer::add_user_with).
///
/// ```
/// # use ftpdlib::authorizers::UserOptions;
/// let options = UserOptions { msg_quit: "See you.".into(), ..Default::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserOptions {
    /// The permissions. The default is `elr`: those to read.
    pub perm: Perms,
    /// The text of the 230 reply to a successful login. The default is `Login successful.`
    pub msg_login: String,
    /// The text of the 221 reply to QUIT. The default is `Goodbye.`
    pub msg_quit: String,
}

/// The permissions of a user in one directory, in place of the general ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) directory: PathBuf,
    pub(super) perm: Perms,
    pub(super) recursive: bool,
}

impl User {
    /// Whether the user has a permission at a path without links.
    pub(super) fn may(&self, perm: Perm, real: &Path) -> bool {
        // An override holds for a path: renaming its directory, or one above it, would bypass it.
        let is_above = |over: &Override| over.directory.starts_with(real);
        let moves_an_override = perm == Perm::Rename && self.overrides.iter().any(is_above);
        !moves_an_override && self.perms_at(real).has(perm)
    }

    /// The permissions for a real path.
    pub(super) fn perms_at(&self, path: &Path) -> Perms {
        self.overrides
            .iter()
            .find(|over| over.covers(path))
            .map_or(self.perm, |over| over.perm)
    }

    /// Adds an override, or replaces that of the same directory.
    pub(super) fn set_override(&mut self, new: Override) {
        let same = |old: &&mut Override| old.directory == new.directory;
        match self.overrides.iter_mut().find(same) {
            Some(old) => *old = new,
            None => self.overrides.push(new),
        }
    }
}

impl fmt::Debug for User {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("home", &self.home)
            .field("perm", &self.perm)
            .field("msg_login", &self.msg_login)
            .field("msg_quit", &self.msg_quit)
            .field("overrides", &self.overrides)
            .finish_non_exhaustive()
    }
}

impl Override {
    fn covers(&self, path: &Path) -> bool {
        if self.recursive {
            return path.starts_with(&self.directory);
        }
        // A link in it is no directory, wherever it leads.
        let is_dir = || path.is_dir() && !path.is_symlink();
        path == self.directory || (path.parent() == Some(&self.directory) && !is_dir())
    }
}

impl Default for UserOptions {
    fn default() -> Self {
        Self {
            perm: Perms::READ,
            msg_login: MSG_LOGIN.to_owned(),
            msg_quit: MSG_QUIT.to_owned(),
        }
    }
}

//! The table of virtual users.
//!
//! [`DummyAuthorizer`] keeps it in memory, passwords in the clear, as pyftpdlib's
//! does: to keep hashes instead, wrap it and override
//! [`authenticate`](Authorizer::authenticate), as `examples/md5_ftpd.rs`. It knows
//! homes and permissions, and of the system's own accounts nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::hint;
use std::path::{Path, PathBuf};

use log::warn;

use super::authorizer::{Authorizer, MSG_LOGIN, MSG_QUIT};
use super::client::Client;
use crate::error::{AuthenticationFailed, AuthorizerError};
use crate::filesystems::local::resolved;
use crate::proto::perm::{Perm, Perms};

/// Virtual users in a table, as pyftpdlib's `DummyAuthorizer`.
///
/// ```no_run
/// # use ftpdlib::authorizers::DummyAuthorizer;
/// let mut authorizer = DummyAuthorizer::new();
/// authorizer.add_user("joe", "secret", "/srv/ftp/joe", "elradfmwMT")?;
/// authorizer.override_perm("joe", "/srv/ftp/joe/archive", "elr", true)?;
/// authorizer.add_anonymous("/srv/ftp/pub")?;
/// # Ok::<(), ftpdlib::AuthorizerError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct DummyAuthorizer {
    users: HashMap<String, User>,
}

/// A virtual user, as [`DummyAuthorizer::user`] returns it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The password, in the clear; that of `anonymous` is not looked at.
    pub password: String,
    /// The directory that is the user's root: absolute, without links.
    pub home: PathBuf,
    /// The permissions where none are overridden.
    pub perm: Perms,
    /// The text of the reply to a successful login.
    pub msg_login: String,
    /// The text of the reply to QUIT.
    pub msg_quit: String,
    /// In the order they were made: the first that applies decides.
    overrides: Vec<Override>,
}

/// What [`DummyAuthorizer::add_user_with`] may be told beyond the necessary.
///
/// ```
/// # use ftpdlib::authorizers::UserOptions;
/// let options = UserOptions { msg_quit: "See you.".into(), ..Default::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserOptions {
    /// The permissions. `elr`, those to read.
    pub perm: Perms,
    /// The text of the reply to a successful login. `Login successful.`
    pub msg_login: String,
    /// The text of the reply to QUIT. `Goodbye.`
    pub msg_quit: String,
}

/// Other permissions for one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    directory: PathBuf,
    perm: Perms,
    recursive: bool,
}

impl DummyAuthorizer {
    /// An empty table: nobody may log in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user. `perm` is a [`Perms`] or its letters, such as `"elr"`.
    ///
    /// # Errors
    /// The name is taken, `home` is no directory, or a letter is no permission.
    pub fn add_user<P>(
        &mut self,
        username: impl Into<String>,
        password: impl Into<String>,
        home: impl AsRef<Path>,
        perm: P,
    ) -> Result<(), AuthorizerError>
    where
        P: TryInto<Perms>,
        AuthorizerError: From<P::Error>,
    {
        let username = username.into();
        let home = self.check_user(&username, home.as_ref())?;
        let options = UserOptions {
            perm: perm.try_into()?,
            ..UserOptions::default()
        };
        self.insert(username, password.into(), home, options);
        Ok(())
    }

    /// Adds a user with texts of its own.
    ///
    /// # Errors
    /// The name is taken, or `home` is no directory.
    pub fn add_user_with(
        &mut self,
        username: impl Into<String>,
        password: impl Into<String>,
        home: impl AsRef<Path>,
        options: UserOptions,
    ) -> Result<(), AuthorizerError> {
        let username = username.into();
        let home = self.check_user(&username, home.as_ref())?;
        self.insert(username, password.into(), home, options);
        Ok(())
    }

    /// Lets everybody in as `anonymous`, with any password, to read.
    ///
    /// # Errors
    /// As [`add_user`](Self::add_user).
    pub fn add_anonymous(&mut self, home: impl AsRef<Path>) -> Result<(), AuthorizerError> {
        self.add_anonymous_with(home, UserOptions::default())
    }

    /// The same with permissions and texts of its own. Permissions to write
    /// log a warning.
    ///
    /// # Errors
    /// As [`add_user_with`](Self::add_user_with).
    pub fn add_anonymous_with(
        &mut self,
        home: impl AsRef<Path>,
        options: UserOptions,
    ) -> Result<(), AuthorizerError> {
        self.add_user_with(ANONYMOUS, "", home, options)
    }

    /// Removes a user and returns it. Sessions that are logged in lose their
    /// permissions with it.
    pub fn remove_user(&mut self, username: &str) -> Option<User> {
        self.users.remove(username)
    }

    /// Gives a user other permissions in a directory under the home: in it and
    /// all below if `recursive`, else in it and for its files, not for the
    /// directories in it. Where several apply, the first given decides.
    ///
    /// # Errors
    /// There is no such user, directory or permission, or the directory is the
    /// home itself or not below it.
    pub fn override_perm<P>(
        &mut self,
        username: &str,
        directory: impl AsRef<Path>,
        perm: P,
        recursive: bool,
    ) -> Result<(), AuthorizerError>
    where
        P: TryInto<Perms>,
        AuthorizerError: From<P::Error>,
    {
        let perm = perm.try_into()?;
        let directory = real_directory(directory.as_ref())?;
        let Some(user) = self.users.get_mut(username) else {
            return Err(AuthorizerError::new(format!("no such user '{username}'")));
        };
        if directory == user.home {
            let text = "can't override home directory permissions";
            return Err(AuthorizerError::new(text));
        }
        if !directory.starts_with(&user.home) {
            return Err(AuthorizerError::new("path escapes user home directory"));
        }
        warn_if_anonymous_writes(username, perm);
        user.set_override(Override {
            directory,
            perm,
            recursive,
        });
        Ok(())
    }

    /// A user by name.
    #[must_use]
    pub fn user(&self, username: &str) -> Option<&User> {
        self.users.get(username)
    }

    /// The users and their names, in no order.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// The real path of the home, if the two are good for a new user.
    fn check_user(&self, username: &str, home: &Path) -> Result<PathBuf, AuthorizerError> {
        if self.users.contains_key(username) {
            let text = format!("user '{username}' already exists");
            return Err(AuthorizerError::new(text));
        }
        real_directory(home)
    }

    fn insert(&mut self, username: String, password: String, home: PathBuf, options: UserOptions) {
        warn_if_anonymous_writes(&username, options.perm);
        let user = User {
            password,
            home,
            perm: options.perm,
            msg_login: options.msg_login,
            msg_quit: options.msg_quit,
            overrides: Vec::new(),
        };
        self.users.insert(username, user);
    }

    /// What [`Authorizer::validate_authentication`] does; the client does not matter.
    fn authenticate(&self, username: &str, password: &str) -> Result<(), AuthenticationFailed> {
        match self.users.get(username) {
            None if username == ANONYMOUS => Err(AuthenticationFailed::new(MSG_ANONYMOUS)),
            None => {
                // As much work as for a user who exists.
                hint::black_box(same_text(password, password));
                Err(AuthenticationFailed::new(MSG_FAILED))
            }
            Some(_) if username == ANONYMOUS => Ok(()),
            Some(user) if same_text(&user.password, password) => Ok(()),
            Some(_) => Err(AuthenticationFailed::new(MSG_FAILED)),
        }
    }
}

impl Authorizer for DummyAuthorizer {
    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        _client: &Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        self.authenticate(username, password)
    }

    fn get_home_dir(&self, username: &str) -> Result<PathBuf, AuthenticationFailed> {
        match self.users.get(username) {
            Some(user) => Ok(user.home.clone()),
            None => Err(AuthenticationFailed::new(MSG_FAILED)),
        }
    }

    fn has_user(&self, username: &str) -> bool {
        self.users.contains_key(username)
    }

    /// With overrides, what `path` names and what it leads to both have to be
    /// permitted, and a directory with an overridden one in it keeps its name.
    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        self.users.get(username).is_some_and(|user| {
            // A link is no way around an override: what it leads to counts too.
            let real = path.filter(|_| !user.overrides.is_empty()).map(resolved);
            // Nor is another name of its directory, or of one above.
            let moves = |path: &Path| {
                user.overrides
                    .iter()
                    .any(|over| over.directory.starts_with(path))
            };
            if perm == Perm::Rename && real.as_deref().is_some_and(moves) {
                return false;
            }
            user.perms_at(path).has(perm) && user.perms_at(real.as_deref().or(path)).has(perm)
        })
    }

    fn get_perms(&self, username: &str) -> Perms {
        self.users
            .get(username)
            .map_or(Perms::NONE, |user| user.perm)
    }

    fn get_msg_login(&self, username: &str) -> String {
        self.users
            .get(username)
            .map_or_else(|| MSG_LOGIN.to_owned(), |user| user.msg_login.clone())
    }

    fn get_msg_quit(&self, username: &str) -> String {
        self.users
            .get(username)
            .map_or_else(|| MSG_QUIT.to_owned(), |user| user.msg_quit.clone())
    }
}

impl User {
    /// The permissions over a real path, or those that no directory overrides.
    fn perms_at(&self, path: Option<&Path>) -> Perms {
        let Some(path) = path else {
            return self.perm;
        };
        self.overrides
            .iter()
            .find(|over| over.covers(path))
            .map_or(self.perm, |over| over.perm)
    }

    /// A second override of a directory takes the place of the first.
    fn set_override(&mut self, new: Override) {
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
        path == self.directory || (path.parent() == Some(&self.directory) && !path.is_dir())
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

impl TryFrom<&str> for Perms {
    type Error = AuthorizerError;

    fn try_from(letters: &str) -> Result<Self, Self::Error> {
        letters.parse()
    }
}

/// So that a [`Perms`] may stand where letters may.
impl From<Infallible> for AuthorizerError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn real_directory(path: &Path) -> Result<PathBuf, AuthorizerError> {
    let wrong = || AuthorizerError::new(format!("no such directory: '{}'", path.display()));
    match fs::canonicalize(path) {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => Err(wrong()),
        Err(err) => Err(wrong().because(err)),
    }
}

fn warn_if_anonymous_writes(username: &str, perm: Perms) {
    if username == ANONYMOUS && perm.can_write() {
        warn!(target: "ftpdlib", "write permissions assigned to anonymous user.");
    }
}

/// Compares in a time that depends on `given` alone, so that it tells neither
/// the length of `secret` nor how much of it was guessed.
fn same_text(secret: &str, given: &str) -> bool {
    let (secret, given) = (secret.as_bytes(), given.as_bytes());
    // Something to compare with where the secret is empty.
    let wheel = if secret.is_empty() { &[0] } else { secret };
    let difference = given
        .iter()
        .zip(wheel.iter().cycle())
        .fold(0, |acc, (a, b)| hint::black_box(acc | (a ^ b)));
    // Not `&&`: both are looked at.
    (difference == 0) & (secret.len() == given.len())
}

const ANONYMOUS: &str = "anonymous";
const MSG_FAILED: &str = "Authentication failed.";
const MSG_ANONYMOUS: &str = "Anonymous access not allowed.";

#[cfg(test)]
mod tests;

//! The table of virtual users.
//!
//! [`DummyAuthorizer`] keeps the table in memory, with passwords in the clear, as
//! pyftpdlib's does. To keep hashes instead, wrap it and override
//! [`authenticate`](Authorizer::authenticate), as `examples/md5_ftpd.rs` does. It knows
//! homes and permissions, but nothing of the accounts of the system.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::hint;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use log::warn;

mod user;

use self::user::Override;
pub use self::user::{User, UserOptions};
use super::authorizer::{Authorizer, MSG_LOGIN, MSG_QUIT};
use super::client::Client;
use crate::error::{AuthenticationFailed, AuthorizerError};
use crate::filesystems::local::resolved;
use crate::proto::perm::{Perm, Perms};

/// An authorizer with a table of virtual users, as pyftpdlib's `DummyAuthorizer`.
///
/// ```no_run
/// # use ftpdlib::authorizers::DummyAuthorizer;
/// let authorizer = DummyAuthorizer::new();
/// authorizer.add_user("joe", "secret", "/srv/ftp/joe", "elradfmwMT")?;
/// authorizer.override_perm("joe", "/srv/ftp/joe/archive", "elr", true)?;
/// authorizer.add_anonymous("/srv/ftp/pub")?;
/// # Ok::<(), ftpdlib::AuthorizerError>(())
/// ```
/// The table may change while the server runs, from any thread: share it in an [`Arc`]. What a
/// method changes holds for sessions that are open, too, from this on:
///
/// | changed | holds from |
/// |---|---|
/// | a user is added; the password, the home, the text of the login | the next login |
/// | permissions, also of directories | the next command; a transfer that has begun goes on |
/// | the text of QUIT | the next QUIT |
/// | a user is removed | the next command, and the next login: nothing is permitted |
///
/// No session is closed by a change: see [`Sessions::close_user`](crate::Sessions::close_user).
/// Each process has its own table: with workers, a change reaches only the sessions of the process
/// in which it is made.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use ftpdlib::authorizers::DummyAuthorizer;
/// # use ftpdlib::{FTPConfig, FTPServer, handlers::StockHandler};
/// let users = Arc::new(DummyAuthorizer::new());
/// let mut config = FTPConfig::default();
/// config.set_authorizer(Arc::clone(&users));
/// let mut server = FTPServer::bind(":2121", config, |_peer| StockHandler)?;
/// let sessions = server.sessions();
/// std::thread::spawn(move || {
///     // ..
///     users.remove_user("joe");
///     sessions.close_user("joe");
/// });
/// server.serve_forever()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A clone is another table, with the same users.
#[derive(Default)]
pub struct DummyAuthorizer {
    /// The lock is held for a look-up or a change, and never while other code runs.
    users: RwLock<HashMap<String, Arc<User>>>,
}

impl DummyAuthorizer {
    /// Makes an empty table, with which no user can log in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user. `perm` is a [`Perms`] or its letters, for example `"elr"`.
    ///
    /// # Errors
    /// The name is taken, `home` is not a directory, or a letter of `perm` is not a
    /// permission.
    pub fn add_user<P>(
        &self,
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
        self.insert(username, password.into(), home, options)
    }

    /// Adds a user with permissions and texts from `options`.
    ///
    /// # Errors
    /// The name is taken, or `home` is not a directory.
    pub fn add_user_with(
        &self,
        username: impl Into<String>,
        password: impl Into<String>,
        home: impl AsRef<Path>,
        options: UserOptions,
    ) -> Result<(), AuthorizerError> {
        let username = username.into();
        let home = self.check_user(&username, home.as_ref())?;
        self.insert(username, password.into(), home, options)
    }

    /// Adds the user `anonymous`, who logs in with any password and may read.
    ///
    /// # Errors
    /// As [`add_user`](Self::add_user).
    pub fn add_anonymous(&self, home: impl AsRef<Path>) -> Result<(), AuthorizerError> {
        self.add_anonymous_with(home, UserOptions::default())
    }

    /// Adds the user `anonymous` with permissions and texts from `options`. If these include
    /// a permission to write, a warning is logged.
    ///
    /// # Errors
    /// As [`add_user_with`](Self::add_user_with).
    pub fn add_anonymous_with(
        &self,
        home: impl AsRef<Path>,
        options: UserOptions,
    ) -> Result<(), AuthorizerError> {
        self.add_user_with(ANONYMOUS, "", home, options)
    }

    /// Removes a user and returns it, or `None` if there is no such user. Sessions of that user
    /// have no permissions from then on, but stay open, and their transfers go on: to end them,
    /// call [`Sessions::close_user`](crate::Sessions::close_user) after this. If a user with the
    /// same name is added again, sessions that were not closed are those of the new user, in the
    /// old home.
    pub fn remove_user(&self, username: &str) -> Option<User> {
        let removed = self.write().remove(username);
        removed.map(Arc::unwrap_or_clone)
    }

    /// Sets the password of a user, for the next login. It is ignored for `anonymous`.
    ///
    /// # Errors
    /// There is no such user.
    pub fn set_password(
        &self,
        username: &str,
        password: impl Into<String>,
    ) -> Result<(), AuthorizerError> {
        let password = password.into();
        self.change(username, |user| user.password = password)
    }

    /// Sets the permissions of a user, from the next command on. Those of directories stay: see
    /// [`override_perm`](Self::override_perm).
    ///
    /// # Errors
    /// There is no such user, or a letter of `perm` is not a permission.
    pub fn set_perm<P>(&self, username: &str, perm: P) -> Result<(), AuthorizerError>
    where
        P: TryInto<Perms>,
        AuthorizerError: From<P::Error>,
    {
        let perm = perm.try_into()?;
        warn_if_anonymous_writes(username, perm);
        self.change(username, |user| user.perm = perm)
    }

    /// Sets the home of a user, for the next login: open sessions stay in the old one. The
    /// permissions of directories stay, because they hold for those sessions.
    ///
    /// # Errors
    /// There is no such user, or `home` is not a directory.
    pub fn set_home(&self, username: &str, home: impl AsRef<Path>) -> Result<(), AuthorizerError> {
        let home = real_directory(home.as_ref())?;
        self.change(username, |user| user.home = home)
    }

    /// Sets the text of the reply to a successful login of a user.
    ///
    /// # Errors
    /// There is no such user.
    pub fn set_msg_login(
        &self,
        username: &str,
        text: impl Into<String>,
    ) -> Result<(), AuthorizerError> {
        let text = text.into();
        self.change(username, |user| user.msg_login = text)
    }

    /// Sets the text of the reply to QUIT of a user.
    ///
    /// # Errors
    /// There is no such user.
    pub fn set_msg_quit(
        &self,
        username: &str,
        text: impl Into<String>,
    ) -> Result<(), AuthorizerError> {
        let text = text.into();
        self.change(username, |user| user.msg_quit = text)
    }

    /// Gives a user other permissions in a directory below the home, as pyftpdlib's
    /// `override_perm`.
    ///
    /// If `recursive` is true, they apply to the directory and everything below it. If not,
    /// they apply to the directory and its files, but not to the directories in it. If several
    /// overrides apply to a path, the one that was added first decides. A second override of
    /// the same directory replaces the first.
    ///
    /// They hold for the path where a file really is. Neither links nor directories that somebody
    /// swaps during an operation lead around them.
    ///
    /// # Errors
    /// There is no such user, directory or permission; or the directory is the home itself, or
    /// not below it.
    pub fn override_perm<P>(
        &self,
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
        self.change(username, |user| {
            if directory == user.home {
                let text = "can't override home directory permissions";
                return Err(AuthorizerError::new(text));
            }
            if !directory.starts_with(&user.home) {
                return Err(AuthorizerError::new("path escapes user home directory"));
            }
            user.set_override(Override {
                directory,
                perm,
                recursive,
            });
            Ok(())
        })??;
        warn_if_anonymous_writes(username, perm);
        Ok(())
    }

    /// Takes back what [`override_perm`](Self::override_perm) has set for a directory, from the
    /// next command on. Returns whether there was such an override. The directory need not exist
    /// any more; then its path must be absolute and without links.
    pub fn remove_override(&self, username: &str, directory: impl AsRef<Path>) -> bool {
        let given = directory.as_ref();
        let real = fs::canonicalize(given).unwrap_or_else(|_| given.to_owned());
        let removed = self.change(username, |user| {
            let before = user.overrides.len();
            user.overrides.retain(|over| over.directory != real);
            user.overrides.len() < before
        });
        removed.unwrap_or(false)
    }

    /// The user with this name, as it is now.
    #[must_use]
    pub fn user(&self, username: &str) -> Option<Arc<User>> {
        self.read().get(username).cloned()
    }

    /// All users with their names, as they are now, in no particular order.
    pub fn users(&self) -> impl Iterator<Item = (String, Arc<User>)> + use<> {
        let copy = |(name, user): (&String, &Arc<User>)| (name.clone(), Arc::clone(user));
        let users: Vec<_> = self.read().iter().map(copy).collect();
        users.into_iter()
    }

    /// Changes a user. A handle of the user that was given out before keeps the old values.
    fn change<T>(
        &self,
        username: &str,
        change: impl FnOnce(&mut User) -> T,
    ) -> Result<T, AuthorizerError> {
        match self.write().get_mut(username) {
            Some(user) => Ok(change(Arc::make_mut(user))),
            None => Err(AuthorizerError::new(format!("no such user '{username}'"))),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<User>>> {
        // A panic cannot leave the table half changed, so a poisoned lock is fine.
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<User>>> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the name and the home of a new user. Returns the home as an absolute path
    /// without links.
    fn check_user(&self, username: &str, home: &Path) -> Result<PathBuf, AuthorizerError> {
        if self.read().contains_key(username) {
            return Err(taken(username));
        }
        real_directory(home)
    }

    fn insert(
        &self,
        username: String,
        password: String,
        home: PathBuf,
        options: UserOptions,
    ) -> Result<(), AuthorizerError> {
        warn_if_anonymous_writes(&username, options.perm);
        let user = User {
            password,
            home,
            perm: options.perm,
            msg_login: options.msg_login,
            msg_quit: options.msg_quit,
            overrides: Vec::new(),
        };
        match self.write().entry(username) {
            // Another thread may have added one since the check.
            Entry::Occupied(old) => Err(taken(old.key())),
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(user));
                Ok(())
            }
        }
    }

    /// What [`Authorizer::validate_authentication`] does; the client does not matter.
    fn authenticate(&self, username: &str, password: &str) -> Result<(), AuthenticationFailed> {
        match self.user(username) {
            None if username == ANONYMOUS => Err(AuthenticationFailed::new(MSG_ANONYMOUS)),
            None => {
                // Compare as for a user who exists, so that the time is the same.
                hint::black_box(same_text(password, password));
                Err(AuthenticationFailed::new(MSG_FAILED))
            }
            Some(_) if username == ANONYMOUS => Ok(()),
            Some(user) if same_text(&user.password, password) => Ok(()),
            Some(_) => Err(AuthenticationFailed::new(MSG_FAILED)),
        }
    }
}

impl Clone for DummyAuthorizer {
    fn clone(&self) -> Self {
        Self {
            users: RwLock::new(self.read().clone()),
        }
    }
}

impl fmt::Debug for DummyAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = self.read().clone();
        f.debug_struct("DummyAuthorizer")
            .field("users", &users)
            .finish()
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
        match self.user(username) {
            Some(user) => Ok(user.home.clone()),
            None => Err(AuthenticationFailed::new(MSG_FAILED)),
        }
    }

    fn has_user(&self, username: &str) -> bool {
        self.read().contains_key(username)
    }

    /// If the user has overrides, the permission must hold both for `path` itself and for the
    /// path that its links lead to. A directory may not be renamed if an override applies to
    /// it or to a directory below it.
    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        self.user(username).is_some_and(|user| match path {
            Some(path) if !user.overrides.is_empty() => {
                // The destination of a link counts too, so that no link bypasses an override.
                user.perms_at(path).has(perm) && user.may(perm, &resolved(path))
            }
            _ => user.perm.has(perm),
        })
    }

    fn has_perm_at(&self, username: &str, perm: Perm, real: &Path) -> bool {
        let user = self.user(username);
        user.is_some_and(|user| user.may(perm, real))
    }

    fn has_overrides(&self, username: &str) -> bool {
        let user = self.user(username);
        user.is_some_and(|user| !user.overrides.is_empty())
    }

    fn get_perms(&self, username: &str) -> Perms {
        self.user(username).map_or(Perms::NONE, |user| user.perm)
    }

    fn get_msg_login(&self, username: &str) -> String {
        self.user(username)
            .map_or_else(|| MSG_LOGIN.to_owned(), |user| user.msg_login.clone())
    }

    fn get_msg_quit(&self, username: &str) -> String {
        self.user(username)
            .map_or_else(|| MSG_QUIT.to_owned(), |user| user.msg_quit.clone())
    }
}

impl TryFrom<&str> for Perms {
    type Error = AuthorizerError;

    fn try_from(letters: &str) -> Result<Self, Self::Error> {
        letters.parse()
    }
}

/// Lets [`DummyAuthorizer::add_user`] take a [`Perms`], whose conversion cannot fail, as well
/// as letters.
impl From<Infallible> for AuthorizerError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn taken(username: &str) -> AuthorizerError {
    AuthorizerError::new(format!("user '{username}' already exists"))
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

/// Compares in a time that depends only on the length of `given`, so that the time reveals
/// neither the length of `secret` nor how many of its characters were guessed.
fn same_text(secret: &str, given: &str) -> bool {
    let (secret, given) = (secret.as_bytes(), given.as_bytes());
    // An empty secret has nothing to compare with: use a zero byte in its place.
    let repeated = if secret.is_empty() { &[0] } else { secret };
    let difference = given
        .iter()
        .zip(repeated.iter().cycle())
        .fold(0, |acc, (a, b)| hint::black_box(acc | (a ^ b)));
    // `&&` would skip the second comparison, and so take less time.
    (difference == 0) & (secret.len() == given.len())
}

const ANONYMOUS: &str = "anonymous";
const MSG_FAILED: &str = "Authentication failed.";
const MSG_ANONYMOUS: &str = "Anonymous access not allowed.";

#[cfg(test)]
mod tests;

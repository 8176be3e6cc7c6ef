//! The trait that decides, and the innermost authorizer, which refuses.

use std::path::{Path, PathBuf};

use super::client::Client;
use super::later::{LaterVerdict, Verdict};
use crate::error::AuthenticationFailed;
use crate::proto::perm::{Perm, Perms};

/// Decides which users may log in, where, and what they may do, as the authorizers of
/// pyftpdlib. One value serves all sessions.
///
/// Every method delegates to [`inner`](Self::inner) unless it is overridden. The innermost
/// authorizer refuses every login.
pub trait Authorizer: Send + Sync {
    /// The authorizer that this one extends.
    fn inner(&self) -> &dyn Authorizer {
        &Nobody
    }

    /// Checks a password.
    ///
    /// # Errors
    /// [`AuthenticationFailed`] becomes the 530 reply, after
    /// [`auth_failed_timeout`](crate::FTPConfig::auth_failed_timeout).
    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        self.inner()
            .validate_authentication(username, password, client)
    }

    /// Checks a password, now or later. An authorizer that computes for long, or asks another
    /// service, takes a [`LaterVerdict`] from `later` and returns the result of its
    /// [`offload`](LaterVerdict::offload); or it hands the `LaterVerdict` to a thread and
    /// returns [`Verdict::Later`]. Only this session waits meanwhile.
    ///
    /// The stock body calls [`validate_authentication`](Self::validate_authentication).
    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let _ = later;
        Verdict::Now(self.validate_authentication(username, password, client))
    }

    /// The real path of a user's home.
    ///
    /// # Errors
    /// As [`validate_authentication`](Self::validate_authentication), after which it is called.
    fn get_home_dir(&self, username: &str) -> Result<PathBuf, AuthenticationFailed> {
        self.inner().get_home_dir(username)
    }

    /// Called before each step on the file system, on the loop's thread: an operation, a step
    /// of a listing, a read or a write of a file, and its closing. `sendfile` and `splice`, by
    /// which the kernel moves the bytes of an open file, run without the identity. See
    /// [`FTPSession::run_as_current_user`](crate::FTPSession::run_as_current_user).
    fn impersonate_user(&self, username: &str, password: &str) {
        self.inner().impersonate_user(username, password);
    }

    /// Called after each step on the file system, also if the step has panicked.
    fn terminate_impersonation(&self, username: &str) {
        self.inner().terminate_impersonation(username);
    }

    /// Whether sessions keep the password in clear after
    /// [`on_login`](crate::FTPHandler::on_login), so that
    /// [`impersonate_user`](Self::impersonate_user) gets it at each step. False by default: then
    /// it gets an empty password, and [`FTPSession::password`](crate::FTPSession::password) is
    /// empty.
    fn keeps_password(&self) -> bool {
        self.inner().keeps_password()
    }

    /// Whether there is such a user.
    fn has_user(&self, username: &str) -> bool {
        self.inner().has_user(username)
    }

    /// Whether a user has a permission: for a path, or in general (`None`). If not, the reply
    /// is 550.
    ///
    /// The path is the real path of the name that the client has sent. It lies inside the
    /// home, wherever links lead, but its links are *not* resolved: in a directory `up` that
    /// links to `..` the path is `/home/joe/up/file`. If you restrict directories, resolve the
    /// path first, as [`DummyAuthorizer`](super::DummyAuthorizer) does, or a link bypasses you.
    /// (The restricted directory itself must be given without links.) The operation asks
    /// [`has_perm_at`](Self::has_perm_at) in addition, when it has the directory in its hands.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perm};
    /// use ftpdlib::filesystems::local;
    ///
    /// # struct Incoming(DummyAuthorizer);
    /// # impl Authorizer for Incoming {
    /// #     fn inner(&self) -> &dyn Authorizer { &self.0 }
    /// fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
    ///     let is_there = |path| local::resolved(path).starts_with("/srv/ftp/incoming");
    ///     (!perm.can_write() || path.is_none_or(is_there))
    ///         && self.inner().has_perm(username, perm, path)
    /// }
    /// # }
    /// ```
    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        self.inner().has_perm(username, perm, path)
    }

    /// As [`has_perm`](Self::has_perm), which the stock body calls, for the path of what an
    /// operation is about to use. There are no links in it: the operation has come by these names
    /// to the directory whose handle it uses. So nobody who changes links or renames directories
    /// meanwhile gets at a file that is protected.
    ///
    /// It is asked after `has_perm`, of users with [overrides](Self::has_overrides), and between
    /// [`impersonate_user`](Self::impersonate_user) and
    /// [`terminate_impersonation`](Self::terminate_impersonation).
    fn has_perm_at(&self, username: &str, perm: Perm, real: &Path) -> bool {
        self.has_perm(username, perm, Some(real))
    }

    /// Whether the permissions of a user depend on the path. Then each operation asks
    /// [`has_perm_at`](Self::has_perm_at), which takes a system call or two for each look-up.
    ///
    /// True unless it is overridden, and not that of [`inner`](Self::inner): your `has_perm` may
    /// look at the path. [`DummyAuthorizer`](super::DummyAuthorizer) returns true for users with
    /// an override. If yours looks at no path, return `self.inner().has_overrides(username)`: that
    /// saves system calls.
    fn has_overrides(&self, username: &str) -> bool {
        let _ = username;
        true
    }

    /// The permissions of a user in general.
    fn get_perms(&self, username: &str) -> Perms {
        self.inner().get_perms(username)
    }

    /// The text of the reply to a successful login.
    fn get_msg_login(&self, username: &str) -> String {
        self.inner().get_msg_login(username)
    }

    /// The text of the reply to QUIT.
    fn get_msg_quit(&self, username: &str) -> String {
        self.inner().get_msg_quit(username)
    }
}

/// The innermost authorizer, which refuses every login.
#[derive(Debug, Clone, Copy)]
struct Nobody;

impl Authorizer for Nobody {
    fn inner(&self) -> &dyn Authorizer {
        self
    }

    fn validate_authentication(
        &self,
        _: &str,
        _: &str,
        _: &Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        Err(AuthenticationFailed::default())
    }

    fn get_home_dir(&self, _username: &str) -> Result<PathBuf, AuthenticationFailed> {
        Err(AuthenticationFailed::default())
    }

    fn impersonate_user(&self, _username: &str, _password: &str) {}

    fn terminate_impersonation(&self, _username: &str) {}

    fn keeps_password(&self) -> bool {
        false
    }

    fn has_user(&self, _username: &str) -> bool {
        false
    }

    fn has_perm(&self, _username: &str, _perm: Perm, _path: Option<&Path>) -> bool {
        false
    }

    fn has_overrides(&self, _username: &str) -> bool {
        false
    }

    fn get_perms(&self, _username: &str) -> Perms {
        Perms::NONE
    }

    fn get_msg_login(&self, _username: &str) -> String {
        MSG_LOGIN.to_owned()
    }

    fn get_msg_quit(&self, _username: &str) -> String {
        MSG_QUIT.to_owned()
    }
}

/// The stock reply to a login, as pyftpdlib's.
pub(crate) const MSG_LOGIN: &str = "Login successful.";

/// The stock reply to QUIT, as pyftpdlib's.
pub(crate) const MSG_QUIT: &str = "Goodbye.";

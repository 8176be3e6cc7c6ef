//! Who may log in, where, and what they may do there.
//!
//! [`Authorizer`] is the behaviour; [`DummyAuthorizer`] holds a table of virtual
//! users, as pyftpdlib's. This module knows nothing of sockets, and of files only
//! homes, and where links in them lead.

mod dummy;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::error::AuthenticationFailed;
use crate::handlers::FTPSession;
use crate::ioloop::{ChannelId, Remote};
use crate::limits::SlotHolder;

pub use crate::proto::perm::{Perm, Perms};
pub use dummy::{DummyAuthorizer, User, UserOptions};

/// Decides who may log in, where, and what they may do, as the authorizers of
/// pyftpdlib. One value serves all sessions.
///
/// Every method delegates to [`inner`](Self::inner) unless overridden; the
/// innermost authorizer lets nobody in.
pub trait Authorizer: Send + Sync {
    /// The authorizer that this one stands on.
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
        session: &FTPSession,
    ) -> Result<(), AuthenticationFailed> {
        self.inner()
            .validate_authentication(username, password, session)
    }

    /// Checks a password, now or later: an authorizer that has to compute for long
    /// or to ask somebody else takes a [`LaterVerdict`] from `later`, and returns what
    /// its [`offload`](LaterVerdict::offload) does; or hands it to a thread of its own
    /// and returns [`Verdict::Later`]. The session waits, the others go on.
    ///
    /// The stock body calls [`validate_authentication`](Self::validate_authentication).
    fn authenticate(
        &self,
        username: &str,
        password: &str,
        session: &FTPSession,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let _ = later;
        Verdict::Now(self.validate_authentication(username, password, session))
    }

    /// The real path of a user's home.
    ///
    /// # Errors
    /// As [`validate_authentication`](Self::validate_authentication), after which it is called.
    fn get_home_dir(&self, username: &str) -> Result<PathBuf, AuthenticationFailed> {
        self.inner().get_home_dir(username)
    }

    /// Called before each access to the file system; see
    /// [`FTPSession::run_as_current_user`].
    fn impersonate_user(&self, username: &str, password: &str) {
        self.inner().impersonate_user(username, password);
    }

    /// Called after each access to the file system.
    fn terminate_impersonation(&self, username: &str) {
        self.inner().terminate_impersonation(username);
    }

    /// Whether there is such a user.
    fn has_user(&self, username: &str) -> bool {
        self.inner().has_user(username)
    }

    /// Whether a user has a permission: over a path, or in general (`None`). Where
    /// not, the reply is 550.
    ///
    /// The path is that of the system for what the client has named. It lies in the
    /// home, wherever links lead, but they are *not* resolved: in an `up` that links to
    /// `..` it is `/home/joe/up/file`. Who permits some directories only asks where
    /// it leads, as [`DummyAuthorizer`] does, or clients get around that. (The
    /// directory has no links in its own path.)
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

/// What [`Authorizer::authenticate`] says.
#[derive(Debug)]
pub enum Verdict {
    /// The answer.
    Now(Result<(), AuthenticationFailed>),
    /// It will come through the [`LaterVerdict`].
    Later,
}

/// The right to answer a login later, from any thread. Dropped without an
/// answer, it refuses the login.
#[derive(Debug)]
pub struct LaterVerdict {
    remote: Remote,
    session: ChannelId,
    number: u64,
    ip: IpAddr,
    /// Not kept while nobody works on it: who only thinks holds up no slot.
    slot: Weak<SlotHolder>,
    answered: bool,
}

impl LaterVerdict {
    /// That of the question `number`.
    pub(crate) fn new(session: &FTPSession, number: u64) -> Self {
        Self {
            remote: session.remote(),
            session: session.id(),
            number,
            ip: session.remote_ip(),
            slot: Arc::downgrade(&session.slot.hold()),
            answered: false,
        }
    }

    /// Answers. A session that is gone is told nothing.
    pub fn answer(mut self, result: Result<(), AuthenticationFailed>) {
        self.send(result);
    }

    /// Answers with what `work` finds out on another thread, one of those that
    /// [`FTPSession::offload`] has, and as there: for a hash, or a question to a
    /// database. If too much work waits already, the login is refused.
    pub fn offload(
        self,
        work: impl FnOnce() -> Result<(), AuthenticationFailed> + Send + 'static,
    ) -> Verdict {
        let (ip, slot) = (self.ip, self.slot.upgrade());
        let job = move || {
            let _slot = slot;
            self.answer(work());
        };
        match crate::offload::run(ip, job) {
            Ok(()) => Verdict::Later,
            Err(full) => Verdict::Now(Err(AuthenticationFailed::new(format!("{full}.")))),
        }
    }

    fn send(&mut self, result: Result<(), AuthenticationFailed>) {
        self.answered = true;
        let answer = LoginAnswer {
            number: self.number,
            result,
        };
        self.remote.send(self.session, Box::new(answer));
    }
}

impl Drop for LaterVerdict {
    fn drop(&mut self) {
        if !self.answered {
            self.send(Err(AuthenticationFailed::default()));
        }
    }
}

/// The message that a [`LaterVerdict`] sends to its session.
pub(crate) struct LoginAnswer {
    pub(crate) number: u64,
    pub(crate) result: Result<(), AuthenticationFailed>,
}

/// The innermost authorizer: nobody may enter.
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
        _: &FTPSession,
    ) -> Result<(), AuthenticationFailed> {
        Err(AuthenticationFailed::default())
    }

    fn get_home_dir(&self, _username: &str) -> Result<PathBuf, AuthenticationFailed> {
        Err(AuthenticationFailed::default())
    }

    fn impersonate_user(&self, _username: &str, _password: &str) {}

    fn terminate_impersonation(&self, _username: &str) {}

    fn has_user(&self, _username: &str) -> bool {
        false
    }

    fn has_perm(&self, _username: &str, _perm: Perm, _path: Option<&Path>) -> bool {
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

/// The stock texts of pyftpdlib.
pub(crate) const MSG_LOGIN: &str = "Login successful.";
pub(crate) const MSG_QUIT: &str = "Goodbye.";

//! A step that runs with the identity of a user.

use std::fmt;
use std::sync::Arc;

use super::authorizer::Authorizer;

/// Runs `step` between [`Authorizer::impersonate_user`] and
/// [`Authorizer::terminate_impersonation`]. The second is called also if `step` panics.
pub(crate) fn run_as<T>(
    authorizer: &dyn Authorizer,
    username: &str,
    password: &str,
    step: impl FnOnce() -> T,
) -> T {
    authorizer.impersonate_user(username, password);
    let _acting = Acting {
        authorizer,
        username,
    };
    step()
}

/// Gives the identity up when it is dropped.
struct Acting<'a> {
    authorizer: &'a dyn Authorizer,
    username: &'a str,
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.authorizer.terminate_impersonation(self.username);
    }
}

/// The identity of a user who is logged in, for steps that outlive the command which began
/// them: those of open files and listings.
#[derive(Clone)]
pub(crate) struct Identity {
    authorizer: Arc<dyn Authorizer>,
    username: Box<str>,
    password: Box<str>,
}

impl Identity {
    pub(crate) fn new(authorizer: Arc<dyn Authorizer>, username: &str, password: &str) -> Self {
        Self {
            authorizer,
            username: username.into(),
            password: password.into(),
        }
    }

    /// Runs `step` as this user.
    pub(crate) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        run_as(&*self.authorizer, &self.username, &self.password, step)
    }
}

impl fmt::Debug for Identity {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.username)
    }
}

//! The error types of the crate.
//!
//! A command never returns an error: it replies. These types carry the text of that reply
//! from an authorizer or a file system to the command.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The error of a file system operation.
///
/// Its `Display` is exactly the text that follows `550 ` in the reply, without the final
/// dot: for example `No such file or directory`. For an error of the system this is the
/// text of pyftpdlib's `strerror()`.
#[derive(Debug)]
#[non_exhaustive]
pub enum FSError {
    /// The operating system has returned an error.
    Io(io::Error),
    /// The file system has refused the operation, with its own text.
    Filesystem(FilesystemError),
    /// The path, or a link in it, leads outside of the user's root directory.
    Outside,
    /// The user has not the permission where the path really leads.
    NotPermitted,
}

impl FSError {
    /// Makes the error of the system that has this number: for example 2, `ENOENT`.
    #[must_use]
    pub fn from_errno(errno: i32) -> Self {
        Self::Io(io::Error::from_raw_os_error(errno))
    }

    /// The error of a file or directory that does not exist: `ENOENT`.
    #[must_use]
    pub fn not_found() -> Self {
        Self::from_errno(libc::ENOENT)
    }

    /// The error number (`errno`) of an error of the system, and `None` for other errors.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io(err) => err.raw_os_error(),
            Self::Filesystem(_) | Self::Outside | Self::NotPermitted => None,
        }
    }

    /// Whether the error is that the file or directory does not exist (`ENOENT`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(err) if err.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for FSError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(err) => f.write_str(&strerror(err)),
            Self::Filesystem(err) => err.fmt(f),
            Self::Outside => {
                f.write_str("The path leads to one which is outside the user's root directory")
            }
            Self::NotPermitted => f.write_str("Not enough privileges"),
        }
    }
}

impl Error for FSError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(err) => Some(err),
            Self::Filesystem(err) => Some(err),
            Self::Outside | Self::NotPermitted => None,
        }
    }
}

impl From<io::Error> for FSError {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

impl From<FilesystemError> for FSError {
    fn from(err: FilesystemError) -> Self {
        Self::Filesystem(err)
    }
}

/// An error of a file system with a text for the client, as pyftpdlib's `FilesystemError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemError(String);

impl FilesystemError {
    /// Makes an error with a text. The reply is `550 `, the text, and a dot.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for FilesystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for FilesystemError {}

/// The error of a refused login, as pyftpdlib's `AuthenticationFailed`.
///
/// The text follows `530 ` in the reply. An empty text, as [`Default`] makes it, stands for
/// the stock one: `Authentication failed.` for an unknown user and for a wrong password, so
/// that a client cannot find out which users exist; `Anonymous access not allowed.` for
/// `anonymous`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticationFailed {
    text: String,
    is_unavailable: bool,
}

impl AuthenticationFailed {
    /// Makes an error with a text. The reply is `530 ` and the text, whose first letter
    /// becomes a capital.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_unavailable: false,
        }
    }

    /// Makes the error of an authorizer that could not decide: for example, its database does not
    /// answer. The reply is as for [`new`](Self::new), but the login does not count as a failure
    /// of the client: see [`GuardConfig`](crate::GuardConfig).
    #[must_use]
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_unavailable: true,
        }
    }

    /// Whether the error was made by [`unavailable`](Self::unavailable).
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.is_unavailable
    }
}

impl fmt::Display for AuthenticationFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for AuthenticationFailed {}

/// The error of a wrong account: an unknown permission, a missing home and the like. It
/// stands for pyftpdlib's `AuthorizerError` and for the `ValueError`s of its
/// `DummyAuthorizer`.
///
/// Two errors are equal if their texts are. If a home cannot be reached, the
/// [source](Error::source) is the error of the system.
#[derive(Debug, Clone)]
pub struct AuthorizerError {
    text: String,
    source: Option<Arc<io::Error>>,
}

impl AuthorizerError {
    /// Makes an error with a text, which is for the person that runs the server: no client
    /// gets it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

    /// The same error, caused by an error of the system.
    pub(crate) fn because(self, source: io::Error) -> Self {
        Self {
            source: Some(Arc::new(source)),
            ..self
        }
    }
}

impl PartialEq for AuthorizerError {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for AuthorizerError {}

impl fmt::Display for AuthorizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for AuthorizerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

/// The text of the system for an error, for example `No space left on device`: without the
/// ` (os error 28)` that std adds.
#[must_use]
pub fn strerror(err: &io::Error) -> String {
    let mut text = err.to_string();
    if err.raw_os_error().is_some()
        && let Some(end) = text.rfind(" (os error ")
    {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_the_text_of_the_reply() {
        let err = FSError::from(io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(err.to_string(), "No such file or directory");
        assert_eq!(
            FSError::from(FilesystemError::new("read-only")).to_string(),
            "read-only"
        );
    }
}

//! The errors that users of the crate meet and make.
//!
//! A command never returns an error: it replies. These types carry the text of
//! such a reply from an authorizer or a file system to the command.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// What an operation of a file system failed with.
///
/// Its `Display` is exactly the text that follows `550 ` in a reply (without
/// the final dot), as pyftpdlib's `strerror()`: `No such file or directory`.
#[derive(Debug)]
#[non_exhaustive]
pub enum FSError {
    /// The operating system refused.
    Io(io::Error),
    /// The file system refused, with a text of its own.
    Filesystem(FilesystemError),
    /// The path leads outside of the user's root directory.
    Outside,
}

impl FSError {
    /// The system's error of this number: `ENOENT`, which is 2, for one.
    #[must_use]
    pub fn from_errno(errno: i32) -> Self {
        Self::Io(io::Error::from_raw_os_error(errno))
    }

    /// The system's error number, if this came from the system.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io(err) => err.raw_os_error(),
            Self::Filesystem(_) | Self::Outside => None,
        }
    }

    /// Whether what was named does not exist.
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
            // The root stands for whatever it is, as in pyftpdlib.
            Self::Outside => {
                f.write_str("'/' points to a path which is outside the user's root directory")
            }
        }
    }
}

impl Error for FSError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(err) => Some(err),
            Self::Filesystem(err) => Some(err),
            Self::Outside => None,
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

/// An error with a text for the client, as pyftpdlib's `FilesystemError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemError(String);

impl FilesystemError {
    /// `text` follows `550 ` in the reply, and a dot follows it.
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

/// A login was refused, as pyftpdlib's `AuthenticationFailed`.
///
/// The text follows `530 `; an empty one stands for the stock text, which is
/// the same for an unknown user and a wrong password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticationFailed(String);

impl AuthenticationFailed {
    /// `text` follows `530 ` in the reply; it is capitalized there.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for AuthenticationFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AuthenticationFailed {}

/// A wrong account, as pyftpdlib's `AuthorizerError` (and the `ValueError`s of
/// its `DummyAuthorizer`). Equal ones have the same text.
///
/// Of a home that cannot be reached, its source is the system's error.
#[derive(Debug, Clone)]
pub struct AuthorizerError {
    text: String,
    source: Option<Arc<io::Error>>,
}

impl AuthorizerError {
    /// An error with this text, which is meant for the one who runs the server.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

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

/// The system's text for an error, without what std adds: `No space left on device`.
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

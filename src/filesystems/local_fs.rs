//! The file system whose methods all have the stock body.

use super::abstracted::AbstractedFS;

/// The local file system, with each user jailed in the home directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalFS;

impl LocalFS {
    /// Makes the value, which has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl AbstractedFS for LocalFS {}

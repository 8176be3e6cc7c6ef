//! The file system whose methods all have the stock body.

use std::path::Path;

use super::abstracted::AbstractedFS;
use super::held::Held;
use super::local::stock;
use super::state::FSState;
use crate::error::FSError;

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

impl AbstractedFS for LocalFS {
    fn is_stock(&self) -> bool {
        true
    }

    fn hold(&self, fs: &FSState, path: &Path) -> Result<Held, FSError> {
        stock::hold(fs, path)
    }

    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        stock::rename_new(fs, src, dst)
    }
}

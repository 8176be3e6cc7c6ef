//! What is wrong with the settings.

use std::fmt;

/// Why there is no server to start: a line for the one who wanted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError(pub(super) String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

//! What is wrong with the settings, and where.

use std::fmt;

/// Why the server cannot start: one line for the user of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError(pub(super) String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Where a value was set. Errors that are found after the file has been read name
/// the place too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// An option of the command line, by its long name.
    Option(&'static str),
    /// A line of the configuration file.
    Line {
        /// File and line: `ftpd.toml:12`.
        place: String,
        /// The key without its section: `passive_ports`.
        key: &'static str,
        /// The section of the key.
        section: &'static str,
    },
}

impl Origin {
    /// An error about a value from here: `text` begins with a verb and says what
    /// the value requires or excludes.
    pub(super) fn error(&self, text: &str) -> ConfigError {
        ConfigError(match self {
            Self::Option(long) => format!("--{long} {text}"),
            Self::Line {
                place,
                key,
                section,
            } => format!("{place}: {section}.{key}: {text}"),
        })
    }

    /// What the user calls the setting here: `--certfile`, or `certfile` in the file.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Option(long) => format!("--{long}"),
            Self::Line { key, .. } => (*key).to_owned(),
        }
    }
}

//! Why TLS cannot be set up.

use std::error::Error;
use std::fmt;
use std::path::Path;

/// Why TLS cannot be set up: a certificate cannot be read or used, or settings contradict
/// each other.
///
/// Its `Display` is the whole message, with the name of the file. Its source, if it has
/// one, is the error of the system (`io::Error`), of `rustls` or of its PEM parser.
#[derive(Debug)]
pub struct TlsError {
    pub(super) text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TlsError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

    /// The same error with its source.
    pub(super) fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// The same error about a file, whose name precedes the text.
    pub(super) fn of(self, path: &Path) -> Self {
        self.after(&format!("{}:", path.display()))
    }

    /// The same error with `subject` before the text.
    pub(super) fn after(self, subject: &str) -> Self {
        Self {
            text: format!("{subject} {}", self.text),
            ..self
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

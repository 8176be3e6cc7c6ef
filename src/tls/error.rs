//! Why TLS cannot be set up.

use std::error::Error;
use std::fmt;
use std::path::Path;

/// Why there is no TLS: a certificate that cannot be read or used.
///
/// Its `Display` tells all of it, with the name of the file; its source, where there
/// is one, is the error of the system (`io::Error`), of `rustls` or of its parser of
/// PEM that this came from.
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

    pub(super) fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// The same with what it is about in front: a file.
    pub(super) fn of(self, path: &Path) -> Self {
        self.after(&format!("{}:", path.display()))
    }

    pub(super) fn after(self, what: &str) -> Self {
        Self {
            text: format!("{what} {}", self.text),
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

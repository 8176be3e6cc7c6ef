//! The configuration file: sections, keys, and the place of what is wrong.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use ftpdlib::strerror;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::ConfigError;
use super::value::Value;

/// The file's text and name, which all errors need.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigFile<'a> {
    path: &'a Path,
    text: &'a str,
}

/// Reads the file, whatever its encoding: what is not UTF-8 is an error of a line.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let cannot = |err| {
        ConfigError(format!(
            "{}: cannot be read: {}",
            path.display(),
            strerror(&err)
        ))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    let mut file = file.take(MAX_SIZE + 1);
    file.read_to_end(&mut bytes).map_err(cannot)?;
    if file.limit() == 0 {
        let text = format!("{}: more than {MAX_SIZE} bytes long", path.display());
        return Err(ConfigError(text));
    }
    String::from_utf8(bytes).map_err(|err| {
        let valid = &err.as_bytes()[..err.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        ConfigError(format!("{}:{line}: not UTF-8", path.display()))
    })
}

impl<'a> ConfigFile<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The table of the whole file.
    pub(super) fn root(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text).map_err(|err| self.syntax_error(&err))
    }

    /// What relative paths in the file are relative to.
    pub(super) fn directory(&self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The table that a section must be.
    pub(super) fn table<'t>(
        &self,
        section: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Result<&'t DeTable<'t>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => {
                let text = Value::Toml(other).must_be("a table");
                Err(self.error(&value.span(), section, &text))
            }
        }
    }

    /// An error with its place: `ftpd.toml:12: handler.passive_ports: text`.
    pub(super) fn error(&self, at: &Range<usize>, key: &str, text: &str) -> ConfigError {
        let (path, line) = (self.path.display(), self.line(at.start));
        ConfigError(format!("{path}:{line}: {key}: {text}"))
    }

    fn syntax_error(&self, err: &toml::de::Error) -> ConfigError {
        let at = err.span().unwrap_or_default();
        // A word in the error's place, such as the key that is there twice.
        let place = self.text.get(at.clone()).unwrap_or_default().trim();
        let place = match place.lines().next() {
            Some(word) if word.len() <= 40 => format!(": '{word}'"),
            _ => String::new(),
        };
        let message = err
            .message()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let (path, line) = (self.path.display(), self.line(at.start));
        ConfigError(format!("{path}:{line}: {message}{place}"))
    }

    /// The number of the line of a byte.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

/// A table's entries as they stand in the file, so that its first error is told.
pub(super) fn in_order<'t>(
    table: &'t DeTable<'t>,
) -> Vec<(&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Enough for some ten thousand users; and a slip such as /dev/zero ends.
const MAX_SIZE: u64 = 4 << 20;

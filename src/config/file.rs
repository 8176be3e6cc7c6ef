//! The configuration file: sections, keys, and the place of what is wrong.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use ftpdlib::strerror;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::accounts::{ACCOUNT_SECTIONS, Accounts};
use super::table::SETTINGS;
use super::value::Value;
use super::{ConfigError, Settings};

/// The file's text and name, which all errors need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
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

impl<'a> Document<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// Applies all sections but those of accounts, which are returned.
    pub(super) fn apply(&self, settings: &mut Settings) -> Result<Accounts, ConfigError> {
        let root = DeTable::parse(self.text).map_err(|err| self.syntax_error(&err))?;
        let mut accounts = Accounts::new(self.directory());
        for (name, value) in in_order(root.get_ref()) {
            let section = name.get_ref().as_ref();
            match section {
                "users" => accounts.read_users(self, value)?,
                "anonymous" => accounts.read_anonymous(self, value)?,
                _ if SETTINGS.iter().any(|setting| setting.section == section) => {
                    self.apply_section(section, value, settings)?;
                    if section == "tls" {
                        let text = "this key is missing";
                        settings
                            .tls
                            .section(self.error(&name.span(), "tls.certfile", text));
                    }
                }
                _ => return Err(self.unknown_section(name)),
            }
        }
        Ok(accounts)
    }

    fn apply_section(
        &self,
        section: &str,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
    ) -> Result<(), ConfigError> {
        for (key, value) in in_order(self.table(section, value)?) {
            let found = SETTINGS
                .iter()
                .find(|setting| setting.section == section && setting.key == key.get_ref());
            let Some(setting) = found else {
                return Err(self.unknown_key(section, key));
            };
            (setting.set)(settings, &Value::Toml(value.get_ref())).map_err(|text| {
                let name = format!("{section}.{}", setting.key);
                self.error(&value.span(), &name, &text)
            })?;
        }
        Ok(())
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

    /// An unknown key of a section, with what may have been meant.
    fn unknown_key(&self, section: &str, key: &Spanned<DeString<'_>>) -> ConfigError {
        let ours = SETTINGS.iter().filter(|setting| setting.section == section);
        let hint = hint(key.get_ref(), ours.map(|setting| setting.key));
        let hint = hint
            .or_else(|| belongs_to(key.get_ref()))
            .unwrap_or_default();
        let name = format!("{section}.{}", key.get_ref());
        self.error(&key.span(), &name, &format!("unknown key{hint}"))
    }

    fn unknown_section(&self, name: &Spanned<DeString<'_>>) -> ConfigError {
        let sections = SETTINGS.iter().map(|setting| setting.section);
        let hint = hint(name.get_ref(), sections.chain(ACCOUNT_SECTIONS))
            .or_else(|| belongs_to(name.get_ref()))
            .unwrap_or_default();
        self.error(
            &name.span(),
            name.get_ref(),
            &format!("unknown section{hint}"),
        )
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

/// `; did you mean 'x'?`, for a known word that differs by a slip.
pub(super) fn hint<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    // Two letters swapped are two slips.
    let slips = if word.len() < 4 { 1 } else { 2 };
    known
        .map(|known| (distance(word, known), known))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, known)| format!("; did you mean '{known}'?"))
}

/// For a key in the wrong section, or in none.
fn belongs_to(key: &str) -> Option<String> {
    let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
    Some(format!("; '{key}' belongs to [{}]", setting.section))
}

/// How many letters to change, add or take away (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

/// Enough for some ten thousand users; and a slip such as /dev/zero ends.
const MAX_SIZE: u64 = 4 << 20;

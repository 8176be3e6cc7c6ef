//! Reads the tables of a section that occurs any number of times, key by key.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::file::{ConfigFile, in_order};
use super::value::{Value, ValueError};
use super::words::hint;

/// Reads a table key by key.
pub(super) struct Reader<'a> {
    pub(super) file: &'a ConfigFile<'a>,
    pub(super) name: &'static str,
    at: Range<usize>,
    pub(super) table: &'a DeTable<'a>,
}

impl<'a> Reader<'a> {
    /// A reader of the table `value`, which may have no other keys than `known`.
    pub(super) fn new(
        file: &'a ConfigFile<'a>,
        name: &'static str,
        value: &'a Spanned<DeValue<'a>>,
        known: &[&'static str],
    ) -> Result<Self, ConfigError> {
        let header = match name {
            "anonymous" => "[anonymous]".to_owned(),
            _ => format!("[[{name}]]"),
        };
        let table = file.table(name, &header, value)?;
        for (key, _) in in_order(table) {
            if !known.contains(&key.get_ref().as_ref()) {
                let advice = hint(key.get_ref(), known.iter().copied())
                    .unwrap_or_else(|| format!("; {header} has {}", known.join(", ")));
                let name = format!("{name}.{}", key.get_ref());
                return Err(file.error(&key.span(), &name, &format!("unknown key{advice}")));
            }
        }
        Ok(Self {
            file,
            name,
            at: value.span(),
            table,
        })
    }

    /// The value of a key that may be missing, and its place.
    pub(super) fn find<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, ValueError>,
    ) -> Result<Option<Spanned<T>>, ConfigError> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        match read(&Value::Toml(value.get_ref())) {
            Ok(read) => Ok(Some(Spanned::new(value.span(), read))),
            Err(err) => {
                let name = format!("{}.{key}", self.name);
                let at = err.at.unwrap_or_else(|| value.span());
                Err(self.file.error(&at, &name, &err.text))
            }
        }
    }

    /// The value of a key that may be missing.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, ValueError>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.find(key, read)?.map(Spanned::into_inner))
    }

    /// The value of a key that must be there, and its place.
    pub(super) fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, ValueError>,
    ) -> Result<Spanned<T>, ConfigError> {
        self.find(key, read)?.ok_or_else(|| {
            let name = format!("{}.{key}", self.name);
            self.file.error(&self.at, &name, "this key is missing")
        })
    }
}

/// The tables of `[[name]]`.
pub(super) fn tables<'t>(
    file: &ConfigFile<'_>,
    name: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Result<impl Iterator<Item = &'t Spanned<DeValue<'t>>>, ConfigError> {
    match value.get_ref() {
        DeValue::Array(array) => Ok(array.iter()),
        _ => {
            let text = format!("must be a list of tables: [[{name}]]");
            Err(file.error(&value.span(), name, &text))
        }
    }
}

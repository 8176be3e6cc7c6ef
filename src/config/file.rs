//! The text of the configuration file, and the place of what is wrong in it.

use std::fs::{File, Metadata};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ftpdlib::strerror;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::ConfigError;
use super::value::Value;

/// The name and the text of the file, which all errors need.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfigFile<'a> {
    path: &'a Path,
    text: &'a str,
}

/// Reads the file. If it is not UTF-8, the error names the line. Also returns whether other
/// users of the machine can read it.
pub(super) fn read(path: &Path) -> Result<(String, bool), ConfigError> {
    if path.as_os_str().is_empty() {
        return Err(ConfigError("--config: must not be empty".to_owned()));
    }
    let name = path.display();
    let cannot_read = |err| ConfigError(format!("{name}: cannot be read: {}", strerror(&err)));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot_read)?;
    // The handle that is read is asked: the name may lead elsewhere later.
    let is_open_to_others = file.metadata().is_ok_and(|data| is_open_to_others(&data));
    let mut file = file.take(MAX_SIZE + 1);
    file.read_to_end(&mut bytes).map_err(cannot_read)?;
    if file.limit() == 0 {
        let text = format!("{name}: has more than {MAX_SIZE} bytes, the limit for this file");
        return Err(ConfigError(text));
    }
    let text = String::from_utf8(bytes).map_err(|err| {
        let valid = &err.as_bytes()[..err.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        ConfigError(format!("{name}:{line}: not UTF-8, the encoding of TOML"))
    })?;
    Ok((text, is_open_to_others))
}

/// Whether a file can be read by users that do not need to: by all, or by a group although
/// this process reads it as its owner. (A file `root:ftp` with mode 0640 is read by way of its
/// group.) Only the mode of a regular file says so.
fn is_open_to_others(data: &Metadata) -> bool {
    const GROUP: u32 = 0o040;
    const OTHERS: u32 = 0o004;
    let needless = match rustix::process::geteuid().as_raw() == data.uid() {
        true => GROUP | OTHERS,
        false => OTHERS,
    };
    data.is_file() && data.mode() & needless != 0
}

impl<'a> ConfigFile<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The table that contains all sections.
    pub(super) fn root(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(self.text).map_err(|err| self.syntax_error(&err))
    }

    /// The directory to which relative paths in the file refer.
    pub(super) fn directory(&self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The value of a section, which must be a table. `header` is how the file should
    /// begin it: `[server]`.
    pub(super) fn table<'t>(
        &self,
        section: &str,
        header: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Result<&'t DeTable<'t>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => {
                let text = Value::Toml(other).must_be(&format!("a table ({header})"));
                Err(self.error(&value.span(), section, &text))
            }
        }
    }

    /// An error with its place: `ftpd.toml:12: handler.passive_ports: text`.
    pub(super) fn error(&self, at: &Range<usize>, key: &str, text: &str) -> ConfigError {
        ConfigError(format!("{}: {key}: {text}", self.place(at)))
    }

    /// File and line: `ftpd.toml:12`.
    pub(super) fn place(&self, at: &Range<usize>) -> String {
        let before = self.text.as_bytes().iter().take(at.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        format!("{}:{line}", self.path.display())
    }

    /// The error of a file without accounts.
    pub(super) fn no_accounts(&self) -> ConfigError {
        let text = "has no accounts; add [[users]] or [anonymous], or use -d or -u";
        ConfigError(format!("{}: {text}", self.path.display()))
    }

    fn syntax_error(&self, err: &toml::de::Error) -> ConfigError {
        let at = err.span().unwrap_or_default();
        // A word at that place, such as a key that occurs twice.
        let found = self.text.get(at.clone()).unwrap_or_default().trim();
        let found = match found.lines().next() {
            Some(word) if word.len() <= 40 => format!(": '{word}'"),
            _ => String::new(),
        };
        let words: Vec<_> = err.message().split_whitespace().collect();
        let message = words.join(" ").replace(", expected nothing", "");
        // An address without quotes begins like a number.
        let advice = match message.starts_with("invalid float") {
            true => " (put text in quotes)",
            false => "",
        };
        ConfigError(format!("{}: {message}{found}{advice}", self.place(&at)))
    }
}

/// The entries of a table in the order of the file, so that the first error in the
/// file is the one that is reported.
pub(super) fn in_order<'t>(
    table: &'t DeTable<'t>,
) -> Vec<(&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// 4 MiB: enough for more than ten thousand users. A wrong path such as `/dev/zero`
/// is an error and not an endless read.
const MAX_SIZE: u64 = 4 << 20;

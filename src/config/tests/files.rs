//! Makes files and command lines for the tests, and loads the settings from them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::cli;
use crate::config;
use crate::config::flags::Flags;
use crate::config::settings::Settings;

/// A directory with `pub/`, `joe/archive/` and a file `ftpd.toml` with this text. A text without
/// accounts gets one at its end.
pub(super) fn directory(text: &str) -> tempfile::TempDir {
    let has_accounts = text.contains("users") || text.contains("anonymous");
    let account = match has_accounts {
        true => "",
        false => "\n[anonymous]\nhome = 'pub'\n",
    };
    directory_with(&format!("{text}{account}"))
}

/// The same with exactly this text.
pub(super) fn directory_with(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("joe/archive")).unwrap();
    fs::create_dir(dir.path().join("pub")).unwrap();
    fs::write(dir.path().join("ftpd.toml"), text).unwrap();
    dir
}

pub(super) fn flags(args: &[&str]) -> Flags {
    let args = ["ftpdlib"].iter().chain(args).map(OsString::from);
    cli::parse(args).unwrap()
}

pub(super) fn load_from(dir: &Path, args: &[&str]) -> Result<Settings, String> {
    let file = dir.join("ftpd.toml").to_str().unwrap().to_owned();
    let args: Vec<&str> = ["--config", &file].iter().chain(args).copied().collect();
    let result = config::load(&flags(&args));
    // Errors name the file as `--config` does; drop the temporary directory.
    result.map_err(|err| err.to_string().replace(&file, "ftpd.toml"))
}

pub(super) fn load(text: &str, args: &[&str]) -> Result<Settings, String> {
    load_from(directory(text).path(), args)
}

pub(super) fn error(text: &str) -> String {
    load(text, &[]).unwrap_err()
}

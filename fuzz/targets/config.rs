//! The configuration file and the command line of the program.
//!
//! Input: a TOML file; or, after a NUL, words of a command line with NULs between.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the program uses all of them")]

// The program's modules, which call each other by these paths.
#[path = "../../src"]
mod program {
    pub(crate) mod cli;
    pub(crate) mod config;
    pub(crate) mod manual;
}

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

use ftpdlib::log::escape;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

use crate::program::cli::{self, Stop};
use crate::program::config::flags::Flags;
use crate::program::{config, manual};

/// With `pub/` and `joe/archive/`, which the seeds name.
static HOME: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let home = home.expect("a temporary directory");
    fs::create_dir_all(home.path().join("joe/archive")).expect("a directory");
    fs::create_dir(home.path().join("pub")).expect("a directory");
    home
});

/// A command line that names the file; clap takes a while to read one.
static FLAGS: LazyLock<Flags> = LazyLock::new(|| {
    let file = HOME.path().join("ftpd.toml");
    let words = [OsString::from("ftpdlib"), "--config".into(), file.into()];
    cli::parse(words).unwrap_or_else(|_| panic!("--config is no option"))
});

fuzz_target!(|input: &[u8]| {
    match input.strip_prefix(b"\0") {
        Some(words) => command_line(words),
        None => file(input),
    }
});

fn command_line(words: &[u8]) {
    let words = words.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let words = [OsStr::new("ftpdlib")].into_iter().chain(words);
    match cli::parse(words.map(OsStr::to_owned)) {
        Err(Stop::Wrong(text)) => one_line(&text),
        Err(Stop::Help(text)) => assert!(!text.to_string().is_empty()),
        Err(Stop::Generate(document)) => assert!(!manual::text(document).is_empty()),
        Ok(flags) if flags.config.is_none() => {
            if let Err(err) = config::load(&flags) {
                one_line(&err.to_string());
            }
        }
        // Not any file of this machine.
        Ok(_) => {}
    }
}

fn file(text: &[u8]) {
    let path = HOME.path().join("ftpd.toml");
    fs::write(&path, text).expect("a file");
    let first = load();
    // Whatever is wrong is found in the same place again.
    assert_eq!(load(), first);
    let Err(error) = first else {
        return;
    };
    one_line(&error);
    let place = error.strip_prefix(path.to_str().expect("UTF-8"));
    let Some(place) = place.and_then(|rest| rest.strip_prefix(':')) else {
        return;
    };
    let digits = place.chars().take_while(char::is_ascii_digit);
    if let Ok(line) = digits.collect::<String>().parse::<usize>() {
        let lines = 1 + text.iter().filter(|byte| **byte == b'\n').count();
        assert!((1..=lines).contains(&line), "line {line} of {lines}");
    }
}

fn load() -> Result<(), String> {
    let settings = config::load(&FLAGS);
    settings.map(drop).map_err(|err| err.to_string())
}

/// What the program prints before it ends, with its control characters escaped.
fn one_line(text: &str) {
    let line = escape(text);
    assert!(!line.trim().is_empty());
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

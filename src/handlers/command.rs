//! A checked command.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A checked command.
#[derive(Debug, Clone)]
pub struct Command<'a> {
    /// The name in upper case, as in the table: `RETR`, `SITE CHMOD`.
    pub name: &'a str,
    /// The argument.
    pub arg: CmdArg<'a>,
}

/// The argument of a command, in the form that the command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CmdArg<'a> {
    /// There is no argument.
    None,
    /// Text as the client sent it. Bytes that are not in the session's encoding are U+FFFD.
    Text(&'a str),
    /// An FTP path as the client sent it (STOU).
    Name(&'a OsStr),
    /// A checked real path: of commands with a permission.
    Path(&'a Path),
    /// SITE CHMOD: the mode as the client sent it, and a checked real path.
    Mode(&'a str, &'a Path),
    /// MFMT: the time as the client sent it, and a checked real path.
    Time(&'a str, &'a Path),
}

impl CmdArg<'_> {
    /// The argument as text: the real path, or what the client sent.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Name(name) => name.to_string_lossy(),
            Self::Path(path) | Self::Mode(_, path) | Self::Time(_, path) => path.to_string_lossy(),
        }
    }

    /// The real path in the argument.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) | Self::Mode(_, path) | Self::Time(_, path) => Some(path),
            Self::None | Self::Text(_) | Self::Name(_) => None,
        }
    }
}

/// A command that outlives its line, because its reply comes later.
pub(crate) struct OwnedCommand {
    name: String,
    arg: OwnedArg,
}

/// [`CmdArg`], owned.
enum OwnedArg {
    None,
    Text(String),
    Name(OsString),
    Path(PathBuf),
    Mode(String, PathBuf),
    Time(String, PathBuf),
}

impl OwnedCommand {
    pub(crate) fn new(cmd: &Command<'_>) -> Self {
        let arg = match cmd.arg {
            CmdArg::None => OwnedArg::None,
            CmdArg::Text(text) => OwnedArg::Text(text.to_owned()),
            CmdArg::Name(name) => OwnedArg::Name(name.to_owned()),
            CmdArg::Path(path) => OwnedArg::Path(path.to_owned()),
            CmdArg::Mode(mode, path) => OwnedArg::Mode(mode.to_owned(), path.to_owned()),
            CmdArg::Time(time, path) => OwnedArg::Time(time.to_owned(), path.to_owned()),
        };
        Self {
            name: cmd.name.to_owned(),
            arg,
        }
    }

    /// The command as the hooks get it.
    pub(crate) fn as_command(&self) -> Command<'_> {
        let arg = match &self.arg {
            OwnedArg::None => CmdArg::None,
            OwnedArg::Text(text) => CmdArg::Text(text),
            OwnedArg::Name(name) => CmdArg::Name(name),
            OwnedArg::Path(path) => CmdArg::Path(path),
            OwnedArg::Mode(mode, path) => CmdArg::Mode(mode, path),
            OwnedArg::Time(time, path) => CmdArg::Time(time, path),
        };
        Command {
            name: &self.name,
            arg,
        }
    }
}

//! The settings of the program: the configuration file first, then the command line.
//!
//! The [table] has an entry for each setting, with its key in the file and its flag. Both
//! are applied through that entry, so they have one meaning and one check. Every mistake
//! is an error of one line, which is reported before the server listens.
//!
//! The files, from the bottom up: `error`, `flags`, `password`, `words` and `value`; `file`,
//! `reader` and `self_signed`; `listener`; `settings`; `setting`, `table` and `accounts`; `sections`,
//! `listen`, `masquerade`, `tls` and `user`; `load`.

pub(crate) mod accounts;
mod error;
mod file;
pub(crate) mod flags;
mod guard;
mod listen;
pub(crate) mod listener;
mod load;
mod masquerade;
pub(crate) mod password;
mod process;
mod reader;
mod root;
mod sections;
mod self_signed;
mod setting;
mod settings;
pub(crate) mod table;
mod tls;
mod user;
mod value;
mod words;

pub(crate) use self::listener::Listener;
pub(crate) use self::load::load;
pub(crate) use self::masquerade::resolve as resolve_masquerade;
pub(crate) use self::settings::{Concurrency, Share};
pub(crate) use self::user::root_warning;

#[cfg(test)]
mod tests;

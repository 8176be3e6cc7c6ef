//! The settings of the program: the configuration file, then the flags.
//!
//! [`table`] has a line for each setting, with its key in the file and its flag;
//! both go through it, so that they have one meaning and one check. Whatever is
//! wrong is told in one line, before anything is opened to the world.

pub(crate) mod accounts;
mod error;
mod file;
pub(crate) mod flags;
mod load;
mod sections;
mod self_signed;
mod setting;
mod settings;
pub(crate) mod table;
mod tls;
mod value;
mod words;

pub(crate) use self::load::load;
pub(crate) use self::settings::{Concurrency, Share};

#[cfg(test)]
mod tests;

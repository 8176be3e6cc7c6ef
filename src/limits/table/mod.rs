//! The slots of a server as words of memory: [`Table`].

mod groups;
mod keys;
mod lists;
mod room;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use self::room::Admission;
pub(super) use self::room::{Bounds, Leaver};
pub(super) use self::words::{Index, Key, Origin, Owner, State, Table, When};

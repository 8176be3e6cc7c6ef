//! What the server knows about addresses that fail to log in or connect too often, in all of its
//! processes: how long they wait, and which are banned.
//!
//! An address is a single one of IPv4, and a network of 64 bits of IPv6, since a client usually has
//! all of those addresses. The table is bounded: a full one forgets the address that was quiet
//! the longest, and those that are banned last.

mod config;
mod entry;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use self::config::GuardConfig;
pub(crate) use self::watch::{Answer, Attempt, Guard};

//! How many sockets a server has, and how many it may have: [`Limits`]. How much memory listings
//! may take: [`Budget`].
//!
//! Each socket has a [`Slot`], which counts until it is dropped. If jobs outlive a
//! session, its slot counts until they end. One process counts in its own memory.
//! Processes that serve together count in a table that they share, from which the slots
//! of a process that dies can be taken back.

mod counts;
mod descriptors;
mod memory;
mod slots;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::memory::{Budget, LISTINGS, Share};
pub(crate) use self::slots::{Admission, Limits, Slot, SlotHolder};

//! How many sockets a server has, and how many it may have: [`Limits`]. How much memory listings
//! may take: [`Budget`].
//!
//! Each socket has a [`Slot`], which counts until it is dropped. If jobs outlive a
//! session, its slot counts until they end. The slots are in a table: in the memory of one
//! process, or in memory that processes which serve together share, so that the slots of a
//! process that dies can be taken back. When few slots are left, a session of the client
//! that has most of them leaves for that of another client.

mod counts;
mod descriptors;
mod doors;
mod later;
mod losses;
mod memory;
mod refusals;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod wakers;

pub(crate) use self::doors::MakeRoom;
pub(crate) use self::memory::{Budget, LISTINGS, Share};
pub(crate) use self::slots::{Limits, Slot, SlotHolder};
pub(crate) use self::table::Admission;

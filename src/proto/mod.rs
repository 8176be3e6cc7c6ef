//! The protocol as bytes, without sockets or clocks: commands, replies, addresses, encodings,
//! permissions, listings.
//!
//! All functions depend on their arguments only, except that local times depend on the time zone
//! of the system. None of them panics, whatever the client sends.

pub mod address;
pub mod ascii;
pub mod command;
pub mod encoding;
pub mod listing;
pub mod network;
pub mod pattern;
pub mod perm;
pub mod reply;
pub mod transfer_type;

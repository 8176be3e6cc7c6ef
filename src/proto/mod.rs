//! The protocol without sockets or clocks: lines, commands, replies, addresses,
//! listings. Everything here is a function of its arguments, and none of it
//! panics, whatever the client sends.

pub mod address;
pub mod ascii;
pub mod command;
pub mod encoding;
pub mod listing;
pub mod pattern;
pub mod perm;
pub mod reply;
pub mod transfer_type;

//! Sockets in memory, and the network between them: for [`testing`](crate::testing).
//!
//! They behave as the system's sockets do: their buffers are bounded, they report changes only
//! (edge-triggered), and connections are refused, closed and reset. What is sent over them is not
//! known here.

mod sockets;
mod state;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use self::sockets::{MemoryListener, MemoryStream, Network};

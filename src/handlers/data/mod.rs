//! Data connections: the server-DTP of RFC 959.
//!
//! [`DTPHandler`] is the behaviour, [`DataChannel`] the state, and the functions of this module
//! are the stock bodies. A data connection knows nothing about its session. It moves bytes
//! between a socket and a file or a producer, within a budget for each turn, and returns how
//! it ended. The session's `transfers` begin it and end it.

mod channel;
mod config;
mod connection;
mod drive;
mod ended;
mod handler;
mod outcome;
mod pace;
mod payload;
mod room;
mod secure;
mod splice;
mod throttle;
mod tls;

pub use self::channel::DataChannel;
pub(crate) use self::channel::{Lent, Opening, Transfer};
pub use self::config::DTPConfig;
pub(crate) use self::connection::DataConnection;
pub(crate) use self::ended::{Ended, EndingDTP, final_reply_due, linger};
pub use self::handler::{
    DTPHandler, StockDTPHandler, enable_receiving, handle_read, push, push_with_producer, recv,
    secure_connection, send, store, use_sendfile,
};
pub(crate) use self::outcome::{Drive, Outcome, TAKEN_OVER};
pub(crate) use self::payload::PendingTransfer;
pub use self::payload::{Outgoing, Received, TransferError, Upload};
pub(crate) use self::room::Bounds;
pub(crate) use self::throttle::Throttle;

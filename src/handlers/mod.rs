//! The FTP protocol interpreter: what a session does with commands, and how its
//! data connections are made and run.
//!
//! [`FTPHandler`] is the behaviour, [`FTPSession`] the state of one control
//! connection; [`DTPHandler`] and [`DataChannel`] are the same for a data
//! connection. A method that is overridden calls the stock body - "super" - as a
//! function: those of [`commands`], [`dispatch`], [`dispatchers`] and [`data`].
//!
//! Nothing here touches the poll but `connection`, which drives a session from
//! its state after each event. Who the users are is not known here but through an
//! [`Authorizer`](crate::authorizers::Authorizer), and files are not but through an
//! [`AbstractedFS`](crate::filesystems::AbstractedFS).

pub mod commands;
mod config;
pub(crate) mod connection;
pub mod data;
pub mod dispatch;
pub mod dispatchers;
mod handler;
mod parking;
mod session;
mod throttled;

pub use config::{ActiveDTPConfig, DTPConfig, DTPFactory, FTPConfig, PassiveDTPConfig};
pub use data::{DTPHandler, DataChannel, Outgoing, StockDTPHandler, TransferError};
pub use dispatch::{CmdArg, Command};
pub use handler::{FTPHandler, StockHandler, TransferLog};
pub(crate) use session::Arrival;
pub use session::{FTPSession, TimerId};
pub use throttled::ThrottledDTPHandler;

pub use crate::proto::transfer_type::TransferType;

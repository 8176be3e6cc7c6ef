//! The FTP protocol interpreter: what a session does with commands, and how its data
//! connections are opened and run.
//!
//! [`FTPHandler`] is the behaviour, and [`FTPSession`] the state of one control connection.
//! [`DTPHandler`] and [`DataChannel`] are the same for a data connection. An override calls the
//! stock body ("super") as a function: those of [`commands`], [`dispatch`], [`dispatchers`] and
//! [`data`].
//!
//! Users are known here only through an [`Authorizer`](crate::authorizers::Authorizer), and
//! files only through an [`AbstractedFS`](crate::filesystems::AbstractedFS).

mod check;
mod command;
pub mod commands;
mod config;
pub(crate) mod connection;
pub mod data;
pub mod dispatch;
pub mod dispatchers;
mod files;
mod handler;
pub mod hooks;
mod lifecycle;
mod lines;
mod locking;
mod log;
mod parking;
mod pending;
mod session;
mod space;
mod stock;
mod throttled;
mod transfer_log;
mod transfers;
mod turn;
mod user_fs;

pub use self::command::{CmdArg, Command};
pub(crate) use self::config::ListenerSettings;
pub use self::config::{ActiveDTPConfig, DTPFactory, FTPConfig, ListenTls, PassiveDTPConfig};
pub use self::data::{
    DTPConfig, DTPHandler, DataChannel, Outgoing, StockDTPHandler, TransferError,
};
pub use self::handler::FTPHandler;
pub(crate) use self::session::NewSession;
pub use self::session::{FTPSession, TimerId};
pub use self::stock::StockHandler;
pub use self::throttled::ThrottledDTPHandler;
pub use self::transfer_log::TransferLog;
pub use self::user_fs::UserFS;
pub use crate::proto::transfer_type::TransferType;

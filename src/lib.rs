//! pyftpdlib for Rust: an FTP server library on its own reactor.

#![warn(missing_docs, missing_debug_implementations)]

pub mod authorizers;
mod error;
pub mod filesystems;
pub mod handlers;
pub mod ioloop;
pub mod log;
pub mod producers;
pub mod proto;
mod servers;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that std does not have"
)]
mod sys;

pub use error::{AuthenticationFailed, AuthorizerError, FSError, FilesystemError, strerror};
pub use handlers::{
    ActiveDTPConfig, DTPConfig, DTPHandler, DataChannel, FTPConfig, FTPHandler, FTPSession,
    PassiveDTPConfig, ThrottledDTPHandler,
};
pub use servers::FTPServer;

//! pyftpdlib for Rust.

pub mod authorizers;
mod error;
pub mod filesystems;
pub mod handlers;
pub mod log;
pub mod proto;
#[allow(
    unsafe_code,
    reason = "the one place for system calls that std does not have"
)]
pub mod sys;

pub use error::{AuthenticationFailed, AuthorizerError, FSError, FilesystemError, strerror};
pub use handlers::FTPConfig;

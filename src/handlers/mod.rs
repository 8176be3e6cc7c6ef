//! Sessions.
mod config;
pub mod data;
pub use config::*;

/// State of one control connection.
#[derive(Debug)]
pub struct FTPSession {}

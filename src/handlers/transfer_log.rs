//! What is logged about the transfer of a file.

use std::path::Path;
use std::time::Duration;

/// What is logged about the transfer of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransferLog<'a> {
    /// The command: RETR, STOR, STOU or APPE.
    pub cmd: &'a str,
    /// The real path.
    pub filename: &'a Path,
    /// Whether the client sent the file.
    pub receive: bool,
    /// Whether the whole file was transferred.
    pub completed: bool,
    /// The time since the data connection was opened.
    pub elapsed: Duration,
    /// The bytes on the wire.
    pub bytes: u64,
}

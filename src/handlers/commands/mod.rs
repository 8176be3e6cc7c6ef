//! The stock bodies of the commands, by theme: what an overridden method of
//! [`FTPHandler`](super::FTPHandler) calls as "super". Each replies; none waits, and none touches
//! the poll.

pub mod files;
pub mod info;
pub mod listing;
pub mod login;
pub mod site;
pub mod transfer;

use super::FTPSession;
use crate::error::{FSError, FilesystemError};
use crate::filesystems::{AbstractedFS, FSState};

/// Stock [`FTPHandler::ftp_custom`](super::FTPHandler::ftp_custom): nobody has taken the command.
pub fn custom(s: &mut FTPSession, cmd: &str) {
    s.respond(&format!("502 Command \"{cmd}\" not implemented."));
}

/// Runs an operation of the file system as the user who is logged in.
fn on_fs<T>(
    s: &FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &FSState) -> Result<T, FSError>,
) -> Result<T, FSError> {
    s.on_fs(operation)
        .unwrap_or_else(|| Err(FilesystemError::new("Not logged in").into()))
}

/// `550` and the text of the error.
fn refuse(s: &mut FTPSession, err: &FSError) {
    s.respond(&format!("550 {err}."));
}

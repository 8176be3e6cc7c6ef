//! The stock bodies of the commands: what an overridden method of
//! [`FTPHandler`](super::FTPHandler) calls as "super". The body of `ftp_dele` is [`dele`].
//!
//! Each replies; none waits, and none touches the poll. Those that call back
//! another method, which may be overridden too, take the handler first.

mod files;
mod info;
mod listing;
pub(crate) mod login;
mod site;
pub(crate) mod tls;
mod transfer;

use std::path::Path;

use super::FTPSession;
use crate::error::{FSError, FilesystemError};
use crate::filesystems::{AbstractedFS, FSState};

pub use self::files::{cwd, dele, mdtm, mfmt, mkd, pwd, rmd, rnfr, rnto, size};
pub use self::info::{allo, feat, help, mode, noop, opts, stru, syst, type_};
pub use self::listing::{list, mlsd, mlst, nlst};
pub use self::login::{
    flush_account, handle, handle_auth_failed, handle_auth_success, handle_max_cons,
    handle_max_cons_per_ip, handle_max_cons_per_user, handle_timeout, pass, quit, rein, user,
};
pub use self::site::{site_chmod, site_help};
pub use self::tls::{auth, handle_failed_ssl_handshake, pbsz, prot, secure_connection};
pub use self::transfer::{abor, appe, push_dtp_data, receive_dtp_data, rest, retr, stor, stou};
pub use super::dispatchers::{eprt, epsv, pasv, port};

/// Stock [`FTPHandler::ftp_stat`](super::FTPHandler::ftp_stat): of a path, or of the session.
///
/// Of a large directory only the first names are sorted, since a session
/// without a transfer is to hold little memory.
pub fn stat(s: &mut FTPSession, path: Option<&Path>) {
    match path {
        Some(path) => listing::stat(s, path),
        None => info::stat(s),
    }
}

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

//! Replies with a name in them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::handlers::session::FTPSession;

/// Sends a reply with a name in it, whose bytes need not be UTF-8.
pub(super) fn respond_name(s: &mut FTPSession, code: u16, before: &str, name: &[u8], after: &str) {
    let text = [before.as_bytes(), name, after.as_bytes()].concat();
    s.respond_bytes(code, &text);
}

/// The name of a directory for a reply 257, with its quotes doubled (RFC 959, appendix II).
pub(super) fn doubled(name: &OsStr) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(name.len());
    for byte in name.as_bytes() {
        if *byte == b'"' {
            doubled.push(b'"');
        }
        doubled.push(*byte);
    }
    doubled
}

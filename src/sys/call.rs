//! Arguments and results of system calls, in the form that C gives them.
//!
//! Names are bytes; one that holds a NUL is refused before the system sees it.

use std::ffi::{CStr, CString};
use std::io;

use libc::{c_int, mode_t};

/// Runs `call` with `path` as a C string, built on the stack where it is short.
pub(super) fn with_cstr<T>(
    path: &[u8],
    call: impl FnOnce(&CStr) -> io::Result<T>,
) -> io::Result<T> {
    let mut short = [0_u8; 256];
    if path.len() < short.len() {
        short[..path.len()].copy_from_slice(path);
        let path = CStr::from_bytes_with_nul(&short[..=path.len()]).map_err(|_| holds_nul())?;
        call(path)
    } else {
        let path = CString::new(path).map_err(|_| holds_nul())?;
        call(&path)
    }
}

/// The result of a call that returns -1 for an error.
pub(super) fn done(result: c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The lowest twelve bits, which `mode_t` holds everywhere.
#[allow(
    clippy::cast_possible_truncation,
    clippy::unnecessary_cast,
    reason = "mode_t has 16 bits on some systems, and the mask leaves twelve"
)]
pub(super) fn mode_bits(mode: u32) -> mode_t {
    (mode & 0o7777) as mode_t
}

fn holds_nul() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "Embedded null byte")
}

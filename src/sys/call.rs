//! What several system calls need: C strings, modes, and results as `io::Result`.

use std::ffi::{CStr, CString};
use std::io;

use libc::{c_int, mode_t};

/// Runs `call` with `path` as a C string. A path of up to 255 bytes is copied to the
/// stack, a longer one to the heap.
///
/// # Errors
/// "Embedded null byte" if `path` holds a NUL: the system would cut it there.
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

/// Turns the result of a call that returns -1 for an error, and sets errno, into an
/// [`io::Result`].
pub(super) fn check(result: c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The lowest twelve bits of `mode`: the permissions, set-user-ID, set-group-ID and the
/// sticky bit. `mode_t` holds them on every system.
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

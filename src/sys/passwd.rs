//! Names of users and groups, from the system's data base (which may be a
//! network's, and slow: callers keep what they asked for).

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

/// The name of a user, if there is one.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    with_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut::<libc::passwd>();
        // SAFETY: `entry` and `found` are writable, `buffer` is for the length given.
        let error = unsafe {
            libc::getpwuid_r(
                uid,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        // SAFETY: null, or the entry that the call filled.
        let name = unsafe { found.as_ref() }.map(|entry| entry.pw_name);
        // SAFETY: the name points into `buffer` and ends with a NUL there.
        Found::new(error, name.map(|name| unsafe { CStr::from_ptr(name) }))
    })
}

/// The name of a group, if there is one.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    with_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut::<libc::group>();
        // SAFETY: `entry` and `found` are writable, `buffer` is for the length given.
        let error = unsafe {
            libc::getgrgid_r(
                gid,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        // SAFETY: null, or the entry that the call filled.
        let name = unsafe { found.as_ref() }.map(|entry| entry.gr_name);
        // SAFETY: the name points into `buffer` and ends with a NUL there.
        Found::new(error, name.map(|name| unsafe { CStr::from_ptr(name) }))
    })
}

/// What a look-up came to.
enum Found {
    Name(String),
    Nothing,
    BufferTooSmall,
}

impl Found {
    fn new(error: c_int, name: Option<&CStr>) -> Self {
        match name {
            Some(name) => Self::Name(name.to_string_lossy().into_owned()),
            None if error == libc::ERANGE => Self::BufferTooSmall,
            None => Self::Nothing,
        }
    }
}

/// Repeats a look-up with larger buffers (a group may have many members).
fn with_buffer(mut look_up: impl FnMut(&mut [c_char]) -> Found) -> Option<String> {
    let mut size = 1024;
    while size <= 1024 * 1024 {
        match look_up(&mut vec![0; size]) {
            Found::Name(name) => return Some(name),
            Found::Nothing => return None,
            Found::BufferTooSmall => size *= 4,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert!(group_name(0).is_some());
        assert_eq!(user_name(3_999_999_999), None);
        assert_eq!(group_name(3_999_999_999), None);
    }
}

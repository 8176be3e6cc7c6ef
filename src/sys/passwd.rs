//! The names and numbers of users and groups, from the database of the system.
//!
//! That database may be on the network, so that a look-up may block: callers keep the
//! names that they have got.

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

use super::call::with_cstr;

/// The name of the user with this number; `None` if there is none or the look-up fails.
/// May block.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    with_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut::<libc::passwd>();
        // SAFETY: `entry` and `found` have room for what the call writes, and `buffer` is
        // borrowed mutably and has the length given.
        let error = unsafe {
            libc::getpwuid_r(
                uid,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        // SAFETY: the call sets `found` to null, or to `entry`, which it has filled in.
        let name = unsafe { found.as_ref() }.map(|entry| entry.pw_name);
        // SAFETY: the call has put the name into `buffer`, with a NUL at its end. The C string
        // is copied before `buffer` is used again.
        Found::new(error, name.map(|name| unsafe { CStr::from_ptr(name) }))
    })
}

/// The name of the group with this number; `None` if there is none or the look-up fails.
/// May block.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    with_buffer(|buffer| {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut::<libc::group>();
        // SAFETY: `entry` and `found` have room for what the call writes, and `buffer` is
        // borrowed mutably and has the length given.
        let error = unsafe {
            libc::getgrgid_r(
                gid,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        // SAFETY: the call sets `found` to null, or to `entry`, which it has filled in.
        let name = unsafe { found.as_ref() }.map(|entry| entry.gr_name);
        // SAFETY: the call has put the name into `buffer`, with a NUL at its end. The C string
        // is copied before `buffer` is used again.
        Found::new(error, name.map(|name| unsafe { CStr::from_ptr(name) }))
    })
}

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    /// The group of the user.
    pub(crate) gid: u32,
}

/// The user with this name. May block.
pub(crate) fn user_by_name(name: &str) -> Option<User> {
    let found = with_cstr(name.as_bytes(), |name| {
        let user = with_buffer(|buffer| {
            let mut entry = MaybeUninit::<libc::passwd>::uninit();
            let mut found = ptr::null_mut::<libc::passwd>();
            // SAFETY: `name` is a C string, `entry` and `found` have room for what the call writes,
            // and `buffer` is borrowed mutably and has the length given.
            let error = unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    &raw mut found,
                )
            };
            // SAFETY: the call sets `found` to null, or to `entry`, which it has filled in.
            let entry = unsafe { found.as_ref() };
            Found::of(error, entry.map(|entry| (entry.pw_uid, entry.pw_gid)))
        });
        Ok(user)
    });
    let (uid, gid) = found.ok()??;
    let name = name.to_owned();
    Some(User { name, uid, gid })
}

/// The user with this number. May block.
pub(crate) fn user_by_number(uid: u32) -> Option<User> {
    user_by_name(&user_name(uid)?).filter(|user| user.uid == uid)
}

/// The number of the group with this name. May block.
pub(crate) fn group_by_name(name: &str) -> Option<u32> {
    let found = with_cstr(name.as_bytes(), |name| {
        let group = with_buffer(|buffer| {
            let mut entry = MaybeUninit::<libc::group>::uninit();
            let mut found = ptr::null_mut::<libc::group>();
            // SAFETY: `name` is a C string, `entry` and `found` have room for what the call writes,
            // and `buffer` is borrowed mutably and has the length given.
            let error = unsafe {
                libc::getgrnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    &raw mut found,
                )
            };
            // SAFETY: the call sets `found` to null, or to `entry`, which it has filled in.
            let entry = unsafe { found.as_ref() };
            Found::of(error, entry.map(|entry| entry.gr_gid))
        });
        Ok(group)
    });
    found.ok()?
}

/// The result of a look-up.
enum Found<T> {
    Entry(T),
    Nothing,
    BufferTooSmall,
}

impl Found<String> {
    fn new(error: c_int, name: Option<&CStr>) -> Self {
        Self::of(error, name.map(|name| name.to_string_lossy().into_owned()))
    }
}

impl<T> Found<T> {
    fn of(error: c_int, entry: Option<T>) -> Self {
        match entry {
            Some(entry) => Self::Entry(entry),
            None if error == libc::ERANGE => Self::BufferTooSmall,
            None => Self::Nothing,
        }
    }
}

/// Repeats a look-up with larger buffers, from 1 KiB to 1 MiB, until its result fits: the
/// entry of a group lists its members.
fn with_buffer<T>(mut look_up: impl FnMut(&mut [c_char]) -> Found<T>) -> Option<T> {
    let mut size = 1024;
    while size <= 1024 * 1024 {
        match look_up(&mut vec![0; size]) {
            Found::Entry(entry) => return Some(entry),
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
        let root = user_by_name("root").unwrap();
        assert_eq!(user_by_number(0), Some(root.clone()));
        assert_eq!(
            group_by_name(&group_name(root.gid).unwrap()),
            Some(root.gid)
        );
        assert_eq!(user_by_name("no such user"), None);
        assert_eq!(group_by_name("a\0b"), None);
    }
}

//! The user and the groups that this process runs as. The C library changes them in all threads.

use std::io;
use std::ptr;

use libc::{gid_t, uid_t};

use super::call::{check, with_cstr};

/// The real, the effective and the saved user. Where the system does not tell the saved one, it is
/// left out.
pub(crate) fn user_ids() -> Vec<u32> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        let [mut real, mut effective, mut saved] = [uid_t::MAX; 3];
        // SAFETY: the pointers are valid for the numbers that the call writes. It cannot fail.
        unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) };
        vec![real, effective, saved]
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        // SAFETY: getuid(2) takes no argument and cannot fail.
        let real = unsafe { libc::getuid() };
        // SAFETY: as above.
        vec![real, unsafe { libc::geteuid() }]
    }
}

/// The real, the effective and the saved group, as [`user_ids`].
pub(crate) fn group_ids() -> Vec<u32> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        let [mut real, mut effective, mut saved] = [gid_t::MAX; 3];
        // SAFETY: the pointers are valid for the numbers that the call writes. It cannot fail.
        unsafe { libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved) };
        vec![real, effective, saved]
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        // SAFETY: getgid(2) takes no argument and cannot fail.
        let real = unsafe { libc::getgid() };
        // SAFETY: as above.
        vec![real, unsafe { libc::getegid() }]
    }
}

/// The user that counts for permissions.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid(2) takes no argument and cannot fail.
    unsafe { libc::geteuid() }
}

/// The group that counts for permissions.
pub(crate) fn effective_group() -> u32 {
    // SAFETY: getegid(2) takes no argument and cannot fail.
    unsafe { libc::getegid() }
}

/// The supplementary groups of this process.
///
/// # Errors
/// Those of getgroups(2).
pub(crate) fn groups() -> io::Result<Vec<u32>> {
    // SAFETY: with a size of 0 the call writes nothing, and a null pointer is allowed.
    let count = unsafe { libc::getgroups(0, ptr::null_mut()) };
    check(count)?;
    let mut groups: Vec<gid_t> = vec![0; usize::try_from(count).unwrap_or_default()];
    // SAFETY: there is room for `count` groups. If there are more by now, the call fails.
    let count = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
    check(count)?;
    groups.truncate(usize::try_from(count).unwrap_or_default());
    Ok(groups)
}

/// The groups of a user, from the database of the system; `group` is one of them.
///
/// # Errors
/// The name holds a NUL, or the user has more groups than any system supports.
pub(crate) fn groups_of(user: &str, group: u32) -> io::Result<Vec<u32>> {
    with_cstr(user.as_bytes(), |user| {
        let mut size = 64;
        while size <= GROUPS_MAX {
            let mut groups: Vec<gid_t> = vec![0; size];
            let mut count = libc::c_int::try_from(size).unwrap_or_default();
            // SAFETY: `user` is a C string, `count` says how many groups there is room for. Some
            // systems have the numbers of groups as `c_int`, which has the same size.
            let result = unsafe {
                libc::getgrouplist(
                    user.as_ptr(),
                    group as _,
                    groups.as_mut_ptr().cast(),
                    &raw mut count,
                )
            };
            if result != -1 {
                groups.truncate(usize::try_from(count).unwrap_or_default());
                return Ok(groups);
            }
            size *= 4;
        }
        Err(io::Error::other("the user has too many groups"))
    })
}

/// Replaces the supplementary groups.
///
/// # Errors
/// Those of setgroups(2): only root may.
pub(crate) fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer is valid for the number of groups given, which the call only reads.
    check(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) })
}

/// Sets the real, the effective and the saved group.
///
/// # Errors
/// Those of setresgid(2) or setgid(2).
pub(crate) fn set_group(group: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    // SAFETY: the call takes three numbers and no pointer.
    return check(unsafe { libc::setresgid(group, group, group) });
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    // SAFETY: the call takes a number and no pointer.
    return check(unsafe { libc::setgid(group) });
}

/// Sets the real, the effective and the saved user.
///
/// # Errors
/// Those of setresuid(2) or setuid(2).
pub(crate) fn set_user(user: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    // SAFETY: the call takes three numbers and no pointer.
    return check(unsafe { libc::setresuid(user, user, user) });
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    // SAFETY: the call takes a number and no pointer.
    return check(unsafe { libc::setuid(user) });
}

/// Sets the effective group only.
///
/// # Errors
/// Those of setegid(2).
pub(crate) fn set_effective_group(group: u32) -> io::Result<()> {
    // SAFETY: the call takes a number and no pointer.
    check(unsafe { libc::setegid(group) })
}

/// Sets the effective user only.
///
/// # Errors
/// Those of seteuid(2).
pub(crate) fn set_effective_user(user: u32) -> io::Result<()> {
    // SAFETY: the call takes a number and no pointer.
    check(unsafe { libc::seteuid(user) })
}

/// As many groups as Linux supports for a process; other systems support fewer.
const GROUPS_MAX: usize = 65_536;

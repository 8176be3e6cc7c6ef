//! The number of the last error of this thread. A signal handler must leave it as it was.

use libc::c_int;

/// The number of the last error.
pub(super) fn get() -> c_int {
    // SAFETY: the pointer is to a variable of this thread, which lives as long as the thread.
    unsafe { *place() }
}

/// Sets the number back.
pub(super) fn set(number: c_int) {
    // SAFETY: as above; nothing else of this thread uses the variable meanwhile.
    unsafe { *place() = number };
}

#[cfg(target_os = "linux")]
fn place() -> *mut c_int {
    // SAFETY: the function takes no argument and cannot fail.
    unsafe { libc::__errno_location() }
}

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
fn place() -> *mut c_int {
    // SAFETY: the function takes no argument and cannot fail.
    unsafe { libc::__errno() }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
fn place() -> *mut c_int {
    // SAFETY: the function takes no argument and cannot fail.
    unsafe { libc::__error() }
}

//! Advisory locks of whole files, and what identifies a file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;

use super::call::check;

/// The result of [`lock_file`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileLock {
    /// The lock is held until the file is closed, or unlocked.
    Held,
    /// Somebody else has a lock of the file.
    Refused,
    /// The file system has no locks, or none is left.
    Unsupported,
}

/// flock(2) with `LOCK_EX` and `LOCK_NB`: takes the lock of a file, without waiting. It belongs to
/// the open file: a second lock of the same value succeeds, and a process that inherits the
/// descriptor holds it too.
pub(crate) fn lock_file(file: &File) -> FileLock {
    loop {
        // SAFETY: flock(2) takes a descriptor, which is borrowed and so stays open, and a number.
        let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
        if result == 0 {
            return FileLock::Held;
        }
        let err = io::Error::last_os_error();
        match err.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return FileLock::Refused,
            _ => return FileLock::Unsupported,
        }
    }
}

/// The device and the number of an open file, which no other file of the system has.
///
/// # Errors
/// Those of fstat(2).
pub(crate) fn file_id(file: &File) -> io::Result<(u64, u64)> {
    let data = file.metadata()?;
    Ok((data.dev(), data.ino()))
}

/// Closes a copy of the descriptor of a file, and returns the error of that: some file systems
/// write late, and report a full disk only then.
///
/// # Errors
/// Those of close(2).
pub(crate) fn close_copy(file: &File) -> io::Result<()> {
    let copy = file.as_fd().try_clone_to_owned()?.into_raw_fd();
    // SAFETY: the descriptor was made above, and nothing else owns it.
    check(unsafe { libc::close(copy) })
}

/// Gives the lock of a file back, also if another process has inherited the open file.
pub(crate) fn unlock_file(file: &File) {
    // SAFETY: flock(2) takes a descriptor, which is borrowed and so stays open, and a number.
    let _ = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn one_open_file_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("f")).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(lock_file(&first), FileLock::Held);
        assert_eq!(lock_file(&first), FileLock::Held);
        assert_eq!(lock_file(&second), FileLock::Refused);
        unlock_file(&second);
        assert_eq!(lock_file(&second), FileLock::Refused);
        // A copy of the descriptor keeps the lock, unless it is given back.
        let copy = first.try_clone().unwrap();
        drop(first);
        assert_eq!(lock_file(&second), FileLock::Refused);
        unlock_file(&copy);
        assert_eq!(lock_file(&second), FileLock::Held);
        drop(second);
        assert_eq!(lock_file(&open()), FileLock::Held);
    }

    #[test]
    fn what_cannot_be_locked_is_no_refusal() {
        // A handle without access to the file cannot hold a lock.
        let flags = crate::sys::O_PATH;
        let file = File::options().read(true).custom_flags(flags).open("/");
        let file = file.unwrap();
        if cfg!(any(target_os = "linux", target_os = "android")) {
            assert_eq!(lock_file(&file), FileLock::Unsupported);
        }
    }
}

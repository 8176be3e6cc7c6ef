//! The attributes of files: read, and changed through a handle that may be an
//! `O_PATH` one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::call::{done, mode_bits, with_cstr};

/// fstat(2); `fd` may be an `O_PATH` handle.
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is writable for a `struct stat`; `fd` is open.
    done(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled the structure.
    Ok(unsafe { stat.assume_init() })
}

/// fstatat(2) of the name itself, be it a link.
pub(crate) fn fstatat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    with_cstr(name, |name| {
        // SAFETY: `name` ends with a NUL, `stat` is writable for a `struct stat`,
        // and `dir` is open.
        done(unsafe {
            libc::fstatat(
                dir.as_raw_fd(),
                name.as_ptr(),
                stat.as_mut_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
            )
        })
    })?;
    // SAFETY: the call succeeded, so it filled the structure.
    Ok(unsafe { stat.assume_init() })
}

/// Changes the mode of what `fd`, perhaps an `O_PATH` handle, stands for.
pub(crate) fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // SAFETY: the empty path ends with a NUL; `fd` is open.
        let result = unsafe {
            libc::syscall(
                libc::SYS_fchmodat2,
                fd.as_raw_fd(),
                c"".as_ptr(),
                mode_bits(mode),
                libc::AT_EMPTY_PATH,
            )
        };
        let err = match result {
            0 => return Ok(()),
            _ => io::Error::last_os_error(),
        };
        // Before Linux 6.6 there is no such call, and a filter may answer EPERM
        // to what it does not know; the second way tells a true EPERM again.
        if !matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            return Err(err);
        }
        chmod_through_proc(fd, mode)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // SAFETY: `fd` is open.
        done(unsafe { libc::fchmod(fd.as_raw_fd(), mode_bits(mode)) })
    }
}

/// Sets both times, in seconds since 1970, of what `fd`, perhaps an `O_PATH`
/// handle, stands for.
pub(crate) fn futime(fd: BorrowedFd<'_>, seconds: i64) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(seconds)
            .map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?,
        tv_nsec: 0,
    };
    let times = [time, time];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // SAFETY: the empty path ends with a NUL, `times` are two; `fd` is open.
        let result = done(unsafe {
            libc::utimensat(
                fd.as_raw_fd(),
                c"".as_ptr(),
                times.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        });
        match result {
            // Before Linux 5.8 the flag is unknown.
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => utime_through_proc(fd, &times),
            result => result,
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // SAFETY: `times` are two; `fd` is open.
        done(unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) })
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn chmod_through_proc(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    through_proc(fd, |path| {
        // SAFETY: `path` ends with a NUL and lives through the call.
        done(unsafe { libc::chmod(path.as_ptr(), mode_bits(mode)) })
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn utime_through_proc(fd: BorrowedFd<'_>, times: &[libc::timespec; 2]) -> io::Result<()> {
    through_proc(fd, |path| {
        // SAFETY: `path` ends with a NUL; the times are two.
        done(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) })
    })
}

/// Runs `call` with the path under which the kernel shows `fd`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn through_proc(
    fd: BorrowedFd<'_>,
    call: impl FnOnce(&std::ffi::CStr) -> io::Result<()>,
) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match with_cstr(path.as_bytes(), call) {
        // Only a missing /proc: the client's file is there.
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Err(io::Error::from_raw_os_error(libc::ENOSYS))
        }
        result => result,
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    /// What older kernels need works here too.
    #[test]
    fn a_pinned_file_is_changed_through_proc() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let pinned = std::fs::File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(file.path())
            .unwrap();
        chmod_through_proc(pinned.as_fd(), 0o641).unwrap();
        let time = libc::timespec {
            tv_sec: 12,
            tv_nsec: 0,
        };
        utime_through_proc(pinned.as_fd(), &[time, time]).unwrap();
        let stat = fstat(pinned.as_fd()).unwrap();
        assert_eq!((stat.st_mode & 0o7777, stat.st_mtime), (0o641, 12));
    }
}

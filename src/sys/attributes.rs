//! The attributes of files: reading them, and changing them through a handle that may
//! be an `O_PATH` one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::call::{check, mode_bits, with_cstr};

/// fstat(2). `fd` may be an `O_PATH` handle.
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for the structure that the call writes, and `fd` is
    // borrowed, so that it stays open during the call.
    check(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled in the structure.
    Ok(unsafe { stat.assume_init() })
}

/// fstatat(2) of the name itself: a link is not followed.
pub(crate) fn fstatat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    with_cstr(name, |name| {
        // SAFETY: `name` is a C string that outlives the call, `stat` has room for the
        // structure that the call writes, and `dir` is borrowed, so that it stays open.
        check(unsafe {
            libc::fstatat(
                dir.as_raw_fd(),
                name.as_ptr(),
                stat.as_mut_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
            )
        })
    })?;
    // SAFETY: the call succeeded, so it has filled in the structure.
    Ok(unsafe { stat.assume_init() })
}

/// How many bytes an ordinary user may still write to the file system of `fd`, which may be an
/// `O_PATH` handle: fstatvfs(3), which POSIX has.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "the types of these fields differ between systems, and none is wider than 64 bits"
)]
pub(crate) fn free_space(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `stat` has room for the structure that the call writes, and `fd` is
    // borrowed, so that it stays open during the call.
    check(unsafe { libc::fstatvfs(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled in the structure.
    let stat = unsafe { stat.assume_init() };
    let block = match stat.f_frsize as u64 {
        0 => stat.f_bsize as u64,
        block => block,
    };
    Ok((stat.f_bavail as u64).saturating_mul(block))
}

/// Changes the mode of the file behind `fd`, which may be an `O_PATH` handle.
pub(crate) fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // SAFETY: the arguments are those of fchmodat2(2): a descriptor that is borrowed
        // and so stays open, a static C string, a mode and a flag.
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
        // Linux before 6.6 does not have this call and returns ENOSYS. A seccomp filter
        // may return EPERM for a call that it does not know. If EPERM is the answer of
        // the file system instead, chmod(2) below returns it again.
        if !matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            return Err(err);
        }
        chmod_through_proc(fd, mode)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // SAFETY: the call takes no pointer, and `fd` is borrowed, so that it stays open.
        check(unsafe { libc::fchmod(fd.as_raw_fd(), mode_bits(mode)) })
    }
}

/// Sets the times of access and of modification of the file behind `fd`, which may be an
/// `O_PATH` handle. `seconds` count from 1970, in UTC.
pub(crate) fn futime(fd: BorrowedFd<'_>, seconds: i64) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(seconds)
            .map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?,
        tv_nsec: 0,
    };
    let times = [time, time];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // SAFETY: the path is a static C string, `times` holds the two values that the
        // call reads, and `fd` is borrowed, so that it stays open.
        let result = check(unsafe {
            libc::utimensat(
                fd.as_raw_fd(),
                c"".as_ptr(),
                times.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        });
        match result {
            // Linux before 5.8 does not know the flag.
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => utime_through_proc(fd, &times),
            result => result,
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        // SAFETY: `times` holds the two values that the call reads, and `fd` is borrowed,
        // so that it stays open.
        check(unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) })
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn chmod_through_proc(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    through_proc(fd, |path| {
        // SAFETY: `path` is a C string that outlives the call.
        check(unsafe { libc::chmod(path.as_ptr(), mode_bits(mode)) })
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn utime_through_proc(fd: BorrowedFd<'_>, times: &[libc::timespec; 2]) -> io::Result<()> {
    through_proc(fd, |path| {
        // SAFETY: `path` is a C string that outlives the call, and `times` holds the two
        // values that the call reads.
        check(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) })
    })
}

/// Runs `call` with the path in `/proc` that leads to the file behind `fd`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn through_proc(
    fd: BorrowedFd<'_>,
    call: impl FnOnce(&std::ffi::CStr) -> io::Result<()>,
) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match with_cstr(path.as_bytes(), call) {
        // The file is open, so only /proc itself can be missing. ENOENT would tell the
        // client that its file does not exist.
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

    /// The way through `/proc`, which only older kernels need, works on this one too.
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

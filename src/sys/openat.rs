//! The calls that name a file relative to a directory's handle.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

use super::call::{done, mode_bits, with_cstr};

/// Opens a file's place only: no permission on the file is needed, nothing of a
/// device or a fifo happens.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const O_PATH: c_int = libc::O_PATH;
/// Where there is no such thing, the next best: to read without waiting.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const O_PATH: c_int = libc::O_RDONLY | libc::O_NONBLOCK;

/// openat(2); `O_CLOEXEC` is always set.
pub(crate) fn openat(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: c_int,
    mode: u32,
) -> io::Result<OwnedFd> {
    with_cstr(path, |path| {
        loop {
            // SAFETY: `path` ends with a NUL and lives through the call; `dir` is open.
            let fd = unsafe {
                libc::openat(
                    dir.as_raw_fd(),
                    path.as_ptr(),
                    flags | libc::O_CLOEXEC,
                    libc::c_uint::from(mode_bits(mode)),
                )
            };
            match owned(fd) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                opened => return opened,
            }
        }
    })
}

/// openat2(2) with `RESOLVE_BENEATH` and `RESOLVE_NO_MAGICLINKS`, and without
/// `links` with `RESOLVE_NO_SYMLINKS`. `ENOSYS` where the system has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn openat_beneath(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: c_int,
    mode: u32,
    links: bool,
) -> io::Result<OwnedFd> {
    /// `struct open_how`; libc's may get more fields and cannot be written out.
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let mut how = OpenHow {
        // No flag has the sign bit.
        flags: u64::from((flags | libc::O_CLOEXEC).unsigned_abs()),
        // The kernel refuses a mode where nothing can be made.
        mode: if flags & libc::O_CREAT == 0 {
            0
        } else {
            u64::from(mode)
        },
        resolve: libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
    };
    if !links {
        how.resolve |= libc::RESOLVE_NO_SYMLINKS;
    }
    with_cstr(path, |path| {
        loop {
            // SAFETY: `path` ends with a NUL, `how` is laid out as the kernel's
            // structure of the size given, and both live through the call.
            let fd = unsafe {
                libc::syscall(
                    libc::SYS_openat2,
                    dir.as_raw_fd(),
                    path.as_ptr(),
                    &raw const how,
                    size_of::<OpenHow>(),
                )
            };
            match owned(RawFd::try_from(fd).unwrap_or(-1)) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                opened => return opened,
            }
        }
    })
}

/// There is no openat2(2) here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn openat_beneath(
    _dir: BorrowedFd<'_>,
    _path: &[u8],
    _flags: c_int,
    _mode: u32,
    _links: bool,
) -> io::Result<OwnedFd> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// mkdirat(2).
pub(crate) fn mkdirat(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    with_cstr(name, |name| {
        // SAFETY: `name` ends with a NUL and lives through the call; `dir` is open.
        done(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode_bits(mode)) })
    })
}

/// unlinkat(2) of anything but a directory.
pub(crate) fn unlinkat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    with_cstr(name, |name| {
        // SAFETY: `name` ends with a NUL and lives through the call; `dir` is open.
        done(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) })
    })
}

/// unlinkat(2) of an empty directory.
pub(crate) fn rmdirat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    with_cstr(name, |name| {
        // SAFETY: `name` ends with a NUL and lives through the call; `dir` is open.
        done(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) })
    })
}

/// renameat(2).
pub(crate) fn renameat(
    src_dir: BorrowedFd<'_>,
    src: &[u8],
    dst_dir: BorrowedFd<'_>,
    dst: &[u8],
) -> io::Result<()> {
    with_cstr(src, |src| {
        with_cstr(dst, |dst| {
            // SAFETY: both names end with a NUL and live through the call; both
            // directories are open.
            done(unsafe {
                libc::renameat(
                    src_dir.as_raw_fd(),
                    src.as_ptr(),
                    dst_dir.as_raw_fd(),
                    dst.as_ptr(),
                )
            })
        })
    })
}

/// readlinkat(2): what the link holds.
pub(crate) fn readlinkat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut target = vec![0_u8; 256];
    with_cstr(name, |name| {
        loop {
            // SAFETY: `name` ends with a NUL, `target` is writable for the length
            // given, and both live through the call.
            let len = unsafe {
                libc::readlinkat(
                    dir.as_raw_fd(),
                    name.as_ptr(),
                    target.as_mut_ptr().cast(),
                    target.len(),
                )
            };
            let Ok(len) = usize::try_from(len) else {
                return Err(io::Error::last_os_error());
            };
            // A full buffer may be a cut target. Beyond any real length we stop.
            if len < target.len() || len >= LONGEST_LINK {
                target.truncate(len);
                return Ok(());
            }
            target.resize(target.len() * 4, 0);
        }
    })?;
    Ok(target)
}

/// Linux cuts links at a page; others at `PATH_MAX`. A limit against nonsense.
const LONGEST_LINK: usize = 65_536;

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    done(fd)?;
    // SAFETY: the system just gave us this handle, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

//! The calls that take a directory's handle and a name relative to it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_char, c_int};

use super::call::{check, mode_bits, with_cstr};

/// The flag that opens a handle of a file without opening the file itself: it needs no
/// permission on the file, and does not act on a device or a fifo.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const O_PATH: c_int = libc::O_PATH;
/// The closest replacement where `O_PATH` is missing: open to read, without waiting.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const O_PATH: c_int = libc::O_RDONLY | libc::O_NONBLOCK;

/// openat(2), repeated when a signal interrupts it. `O_CLOEXEC` is always set; of `mode`
/// the lowest twelve bits are used.
pub(crate) fn openat(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: c_int,
    mode: u32,
) -> io::Result<OwnedFd> {
    with_cstr(path, |path| {
        let open = || {
            // SAFETY: `path` is a C string that outlives the call, and `dir` is borrowed,
            // so that it stays open.
            unsafe {
                libc::openat(
                    dir.as_raw_fd(),
                    path.as_ptr(),
                    flags | libc::O_CLOEXEC,
                    libc::c_uint::from(mode_bits(mode)),
                )
            }
        };
        // SAFETY: openat(2) returns -1 or a new descriptor, which nothing else owns.
        unsafe { opened(open) }
    })
}

/// openat2(2) with `RESOLVE_BENEATH` and `RESOLVE_NO_MAGICLINKS`, repeated when a signal
/// interrupts it. Unless `links` is true, `RESOLVE_NO_SYMLINKS` is set too.
///
/// # Errors
/// `ENOSYS` where the kernel does not have this call.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn openat_beneath(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: c_int,
    mode: u32,
    links: bool,
) -> io::Result<OwnedFd> {
    /// `struct open_how` of the kernel. libc's type is non-exhaustive, so that no value of
    /// it can be written out.
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let mut how = OpenHow {
        // No flag uses the sign bit, so that the value does not change.
        flags: u64::from((flags | libc::O_CLOEXEC).unsigned_abs()),
        // The kernel refuses a mode other than 0 unless the call may make a file.
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
        let open = || {
            // SAFETY: `path` is a C string, `how` has the layout of the kernel's structure
            // and the size given, both outlive the call, and `dir` is borrowed, so that it
            // stays open.
            let fd = unsafe {
                libc::syscall(
                    libc::SYS_openat2,
                    dir.as_raw_fd(),
                    path.as_ptr(),
                    &raw const how,
                    size_of::<OpenHow>(),
                )
            };
            RawFd::try_from(fd).unwrap_or(-1)
        };
        // SAFETY: openat2(2) returns -1 or a new descriptor, which nothing else owns.
        unsafe { opened(open) }
    })
}

/// Always fails with `ENOSYS`: only Linux has openat2(2).
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

/// mkdirat(2): makes a directory, with `mode` less the umask.
pub(crate) fn mkdirat(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    with_cstr(name, |name| {
        // SAFETY: `name` is a C string that outlives the call, and `dir` is borrowed, so
        // that it stays open.
        check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode_bits(mode)) })
    })
}

/// unlinkat(2): removes anything but a directory. A link is removed itself.
pub(crate) fn unlinkat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    unlinkat_with(dir, name, 0)
}

/// unlinkat(2) with `AT_REMOVEDIR`: removes an empty directory.
pub(crate) fn rmdirat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    unlinkat_with(dir, name, libc::AT_REMOVEDIR)
}

fn unlinkat_with(dir: BorrowedFd<'_>, name: &[u8], flags: c_int) -> io::Result<()> {
    with_cstr(name, |name| {
        // SAFETY: `name` is a C string that outlives the call, and `dir` is borrowed, so
        // that it stays open.
        check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })
    })
}

/// renameat(2): renames an entry, and replaces a file that has the new name.
pub(crate) fn renameat(
    src_dir: BorrowedFd<'_>,
    src: &[u8],
    dst_dir: BorrowedFd<'_>,
    dst: &[u8],
) -> io::Result<()> {
    two_names(src_dir, src, dst_dir, dst, |src_dir, src, dst_dir, dst| {
        // SAFETY: `two_names` gives descriptors that are open and C strings, for the call.
        unsafe { libc::renameat(src_dir, src, dst_dir, dst) }
    })
}

/// renameat2(2) with `RENAME_NOREPLACE`: renames an entry, and replaces nothing.
///
/// # Errors
/// `EEXIST` if there is an entry with the new name. `ENOSYS` or `EINVAL` where the kernel or the
/// file system does not have this.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn renameat_new(
    src_dir: BorrowedFd<'_>,
    src: &[u8],
    dst_dir: BorrowedFd<'_>,
    dst: &[u8],
) -> io::Result<()> {
    two_names(src_dir, src, dst_dir, dst, |src_dir, src, dst_dir, dst| {
        let (call, flags) = (libc::SYS_renameat2, libc::RENAME_NOREPLACE);
        // SAFETY: `two_names` gives descriptors that are open and C strings, for the call.
        let result = unsafe { libc::syscall(call, src_dir, src, dst_dir, dst, flags) };
        c_int::try_from(result).unwrap_or(-1)
    })
}

/// Always fails with `ENOSYS`: only Linux has renameat2(2).
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn renameat_new(
    _src_dir: BorrowedFd<'_>,
    _src: &[u8],
    _dst_dir: BorrowedFd<'_>,
    _dst: &[u8],
) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// linkat(2): gives an entry a second name, and replaces nothing. A link is not followed.
pub(crate) fn linkat(
    src_dir: BorrowedFd<'_>,
    src: &[u8],
    dst_dir: BorrowedFd<'_>,
    dst: &[u8],
) -> io::Result<()> {
    two_names(src_dir, src, dst_dir, dst, |src_dir, src, dst_dir, dst| {
        // SAFETY: `two_names` gives descriptors that are open and C strings, for the call.
        unsafe { libc::linkat(src_dir, src, dst_dir, dst, 0) }
    })
}

/// Runs a call that takes two names in two directories, and returns -1 for an error. What it gets
/// is valid until it returns: the descriptors of both directories are open, and both names are C
/// strings.
fn two_names(
    src_dir: BorrowedFd<'_>,
    src: &[u8],
    dst_dir: BorrowedFd<'_>,
    dst: &[u8],
    call: impl FnOnce(RawFd, *const c_char, RawFd, *const c_char) -> c_int,
) -> io::Result<()> {
    with_cstr(src, |src| {
        with_cstr(dst, |dst| {
            let (src_dir, dst_dir) = (src_dir.as_raw_fd(), dst_dir.as_raw_fd());
            check(call(src_dir, src.as_ptr(), dst_dir, dst.as_ptr()))
        })
    })
}

/// readlinkat(2): the text of a link, up to 64 KiB of it.
pub(crate) fn readlinkat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut target = vec![0_u8; 256];
    with_cstr(name, |name| {
        loop {
            // SAFETY: `name` is a C string that outlives the call, the kernel writes at most
            // `target.len()` bytes to `target`, and `dir` is borrowed, so that it stays open.
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
            // A full buffer may hold only a part of the text: try again with a larger one,
            // up to a length that no link has.
            if len < target.len() || len >= LONGEST_LINK {
                target.truncate(len);
                return Ok(());
            }
            target.resize(target.len() * 4, 0);
        }
    })?;
    Ok(target)
}

/// A bound for the loop in [`readlinkat`]. Links are shorter: Linux allows less than a
/// page, other systems `PATH_MAX`.
const LONGEST_LINK: usize = 65_536;

/// Runs a call that returns a new descriptor, or -1 for an error. It is repeated when a signal
/// interrupts it.
///
/// # Safety
/// `call` returns -1, or an open descriptor that nothing else owns.
unsafe fn opened(call: impl Fn() -> RawFd) -> io::Result<OwnedFd> {
    loop {
        let fd = call();
        match check(fd) {
            // SAFETY: it is not -1, so the caller guarantees that it is open and has no owner.
            Ok(()) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

//! Reading the names of a directory from its handle.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::DirReader;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use posix::DirReader;

/// What ends a directory's names, or a name of them.
type Next = Option<io::Result<OsString>>;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStringExt;

    use super::{BorrowedFd, Next, OsString, io};

    /// Reads names by getdents64(2), some thousand at a call.
    pub(crate) struct DirReader {
        buffer: Box<[u8]>,
        at: usize,
        len: usize,
    }

    impl DirReader {
        /// For a directory from whose handle nothing was read.
        pub(crate) fn new(_dir: BorrowedFd<'_>) -> io::Result<Self> {
            Ok(Self {
                // Made when first read: a listing may wait long for its connection.
                buffer: Box::default(),
                at: 0,
                len: 0,
            })
        }

        /// The next name without `.` and `..`; `dir` is the handle of `new`.
        pub(crate) fn next_name(&mut self, dir: BorrowedFd<'_>) -> Next {
            loop {
                if self.at >= self.len {
                    if self.buffer.is_empty() {
                        self.buffer = vec![0; BUFFER].into_boxed_slice();
                    }
                    match getdents(dir, &mut self.buffer) {
                        Ok(0) => return None,
                        Ok(len) => (self.at, self.len) = (0, len),
                        Err(err) => return Some(Err(err)),
                    }
                }
                let Some((name, size)) = parse(&self.buffer[self.at..self.len]) else {
                    // Never so from a sane kernel: end rather than loop.
                    self.at = self.len;
                    return Some(Err(io::Error::from_raw_os_error(libc::EIO)));
                };
                self.at += size;
                if name != b"." && name != b".." {
                    return Some(Ok(OsString::from_vec(name.to_vec())));
                }
            }
        }
    }

    /// Names of a call: large enough for about a thousand.
    const BUFFER: usize = 32 * 1024;
    /// Where a `struct linux_dirent64` has its length, and its name.
    const RECLEN: usize = 16;
    const NAME: usize = 19;

    /// The first entry's name and size.
    fn parse(entries: &[u8]) -> Option<(&[u8], usize)> {
        let size = entries.get(RECLEN..RECLEN + 2)?;
        let size = usize::from(u16::from_ne_bytes(size.try_into().ok()?));
        let name = entries.get(NAME..size)?;
        let end = memchr::memchr(0, name)?;
        Some((&name[..end], size))
    }

    fn getdents(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buffer` is writable for the length given; `dir` is open.
        let len = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                dir.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        usize::try_from(len).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod posix {
    use std::ffi::CStr;
    use std::os::fd::IntoRawFd;
    use std::os::unix::ffi::OsStringExt;
    use std::ptr::NonNull;

    use super::{BorrowedFd, Next, OsString, io};

    /// Reads names by readdir(3).
    pub(crate) struct DirReader {
        stream: NonNull<libc::DIR>,
    }

    // SAFETY: the stream is owned by this value alone and used through `&mut`.
    unsafe impl Send for DirReader {}

    impl DirReader {
        /// For a directory from whose handle nothing was read.
        pub(crate) fn new(dir: BorrowedFd<'_>) -> io::Result<Self> {
            let fd = dir.try_clone_to_owned()?.into_raw_fd();
            // SAFETY: `fd` is open, and the stream takes it over.
            let stream = unsafe { libc::fdopendir(fd) };
            NonNull::new(stream)
                .map(|stream| Self { stream })
                .ok_or_else(io::Error::last_os_error)
        }

        /// The next name without `.` and `..`. An error of the system is taken
        /// as the end: errno has another name on each system.
        pub(crate) fn next_name(&mut self, _dir: BorrowedFd<'_>) -> Next {
            loop {
                // SAFETY: the stream is open until the drop.
                let entry = unsafe { libc::readdir(self.stream.as_ptr()) };
                // SAFETY: null or an entry that is valid until the next call.
                let entry = unsafe { entry.as_ref() }?;
                // SAFETY: the name ends with a NUL inside the entry.
                let name = unsafe { CStr::from_ptr(entry.d_name.as_ptr()) }.to_bytes();
                if name != b"." && name != b".." {
                    return Some(Ok(OsString::from_vec(name.to_vec())));
                }
            }
        }
    }

    impl Drop for DirReader {
        fn drop(&mut self) {
            // SAFETY: the stream is open and not used again.
            unsafe { libc::closedir(self.stream.as_ptr()) };
        }
    }
}

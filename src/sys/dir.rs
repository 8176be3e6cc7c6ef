//! Reading the names in a directory from its handle.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{DirReader, LARGE_BUFFER};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use posix::{DirReader, LARGE_BUFFER};

/// A name, an error, or `None` at the end of the directory.
type Next = Option<io::Result<OsString>>;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStringExt;

    use super::{BorrowedFd, Next, OsString, io};

    /// Reads names with getdents64(2), about a thousand with each call.
    pub(crate) struct DirReader {
        buffer: Box<[u8]>,
        /// The bytes of the buffer, once it is allocated.
        size: usize,
        at: usize,
        len: usize,
        ended: bool,
    }

    impl DirReader {
        /// A reader of `dir`, whose handle must not have been read from before.
        pub(crate) fn new(_dir: BorrowedFd<'_>) -> io::Result<Self> {
            Ok(Self {
                // Allocated by the first read: a listing may wait a long time for its
                // data connection.
                buffer: Box::default(),
                size: SMALL_BUFFER,
                at: 0,
                len: 0,
                ended: false,
            })
        }

        /// Lets the first read allocate the large buffer.
        pub(crate) fn use_large_buffer(&mut self) {
            self.size = LARGE_BUFFER;
        }

        /// The next name, without `.` and `..`. `dir` must be the handle given to `new`.
        pub(crate) fn next_name(&mut self, dir: BorrowedFd<'_>) -> Next {
            while !self.ended {
                if self.at >= self.len {
                    if self.buffer.is_empty() {
                        self.buffer = vec![0; self.size].into_boxed_slice();
                    }
                    match getdents(dir, &mut self.buffer) {
                        Ok(0) => {
                            self.ended = true;
                            self.buffer = Box::default();
                            return None;
                        }
                        Ok(len) => (self.at, self.len) = (0, len),
                        Err(err) => return Some(Err(err)),
                    }
                }
                let Some((name, size)) = parse(&self.buffer[self.at..self.len]) else {
                    // The kernel does not write such an entry. If it did, skipping
                    // the rest ends the listing instead of looping on the entry.
                    self.at = self.len;
                    return Some(Err(io::Error::from_raw_os_error(libc::EIO)));
                };
                self.at += size;
                if name != b"." && name != b".." {
                    return Some(Ok(OsString::from_vec(name.to_vec())));
                }
            }
            None
        }
    }

    /// Bytes that one call may fill: about a thousand names.
    pub(crate) const LARGE_BUFFER: usize = 32 * 1024;
    /// The same without permission for more: room for more than one of the longest names.
    const SMALL_BUFFER: usize = 2048;
    /// Offsets of `d_reclen` and `d_name` in a `struct linux_dirent64`.
    const RECLEN: usize = 16;
    const NAME: usize = 19;

    /// The name of the first entry, and the size of the entry in bytes.
    fn parse(entries: &[u8]) -> Option<(&[u8], usize)> {
        let size = entries.get(RECLEN..RECLEN + 2)?;
        let size = usize::from(u16::from_ne_bytes(size.try_into().ok()?));
        let name = entries.get(NAME..size)?;
        let end = memchr::memchr(0, name)?;
        Some((&name[..end], size))
    }

    /// Fills `buffer` with entries. Returns how many bytes of it are filled: 0 at the end.
    fn getdents(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`, which is
        // borrowed mutably, and `dir` is borrowed, so that it stays open.
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

    /// Reads names with readdir(3).
    pub(crate) struct DirReader {
        stream: NonNull<libc::DIR>,
    }

    // SAFETY: a `DIR` may be used by any thread, one at a time. This value owns the stream
    // alone and uses it through `&mut self`, so that no two threads use it at once.
    unsafe impl Send for DirReader {}

    impl DirReader {
        /// A reader of `dir`, whose handle must not have been read from before.
        pub(crate) fn new(dir: BorrowedFd<'_>) -> io::Result<Self> {
            let fd = dir.try_clone_to_owned()?.into_raw_fd();
            // SAFETY: `fd` is open and was just released by its owner, so that the
            // stream may take it over.
            let stream = unsafe { libc::fdopendir(fd) };
            NonNull::new(stream)
                .map(|stream| Self { stream })
                .ok_or_else(io::Error::last_os_error)
        }

        /// Does nothing: the system chooses the size of the buffer.
        pub(crate) fn use_large_buffer(&mut self) {}

        /// The next name, without `.` and `..`. An error counts as the end of the
        /// directory: readdir(3) shows it in errno only, which each system exposes
        /// under another name.
        pub(crate) fn next_name(&mut self, _dir: BorrowedFd<'_>) -> Next {
            loop {
                // SAFETY: the stream is open, since only `drop` closes it, and `&mut self`
                // keeps other calls out.
                let entry = unsafe { libc::readdir(self.stream.as_ptr()) };
                // SAFETY: the result is null or points to an entry, which stays valid until
                // the next call with this stream; this turn of the loop makes none.
                let entry = unsafe { entry.as_ref() }?;
                // SAFETY: the system ends the name with a NUL inside the entry, which is
                // valid as above.
                let name = unsafe { CStr::from_ptr(entry.d_name.as_ptr()) }.to_bytes();
                if name != b"." && name != b".." {
                    return Some(Ok(OsString::from_vec(name.to_vec())));
                }
            }
        }
    }

    /// About what a stream takes.
    pub(crate) const LARGE_BUFFER: usize = 32 * 1024;

    impl Drop for DirReader {
        fn drop(&mut self) {
            // SAFETY: the stream is open, and nothing uses it after the drop.
            unsafe { libc::closedir(self.stream.as_ptr()) };
        }
    }
}

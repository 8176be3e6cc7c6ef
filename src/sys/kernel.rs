//! `sendfile` and `splice`: the kernel moves bytes between files and sockets, without a
//! buffer in this process.
//!
//! Only Linux and Android have them in this form. Elsewhere the functions return
//! [`Unsupported`](std::io::ErrorKind::Unsupported), and the caller reads and writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use portable::{Pipe, send_more, sendfile};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{Pipe, send_more, sendfile};

/// pread(2): reads at a position, without moving the file's own.
pub(crate) fn pread(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(buffer, position)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
    use std::ptr;

    /// Sends up to `count` bytes of `file`, starting at `offset`. Returns how many bytes
    /// were sent: 0 at the end of the file. The file's own position does not move.
    pub(crate) fn sendfile(
        socket: &impl AsFd,
        file: &File,
        offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        let mut offset = position(offset)?;
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: both descriptors are borrowed, so that they stay open, and `offset` is a
        // local variable that the call may read and write.
        let sent = unsafe { libc::sendfile64(socket, file.as_raw_fd(), &raw mut offset, count) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Sends bytes that more bytes or the end of the stream follow at once, in the same packet if
    /// possible. Returns how many bytes were sent.
    pub(crate) fn send_more(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        let socket = socket.as_fd().as_raw_fd();
        let flags = libc::MSG_MORE | libc::MSG_NOSIGNAL;
        // SAFETY: the descriptor is borrowed, so that it stays open, and the call reads at most
        // `len` bytes of the slice.
        let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// A pipe through which `splice` moves bytes from a socket to a file.
    #[derive(Debug)]
    pub(crate) struct Pipe {
        read: OwnedFd,
        write: OwnedFd,
    }

    impl Pipe {
        /// Makes a pipe of 1 MiB, or of the default size (64 KiB as a rule) if the system
        /// does not grant that.
        pub(crate) fn new() -> io::Result<Self> {
            let mut ends: [RawFd; 2] = [-1; 2];
            // SAFETY: `ends` has room for the two descriptors that the call writes.
            let result =
                unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the call succeeded, so this descriptor is new and nothing else owns it.
            let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
            // SAFETY: as for the other end.
            let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
            // The system refuses to a user with many large pipes. The pipe works with its
            // default size as well.
            // SAFETY: this operation takes no pointer, and `write` is open.
            let _ = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_SIZE) };
            Ok(Self { read, write })
        }

        /// Moves up to `count` bytes from a socket into the pipe. Returns how many: 0 at the
        /// end of the stream.
        pub(crate) fn fill_from(&self, socket: &impl AsFd, count: usize) -> io::Result<usize> {
            let socket = socket.as_fd().as_raw_fd();
            let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
            let to = self.write.as_raw_fd();
            let none = ptr::null_mut();
            // SAFETY: both descriptors are open for the whole call. A null offset is
            // allowed, and required for a socket and for a pipe.
            let moved = unsafe { libc::splice(socket, none, to, none, count, flags) };
            usize::try_from(moved).map_err(|_| io::Error::last_os_error())
        }

        /// Moves up to `count` bytes from the pipe to a file at `offset`. Returns how many.
        /// The file's own position does not move.
        ///
        /// # Errors
        /// `EINVAL` for a file that is open to append, or whose file system cannot splice.
        pub(crate) fn drain_to(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
            let mut offset = position(offset)?;
            let from = self.read.as_raw_fd();
            let none = ptr::null_mut();
            let to = file.as_raw_fd();
            let flags = libc::SPLICE_F_MOVE;
            // SAFETY: both descriptors are open for the whole call, and `offset` is a local
            // variable that the call may read and write.
            let moved = unsafe { libc::splice(from, none, to, &raw mut offset, count, flags) };
            usize::try_from(moved).map_err(|_| io::Error::last_os_error())
        }

        /// Copies exactly `count` bytes from the pipe to a writer: for a file that `splice`
        /// refuses.
        ///
        /// # Errors
        /// `UnexpectedEof` if the pipe holds fewer bytes, and the errors of the writer.
        pub(crate) fn drain_into(
            &self,
            to: &mut (impl io::Write + ?Sized),
            count: usize,
        ) -> io::Result<()> {
            let read = self.read.try_clone()?;
            let mut read = io::Read::take(File::from(read), count as u64);
            match io::copy(&mut read, to)? {
                copied if copied == count as u64 => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// A position in a file, in the type of the system.
    fn position(offset: u64) -> io::Result<i64> {
        i64::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    }

    /// The size of a pipe in bytes: the most that Linux grants to an unprivileged process
    /// by default.
    const PIPE_SIZE: libc::c_int = 1 << 20;
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use std::fs::File;
    use std::io;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Returns `Unsupported`: the caller reads and writes.
    pub(crate) fn send_more<S>(_socket: &S, _bytes: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    /// Returns `Unsupported`: the caller reads and writes.
    pub(crate) fn sendfile<S>(
        _socket: &S,
        _file: &File,
        _offset: u64,
        _count: usize,
    ) -> io::Result<usize> {
        unsupported()
    }

    /// Never made, since `new` returns `Unsupported`: the caller reads and writes.
    #[derive(Debug)]
    pub(crate) enum Pipe {}

    impl Pipe {
        pub(crate) fn new() -> io::Result<Self> {
            unsupported()
        }

        pub(crate) fn fill_from<S>(&self, _socket: &S, _count: usize) -> io::Result<usize> {
            unsupported()
        }

        pub(crate) fn drain_to(
            &self,
            _file: &File,
            _offset: u64,
            _count: usize,
        ) -> io::Result<usize> {
            unsupported()
        }

        pub(crate) fn drain_into(
            &self,
            _to: &mut (impl io::Write + ?Sized),
            _count: usize,
        ) -> io::Result<()> {
            unsupported()
        }
    }
}

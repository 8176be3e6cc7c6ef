//! Bytes moved by the kernel, past our memory: `sendfile` and `splice`.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use portable::{Pipe, sendfile};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{Pipe, sendfile};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
    use std::ptr;

    /// Sends up to `count` bytes of `file` from `offset`; 0 at its end.
    pub(crate) fn sendfile(
        socket: &impl AsFd,
        file: &File,
        offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        let mut offset = position(offset)?;
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: both descriptors are borrowed for the call, and `offset` is
        // a variable of ours.
        let sent = unsafe { libc::sendfile64(socket, file.as_raw_fd(), &raw mut offset, count) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// A pipe that carries bytes from a socket to a file.
    #[derive(Debug)]
    pub(crate) struct Pipe {
        read: OwnedFd,
        write: OwnedFd,
    }

    impl Pipe {
        /// A pipe of up to 1 MiB, or what the system grants.
        pub(crate) fn new() -> io::Result<Self> {
            let mut ends: [RawFd; 2] = [-1; 2];
            // SAFETY: `ends` has room for the two descriptors.
            let result =
                unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the system has just made it, for nobody else.
            let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
            // SAFETY: likewise.
            let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
            // Refused to a user who has many; the size it has will do then.
            // SAFETY: an operation on a descriptor of ours, without pointers.
            let _ = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_SIZE) };
            Ok(Self { read, write })
        }

        /// Takes up to `count` bytes from a socket; 0 at its end.
        pub(crate) fn fill_from(&self, socket: &impl AsFd, count: usize) -> io::Result<usize> {
            let socket = socket.as_fd().as_raw_fd();
            let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
            let to = self.write.as_raw_fd();
            let none = ptr::null_mut();
            // SAFETY: both descriptors are borrowed for the call; null pointers
            // stand for "no offset".
            let moved = unsafe { libc::splice(socket, none, to, none, count, flags) };
            usize::try_from(moved).map_err(|_| io::Error::last_os_error())
        }

        /// Writes up to `count` bytes to a file at `offset`, or where it stands.
        pub(crate) fn drain_to(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
            let mut offset = position(offset)?;
            let from = self.read.as_raw_fd();
            let none = ptr::null_mut();
            let to = file.as_raw_fd();
            let flags = libc::SPLICE_F_MOVE;
            // SAFETY: both descriptors are borrowed for the call, and `offset`
            // is a variable of ours.
            let moved = unsafe { libc::splice(from, none, to, &raw mut offset, count, flags) };
            usize::try_from(moved).map_err(|_| io::Error::last_os_error())
        }
    }

    impl Pipe {
        /// Writes `count` bytes to what is not a file of the system's liking.
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

    fn position(offset: u64) -> io::Result<i64> {
        i64::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    }

    /// Wanted for a pipe: as much as an unprivileged process may have.
    const PIPE_SIZE: libc::c_int = 1 << 20;
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use std::fs::File;
    use std::io;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Not here: the caller reads and writes.
    pub(crate) fn sendfile<S>(
        _socket: &S,
        _file: &File,
        _offset: u64,
        _count: usize,
    ) -> io::Result<usize> {
        unsupported()
    }

    /// Never made: the caller reads and writes.
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

//! Standard error, written to without waiting for the program that reads it.
//!
//! `O_NONBLOCK` is a property of the open file, which other programs share: set there, it would
//! change the terminal of the shell that has started this program. So a pipe or a terminal is
//! opened once more for this program alone, and a socket gets a flag with each call. A file is
//! never waited for.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use libc::{c_int, c_short};

use super::attributes::fstat;
use super::call::check;

/// Standard error. No call but [`wait`](Self::wait) waits for its reader.
pub(crate) struct StandardError {
    way: Way,
    /// The most bytes that one call writes.
    most: usize,
}

/// How standard error is written to.
enum Way {
    /// As it is: a file or a device that no program reads.
    Plain,
    Socket,
    /// The same pipe or terminal, opened again for this program alone.
    Own(File),
    /// A pipe or a terminal that cannot be opened again.
    Foreign,
}

impl StandardError {
    /// Standard error as it is before [`look`](Self::look): a call waits.
    pub(crate) const fn new() -> Self {
        Self {
            way: Way::Plain,
            most: usize::MAX,
        }
    }

    /// Looks at what standard error is. With `shared`, several processes write to it: then no
    /// line is torn by one of another process.
    pub(crate) fn look(&mut self, shared: bool) {
        let stat = fstat(io::stderr().as_fd());
        let kind = stat.as_ref().map_or(0, |stat| stat.st_mode & libc::S_IFMT);
        let is_pipe = kind == libc::S_IFIFO;
        let is_same = |file: &File| {
            let own = fstat(file.as_fd());
            own.is_ok_and(|own| {
                stat.is_ok_and(|it| own.st_dev == it.st_dev && own.st_ino == it.st_ino)
            })
        };
        self.way = match kind {
            // Another user, which this process may have become, need not be able to open it again.
            _ if matches!(&self.way, Way::Own(file) if is_same(file)) => {
                return self.set_most(shared && is_pipe);
            }
            libc::S_IFSOCK => Way::Socket,
            libc::S_IFIFO => open_again().map_or(Way::Foreign, Way::Own),
            libc::S_IFCHR if io::stderr().is_terminal() => {
                open_terminal().map_or(Way::Foreign, Way::Own)
            }
            _ => Way::Plain,
        };
        self.set_most(matches!(self.way, Way::Foreign) || shared && is_pipe);
    }

    fn set_most(&mut self, is_whole: bool) {
        self.most = if is_whole { WHOLE } else { usize::MAX };
    }

    /// The most bytes that one call should write.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Writes some of these bytes, all of them if there are no more than [`WHOLE`].
    ///
    /// # Errors
    /// `WouldBlock` if there is no room now, and those of write(2).
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Plain => write(bytes),
            Way::Socket => send(bytes),
            Way::Own(file) => file.write(bytes),
            Way::Foreign => write_at_once(bytes),
        }
    }

    /// Waits until there is room, or until the time is over.
    pub(crate) fn wait(&self, time: Duration) {
        let file = match &self.way {
            Way::Own(file) => file.as_raw_fd(),
            Way::Plain | Way::Socket | Way::Foreign => STDERR,
        };
        let time = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
        has_room(file, time.max(1));
    }
}

/// Writes to standard error as it is. The lock of `io::stderr` is not taken: a thread that waits may
/// hold it.
fn write(bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the call reads at most as many bytes of the slice as it has.
    let written = unsafe { libc::write(STDERR, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

fn send(bytes: &[u8]) -> io::Result<usize> {
    let (start, len) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the call reads at most `len` bytes of the slice.
    let sent = unsafe { libc::send(STDERR, start, len, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes to standard error without waiting, although its open file waits.
///
/// Where the system has no call for that, it says before the call whether there is room. A pipe
/// that has room takes [`WHOLE`] bytes, unless another process writes to it between the two calls.
/// A terminal may have room for less.
fn write_at_once(bytes: &[u8]) -> io::Result<usize> {
    match write_nowait(bytes) {
        Err(err) if err.kind() == ErrorKind::Unsupported => {}
        written => return written,
    }
    match has_room(STDERR, 0) {
        true => write(bytes),
        false => Err(ErrorKind::WouldBlock.into()),
    }
}

/// pwritev2(2) with `RWF_NOWAIT`: Linux 6.4 and later have it for pipes.
#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
fn write_nowait(bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // -1 is where the file is, which a pipe has not.
    // SAFETY: `part` is one structure, and the call only reads the bytes that it names.
    let written = unsafe { libc::pwritev2(STDERR, &raw const part, 1, -1, libc::RWF_NOWAIT) };
    usize::try_from(written).map_err(|_| {
        let err = io::Error::last_os_error();
        match err.raw_os_error() {
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL) => ErrorKind::Unsupported.into(),
            _ => err,
        }
    })
}

/// Returns `Unsupported`: the caller asks for room.
#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
fn write_nowait(_bytes: &[u8]) -> io::Result<usize> {
    Err(ErrorKind::Unsupported.into())
}

/// Opens the pipe or terminal of standard error once more. Only Linux has a name for it: with
/// other systems, `/dev/fd/2` is the same open file.
fn open_again() -> io::Result<File> {
    match cfg!(any(target_os = "linux", target_os = "android")) {
        true => open("/proc/self/fd/2"),
        false => Err(ErrorKind::Unsupported.into()),
    }
}

/// Opens the terminal of standard error once more. Every user may open a terminal as the one that
/// controls the process, even after `su`.
fn open_terminal() -> io::Result<File> {
    // SAFETY: tcgetsid(3) takes a number and no pointer.
    let session = unsafe { libc::tcgetsid(STDERR) };
    // SAFETY: as above; 0 is this process.
    if session != -1 && session == unsafe { libc::getsid(0) } {
        return open("/dev/tty").or_else(|_| open_again());
    }
    open_again()
}

fn open(path: &str) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)?;
    // SAFETY: this operation takes no pointer, and `file` is open.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    check(flags)?;
    match flags & libc::O_NONBLOCK {
        0 => Err(ErrorKind::Unsupported.into()),
        _ => Ok(file),
    }
}

/// Whether a file can be written to, within this time in milliseconds. An error counts as room:
/// the write reports it.
fn has_room(file: RawFd, time: c_int) -> bool {
    poll(file, libc::POLLOUT, time) != 0
}

/// The events of a file, of those in `events` and of errors, that come within this time in
/// milliseconds. A signal handler may call it.
pub(super) fn poll(file: RawFd, events: c_short, time: c_int) -> c_short {
    let mut poll = libc::pollfd {
        fd: file,
        events,
        revents: 0,
    };
    // SAFETY: `poll` is one structure that the call may read and write.
    unsafe { libc::poll(&raw mut poll, 1, time) };
    poll.revents
}

const STDERR: RawFd = libc::STDERR_FILENO;

/// How many bytes a pipe takes whole or not at all.
pub(crate) const WHOLE: usize = libc::PIPE_BUF;

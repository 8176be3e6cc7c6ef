//! The terminal that the program was started on, and whether it has hung up.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::OnceLock;

use super::stderr::poll;

/// The terminal that the program was started on, as it has it open.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// For standard input, output and error: which file this is, if it is a terminal.
    files: [Option<Identity>; 3],
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: libc::dev_t,
    number: libc::ino_t,
}

impl Terminal {
    /// The terminal of this process; `None` if there is none, or if its hang-up is to be ignored,
    /// as after `nohup`. The first call decides: it must come before SIGHUP is handled.
    pub(crate) fn of_process() -> Option<&'static Self> {
        static TERMINAL: OnceLock<Option<Terminal>> = OnceLock::new();
        TERMINAL.get_or_init(Self::look).as_ref()
    }

    fn look() -> Option<Self> {
        if ignores_hang_up() {
            return None;
        }
        let files = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];
        let files = files.map(|file| identity(file).filter(|_| is_terminal(file)));
        files.iter().any(Option::is_some).then_some(Self { files })
    }

    /// Whether the terminal has hung up. A signal handler may call it.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.files.iter().zip(0..).any(|(known, file)| {
            // The number may belong to another file by now.
            known.is_some()
                && identity(file) == *known
                && poll(file, libc::POLLIN, 0) & libc::POLLHUP != 0
        })
    }
}

fn is_terminal(file: RawFd) -> bool {
    // SAFETY: isatty(3) takes a number and no pointer.
    unsafe { libc::isatty(file) == 1 }
}

fn identity(file: RawFd) -> Option<Identity> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for the structure that the call writes.
    if unsafe { libc::fstat(file, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it has filled in the structure.
    let stat = unsafe { stat.assume_init() };
    Some(Identity {
        device: stat.st_dev,
        number: stat.st_ino,
    })
}

/// Whether SIGHUP is ignored, as in a program that `nohup` has started.
fn ignores_hang_up() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer for the new action changes nothing, and `action` has room for the
    // structure that the call writes.
    if unsafe { libc::sigaction(libc::SIGHUP, ptr::null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it has filled in the structure.
    let action = unsafe { action.assume_init() };
    action.sa_sigaction == libc::SIG_IGN
}

//! The limits on the files that a process may have open (`RLIMIT_NOFILE`), and on their size
//! (`RLIMIT_FSIZE`).

use std::io;
use std::mem::{self, MaybeUninit};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::call::check;
use super::signals::current;

/// How many files this process may have open now: its soft limit. `u64::MAX` stands for
/// no limit.
pub(crate) fn open_files() -> io::Result<u64> {
    Ok(to_u64(get()?.rlim_cur))
}

/// Raises the soft limit to the hard one, or to as much as the system grants. Returns the
/// soft limit before and after. Does nothing if the two limits are equal.
///
/// # Errors
/// Those of getrlimit(2), and of setrlimit(2) if the limit cannot be raised at all.
pub(crate) fn raise_open_files() -> io::Result<(u64, u64)> {
    let limits = get()?;
    let (before, most) = (to_u64(limits.rlim_cur), to_u64(limits.rlim_max));
    if before >= most {
        return Ok((before, before));
    }
    // macOS may report a hard limit that it does not grant: then try OPEN_MAX.
    let wanted = [limits.rlim_max, FALLBACK.min(limits.rlim_max)];
    for soft in wanted.into_iter().filter(|soft| to_u64(*soft) > before) {
        let raised = libc::rlimit {
            rlim_cur: soft,
            ..limits
        };
        // SAFETY: `raised` is a valid structure, which the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return Ok((before, to_u64(soft)));
        }
    }
    Err(io::Error::last_os_error())
}

/// Lets a write past the limit on the size of files fail with `EFBIG`, and not end the process with
/// SIGXFSZ, as long as any value of this type lives. If the process handles that signal already,
/// nothing is changed.
#[derive(Debug)]
pub(crate) struct FileSizeSignal(());

impl FileSizeSignal {
    pub(crate) fn ignore() -> Self {
        let mut ignoring = ignoring();
        ignoring.users += 1;
        let action = current(libc::SIGXFSZ);
        if action.is_ok_and(|action| action.sa_sigaction == libc::SIG_DFL) {
            // SAFETY: SIG_IGN is an action that runs no code.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            ignoring.changed = true;
        }
        Self(())
    }
}

impl Drop for FileSizeSignal {
    fn drop(&mut self) {
        let mut ignoring = ignoring();
        ignoring.users -= 1;
        if ignoring.users > 0 || !mem::take(&mut ignoring.changed) {
            return;
        }
        let action = current(libc::SIGXFSZ);
        if action.is_ok_and(|action| action.sa_sigaction == libc::SIG_IGN) {
            // SAFETY: SIG_DFL is an action that runs no code of this process.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
        }
    }
}

/// How many values of [`FileSizeSignal`] there are.
struct Ignoring {
    users: usize,
    /// Whether it had its default action before.
    changed: bool,
}

fn ignoring() -> MutexGuard<'static, Ignoring> {
    static IGNORING: Mutex<Ignoring> = Mutex::new(Ignoring {
        users: 0,
        changed: false,
    });
    IGNORING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn get() -> io::Result<libc::rlimit> {
    let mut limits = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limits` has room for the structure that the call writes.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limits.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled in the structure.
    Ok(unsafe { limits.assume_init() })
}

/// A limit as `u64`; "no limit" becomes `u64::MAX`. On some systems `rlim_t` is signed.
#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "rlim_t is another type elsewhere"
)]
fn to_u64(limit: libc::rlim_t) -> u64 {
    match limit {
        libc::RLIM_INFINITY => u64::MAX,
        limit => u64::try_from(limit).unwrap_or(u64::MAX),
    }
}

/// `OPEN_MAX` of macOS.
const FALLBACK: libc::rlim_t = 10_240;

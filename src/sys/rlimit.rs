//! How many files a process may have open.

use std::io;
use std::mem::MaybeUninit;

use super::call::done;

/// How many files this process may have open now: its soft limit.
pub(crate) fn open_files() -> io::Result<u64> {
    Ok(to_u64(get()?.rlim_cur))
}

/// Raises that to what the system allows: to the hard limit. Returns how many
/// there could be before, and how many now.
pub(crate) fn raise_open_files() -> io::Result<(u64, u64)> {
    let limits = get()?;
    let (before, most) = (to_u64(limits.rlim_cur), to_u64(limits.rlim_max));
    if before >= most {
        return Ok((before, before));
    }
    // macOS may name a hard limit that it does not grant.
    let wanted = [limits.rlim_max, FALLBACK.min(limits.rlim_max)];
    for soft in wanted.into_iter().filter(|soft| to_u64(*soft) > before) {
        let raised = libc::rlimit {
            rlim_cur: soft,
            ..limits
        };
        // SAFETY: `raised` lives through the call, which only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return Ok((before, to_u64(soft)));
        }
    }
    Err(io::Error::last_os_error())
}

fn get() -> io::Result<libc::rlimit> {
    let mut limits = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limits` is writable for such a structure.
    done(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limits.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled the structure.
    Ok(unsafe { limits.assume_init() })
}

/// The type has a sign on some systems; "no limit" is the largest in any case.
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

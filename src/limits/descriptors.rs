//! File descriptors: how many the process may have, and the reserve for transfers.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::log::TARGET;
use crate::sys;

/// The file descriptors that the process may have.
pub(super) struct Descriptors {
    /// New connections do not get descriptors from this number on.
    pub(super) reserve_from: AtomicU64,
    /// Slots that outlive their socket because of jobs: their files are open.
    pub(super) without_socket: AtomicUsize,
    /// Whether the limit of open files was raised.
    raised: AtomicBool,
}

impl Descriptors {
    pub(super) fn new() -> Self {
        Self {
            // The first descriptor asks the system.
            reserve_from: AtomicU64::new(0),
            without_socket: AtomicUsize::new(0),
            raised: AtomicBool::new(false),
        }
    }

    /// Raises the limit of open files to what the system allows, for this process and
    /// the `workers` that it may fork. Warns if that is too few for `max_cons`
    /// connections that take `each` descriptors. Later calls do nothing.
    pub(super) fn raise(&self, workers: usize, each: u64, max_cons: usize) {
        if self.raised.swap(true, Relaxed) {
            return;
        }
        let files = match sys::raise_open_files() {
            Ok((before, now)) => {
                log::debug!(target: TARGET, "open files: {now} (were {before})");
                now
            }
            Err(err) => {
                log::warn!(target: TARGET, "cannot raise the limit of open files: {err}");
                sys::open_files().unwrap_or(u64::MAX)
            }
        };
        let usable = reserve_from(files);
        self.reserve_from.store(usable, Relaxed);
        let wanted = (max_cons as u64).saturating_mul(each);
        if wanted > usable.saturating_mul(workers as u64) {
            let for_workers = match workers {
                1 => String::new(),
                workers => format!(" for each of {workers} workers"),
            };
            let each = match each {
                1 => String::new(),
                each => format!(", of which each connection takes {each}"),
            };
            log::warn!(
                target: TARGET,
                "max_cons is {max_cons}, but the system allows {files} open files{for_workers}{each}: \
                 lower max_cons or raise ulimit -n"
            );
        }
    }

    /// Whether the descriptor of a new connection falls in the reserve. The last
    /// descriptors are for the transfers of sessions that exist; the system hands out
    /// the lowest free number. Jobs that outlive their session count in addition, since
    /// their files are open.
    pub(super) fn is_reserved(&self, got: &impl AsRawFd) -> bool {
        let number = u64::try_from(got.as_raw_fd()).unwrap_or_default();
        let number = number.saturating_add(self.without_socket.load(Relaxed) as u64);
        if number < self.reserve_from.load(Relaxed) {
            return false;
        }
        // The user of the library may have raised the limit since.
        let usable = reserve_from(sys::open_files().unwrap_or(u64::MAX));
        self.reserve_from.store(usable, Relaxed);
        number >= usable
    }
}

/// The number of the first descriptor in the reserve, if `files` may be open. The
/// reserve is a sixteenth within bounds, and at most a quarter.
pub(super) fn reserve_from(files: u64) -> u64 {
    let reserve = (files / 16).clamp(RESERVE_MIN, RESERVE_MAX);
    files - reserve.min(files / 4)
}

const RESERVE_MIN: u64 = 16;
const RESERVE_MAX: u64 = 256;

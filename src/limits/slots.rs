//! The limits of a server, and the slots that count towards them.

use std::cell::OnceCell;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::counts::{Counts, Entry, Load};
use super::descriptors::Descriptors;
use super::table::Key;
use crate::random::{Keys, Random};
use crate::sys;

/// The limits of a server; 0 is no limit.
pub(crate) struct Limits {
    max_cons: AtomicUsize,
    max_cons_per_ip: AtomicUsize,
    max_cons_per_user: AtomicUsize,
    pub(super) counts: Counts,
    pub(super) descriptors: Descriptors,
    /// Makes keys that a client cannot predict.
    keys: Keys,
}

/// Whether a new connection is within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// There are too many sockets.
    MaxCons,
    /// There are too many connections from its address.
    MaxConsPerIp,
    /// Clients at its address are not served.
    Address,
}

impl Limits {
    /// The default limits. The keys of addresses and users come from `random`.
    pub(crate) fn new(random: &Random) -> Self {
        Self {
            max_cons: AtomicUsize::new(MAX_CONS),
            max_cons_per_ip: AtomicUsize::new(0),
            max_cons_per_user: AtomicUsize::new(0),
            counts: Counts::new(),
            descriptors: Descriptors::new(),
            keys: random.keys(),
        }
    }

    pub(crate) fn max_cons(&self) -> usize {
        self.max_cons.load(Relaxed)
    }

    pub(crate) fn set_max_cons(&self, limit: usize) {
        self.max_cons.store(limit, Relaxed);
    }

    pub(crate) fn max_cons_per_ip(&self) -> usize {
        self.max_cons_per_ip.load(Relaxed)
    }

    pub(crate) fn set_max_cons_per_ip(&self, limit: usize) {
        self.max_cons_per_ip.store(limit, Relaxed);
    }

    pub(crate) fn max_cons_per_user(&self) -> usize {
        self.max_cons_per_user.load(Relaxed)
    }

    pub(crate) fn set_max_cons_per_user(&self, limit: usize) {
        self.max_cons_per_user.store(limit, Relaxed);
    }

    /// The sockets of this process, the listening socket of the server included.
    pub(crate) fn sockets(&self) -> usize {
        self.counts.sockets()
    }

    // --- several processes

    /// Counts from now on in memory that this process shares with the `workers` that it
    /// forks after this (`usize::MAX`: one for each connection), and raises the limit of
    /// open files as [`raise_open_files`](Self::raise_open_files). Call it after the
    /// limits are set, and before there is a session.
    pub(crate) fn share(&self, workers: usize, each: u64) -> io::Result<()> {
        debug_assert_eq!(self.sockets(), 1);
        if self.counts.is_shared() {
            return Ok(());
        }
        self.raise_open_files(workers, each);
        let capacity = match self.max_cons() {
            0 => {
                let files = sys::open_files().unwrap_or(u64::MAX);
                let files = usize::try_from(files).unwrap_or(usize::MAX);
                files.saturating_mul(workers)
            }
            // A refused connection has a slot too, until its 421 is sent.
            max_cons => max_cons.saturating_add(max_cons / 4 + 1024),
        };
        self.counts.share(capacity.min(CAPACITY_MAX))
    }

    /// Takes back the slots of a process that has ended and was waited for. Returns
    /// their number.
    pub(crate) fn forget_process(&self, pid: sys::Pid) -> usize {
        self.counts.forget_process(pid)
    }

    // --- descriptors

    /// Raises the limit of open files to what the system allows, for this process and
    /// the `workers` that it may fork. Warns if that is too few for `max_cons`
    /// connections that take `each` descriptors. Later calls do nothing.
    pub(crate) fn raise_open_files(&self, workers: usize, each: u64) {
        self.descriptors.raise(workers, each, self.max_cons());
    }

    /// Whether the descriptor of a new connection falls in the reserve, which is for the
    /// transfers of sessions that exist.
    pub(crate) fn is_reserved(&self, got: &impl AsRawFd) -> bool {
        self.descriptors.is_reserved(got)
    }

    // --- slots

    /// Takes a slot for a control connection, and says whether it is within the limits. A
    /// connection in memory has no descriptor.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: IpAddr,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> (Slot, Admission) {
        let (slot, load) = self.take(self.key(ip));
        let admission = match load {
            _ if descriptor.is_some_and(|got| self.is_reserved(&got)) => Admission::MaxCons,
            None => Admission::MaxCons,
            Some(load) if !fits(load.sockets, &self.max_cons) => Admission::MaxCons,
            Some(load) if !fits(load.of_ip, &self.max_cons_per_ip) => Admission::MaxConsPerIp,
            Some(_) => Admission::Admitted,
        };
        (slot, admission)
    }

    /// Takes a slot for another socket.
    pub(crate) fn slot(self: &Arc<Self>) -> Slot {
        self.take(0).0
    }

    /// Whether the number of sockets is within the limit. The new connection counts, as
    /// in pyftpdlib.
    pub(crate) fn accepts_new_cons(&self) -> bool {
        self.counts.all_fit(|count| fits(count, &self.max_cons))
    }

    /// Takes a slot. There is no load if there was no room for it.
    fn take(self: &Arc<Self>, ip: Key) -> (Slot, Option<Load>) {
        let (entry, load) = self.counts.take(ip);
        let slot = Slot {
            limits: Arc::clone(self),
            entry,
            holder: OnceCell::new(),
        };
        (slot, load)
    }

    /// The key of an address or a user. All processes of a run use the same key; the next
    /// run uses another.
    fn key(&self, of: impl Hash) -> Key {
        self.keys.hash_one(of).max(1)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("sockets", &self.sockets())
            .finish_non_exhaustive()
    }
}

/// Counts a socket as long as it lives: given back when dropped, or when the last
/// [holder](Self::hold) is dropped, whichever is later.
///
/// A slot belongs to the process that took it. A process that inherits it by a fork may
/// serve the connection with it, but only the first process gives it back.
pub(crate) struct Slot {
    limits: Arc<Limits>,
    entry: Entry,
    holder: OnceCell<Arc<SlotHolder>>,
}

/// Keeps a slot taken after its socket is closed: for jobs that outlive their session.
pub(crate) struct SlotHolder {
    limits: Arc<Limits>,
    /// The entry of the slot, once that was dropped.
    left: OnceLock<Entry>,
}

impl Slot {
    /// Counts the slot for a user. Returns false if the user already has the most allowed.
    pub(crate) fn assign_user(&mut self, username: &str) -> bool {
        let user = self.limits.key(username);
        let count = self.limits.counts.set_user(&mut self.entry, user);
        let assigned = fits(count, &self.limits.max_cons_per_user);
        if !assigned {
            self.clear_user();
        }
        assigned
    }

    /// Counts the slot for a user, whatever the limit.
    pub(crate) fn count_user(&mut self, username: &str) {
        let user = self.limits.key(username);
        self.limits.counts.set_user(&mut self.entry, user);
    }

    /// Counts the slot for no user.
    pub(crate) fn clear_user(&mut self) {
        self.limits.counts.set_user(&mut self.entry, 0);
    }

    /// Returns the holder that keeps the slot taken.
    pub(crate) fn hold(&self) -> Arc<SlotHolder> {
        let new = || SlotHolder {
            limits: Arc::clone(&self.limits),
            left: OnceLock::new(),
        };
        Arc::clone(self.holder.get_or_init(|| Arc::new(new())))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        match self.holder.take() {
            None => self.limits.counts.give_back(self.entry),
            // The last owner of the holder gives it back, possibly this one.
            Some(holder) => {
                let descriptors = &self.limits.descriptors;
                descriptors.without_socket.fetch_add(1, Relaxed);
                let _ = holder.left.set(self.entry);
            }
        }
    }
}

impl Drop for SlotHolder {
    fn drop(&mut self) {
        if let Some(entry) = self.left.take() {
            let descriptors = &self.limits.descriptors;
            descriptors.without_socket.fetch_sub(1, Relaxed);
            self.limits.counts.give_back(entry);
        }
    }
}

/// Whether a count is within a limit; 0 is no limit.
fn fits(count: usize, limit: &AtomicUsize) -> bool {
    let limit = limit.load(Relaxed);
    limit == 0 || count <= limit
}

/// The default of `max_cons`: as pyftpdlib.
const MAX_CONS: usize = 512;

/// The most slots in a table. Memory is used only as they are taken, at most 88 bytes
/// for each.
const CAPACITY_MAX: usize = 1 << 20;

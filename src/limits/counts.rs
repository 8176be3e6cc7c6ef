//! How many slots are taken, and how many of each address and user: in this process, or
//! in all processes that serve together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{io, process};

use super::table::{Index, Key, Table};
use crate::sys;

/// The counts of a server.
pub(super) struct Counts {
    /// The sockets of this process, the listening socket of the server included.
    sockets: AtomicUsize,
    /// Slots by address and by user, while there is one process.
    local: Mutex<HashMap<Key, usize>>,
    /// The slots of all processes, if there are several.
    shared: OnceLock<SharedTable>,
}

/// Where a slot is counted.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    /// In the memory of this process, under these keys; 0: under none.
    Local { ip: Key, user: Key },
    /// In the table that processes share.
    Shared(Index),
    /// Nowhere: the table was full.
    None,
}

/// The counts after a slot was taken, that slot included.
pub(super) struct Load {
    pub(super) sockets: usize,
    pub(super) of_ip: usize,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            sockets: AtomicUsize::new(1),
            local: Mutex::default(),
            shared: OnceLock::new(),
        }
    }

    /// The sockets of this process, the listening socket of the server included.
    pub(super) fn sockets(&self) -> usize {
        self.sockets.load(Relaxed)
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.get().is_some()
    }

    /// Counts from now on in a table of `capacity` slots, which this process shares with
    /// those that it forks from now on.
    pub(super) fn share(&self, capacity: usize) -> io::Result<()> {
        let words = sys::SharedWords::new(Table::words(capacity))?;
        // Nothing else can have set it: there is one thread.
        let _ = self.shared.set(SharedTable { words, capacity });
        Ok(())
    }

    /// Takes back the slots of a process that has ended. Returns their number.
    pub(super) fn forget_process(&self, pid: sys::Pid) -> usize {
        let pid = pid.cast_unsigned();
        let shared = self.shared.get();
        let slots = shared.and_then(|shared| shared.with(|table| table.forget(pid)));
        slots.unwrap_or_default()
    }

    /// Counts a new slot, for an address unless `ip` is 0. There is no load if the table
    /// is full.
    pub(super) fn take(&self, ip: Key) -> (Entry, Option<Load>) {
        let sockets = self.sockets.fetch_add(1, Relaxed) + 1;
        let Some(shared) = self.shared.get() else {
            let of_ip = change(&mut self.local(), 0, ip);
            return (Entry::Local { ip, user: 0 }, Some(Load { sockets, of_ip }));
        };
        let taken = shared.with(|table| {
            let index = table.take(process::id(), ip)?;
            // The listening socket of the server counts, as it does in one process.
            let (sockets, of_ip) = (table.taken() + 1, table.count(ip));
            Some((Entry::Shared(index), Some(Load { sockets, of_ip })))
        });
        taken.flatten().unwrap_or((Entry::None, None))
    }

    pub(super) fn give_back(&self, entry: Entry) {
        self.sockets.fetch_sub(1, Relaxed);
        match entry {
            Entry::Local { ip, user } => {
                let local = &mut self.local();
                change(local, ip, 0);
                change(local, user, 0);
            }
            Entry::Shared(index) => {
                if let Some(shared) = self.shared.get() {
                    shared.with(|table| table.give_back(index, process::id()));
                }
            }
            Entry::None => {}
        }
    }

    /// Counts a slot for a user instead of the user before; `user` is 0 for none.
    /// Returns the number of slots that the user has then.
    pub(super) fn set_user(&self, entry: &mut Entry, user: Key) -> usize {
        match entry {
            Entry::Local { user: current, .. } => {
                let before = std::mem::replace(current, user);
                change(&mut self.local(), before, user)
            }
            Entry::Shared(index) => {
                let shared = self.shared.get();
                let count = shared.and_then(|shared| shared.with(|t| t.set_user(*index, user)));
                count.unwrap_or(usize::MAX)
            }
            Entry::None => usize::MAX,
        }
    }

    /// Whether the sockets of all processes are within `limit`, as `fits` decides.
    pub(super) fn all_fit(&self, fits: impl FnOnce(usize) -> bool) -> bool {
        match self.shared.get() {
            None => fits(self.sockets()),
            Some(shared) => shared
                .with(|table| !table.is_full() && fits(table.taken() + 1))
                .unwrap_or_default(),
        }
    }

    pub(super) fn local(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> Option<&SharedTable> {
        self.shared.get()
    }
}

/// A table in memory that processes share.
pub(super) struct SharedTable {
    pub(super) words: sys::SharedWords,
    pub(super) capacity: usize,
}

impl SharedTable {
    /// Calls a function, which must be short, with the locked table. `None` if the
    /// system cannot lock it, which happens only by a bug in ftpdlib.
    fn with<T>(&self, function: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let mut words = self.words.lock().ok()?;
        let died = words.owner_died;
        let mut table = Table::new(&mut words, self.capacity);
        if died {
            table.recount();
        }
        Some(function(&mut table))
    }
}

/// Counts `to` instead of `from`, and returns the count of `to`.
fn change(counts: &mut HashMap<Key, usize>, from: Key, to: Key) -> usize {
    if from != 0
        && let Some(count) = counts.get_mut(&from)
    {
        *count -= 1;
        if *count == 0 {
            counts.remove(&from);
        }
    }
    if to == 0 {
        return 0;
    }
    let count = counts.entry(to).or_default();
    *count += 1;
    *count
}

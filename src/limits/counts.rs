//! How many slots are taken, and how many of each address and user: in this process, or
//! in all processes that serve together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{io, process};

use super::table::{Admission, Bounds, Index, Key, Leaver, Origin, Owner, State, Table};
use crate::sys;

/// The counts of a server.
pub(super) struct Counts {
    /// The sockets of this process, the listening socket of the server included.
    sockets: AtomicUsize,
    /// The slots, while there is one process.
    own: Mutex<OwnTable>,
    /// The slots of all processes, if there are several.
    shared: OnceLock<SharedTable>,
}

/// A slot in the table; `None` if the table was full.
pub(super) type Entry = Option<Index>;

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            sockets: AtomicUsize::new(1),
            own: Mutex::new(OwnTable::new(OWN_SLOTS)),
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

    /// Counts a slot of a session's socket.
    pub(super) fn take(&self, origin: Origin, now: u64) -> Entry {
        self.sockets.fetch_add(1, Relaxed);
        let owner = self.owner();
        self.with(|table| table.take(owner, origin, now)).flatten()
    }

    /// Counts a new connection, and says whether it is within the limits; perhaps only because
    /// another session leaves.
    pub(super) fn admit(
        &self,
        origin: Origin,
        now: u64,
        bounds: Bounds,
    ) -> (Entry, Admission, Option<Leaver>) {
        self.sockets.fetch_add(1, Relaxed);
        let owner = self.owner();
        let admitted = self.with(|table| table.admit(owner, origin, now, bounds));
        match admitted.flatten() {
            Some((index, admission, leaver)) => (Some(index), admission, leaver),
            None => (None, Admission::MaxCons, None),
        }
    }

    pub(super) fn give_back(&self, entry: Entry) {
        self.sockets.fetch_sub(1, Relaxed);
        if let Some(index) = entry {
            let pid = self.pid();
            self.with(|table| table.give_back(index, pid));
        }
    }

    /// Counts a slot for a user instead of the user before; `user` is 0 for none.
    /// Returns the number of slots that the user has then.
    pub(super) fn set_user(&self, entry: Entry, user: Key) -> usize {
        let count = entry.and_then(|index| self.with(|table| table.set_user(index, user)));
        count.unwrap_or(usize::MAX)
    }

    /// The state of a session has changed. One that is asked to leave stays so, unless
    /// `stays`.
    pub(super) fn set_state(&self, entry: Entry, state: State, stays: bool) {
        if let Some(index) = entry {
            self.with(|table| {
                if stays || !table.is_leaving(index) {
                    table.set_state(index, state);
                }
            });
        }
    }

    /// Whether a session is asked to leave.
    pub(super) fn is_leaving(&self, entry: Entry) -> bool {
        let leaving = entry.and_then(|index| self.with(|table| table.is_leaving(index)));
        leaving.unwrap_or_default()
    }

    /// Whether a session may have another socket.
    pub(super) fn has_room(&self, origin: Origin, bounds: Bounds) -> bool {
        let has_room = self.with(|table| table.has_room(origin, bounds));
        has_room.unwrap_or_default()
    }

    /// Whether so many slots are taken that connections which are over must not keep theirs.
    pub(super) fn is_crowded(&self, bounds: Bounds) -> bool {
        self.with(|table| table.is_crowded(bounds)).unwrap_or(true)
    }

    /// The process that takes slots now.
    fn owner(&self) -> Owner {
        Owner {
            pid: self.pid(),
            worker: 0,
        }
    }

    /// The number of this process.
    pub(super) fn pid(&self) -> u32 {
        match self.shared.get() {
            Some(_) => process::id(),
            // It must not be 0. The system is not asked.
            None => 1,
        }
    }

    /// Calls a function, which must be short, with the locked table. `None` if the
    /// system cannot lock it, which happens only by a bug in ftpdlib.
    fn with<T>(&self, function: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        match self.shared.get() {
            Some(shared) => shared.with(function),
            None => {
                let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
                Some(function(&mut own.with_room()))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> Option<&SharedTable> {
        self.shared.get()
    }

    /// How many keys of addresses, groups and users there are.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.with(|table| table.keys()).unwrap()
    }
}

/// A table in the memory of this process. It grows as slots are taken.
struct OwnTable {
    words: Vec<u64>,
    capacity: usize,
}

impl OwnTable {
    fn new(capacity: usize) -> Self {
        Self {
            words: vec![0; Table::words(capacity)],
            capacity,
        }
    }

    /// The table, with room for another slot unless it is as large as it may be.
    fn with_room(&mut self) -> Table<'_> {
        if Table::new(&mut self.words, self.capacity).is_full() && self.capacity < CAPACITY_MAX {
            let mut grown = Self::new(self.capacity * 2);
            let before = Table::new(&mut self.words, self.capacity);
            before.copy_to(&mut Table::new(&mut grown.words, grown.capacity));
            *self = grown;
        }
        Table::new(&mut self.words, self.capacity)
    }
}

/// A table in memory that processes share.
pub(super) struct SharedTable {
    pub(super) words: sys::SharedWords,
    pub(super) capacity: usize,
}

impl SharedTable {
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

/// The slots for which one process has room at first.
const OWN_SLOTS: usize = 64;

/// The most slots in a table. Memory is used only as they are taken, at most 400 bytes
/// for each.
pub(super) const CAPACITY_MAX: usize = 1 << 20;

//! How many slots are taken, and how many of each address and user: in this process, or
//! in all processes that serve together.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::later::{Later, Token};
use super::table::{Admission, Bounds, Index, Key, Leaver, Origin, Owner, State, Table, When};
use super::wakers::Wakers;
use crate::sys;

/// The counts of a server.
pub(super) struct Counts {
    /// The sockets of this process, the listening socket of the server included.
    sockets: AtomicUsize,
    /// The slots, while there is one process.
    own: Mutex<OwnTable>,
    /// The slots of all processes, if there are several.
    shared: OnceLock<SharedTable>,
    /// Wake the workers.
    pub(super) wakers: Wakers,
    /// What waits for the lock of the shared table.
    later: Mutex<Later>,
    /// Whether the last attempt to get that lock has failed.
    is_behind: AtomicBool,
    /// Called when it fails for the first time.
    on_busy: Mutex<Option<OnBusy>>,
}

/// Tries again later.
pub(super) type OnBusy = Box<dyn Fn() + Send>;

/// Where a slot is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// In the table.
    At(Index),
    /// In the table, once this process gets its lock.
    Later(Token),
    /// Nowhere: the table was full, or the connection came while another process held its lock.
    None,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            sockets: AtomicUsize::new(1),
            own: Mutex::new(OwnTable::new(OWN_SLOTS)),
            shared: OnceLock::new(),
            wakers: Wakers::default(),
            later: Mutex::default(),
            is_behind: AtomicBool::new(false),
            on_busy: Mutex::default(),
        }
    }

    /// The sockets of this process, the listening sockets of the server included.
    pub(super) fn sockets(&self) -> usize {
        self.sockets.load(Relaxed)
    }

    /// The server listens on so many more sockets.
    pub(super) fn add_listeners(&self, more: usize) {
        self.sockets.fetch_add(more, Relaxed);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.get().is_some()
    }

    /// Counts from now on in a table of `capacity` slots, which this process shares with
    /// those that it forks from now on, `workers` among them.
    pub(super) fn share(&self, capacity: usize, workers: usize) -> io::Result<()> {
        self.wakers.make(workers)?;
        let words = sys::SharedWords::new(Table::words(capacity))?;
        // Nothing else can have set it: there is one thread.
        let _ = self.shared.set(SharedTable { words, capacity });
        Ok(())
    }

    /// Takes back the slots of a process that has ended. Returns their number; `None` if another
    /// process holds the lock: call it again.
    pub(super) fn forget_process(&self, pid: sys::Pid) -> Option<usize> {
        let pid = pid.cast_unsigned();
        match self.shared.get() {
            None => Some(0),
            Some(_) => self.with(|table| table.forget(pid)),
        }
    }

    /// Which process holds the lock.
    pub(super) fn look_at_lock(&self, now: Instant) -> sys::Held {
        let shared = self.shared.get();
        shared.map_or(sys::Held::Free, |shared| shared.words.look(now))
    }

    /// Counts a slot of a session's socket.
    pub(super) fn take(&self, origin: Origin, now: u32) -> Entry {
        self.sockets.fetch_add(1, Relaxed);
        let owner = self.owner();
        match self.with(|table| table.take(owner, origin, now)) {
            Some(Some(index)) => Entry::At(index),
            Some(None) => Entry::None,
            None => Entry::Later(self.later().take(origin)),
        }
    }

    /// Counts a new connection, and says whether it is within the limits; perhaps only because
    /// another session leaves. It is not if another process holds the lock.
    pub(super) fn admit(
        &self,
        origin: Origin,
        now: u32,
        bounds: Bounds,
    ) -> (Entry, Admission, Option<Leaver>) {
        self.sockets.fetch_add(1, Relaxed);
        let owner = self.owner();
        let admitted = self.with(|table| table.admit(owner, origin, now, bounds));
        match admitted.flatten() {
            Some((index, admission, leaver)) => (Entry::At(index), admission, leaver),
            None => (Entry::None, Admission::MaxCons, None),
        }
    }

    pub(super) fn give_back(&self, entry: Entry) {
        self.sockets.fetch_sub(1, Relaxed);
        let index = match entry {
            Entry::Later(token) => self.later().forget(token),
            entry => self.index(entry),
        };
        if let Some(index) = index {
            let pid = self.pid();
            let given = self.with(|table| table.give_back(index, pid));
            if given.is_none() {
                self.later().change(index).is_gone = true;
            }
        }
    }

    /// Counts a slot for a user instead of the user before; `user` is 0 for none. Returns the
    /// number of slots that the user has then; `None` if another process holds the lock, so that
    /// it is counted later.
    pub(super) fn set_user(&self, entry: Entry, user: Key) -> Option<usize> {
        let Some(index) = self.index(entry) else {
            return Some(usize::MAX);
        };
        let count = self.with(|table| table.set_user(index, user));
        if count.is_none() {
            self.later().change(index).user = Some(user);
        }
        count
    }

    /// The state of a session has changed.
    pub(super) fn set_state(&self, entry: Entry, state: State, when: When) {
        let Some(index) = self.index(entry) else {
            return;
        };
        let set = self.with(|table| table.set_state_if(index, state, when));
        if set.is_none() {
            self.later().change(index).state = Some((state, when));
        }
    }

    /// Whether a session is asked to leave.
    pub(super) fn is_leaving(&self, entry: Entry) -> bool {
        let leaving = self.index(entry);
        let leaving = leaving.and_then(|index| self.with(|table| table.is_leaving(index)));
        leaving.unwrap_or_default()
    }

    /// The sessions of this process that are asked to leave.
    pub(super) fn leavers(&self) -> Vec<Index> {
        let pid = self.pid();
        let leavers = self.with(|table| table.leavers(pid));
        leavers.unwrap_or_default()
    }

    /// Whether a session may have another socket. While another process holds the lock, it may.
    pub(super) fn has_room(&self, origin: Origin, bounds: Bounds) -> bool {
        let has_room = self.with(|table| table.has_room(origin, bounds));
        has_room.unwrap_or(true)
    }

    /// Whether so many slots are taken that connections which are over must not keep theirs.
    pub(super) fn is_crowded(&self, bounds: Bounds) -> bool {
        self.with(|table| table.is_crowded(bounds)).unwrap_or(true)
    }

    /// Makes the changes that wait for the lock. Returns whether this process has got it.
    pub(super) fn catch_up(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// The index of a slot, if it is in the table.
    pub(super) fn index(&self, entry: Entry) -> Option<Index> {
        match entry {
            Entry::At(index) => Some(index),
            Entry::Later(token) => self.later().index(token),
            Entry::None => None,
        }
    }

    /// The process that takes slots now.
    fn owner(&self) -> Owner {
        Owner {
            pid: self.pid(),
            worker: self.wakers.number(),
        }
    }

    /// The number of this process.
    pub(super) fn pid(&self) -> u32 {
        match self.shared.get() {
            Some(_) => sys::process_id(),
            // It must not be 0. The system is not asked.
            None => 1,
        }
    }

    /// Calls a function, which must be short, with the locked table, after the changes that have
    /// waited for it. `None` if another process holds the lock.
    fn with<T>(&self, function: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let Some(shared) = self.shared.get() else {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            return Some(function(&mut own.with_room()));
        };
        let owner = self.owner();
        let result = shared.with(|table| {
            let mut later = self.later();
            if !later.is_empty() {
                later.apply(table, owner);
            }
            drop(later);
            function(table)
        });
        if result.is_none() == self.is_behind.load(Relaxed) {
            return result;
        }
        self.is_behind.store(result.is_none(), Relaxed);
        if result.is_none() {
            let on_busy = self.on_busy.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(on_busy) = &*on_busy {
                on_busy();
            }
        }
        result
    }

    /// Calls this function when another process holds the lock. It must let
    /// [`catch_up`](Self::catch_up) be called until that returns true. In a new process, forgets
    /// what its parent has not done yet.
    pub(super) fn on_busy(&self, on_busy: OnBusy) {
        let mut current = self.on_busy.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(on_busy);
        *self.later() = Later::default();
        self.is_behind.store(false, Relaxed);
    }

    fn later(&self) -> MutexGuard<'_, Later> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> Option<&SharedTable> {
        self.shared.get()
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.with(|table| table.taken()).unwrap()
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
            words: vec![0; Table::words_for(capacity, 0)],
            capacity,
        }
    }

    /// The table, with room for another slot unless it is as large as it may be.
    fn with_room(&mut self) -> Table<'_> {
        let table = Table::new(&mut self.words, self.capacity);
        let (is_full, keys) = (table.is_full(), table.keys());
        let needed = Table::words_for(self.capacity, keys);
        if is_full && self.capacity < CAPACITY_MAX {
            // By little, since most of it is memory of sessions that do not exist.
            let capacity = self.capacity + self.capacity / 8;
            let mut words = vec![0; Table::words_for(capacity, keys)];
            let before = Table::new(&mut self.words, self.capacity);
            before.copy_to(&mut words, capacity);
            *self = Self { words, capacity };
        } else if self.words.len() < needed {
            self.words.reserve_exact(needed - self.words.len());
            self.words.resize(needed, 0);
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

/// The most slots in a table. Memory is used only as they are taken, at most 300 bytes
/// for each.
pub(super) const CAPACITY_MAX: usize = 1 << 20;

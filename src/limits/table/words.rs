//! The slots of a server, as words of memory: of one process, or shared by several.
//!
//! The slots are the truth: each names the process that has it, the address of the client,
//! the user who is logged in, and the [`State`] of its session. What is derived from them is
//! stored next to them for quick access: the number of slots taken, the count of each key,
//! the list of free slots, and for each group of addresses its lists of sessions. If a
//! process dies while it changes the table, all of that is computed again from the slots. A
//! process changes only its own slots, apart from one word: the state of a session that is
//! asked to leave. So a process that dies leaves at most its own slots half changed, and these
//! are taken back.
//!
//! A table of zeros is empty, and memory is used only as slots are taken.

/// A table in words that the caller has locked.
pub(in crate::limits) struct Table<'a> {
    pub(super) words: &'a mut [u64],
    pub(super) capacity: usize,
}

/// The index of a slot in the table.
pub(in crate::limits) type Index = u32;

/// Stands for an address, a group of addresses or a user. 0 stands for none.
pub(in crate::limits) type Key = u64;

/// What a slot is for, as far as it decides whether the slot may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::limits) enum State {
    /// A socket that goes with its session, or a connection that is refused.
    Bound = 0,
    /// A session without a user.
    New = 1,
    /// A session of a user, in which nothing happens.
    Idle = 2,
    /// A session of a user, in which something happens.
    Busy = 3,
    /// A session that is asked to leave.
    Leaving = 4,
}

/// When a state is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limits) enum When {
    Always,
    /// Only if the session is asked to leave: it stays.
    Leaving,
    /// Only if it is not.
    Staying,
}

/// The process that takes a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limits) struct Owner {
    /// Not 0.
    pub(in crate::limits) pid: u32,
    /// Its number among the workers.
    pub(in crate::limits) worker: u16,
}

/// The address for which a slot counts.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::limits) struct Origin {
    /// The key of the address; 0 for a slot that is no control connection.
    pub(in crate::limits) ip: Key,
    /// The key of the group of addresses, or 0.
    pub(in crate::limits) group: Key,
}

impl<'a> Table<'a> {
    /// How many words a table of `capacity` slots has.
    pub(in crate::limits) fn words(capacity: usize) -> usize {
        HEADER + capacity * (SLOT + GROUP) + (capacity + 1) * RANK + buckets_max(capacity) * BUCKET
    }

    pub(in crate::limits) fn new(words: &'a mut [u64], capacity: usize) -> Self {
        debug_assert!(Index::try_from(capacity).is_ok());
        let table = Self { words, capacity };
        debug_assert!(table.words.len() >= table.first_bucket() + table.buckets() * BUCKET);
        table
    }

    /// How many words a table of `capacity` slots has at least, with these keys. It has room for
    /// those of another slot.
    pub(in crate::limits) fn words_for(capacity: usize, keys: usize) -> usize {
        let buckets = ((keys + 3) * 2).next_power_of_two().max(BUCKETS_MIN);
        let all = Self::words(capacity);
        all - (buckets_max(capacity) - buckets.min(buckets_max(capacity))) * BUCKET
    }

    /// Copies a table to zeros that have room for more slots.
    pub(in crate::limits) fn copy_to(&self, words: &mut [u64], capacity: usize) {
        let mut to = Table { words, capacity };
        let parts = [
            (0, 0, HEADER),
            (HEADER, HEADER, self.used() * SLOT),
            (self.group(0), to.group(0), self.used() * GROUP),
            (self.rank(0), to.rank(0), (self.used() + 1) * RANK),
        ];
        for (from, at, size) in parts {
            to.words[at..at + size].copy_from_slice(&self.words[from..from + size]);
        }
        let fitting = (to.words.len() - to.first_bucket()) / BUCKET;
        to.rehash(self.buckets().min(fitting));
    }

    /// The number of slots taken.
    pub(in crate::limits) fn taken(&self) -> usize {
        to_usize(self.words[TAKEN])
    }

    pub(in crate::limits) fn is_full(&self) -> bool {
        self.taken() >= self.capacity
    }

    /// Takes a slot that is [`State::Bound`]. `None` if the table is full.
    pub(in crate::limits) fn take(
        &mut self,
        owner: Owner,
        origin: Origin,
        born: u32,
    ) -> Option<Index> {
        self.make_room();
        let index = match to_usize(self.words[FREE]) {
            0 if to_usize(self.words[FRESH]) >= self.capacity => return None,
            0 => {
                self.words[FRESH] += 1;
                to_usize(self.words[FRESH]) - 1
            }
            free => {
                let index = free - 1;
                self.words[FREE] = self.words[self.slot(index) + NEXT];
                index
            }
        };
        let slot = self.slot(index);
        self.words[slot + OWNER] = u64::from(born) << 32 | u64::from(owner.pid);
        self.words[slot + IP] = origin.ip;
        self.words[slot + USER] = 0;
        self.words[slot + GROUP_KEY] = origin.group;
        self.words[slot + STATE] = u64::from(owner.worker) << 8;
        self.words[TAKEN] += 1;
        self.raise(origin.ip);
        self.join_group(index);
        Index::try_from(index).ok()
    }

    /// Gives a slot back if the process still has it.
    pub(in crate::limits) fn give_back(&mut self, index: Index, pid: u32) {
        if self.pid(index as usize) == pid {
            self.clear(index as usize);
        }
    }

    /// Counts a slot for a user instead of the user before; `user` is 0 for none.
    /// Returns the number of slots that the user has then.
    pub(in crate::limits) fn set_user(&mut self, index: Index, user: Key) -> usize {
        self.make_room();
        let word = self.slot(index as usize) + USER;
        let before = std::mem::replace(&mut self.words[word], user);
        self.lower(before);
        self.raise(user);
        self.count(user)
    }

    /// Takes back all slots of a process that has ended. Returns their number.
    pub(in crate::limits) fn forget(&mut self, pid: u32) -> usize {
        let before = self.taken();
        for index in 0..self.used() {
            if self.pid(index) == pid {
                self.clear(index);
            }
        }
        before - self.taken()
    }

    /// Computes everything else from the slots.
    pub(in crate::limits) fn recount(&mut self) {
        let buckets = self.buckets();
        let keys = self.first_bucket()..self.first_bucket() + buckets * BUCKET;
        self.words[keys].fill(0);
        self.words[KEYS] = 0;
        self.words[TAKEN] = 0;
        self.words[FREE] = 0;
        self.clear_groups();
        let mut taken = Vec::new();
        // In reverse, so that the first free slot is the first in the list.
        for index in (0..self.used()).rev() {
            let slot = self.slot(index);
            if self.words[slot + OWNER] == 0 {
                self.words[slot + NEXT] = self.words[FREE];
                self.words[FREE] = index as u64 + 1;
            } else {
                taken.push((self.born(index), index));
            }
        }
        // The lists of sessions begin with the oldest.
        taken.sort_unstable();
        for (_, index) in taken {
            let slot = self.slot(index);
            self.words[TAKEN] += 1;
            self.raise(self.words[slot + IP]);
            self.raise(self.words[slot + USER]);
            self.join_group(index);
        }
    }

    fn clear(&mut self, index: usize) {
        self.leave_group(index);
        let slot = self.slot(index);
        let (ip, user) = (self.words[slot + IP], self.words[slot + USER]);
        self.words[slot + OWNER] = 0;
        self.words[slot + NEXT] = self.words[FREE];
        self.words[FREE] = index as u64 + 1;
        self.words[TAKEN] -= 1;
        self.lower(ip);
        self.lower(user);
    }

    /// The process that has a slot, or 0.
    pub(super) fn pid(&self, index: usize) -> u32 {
        let word = self.words[self.slot(index) + OWNER];
        u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
    }

    /// When a slot was taken.
    pub(super) fn born(&self, index: usize) -> u32 {
        let word = self.words[self.slot(index) + OWNER];
        u32::try_from(word >> 32).unwrap_or_default()
    }

    /// The number of slots that were ever taken.
    pub(super) fn used(&self) -> usize {
        to_usize(self.words[FRESH]).min(self.capacity)
    }

    // --- where things are among the words

    pub(super) fn slot(&self, index: usize) -> usize {
        debug_assert!(index < self.capacity);
        HEADER + index * SLOT
    }

    pub(super) fn group(&self, number: usize) -> usize {
        HEADER + self.capacity * SLOT + number * GROUP
    }

    pub(super) fn rank(&self, rank: usize) -> usize {
        self.group(self.capacity) + rank * RANK
    }

    pub(super) fn first_bucket(&self) -> usize {
        self.rank(self.capacity + 1)
    }
}

/// The greatest number of buckets: each slot may have three keys that no other slot has,
/// and half of the buckets stay empty.
pub(super) fn buckets_max(capacity: usize) -> usize {
    (capacity * 6).next_power_of_two().max(BUCKETS_MIN)
}

/// For a word that was a `usize` before it was stored, or is small.
pub(super) fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

// The words of the header:
/// The number of slots taken.
pub(super) const TAKEN: usize = 0;
/// The first slot that was given back, counted from 1; 0: none.
pub(super) const FREE: usize = 1;
/// The number of slots that were ever taken.
pub(super) const FRESH: usize = 2;
/// The number of buckets in use; 0 at first.
pub(super) const BUCKETS: usize = 3;
/// The number of keys in the buckets.
pub(super) const KEYS: usize = 4;
/// The first group that was given back, counted from 1; 0: none.
pub(super) const FREE_GROUP: usize = 5;
/// The number of groups that were ever in use at once.
pub(super) const FRESH_GROUP: usize = 6;
/// The greatest rank that a group has.
pub(super) const MAX_RANK: usize = 7;
/// A group that has more slots than the others, counted from 1: certainly if it has more than
/// half of all.
pub(super) const GREATEST: usize = 8;
/// The number of sessions that are asked to leave.
pub(super) const LEAVING: usize = 9;
/// The ends of the list of these.
pub(super) const LEAVING_ENDS: usize = 10;
/// The ends of the list of all sessions without a user.
pub(super) const NEW_ENDS: usize = 11;
pub(super) const HEADER: usize = 16;

// The words of a slot:
/// The process that has it in 32 bits, and when it was taken; 0: it is free.
pub(super) const OWNER: usize = 0;
/// The key of its address, or 0.
pub(super) const IP: usize = 1;
/// In a slot that was given back: the next such slot.
pub(super) const NEXT: usize = 1;
/// The key of its user, or 0.
pub(super) const USER: usize = 2;
/// The key of its group, or 0.
pub(super) const GROUP_KEY: usize = 3;
/// The state in 8 bits, the number of the worker in 16, and the group from bit 32 on, counted
/// from 1.
pub(super) const STATE: usize = 4;
/// The neighbours in the list of its state: of its group, or of the sessions that are to leave.
pub(super) const LINKS: usize = 5;
/// The neighbours in the list of all sessions without a user.
pub(super) const NEW_LINKS: usize = 6;
pub(super) const SLOT: usize = 7;

// The words of a group of addresses that has slots:
/// In a group that was given back: the next one.
pub(super) const NEXT_GROUP: usize = 0;
/// The number of its slots, that of its sessions without a user, and its rank: each has
/// [`COUNT_BITS`].
pub(super) const COUNTS: usize = 0;
pub(super) const COUNT_BITS: usize = 21;
/// The ends of the list of its sessions without a user, the oldest first.
pub(super) const GROUP_NEW_ENDS: usize = 1;
/// The ends of the list of its idle sessions, the longest idle first.
pub(super) const IDLE_ENDS: usize = 2;
/// The neighbours in the list of the groups of the same rank.
pub(super) const RANK_LINKS: usize = 3;
pub(super) const GROUP: usize = 4;

/// A rank has one word: the ends of the list of its groups.
pub(super) const RANK: usize = 1;

// The words of a bucket:
pub(super) const KEY: usize = 0;
/// The count of a key, or the number of a group, counted from 1.
pub(super) const VALUE: usize = 1;
pub(super) const BUCKET: usize = 2;
pub(super) const BUCKETS_MIN: usize = 64;

//! The slots of several processes, as words of memory that they share.
//!
//! The slots are the truth: each names the process that has it, the address of the
//! client and the user who is logged in. What is derived from them is stored next to
//! them for quick access: the number of slots taken, the count of each key, and the list
//! of free slots. If a process dies while it changes the table, all of that is computed
//! again from the slots. A process changes only its own slots, so a process that dies
//! leaves at most its own slots half changed, and these are taken back.
//!
//! A table of zeros is empty, and memory is used only as slots are taken.

/// A table in words that the caller has locked.
pub(super) struct Table<'a> {
    words: &'a mut [u64],
    capacity: usize,
}

/// The index of a slot in the table.
pub(super) type Index = u32;

/// Stands for an address or a user. 0 stands for none.
pub(super) type Key = u64;

impl<'a> Table<'a> {
    /// How many words a table of `capacity` slots has.
    pub(super) fn words(capacity: usize) -> usize {
        HEADER + capacity * SLOT + buckets_max(capacity) * BUCKET
    }

    pub(super) fn new(words: &'a mut [u64], capacity: usize) -> Self {
        debug_assert_eq!(words.len(), Self::words(capacity));
        debug_assert!(Index::try_from(capacity).is_ok());
        Self { words, capacity }
    }

    /// The number of slots taken.
    pub(super) fn taken(&self) -> usize {
        to_usize(self.words[TAKEN])
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken() >= self.capacity
    }

    /// The number of slots that have a key.
    pub(super) fn count(&self, key: Key) -> usize {
        to_usize(self.words[self.find(key) + COUNT])
    }

    /// Takes a slot for the process `owner`, which is not 0. `ip` is 0 if the slot does
    /// not count for an address. `None` if the table is full.
    pub(super) fn take(&mut self, owner: u32, ip: Key) -> Option<Index> {
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
        self.words[slot + OWNER] = owner.into();
        self.words[slot + IP] = ip;
        self.words[slot + USER] = 0;
        self.words[TAKEN] += 1;
        self.raise(ip);
        Index::try_from(index).ok()
    }

    /// Gives a slot back if `owner` still has it.
    pub(super) fn give_back(&mut self, index: Index, owner: u32) {
        let word = self.slot(index as usize) + OWNER;
        if self.words[word] == u64::from(owner) {
            self.clear(index as usize);
        }
    }

    /// Counts a slot for a user instead of the user before; `user` is 0 for none.
    /// Returns the number of slots that the user has then.
    pub(super) fn set_user(&mut self, index: Index, user: Key) -> usize {
        self.make_room();
        let word = self.slot(index as usize) + USER;
        let before = std::mem::replace(&mut self.words[word], user);
        self.lower(before);
        self.raise(user);
        self.count(user)
    }

    /// Takes back all slots of a process that has ended. Returns their number.
    pub(super) fn forget(&mut self, owner: u32) -> usize {
        let before = self.taken();
        for index in 0..self.used() {
            let word = self.slot(index) + OWNER;
            if self.words[word] == u64::from(owner) {
                self.clear(index);
            }
        }
        before - self.taken()
    }

    /// Computes everything else from the slots.
    pub(super) fn recount(&mut self) {
        let buckets = self.buckets();
        let keys = self.first_bucket()..self.first_bucket() + buckets * BUCKET;
        self.words[keys].fill(0);
        self.words[KEYS] = 0;
        self.words[TAKEN] = 0;
        self.words[FREE] = 0;
        // In reverse, so that the first free slot is the first in the list.
        for index in (0..self.used()).rev() {
            let slot = self.slot(index);
            if self.words[slot + OWNER] == 0 {
                self.words[slot + NEXT] = self.words[FREE];
                self.words[FREE] = index as u64 + 1;
            } else {
                self.words[TAKEN] += 1;
                self.raise(self.words[slot + IP]);
                self.raise(self.words[slot + USER]);
            }
        }
    }

    fn clear(&mut self, index: usize) {
        let slot = self.slot(index);
        let (ip, user) = (self.words[slot + IP], self.words[slot + USER]);
        self.words[slot + OWNER] = 0;
        self.words[slot + NEXT] = self.words[FREE];
        self.words[FREE] = index as u64 + 1;
        self.words[TAKEN] -= 1;
        self.lower(ip);
        self.lower(user);
    }

    /// The number of slots that were ever taken.
    fn used(&self) -> usize {
        to_usize(self.words[FRESH]).min(self.capacity)
    }

    /// The position of a slot among the words.
    fn slot(&self, index: usize) -> usize {
        debug_assert!(index < self.capacity);
        HEADER + index * SLOT
    }

    // --- counts by key: a hash table with linear probing, at most half full

    /// The number of buckets in use: a power of two.
    fn buckets(&self) -> usize {
        to_usize(self.words[BUCKETS]).clamp(BUCKETS_MIN, buckets_max(self.capacity))
    }

    fn first_bucket(&self) -> usize {
        HEADER + self.capacity * SLOT
    }

    /// The position of a bucket among the words; its number wraps around.
    fn bucket(&self, number: usize) -> usize {
        self.first_bucket() + (number & (self.buckets() - 1)) * BUCKET
    }

    /// The number of the bucket where the search for a key begins. Keys are random
    /// already.
    fn home(key: Key) -> usize {
        to_usize(key & u64::from(u32::MAX))
    }

    /// The position of the bucket of a key, or of the empty bucket where it belongs.
    fn find(&self, key: Key) -> usize {
        let home = Self::home(key);
        let mut bucket = self.bucket(home);
        for number in 1..self.buckets() {
            if self.words[bucket + KEY] == key || self.words[bucket + KEY] == 0 {
                break;
            }
            bucket = self.bucket(home.wrapping_add(number));
        }
        bucket
    }

    /// Doubles the number of buckets if they might get too full. Call it before a
    /// change, because it counts all keys again.
    fn make_room(&mut self) {
        let buckets = self.buckets();
        if to_usize(self.words[KEYS] + 1) * 2 > buckets && buckets < buckets_max(self.capacity) {
            self.words[BUCKETS] = buckets as u64 * 2;
            self.recount();
        }
    }

    /// Adds one to the count of a key.
    fn raise(&mut self, key: Key) {
        if key == 0 {
            return;
        }
        let bucket = self.find(key);
        if self.words[bucket + COUNT] == 0 {
            self.words[bucket + KEY] = key;
            self.words[KEYS] += 1;
        }
        self.words[bucket + COUNT] += 1;
    }

    /// Takes one from the count of a key.
    fn lower(&mut self, key: Key) {
        if key == 0 {
            return;
        }
        let bucket = self.find(key);
        self.words[bucket + COUNT] -= 1;
        if self.words[bucket + COUNT] == 0 {
            self.words[KEYS] -= 1;
            self.close_gap((bucket - self.first_bucket()) / BUCKET);
        }
    }

    /// Empties a bucket. The entries after it move up, so that no search ends early.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.buckets() - 1;
        let mut number = gap;
        for _ in 0..mask {
            number = (number + 1) & mask;
            let bucket = self.bucket(number);
            let key = self.words[bucket + KEY];
            if key == 0 {
                break;
            }
            let (from_home, from_gap) = (
                number.wrapping_sub(Self::home(key)) & mask,
                number.wrapping_sub(gap) & mask,
            );
            if from_home >= from_gap {
                self.words
                    .copy_within(bucket..bucket + BUCKET, self.bucket(gap));
                gap = number;
            }
        }
        let bucket = self.bucket(gap);
        self.words[bucket..bucket + BUCKET].fill(0);
    }
}

/// The greatest number of buckets: each slot may have two keys that no other slot has,
/// and half of the buckets stay empty.
fn buckets_max(capacity: usize) -> usize {
    (capacity * 4).next_power_of_two().max(BUCKETS_MIN)
}

/// For a word that was a `usize` before it was stored, or is small.
fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

// The words of the header:
/// The number of slots taken.
const TAKEN: usize = 0;
/// The first slot that was given back, counted from 1; 0: none.
const FREE: usize = 1;
/// The number of slots that were ever taken.
const FRESH: usize = 2;
/// The number of buckets in use; 0 at first.
const BUCKETS: usize = 3;
/// The number of keys in the buckets.
const KEYS: usize = 4;
const HEADER: usize = 8;

// The words of a slot:
/// The process that has it, or 0.
const OWNER: usize = 0;
/// The key of its address, or 0.
const IP: usize = 1;
/// The key of its user, or 0.
const USER: usize = 2;
/// In a slot that was given back: the next such slot.
const NEXT: usize = 1;
const SLOT: usize = 3;

// The words of a bucket:
const KEY: usize = 0;
const COUNT: usize = 1;
const BUCKET: usize = 2;
const BUCKETS_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: usize = 100;

    fn words() -> Vec<u64> {
        vec![0; Table::words(CAPACITY)]
    }

    #[test]
    fn a_table_of_zeros_is_empty() {
        let mut words = words();
        let table = Table::new(&mut words, CAPACITY);
        assert_eq!((table.taken(), table.count(7)), (0, 0));
        assert!(!table.is_full());
    }

    #[test]
    fn a_full_table_gives_no_slot() {
        let mut words = words();
        let mut table = Table::new(&mut words, CAPACITY);
        for number in 0..CAPACITY {
            assert_eq!(table.take(1, 0), Index::try_from(number).ok());
        }
        assert!(table.is_full());
        assert_eq!(table.take(1, 5), None);
        assert_eq!(table.count(5), 0);
        table.give_back(50, 1);
        assert_eq!(table.take(2, 5), Some(50));
        assert_eq!(table.take(2, 5), None);
    }

    #[test]
    fn a_slot_is_given_back_by_its_owner_only() {
        let mut words = words();
        let mut table = Table::new(&mut words, CAPACITY);
        let slot = table.take(1, 5).unwrap();
        table.give_back(slot, 2);
        assert_eq!((table.taken(), table.count(5)), (1, 1));
        table.give_back(slot, 1);
        table.give_back(slot, 1);
        assert_eq!((table.taken(), table.count(5)), (0, 0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(u32, Key),
        GiveBack(usize),
        SetUser(usize, Key),
        Forget(u32),
        /// A process has died and left nonsense in this word.
        Break(usize),
    }

    /// Keys with few homes, so that they collide, also at the end.
    fn key() -> impl Strategy<Value = Key> {
        (0..12_u64, 1..12_u64).prop_map(|(home, tail)| match home {
            0 => 0,
            1..6 => home | tail << 40,
            _ => u64::MAX >> 32 ^ home | tail << 40,
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (1..4_u32, key()).prop_map(|(owner, key)| Step::Take(owner, key)),
            5 => any::<usize>().prop_map(Step::GiveBack),
            5 => (any::<usize>(), key()).prop_map(|(slot, key)| Step::SetUser(slot, key)),
            1 => (1..4_u32).prop_map(Step::Forget),
            1 => any::<usize>().prop_map(Step::Break),
        ]
    }

    /// The slots by index, with the owner, address and user of each.
    type Model = HashMap<Index, (u32, Key, Key)>;

    fn apply(step: &Step, table: &mut Table<'_>, model: &mut Model) {
        let mut taken: Vec<_> = model.keys().copied().collect();
        taken.sort_unstable();
        let pick = |number: usize| taken.get(number % taken.len().max(1)).copied();
        match *step {
            Step::Take(owner, ip) => match table.take(owner, ip) {
                Some(index) => assert!(model.insert(index, (owner, ip, 0)).is_none()),
                None => assert_eq!(model.len(), CAPACITY),
            },
            Step::GiveBack(number) => {
                let Some(index) = pick(number) else { return };
                table.give_back(index, model.remove(&index).unwrap().0);
            }
            Step::SetUser(number, user) => {
                let Some(index) = pick(number) else { return };
                let count = table.set_user(index, user);
                model.get_mut(&index).unwrap().2 = user;
                assert_eq!(count, counts(model).get(&user).copied().unwrap_or(0));
            }
            Step::Forget(owner) => {
                let before = model.len();
                model.retain(|_, slot| slot.0 != owner);
                assert_eq!(table.forget(owner), before - model.len());
            }
            Step::Break(number) => {
                let word = match number % 4 {
                    0 => TAKEN,
                    1 => FREE,
                    2 => KEYS,
                    _ => table.first_bucket() + number % (table.buckets() * BUCKET),
                };
                table.words[word] = number as u64;
                table.recount();
            }
        }
    }

    fn counts(model: &Model) -> HashMap<Key, usize> {
        let mut counts = HashMap::new();
        for (_, ip, user) in model.values() {
            for key in [ip, user] {
                if *key != 0 {
                    *counts.entry(*key).or_default() += 1;
                }
            }
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn does_as_a_list_of_slots(steps in vec(step(), 0..600)) {
            let mut words = words();
            let mut table = Table::new(&mut words, CAPACITY);
            let mut model = Model::new();
            for (number, step) in steps.iter().enumerate() {
                apply(step, &mut table, &mut model);
                prop_assert_eq!(table.taken(), model.len());
                if number % 16 > 0 {
                    continue;
                }
                let counts = counts(&model);
                for (key, count) in &counts {
                    prop_assert_eq!(table.count(*key), *count);
                }
                prop_assert_eq!(table.words[KEYS], counts.len() as u64);
            }
            for owner in 1..4 {
                table.forget(owner);
            }
            prop_assert_eq!(table.taken(), 0);
            prop_assert!(table.words[table.first_bucket()..].iter().all(|word| *word == 0));
        }
    }
}

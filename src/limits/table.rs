//! The seats of several processes, as words of memory that they share.
//!
//! The seats are the truth: who has each, from which address, logged in as whom.
//! What is counted of them - all, by key, which are free - stands beside them, to
//! be had at once; after the death of whoever was changing it, all of that is
//! made anew from the seats. A process changes only its own seats, so that one
//! which dies leaves none half changed but its own, and these are taken back.
//!
//! Zeros are an empty table, and memory is taken only as seats are.

/// A table in words that nobody else uses meanwhile.
pub(super) struct Table<'a> {
    words: &'a mut [u64],
    capacity: usize,
}

/// A seat, by its place in the table.
pub(super) type Index = u32;

/// What addresses and users are counted by: not 0.
pub(super) type Key = u64;

impl<'a> Table<'a> {
    /// How many words a table of `capacity` seats has.
    pub(super) fn words(capacity: usize) -> usize {
        HEADER + capacity * SEAT + slots_max(capacity) * SLOT
    }

    pub(super) fn new(words: &'a mut [u64], capacity: usize) -> Self {
        debug_assert_eq!(words.len(), Self::words(capacity));
        debug_assert!(Index::try_from(capacity).is_ok());
        Self { words, capacity }
    }

    /// Seats that are taken.
    pub(super) fn taken(&self) -> usize {
        to_usize(self.words[TAKEN])
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken() >= self.capacity
    }

    /// How often a key stands in the seats.
    pub(super) fn count(&self, key: Key) -> usize {
        to_usize(self.words[self.find(key) + COUNT])
    }

    /// Takes a seat for `owner`, which is not 0; `ip` is 0 if it does not count.
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
                self.words[FREE] = self.words[self.seat(index) + NEXT];
                index
            }
        };
        let seat = self.seat(index);
        self.words[seat + OWNER] = owner.into();
        self.words[seat + IP] = ip;
        self.words[seat + USER] = 0;
        self.words[TAKEN] += 1;
        self.raise(ip);
        Index::try_from(index).ok()
    }

    /// Gives a seat back, if it is still that of `owner`.
    pub(super) fn give_back(&mut self, index: Index, owner: u32) {
        let place = self.seat(index as usize) + OWNER;
        if self.words[place] == u64::from(owner) {
            self.clear(index as usize);
        }
    }

    /// Counts a seat for a user, and no more for another one; `user` is 0 for
    /// nobody. Returns how many seats the user has then.
    pub(super) fn set_user(&mut self, index: Index, user: Key) -> usize {
        self.make_room();
        let place = self.seat(index as usize) + USER;
        let before = std::mem::replace(&mut self.words[place], user);
        self.lower(before);
        self.raise(user);
        self.count(user)
    }

    /// Takes back all seats of a process that has ended. Returns how many.
    pub(super) fn forget(&mut self, owner: u32) -> usize {
        let before = self.taken();
        for index in 0..self.used() {
            let place = self.seat(index) + OWNER;
            if self.words[place] == u64::from(owner) {
                self.clear(index);
            }
        }
        before - self.taken()
    }

    /// Counts the seats anew.
    pub(super) fn recount(&mut self) {
        let slots = self.slots();
        let keys = self.first_slot()..self.first_slot() + slots * SLOT;
        self.words[keys].fill(0);
        self.words[KEYS] = 0;
        self.words[TAKEN] = 0;
        self.words[FREE] = 0;
        // The first ones are to be used first, as it was.
        for index in (0..self.used()).rev() {
            let seat = self.seat(index);
            if self.words[seat + OWNER] == 0 {
                self.words[seat + NEXT] = self.words[FREE];
                self.words[FREE] = index as u64 + 1;
            } else {
                self.words[TAKEN] += 1;
                self.raise(self.words[seat + IP]);
                self.raise(self.words[seat + USER]);
            }
        }
    }

    fn clear(&mut self, index: usize) {
        let seat = self.seat(index);
        let (ip, user) = (self.words[seat + IP], self.words[seat + USER]);
        self.words[seat + OWNER] = 0;
        self.words[seat + NEXT] = self.words[FREE];
        self.words[FREE] = index as u64 + 1;
        self.words[TAKEN] -= 1;
        self.lower(ip);
        self.lower(user);
    }

    /// Seats that were ever taken.
    fn used(&self) -> usize {
        to_usize(self.words[FRESH]).min(self.capacity)
    }

    fn seat(&self, index: usize) -> usize {
        debug_assert!(index < self.capacity);
        HEADER + index * SEAT
    }

    // --- counts by key: open addressing, at most half full

    /// Slots in use: a power of two.
    fn slots(&self) -> usize {
        to_usize(self.words[SLOTS]).clamp(SLOTS_MIN, slots_max(self.capacity))
    }

    fn first_slot(&self) -> usize {
        HEADER + self.capacity * SEAT
    }

    /// The place of a slot, counted around.
    fn slot(&self, number: usize) -> usize {
        self.first_slot() + (number & (self.slots() - 1)) * SLOT
    }

    /// The slot where the search for a key begins; keys are random.
    fn home(key: Key) -> usize {
        to_usize(key & u64::from(u32::MAX))
    }

    /// The place of a key's slot, or of the empty one where it belongs.
    fn find(&self, key: Key) -> usize {
        let home = Self::home(key);
        let mut place = self.slot(home);
        for number in 1..self.slots() {
            if self.words[place + KEY] == key || self.words[place + KEY] == 0 {
                break;
            }
            place = self.slot(home.wrapping_add(number));
        }
        place
    }

    /// Doubles the slots if they might get too full. Before anything is changed:
    /// the keys are counted anew.
    fn make_room(&mut self) {
        let slots = self.slots();
        if to_usize(self.words[KEYS] + 1) * 2 > slots && slots < slots_max(self.capacity) {
            self.words[SLOTS] = slots as u64 * 2;
            self.recount();
        }
    }

    fn raise(&mut self, key: Key) {
        if key == 0 {
            return;
        }
        let place = self.find(key);
        if self.words[place + COUNT] == 0 {
            self.words[place + KEY] = key;
            self.words[KEYS] += 1;
        }
        self.words[place + COUNT] += 1;
    }

    fn lower(&mut self, key: Key) {
        if key == 0 {
            return;
        }
        let place = self.find(key);
        self.words[place + COUNT] -= 1;
        if self.words[place + COUNT] == 0 {
            self.words[KEYS] -= 1;
            self.close_gap((place - self.first_slot()) / SLOT);
        }
    }

    /// Empties a slot: those behind it move up, so that no search ends early.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.slots() - 1;
        let mut number = gap;
        for _ in 0..mask {
            number = (number + 1) & mask;
            let place = self.slot(number);
            let key = self.words[place + KEY];
            if key == 0 {
                break;
            }
            let (from_home, from_gap) = (
                number.wrapping_sub(Self::home(key)) & mask,
                number.wrapping_sub(gap) & mask,
            );
            if from_home >= from_gap {
                self.words.copy_within(place..place + SLOT, self.slot(gap));
                gap = number;
            }
        }
        let place = self.slot(gap);
        self.words[place..place + SLOT].fill(0);
    }
}

/// Each seat may have two keys of its own, and half of the slots stay empty.
fn slots_max(capacity: usize) -> usize {
    (capacity * 4).next_power_of_two().max(SLOTS_MIN)
}

/// What was a `usize` before it was stored, or is small.
fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

// The words of the header,
/// seats that are taken,
const TAKEN: usize = 0;
/// the first seat that was given back, from 1; 0: none,
const FREE: usize = 1;
/// seats that were ever taken,
const FRESH: usize = 2;
/// slots in use, 0 at first,
const SLOTS: usize = 3;
/// keys in them.
const KEYS: usize = 4;
const HEADER: usize = 8;

// The words of a seat:
/// the process that has it, or 0,
const OWNER: usize = 0;
/// the key of its address, or 0,
const IP: usize = 1;
/// the key of its user, or 0.
const USER: usize = 2;
/// Of one that was given back: the next of these.
const NEXT: usize = 1;
const SEAT: usize = 3;

// The words of a slot.
const KEY: usize = 0;
const COUNT: usize = 1;
const SLOT: usize = 2;
const SLOTS_MIN: usize = 64;

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
    fn a_full_table_gives_no_seat() {
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
    fn a_seat_is_given_back_by_its_owner_only() {
        let mut words = words();
        let mut table = Table::new(&mut words, CAPACITY);
        let seat = table.take(1, 5).unwrap();
        table.give_back(seat, 2);
        assert_eq!((table.taken(), table.count(5)), (1, 1));
        table.give_back(seat, 1);
        table.give_back(seat, 1);
        assert_eq!((table.taken(), table.count(5)), (0, 0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(u32, Key),
        GiveBack(usize),
        SetUser(usize, Key),
        Forget(u32),
        /// Somebody has died: this word was left with nonsense.
        Break(usize),
    }

    /// Few homes, so that keys get in each other's way, at the end too.
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
            5 => (any::<usize>(), key()).prop_map(|(seat, key)| Step::SetUser(seat, key)),
            1 => (1..4_u32).prop_map(Step::Forget),
            1 => any::<usize>().prop_map(Step::Break),
        ]
    }

    /// The seats as a list: owner, address and user of each.
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
                model.retain(|_, seat| seat.0 != owner);
                assert_eq!(table.forget(owner), before - model.len());
            }
            Step::Break(number) => {
                let place = match number % 4 {
                    0 => TAKEN,
                    1 => FREE,
                    2 => KEYS,
                    _ => table.first_slot() + number % (table.slots() * SLOT),
                };
                table.words[place] = number as u64;
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
        fn does_as_a_list_of_seats(steps in vec(step(), 0..600)) {
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
            prop_assert!(table.words[table.first_slot()..].iter().all(|word| *word == 0));
        }
    }
}

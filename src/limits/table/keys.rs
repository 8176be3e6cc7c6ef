//! What a table knows by key: a hash table with linear probing, at most half full.

use super::words::{
    BUCKET, BUCKETS, BUCKETS_MIN, GROUP_KEY, IP, KEY, KEYS, Key, OWNER, STATE, Table, USER, VALUE,
    buckets_max, to_usize,
};

impl Table<'_> {
    /// The number of slots that have a key.
    pub(in crate::limits) fn count(&self, key: Key) -> usize {
        to_usize(self.value(key))
    }

    /// The number of keys.
    pub(in crate::limits) fn keys(&self) -> usize {
        to_usize(self.words[KEYS])
    }

    /// What is stored for a key, or 0.
    pub(super) fn value(&self, key: Key) -> u64 {
        self.words[self.find(key) + VALUE]
    }

    /// Adds one to the count of a key.
    pub(super) fn raise(&mut self, key: Key) {
        self.change(key, 1);
    }

    /// Takes one from the count of a key.
    pub(super) fn lower(&mut self, key: Key) {
        self.change(key, -1);
    }

    fn change(&mut self, key: Key, by: i64) {
        if key != 0 {
            let value = self.value(key).wrapping_add_signed(by);
            self.set_value(key, value);
        }
    }

    /// Stores a value for a key; 0 removes it.
    pub(super) fn set_value(&mut self, key: Key, value: u64) {
        let bucket = self.find(key);
        let before = std::mem::replace(&mut self.words[bucket + VALUE], value);
        match (before, value) {
            (0, 0) => {}
            (0, _) => {
                self.words[bucket + KEY] = key;
                self.words[KEYS] += 1;
            }
            (_, 0) => {
                self.words[KEYS] -= 1;
                self.close_gap((bucket - self.first_bucket()) / BUCKET);
            }
            _ => {}
        }
    }

    /// The number of buckets in use: a power of two.
    pub(super) fn buckets(&self) -> usize {
        to_usize(self.words[BUCKETS]).clamp(BUCKETS_MIN, buckets_max(self.capacity))
    }

    /// Doubles the number of buckets if they might get too full. Call it before a
    /// change, because it enters all keys again.
    pub(super) fn make_room(&mut self) {
        let buckets = self.buckets();
        // A slot may bring three new keys.
        let has_room = self.words.len() >= self.first_bucket() + buckets * 2 * BUCKET;
        if to_usize(self.words[KEYS] + 3) * 2 > buckets && has_room {
            self.rehash(buckets * 2);
        }
    }

    /// Enters all keys again, in so many buckets.
    pub(super) fn rehash(&mut self, buckets: usize) {
        let first = self.first_bucket();
        self.words[first..first + buckets * BUCKET].fill(0);
        self.words[BUCKETS] = buckets as u64;
        self.words[KEYS] = 0;
        for index in 0..self.used() {
            let slot = self.slot(index);
            if self.words[slot + OWNER] != 0 {
                self.raise(self.words[slot + IP]);
                self.raise(self.words[slot + USER]);
                let group = self.words[slot + STATE] >> 32;
                if group != 0 {
                    self.set_value(self.words[slot + GROUP_KEY], group);
                }
            }
        }
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

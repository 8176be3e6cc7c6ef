//! The table of addresses, in words of memory that processes share.
//!
//! The hash of an address decides in which few entries it may be, so that looking for it takes the
//! same time however many there are.

use super::entry::{BANNED, ENTRY, Entry, KEY, SEEN};

/// The table, locked.
pub(super) struct Table<'a>(pub(super) &'a mut [u64]);

impl Table<'_> {
    /// The entry of an address.
    pub(super) fn find(&mut self, key: u64) -> Option<Entry<'_>> {
        let mut entries = self.entries(key);
        entries.find(|entry| entry[KEY] == key).map(Entry)
    }

    /// The entry of an address, or a new one, for which the oldest is forgotten.
    pub(super) fn find_or_add(&mut self, key: u64, now: u64) -> Entry<'_> {
        let rank = |entry: &[u64; ENTRY]| match entry[KEY] {
            own if own == key => (0, 0),
            0 => (1, 0),
            _ if entry[BANNED] <= now => (2, entry[SEEN]),
            _ => (3, entry[SEEN]),
        };
        let best = self.entries(key).min_by_key(|entry| rank(entry));
        let entry = best.expect("there are some entries for each key");
        if entry[KEY] != key {
            *entry = [0; ENTRY];
            (entry[KEY], entry[SEEN]) = (key, now);
        }
        Entry(entry)
    }

    /// The entries in which an address may be.
    fn entries(&mut self, key: u64) -> impl Iterator<Item = &mut [u64; ENTRY]> {
        let sets = (self.0.len() / (ENTRY * WAYS)).max(1) as u64;
        let set = usize::try_from(key % sets).unwrap_or_default();
        let words = self.0.chunks_mut(ENTRY * WAYS).nth(set).unwrap_or_default();
        let (entries, _) = words.as_chunks_mut();
        entries.iter_mut()
    }
}

/// In how many entries an address may be.
const WAYS: usize = 16;

/// The words of a table for many addresses: 2 MiB, of which only what is used takes memory.
pub(super) const WORDS: usize = ENTRY * WAYS * 1024;

/// The same for a server in memory.
pub(super) const OWN_WORDS: usize = ENTRY * WAYS * 4;

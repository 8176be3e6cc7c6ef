//! The registry of TLS sessions as words of memory that processes share.
//!
//! A table of zeros is empty, and memory is used only as sessions begin. An ended session
//! stays in a queue until its entry is needed, at first for [`KEPT`] seconds. Entries of
//! sessions that nobody has logged in to are used again at once. If the table is full, new
//! sessions have no entry: their tickets are good for their own data connections only.

use super::ids::{Owner, Secret, Secrets, SessionId, Standing};

/// A table in words that the caller has locked, at a time in seconds.
pub(super) struct Table<'a> {
    words: &'a mut [u64],
    now: u64,
}

impl<'a> Table<'a> {
    pub(super) fn new(words: &'a mut [u64], now: u64) -> Self {
        debug_assert_eq!(words.len(), WORDS);
        Self { words, now }
    }

    /// Forgets everything, since a change may be half done. No number is used again.
    pub(super) fn reset(&mut self) {
        let numbers = self.words[NUMBERS].wrapping_add(1 << 32);
        let epochs = self.words[EPOCH].wrapping_add(1 << 32);
        let used = HEADER + self.used() * ENTRY;
        let used_slots = FIRST_NAMED + self.used_slots() * NAMED_SIZE;
        self.words[..used].fill(0);
        self.words[FIRST_NAMED..used_slots].fill(0);
        self.words[NUMBERS] = numbers;
        self.words[EPOCH] = epochs;
    }

    // --- sessions

    /// A session of the process `pid` begins.
    pub(super) fn begin(&mut self, pid: u32) -> SessionId {
        self.words[NUMBERS] += 1;
        let number = self.words[NUMBERS];
        let Some(index) = self.free_entry() else {
            return SessionId {
                number,
                entry: NO_ENTRY,
            };
        };
        let entry = entry(index);
        self.words[entry..entry + ENTRY].fill(0);
        self.words[entry + PID] = pid.into();
        self.words[entry + NUMBER] = number;
        let entry = u32::try_from(index).unwrap_or(NO_ENTRY);
        SessionId { number, entry }
    }

    pub(super) fn set_owner(&mut self, id: SessionId, owner: Owner) {
        if let Some(entry) = self.find(id) {
            self.words[entry + OWNER..entry + OWNER + 2].copy_from_slice(&owner.0);
        }
    }

    pub(super) fn standing(&self, id: SessionId, owner: Owner) -> Standing {
        let entry = self.find(id).filter(|entry| !self.is_over(*entry));
        match entry.map(|entry| self.owner(entry)) {
            Some(found) if found == owner && owner.is_known() => Standing::Kin,
            Some(Owner::NOBODY) if owner.is_known() => Standing::Open,
            Some(found) if found.is_known() || owner.is_known() => Standing::Another,
            _ => Standing::Foreign,
        }
    }

    /// Whether a session has ended too long ago.
    fn is_over(&self, entry: usize) -> bool {
        let ended = self.words[entry + ENDED];
        ended != 0 && self.now >= ended - 1 + KEPT
    }

    pub(super) fn end(&mut self, id: SessionId) {
        if let Some(entry) = self.find(id)
            && self.words[entry + ENDED] == 0
        {
            self.end_entry(id.entry as usize);
        }
    }

    /// Ends all sessions of a process.
    pub(super) fn end_all(&mut self, pid: u32) {
        for index in 0..self.used() {
            let entry = entry(index);
            let is_alive = self.words[entry + NUMBER] != 0 && self.words[entry + ENDED] == 0;
            if is_alive && self.words[entry + PID] == u64::from(pid) {
                self.end_entry(index);
            }
        }
    }

    fn end_entry(&mut self, index: usize) {
        let entry = entry(index);
        let link = index as u64 + 1;
        self.words[entry + ENDED] = self.now + 1;
        if self.owner(entry) == Owner::NOBODY {
            self.words[entry + NUMBER] = 0;
            self.words[entry + NEXT] = self.words[HEAD];
            self.words[HEAD] = link;
            if self.words[TAIL] == 0 {
                self.words[TAIL] = link;
            }
            return;
        }
        self.words[entry + NEXT] = 0;
        match std::mem::replace(&mut self.words[TAIL], link) {
            0 => self.words[HEAD] = link,
            tail => self.words[self::entry(to_usize(tail) - 1) + NEXT] = link,
        }
    }

    /// Takes an entry out of the queue, or a new one.
    fn free_entry(&mut self) -> Option<usize> {
        let head = to_usize(self.words[HEAD]).checked_sub(1);
        let is_free = head.is_some_and(|head| {
            let entry = entry(head);
            self.words[entry + NUMBER] == 0 || self.is_over(entry)
        });
        if !is_free && self.used() < SESSIONS {
            self.words[USED] += 1;
            return Some(self.used() - 1);
        }
        let head = head?;
        self.words[HEAD] = self.words[entry(head) + NEXT];
        if self.words[HEAD] == 0 {
            self.words[TAIL] = 0;
        }
        Some(head)
    }

    /// The position of the entry of a session, unless another session has it now.
    fn find(&self, id: SessionId) -> Option<usize> {
        let index = id.entry as usize;
        let entry = (index < self.used()).then(|| entry(index))?;
        (id.number != 0 && self.words[entry + NUMBER] == id.number).then_some(entry)
    }

    fn owner(&self, entry: usize) -> Owner {
        Owner([self.words[entry + OWNER], self.words[entry + OWNER + 1]])
    }

    /// The number of entries that were ever used.
    fn used(&self) -> usize {
        to_usize(self.words[USED]).min(SESSIONS)
    }

    // --- secrets of tickets

    /// The secrets. A secret seals for [`ROTATION`] seconds and opens for as long again; then
    /// it is erased at the next call.
    pub(super) fn secrets(&mut self, random: fn() -> Option<Secret>) -> Option<Secrets> {
        let age = match self.words[BORN] {
            0 => u64::MAX,
            born => self.now.saturating_sub(born - 1),
        };
        if age >= ROTATION {
            let new = random()?;
            let before = self.secret(CURRENT);
            let is_good = age < 2 * ROTATION;
            self.set_secret(PREVIOUS, if is_good { before } else { [0; 32] });
            self.words[HAS_PREVIOUS] = is_good.into();
            self.set_secret(CURRENT, new);
            self.words[BORN] = self.now + 1;
            self.words[EPOCH] += 1;
            self.forget_named();
        }
        Some(Secrets {
            epoch: self.words[EPOCH],
            current: self.secret(CURRENT),
            previous: (self.words[HAS_PREVIOUS] != 0).then(|| self.secret(PREVIOUS)),
        })
    }

    fn secret(&self, at: usize) -> Secret {
        let mut secret = [0; 32];
        for (bytes, word) in secret.chunks_exact_mut(8).zip(&self.words[at..]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        secret
    }

    fn set_secret(&mut self, at: usize, secret: Secret) {
        write_bytes(&mut self.words[at..at + 4], &secret);
    }

    // --- sessions with a name: a ring, in which the newest replaces the oldest

    pub(super) fn keep_named(&mut self, id: SessionId, name: &[u8], value: &[u8]) {
        if self.find(id).is_none() || name.len() != 32 || value.len() > VALUE_MAX {
            return;
        }
        let slot = to_usize(self.words[NAMED_NEXT]) % NAMED;
        self.words[NAMED_NEXT] += 1;
        let words = &mut self.words[FIRST_NAMED + slot * NAMED_SIZE..][..NAMED_SIZE];
        words.fill(0);
        words[1] = id.entry.into();
        words[2] = value.len() as u64;
        write_bytes(&mut words[3..7], name);
        write_bytes(&mut words[7..], value);
        words[0] = id.number;
    }

    /// The number of slots that were ever used. The others must not be read, since the system
    /// would give memory to them.
    fn used_slots(&self) -> usize {
        to_usize(self.words[NAMED_NEXT]).min(NAMED)
    }

    /// Erases the secrets of sessions that have ended long ago.
    fn forget_named(&mut self) {
        for slot in 0..self.used_slots() {
            let at = FIRST_NAMED + slot * NAMED_SIZE;
            let id = SessionId {
                number: self.words[at],
                entry: u32::try_from(self.words[at + 1]).unwrap_or(NO_ENTRY),
            };
            let entry = self.find(id);
            if id.number != 0 && entry.is_none_or(|entry| self.is_over(entry)) {
                self.words[at..at + NAMED_SIZE].fill(0);
            }
        }
    }

    pub(super) fn find_named(&self, name: &[u8]) -> Option<(SessionId, Vec<u8>)> {
        let mut wanted = [0; 4];
        if name.len() != 32 {
            return None;
        }
        write_bytes(&mut wanted, name);
        let used = FIRST_NAMED..FIRST_NAMED + self.used_slots() * NAMED_SIZE;
        let mut slots = self.words[used].chunks_exact(NAMED_SIZE);
        let words = slots.find(|words| words[0] != 0 && words[3..7] == wanted)?;
        let id = SessionId {
            number: words[0],
            entry: u32::try_from(words[1]).unwrap_or(NO_ENTRY),
        };
        let bytes = words[7..].iter().flat_map(|word| word.to_le_bytes());
        Some((id, bytes.take(to_usize(words[2])).collect()))
    }
}

/// The position of an entry among the words.
fn entry(index: usize) -> usize {
    HEADER + index * ENTRY
}

/// Writes bytes to words, which have room for them.
fn write_bytes(words: &mut [u64], bytes: &[u8]) {
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}

/// For a word that was a `usize` before it was stored, or is small.
fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// How long an ended session keeps its owner, in seconds.
const KEPT: u64 = 600;

/// How long a secret seals tickets, in seconds.
const ROTATION: u64 = 3600;

/// The most sessions in the table, in all processes.
pub(super) const SESSIONS: usize = 1 << 16;

/// The entry of a session that has none.
pub(super) const NO_ENTRY: u32 = u32::MAX;

/// The most sessions that are found by their names.
const NAMED: usize = 512;

/// The longest value of a session with a name, in bytes.
const VALUE_MAX: usize = 256;

// The words of the header:
/// The number of the last session.
const NUMBERS: usize = 0;
/// The number of entries that were ever used.
const USED: usize = 1;
/// The first and the last entry of the queue, counted from 1; 0: none.
const HEAD: usize = 2;
const TAIL: usize = 3;
/// When the current secret was made, plus 1; 0: never.
const BORN: usize = 4;
/// The number of the current secret.
const EPOCH: usize = 5;
const CURRENT: usize = 6;
const PREVIOUS: usize = 10;
const HAS_PREVIOUS: usize = 14;
/// The slot of the ring that is written next.
const NAMED_NEXT: usize = 15;
const HEADER: usize = 16;

// The words of an entry:
/// The number of its session; 0: none.
const NUMBER: usize = 0;
/// Two words.
const OWNER: usize = 1;
/// The process of the session.
const PID: usize = 3;
/// When the session ended, plus 1; 0: it has not.
const ENDED: usize = 4;
/// The next entry in the queue.
const NEXT: usize = 5;
const ENTRY: usize = 6;

// The slots of the ring: number, entry, length of the value, name, value.
const FIRST_NAMED: usize = HEADER + SESSIONS * ENTRY;
const NAMED_SIZE: usize = 7 + VALUE_MAX / 8;

/// The size of a table in words: 3.2 MiB of addresses, most of which are never used.
pub(super) const WORDS: usize = FIRST_NAMED + NAMED * NAMED_SIZE;

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Owner = Owner([1, 2]);
    const BOB: Owner = Owner([1, 3]);

    impl Table<'_> {
        fn is_of(&self, id: SessionId, owner: Owner) -> bool {
            self.standing(id, owner) == Standing::Kin
        }
    }

    fn words() -> Vec<u64> {
        vec![0; WORDS]
    }

    #[test]
    fn a_session_belongs_to_the_user_who_is_logged_in() {
        let mut words = words();
        let mut table = Table::new(&mut words, 0);
        let (one, other) = (table.begin(7), table.begin(7));
        assert!(!table.is_of(one, Owner::NOBODY));
        table.set_owner(one, ALICE);
        assert!(table.is_of(one, ALICE) && !table.is_of(one, BOB));
        assert!(!table.is_of(other, ALICE));
        table.set_owner(one, BOB);
        assert!(!table.is_of(one, ALICE) && table.is_of(one, BOB));
        table.set_owner(one, Owner::ANYBODY);
        assert_eq!(table.standing(one, BOB), Standing::Another);
        table.set_owner(one, Owner::NOBODY);
        assert_eq!(table.standing(one, BOB), Standing::Open);
        for owner in [Owner::NOBODY, Owner::ANYBODY] {
            table.set_owner(one, owner);
            assert_eq!(table.standing(one, owner), Standing::Foreign);
        }
        table.set_owner(one, Owner::NOBODY);
        table.end(one);
        assert_eq!(table.standing(one, BOB), Standing::Foreign);
    }

    #[test]
    fn an_ended_session_is_known_for_ten_minutes() {
        let mut words = words();
        let id = Table::new(&mut words, 50).begin(7);
        Table::new(&mut words, 50).set_owner(id, ALICE);
        Table::new(&mut words, 100).end(id);
        // A second end changes nothing.
        Table::new(&mut words, 400).end(id);
        assert!(Table::new(&mut words, 699).is_of(id, ALICE));
        assert!(!Table::new(&mut words, 700).is_of(id, ALICE));
        // Its entry is used again only then.
        assert_ne!(Table::new(&mut words, 699).begin(7).entry, id.entry);
        let next = Table::new(&mut words, 700).begin(7);
        assert_eq!(next.entry, id.entry);
        assert!(next.number != id.number && !Table::new(&mut words, 700).is_of(id, ALICE));
    }

    #[test]
    fn sessions_without_a_login_leave_at_once() {
        let mut words = words();
        let mut table = Table::new(&mut words, 0);
        let first = table.begin(7);
        table.end(first);
        for _ in 0..10 {
            let id = table.begin(7);
            assert_eq!(id.entry, first.entry);
            table.end(id);
        }
        assert_eq!(table.used(), 1);
    }

    #[test]
    fn a_full_table_forgets_the_oldest_ended_session() {
        let mut words = words();
        let mut table = Table::new(&mut words, 0);
        let ids: Vec<_> = (0..SESSIONS).map(|_| table.begin(7)).collect();
        let without = table.begin(7);
        assert_eq!(without.entry, NO_ENTRY);
        table.set_owner(without, ALICE);
        assert!(!table.is_of(without, ALICE));
        for id in &ids[..3] {
            table.set_owner(*id, ALICE);
            table.end(*id);
        }
        let new = table.begin(7);
        assert_eq!(new.entry, ids[0].entry);
        assert!(!table.is_of(ids[0], ALICE) && table.is_of(ids[1], ALICE));
        table.set_owner(new, BOB);
        assert!(table.is_of(new, BOB));
    }

    #[test]
    fn a_process_that_ends_takes_its_sessions_along() {
        let mut words = words();
        let mut table = Table::new(&mut words, 0);
        let (one, other) = (table.begin(7), table.begin(8));
        table.set_owner(one, ALICE);
        table.set_owner(other, ALICE);
        table.end_all(7);
        let mut later = Table::new(&mut words, 600);
        assert!(!later.is_of(one, ALICE) && later.is_of(other, ALICE));
        later.reset();
        assert!(!later.is_of(other, ALICE));
        assert!(later.begin(7).number > other.number);
    }

    fn made() -> Option<Secret> {
        crate::tls::provider::random()
    }

    #[test]
    fn secrets_rotate_every_hour_and_the_previous_one_still_opens() {
        let mut words = words();
        let mut at = |now| Table::new(&mut words, now).secrets(made).unwrap();
        let first = at(10);
        assert!(first.previous.is_none());
        assert_eq!(at(3609).current, first.current);
        let second = at(3610);
        assert_ne!(second.current, first.current);
        assert_eq!(second.previous, Some(first.current));
        let third = at(7210);
        assert_eq!(third.previous, Some(second.current));
        // After a long rest the last one is too old.
        let late = at(7210 + 7200);
        assert!(late.previous.is_none() && late.current != third.current);
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for old in [first, second, third] {
            assert!(!bytes.windows(32).any(|window| window == old.current));
        }
    }

    #[test]
    fn named_sessions_are_found_until_others_replace_them() {
        let mut words = words();
        let mut table = Table::new(&mut words, 0);
        let id = table.begin(7);
        table.keep_named(id, &[7; 32], b"the value");
        assert_eq!(
            table.find_named(&[7; 32]),
            Some((id, b"the value".to_vec()))
        );
        assert_eq!(table.find_named(&[8; 32]), None);
        assert_eq!(table.find_named(b""), None);
        table.keep_named(id, &[9; 32], &[0; VALUE_MAX + 1]);
        assert_eq!(table.find_named(&[9; 32]), None);
        table.keep_named(id, &[9; 32], &[1; VALUE_MAX]);
        assert_eq!(table.find_named(&[9; 32]), Some((id, vec![1; VALUE_MAX])));
        for _ in 0..NAMED {
            table.keep_named(id, &[1; 32], b"");
        }
        assert_eq!(table.find_named(&[7; 32]), None);
    }

    #[test]
    fn secrets_of_named_sessions_are_erased() {
        let mut words = words();
        let mut table = Table::new(&mut words, 0);
        let (alive, ended) = (table.begin(7), table.begin(7));
        table.set_owner(ended, ALICE);
        table.keep_named(alive, &[1; 32], b"alive");
        table.keep_named(ended, &[2; 32], b"ended");
        table.end(ended);
        let mut later = Table::new(&mut words, 600);
        later.secrets(made).unwrap();
        assert!(later.find_named(&[1; 32]).is_some());
        assert!(later.find_named(&[2; 32]).is_none());
        assert!(!later.words.contains(&u64::from_le_bytes([2; 8])));
    }
}

//! The uploads in progress, in all processes that serve together: which file each is to, whose
//! it is, and when its client has last sent something.
//!
//! Where the file system has locks, these decide whether an upload may begin, and the entries
//! here only say whether an upload may be ended for the sake of its own user. Where it has none,
//! the entries decide.

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ioloop::clock::Clock;
use crate::random::{Keys, Random};
use crate::sys::{self, Words};
use crate::time::after;

/// The uploads in progress.
pub(crate) struct Uploads {
    words: Words,
    /// Makes keys that a client cannot predict.
    keys: Keys,
    /// From when times are counted. Forked processes have the same clock.
    start: Instant,
    numbers: AtomicU64,
    /// The entries, by index and number, that ended while another process held the lock.
    gone: Mutex<Vec<(usize, u64)>>,
}

/// Stands for a file, or for a user at an address. 0 stands for none.
pub(crate) type Key = u64;

impl Uploads {
    pub(crate) fn new() -> Self {
        Self {
            words: Words::shared(ENTRIES * ENTRY),
            keys: Random::default().keys(),
            start: Clock::SYSTEM.now(),
            numbers: AtomicU64::new(0),
            gone: Mutex::default(),
        }
    }

    /// The uploads of a server that is one process for certain, and whose clock begins at `start`.
    pub(crate) fn of_one_process(random: &Random, start: Instant) -> Self {
        Self {
            words: Words::own(OWN_ENTRIES * ENTRY),
            keys: random.keys(),
            start,
            numbers: AtomicU64::new(0),
            gone: Mutex::default(),
        }
    }

    /// The key of something that names a file: its device and number, or its path.
    pub(crate) fn key_of_file(&self, name: impl Hash) -> Key {
        self.keys.hash_one(name).max(1)
    }

    /// The key of a user at an address.
    pub(crate) fn key_of_owner(&self, user: &str, ip: IpAddr) -> Key {
        self.keys.hash_one((user, ip)).max(1)
    }

    /// Whether an upload to the file is in progress.
    pub(crate) fn has(&self, file: Key) -> bool {
        self.with(|table| table.find(file).is_some())
            .unwrap_or(false)
    }

    /// How many uploads are in progress, as far as they have entries.
    pub(crate) fn count(&self) -> usize {
        self.with(|table| {
            let entries = table.0.chunks_exact(ENTRY);
            entries.filter(|entry| entry[FILE] != 0).count()
        })
        .unwrap_or(ENTRIES)
    }

    /// Enters an upload. If `is_locked`, the file is locked, and an entry of it is one of a
    /// process that has died, unless its claim was [kept](Claim::keep), and an upload that finds no
    /// free entry cannot be taken over.
    /// Otherwise such an entry, or a full table, refuses the upload: `None`. Another session of the
    /// same owner may take the upload over when its client has been silent for `silence`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        file: Key,
        owner: Key,
        is_locked: bool,
        now: Instant,
        silence: Duration,
    ) -> Option<Claim> {
        let number = self
            .keys
            .hash_one((self.process(), self.numbers.fetch_add(1, Relaxed)));
        let entered = self.with(|table| {
            let index = match table.find(file) {
                Some(_) if !is_locked => return Err(()),
                // Its file is closed, and its reply waits.
                Some(index) if table.entry(index)[SEEN] == KEPT => return Err(()),
                found => found.or_else(|| table.find(0)),
            };
            if index.is_none() && !is_locked {
                // Without an entry, nothing would keep a second upload away.
                return Err(());
            }
            if let Some(index) = index {
                let pid = u64::from(self.process());
                *table.entry(index) = [file, owner, self.time(now), pid << 1, number];
            }
            Ok(index)
        });
        let index = match entered {
            Some(Err(())) => return None,
            Some(Ok(index)) => index,
            // Another process holds the lock of the table.
            None if !is_locked && !matches!(self.words, Words::None) => return None,
            None => None,
        };
        Some(Claim {
            uploads: Arc::clone(self),
            index,
            number,
            seen: now,
            look_at: after(now, silence),
            silence,
        })
    }

    /// Asks that the upload to the file ends, if it is one of the same owner and its client has
    /// been silent for `silence`. Returns whether it was asked.
    pub(crate) fn ask_to_end(
        &self,
        file: Key,
        owner: Key,
        now: Instant,
        silence: Duration,
    ) -> bool {
        let silence = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let now = self.time(now);
        self.with(|table| {
            let Some(index) = table.find(file) else {
                return false;
            };
            let entry = table.entry(index);
            let is_silent = entry[SEEN] != KEPT && now.saturating_sub(entry[SEEN]) >= silence;
            let asks = entry[OWNER] == owner && is_silent;
            entry[PROCESS] |= u64::from(asks);
            asks
        })
        .unwrap_or(false)
    }

    /// Drops the entries of a process that has ended. Returns false if another process holds the
    /// lock: call it again.
    pub(crate) fn forget_process(&self, pid: sys::Pid) -> bool {
        let pid = u64::from(pid.cast_unsigned());
        self.with(|table| {
            for index in 0..ENTRIES {
                let entry = table.entry(index);
                if entry[PROCESS] >> 1 == pid {
                    *entry = [0; ENTRY];
                }
            }
        })
        .is_some()
            || matches!(self.words, Words::None)
    }

    /// Which process holds the lock of the table.
    pub(crate) fn look_at_lock(&self, now: Instant) -> sys::Held {
        self.words.look(now)
    }

    /// The number of this process.
    fn process(&self) -> u32 {
        match self.words {
            // It must not be 0. The system is not asked.
            Words::Own(_) => 1,
            Words::Shared(_) | Words::None => sys::process_id(),
        }
    }

    /// A time, in milliseconds since the start.
    fn time(&self, now: Instant) -> u64 {
        let time = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// Locks the table. `None` if another process holds the lock.
    fn with<T>(&self, work: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        self.words.with(|words, is_unsure| {
            let mut table = Table(words);
            if is_unsure {
                table.drop_half_written();
            }
            for (index, number) in self.gone().drain(..) {
                let entry = table.entry(index);
                if entry[NUMBER] == number {
                    *entry = [0; ENTRY];
                }
            }
            work(&mut table)
        })
    }
}

impl Uploads {
    fn gone(&self) -> MutexGuard<'_, Vec<(usize, u64)>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uploads")
    }
}

/// The table, locked.
struct Table<'a>(&'a mut [u64]);

impl Table<'_> {
    /// The entry of a file, or a free one for the key 0.
    fn find(&self, file: Key) -> Option<usize> {
        self.0
            .chunks_exact(ENTRY)
            .position(|entry| entry[FILE] == file)
    }

    /// Drops entries that a process has not finished when it died.
    fn drop_half_written(&mut self) {
        for entry in self.0.chunks_exact_mut(ENTRY) {
            if entry[PROCESS] >> 1 == 0 || entry[NUMBER] == 0 {
                entry.fill(0);
            }
        }
    }

    fn entry(&mut self, index: usize) -> &mut [u64; ENTRY] {
        let entry = self.0[index * ENTRY..].first_chunk_mut();
        entry.expect("an index lies in the table")
    }
}

/// An upload in progress. Its entry goes with the value.
pub(crate) struct Claim {
    uploads: Arc<Uploads>,
    /// `None`: the table was full.
    index: Option<usize>,
    number: u64,
    /// When the entry was last told that the client has sent something.
    seen: Instant,
    /// When to look whether the upload should end.
    look_at: Instant,
    /// How long its client is silent before that.
    silence: Duration,
}

impl Claim {
    /// The client has sent something.
    pub(crate) fn seen(&mut self, now: Instant) {
        self.look_at = after(now, self.silence);
        if now.saturating_duration_since(self.seen) < STEP {
            return;
        }
        self.seen = now;
        let time = self.uploads.time(now);
        self.with(|entry| {
            entry[SEEN] = time;
            entry[PROCESS] &= !1;
        });
    }

    /// When to call [`is_asked_to_end`](Self::is_asked_to_end).
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.index.map(|_| self.look_at)
    }

    /// The file is going to be closed, and with it goes its lock. Until the claim is dropped, no
    /// other upload gets the file all the same, and none takes it over.
    pub(crate) fn keep(&self) {
        self.with(|entry| entry[SEEN] = KEPT);
    }

    /// Whether another session of the same user waits for the end of this upload.
    pub(crate) fn is_asked_to_end(&mut self, now: Instant) -> bool {
        if self.look_at > now {
            return false;
        }
        self.look_at = now + LOOK_EVERY;
        self.with(|entry| entry[PROCESS] & 1 == 1).unwrap_or(false)
    }

    /// Works on the entry, if it is still the one of this upload.
    fn with<T>(&self, work: impl FnOnce(&mut [u64; ENTRY]) -> T) -> Option<T> {
        let index = self.index?;
        let worked = self.uploads.with(|table| {
            let entry = table.entry(index);
            (entry[NUMBER] == self.number).then(|| work(entry))
        });
        worked.flatten()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let dropped = self.uploads.with(|table| {
            let entry = table.entry(index);
            if entry[NUMBER] == self.number {
                *entry = [0; ENTRY];
            }
        });
        let mut gone = self.uploads.gone();
        // There are no more entries than that at a time.
        if dropped.is_none() && gone.len() < ENTRIES {
            gone.push((index, self.number));
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim")
    }
}

// The words of an entry:
/// The key of the file, or 0.
const FILE: usize = 0;
/// The key of the user and the address.
const OWNER: usize = 1;
/// When the client has last sent something.
const SEEN: usize = 2;
/// This time stands for an upload whose file is closed, and whose reply waits.
const KEPT: u64 = u64::MAX;
/// Twice the number of the process, and 1 if the upload should end.
const PROCESS: usize = 3;
/// The number of the claim.
const NUMBER: usize = 4;
const ENTRY: usize = 5;

/// The entries of the table.
const ENTRIES: usize = 1024;

/// The same for a server in memory.
const OWN_ENTRIES: usize = 256;

/// How exact the time of the last byte is in the table.
const STEP: Duration = Duration::from_millis(100);

/// How often a silent upload looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const SILENCE: Duration = Duration::from_secs(10);

    #[test]
    fn entries_come_and_go() {
        let uploads = Arc::new(Uploads::new());
        let now = Instant::now();
        let (file, owner) = (uploads.key_of_file((1, 2)), uploads.key_of_owner("a", IP));
        assert!(!uploads.has(file));
        let claim = uploads.enter(file, owner, false, now, SILENCE).unwrap();
        assert!(uploads.has(file));
        assert!(uploads.enter(file, owner, false, now, SILENCE).is_none());
        // One that a process has left behind does not matter where the file is locked.
        let other = uploads.enter(file, owner, true, now, SILENCE).unwrap();
        drop(claim);
        assert!(uploads.has(file), "it is the entry of the other one");
        uploads.forget_process(sys::own_pid());
        assert!(!uploads.has(file));
        drop(other);
    }

    #[test]
    fn a_full_table_prevents_taking_over_and_uploads_without_locks() {
        let uploads = Arc::new(Uploads::new());
        let now = Instant::now();
        let claims: Vec<_> = (0..ENTRIES + 1)
            .map(|number| uploads.enter(uploads.key_of_file(number), 1, true, now, SILENCE))
            .collect();
        assert!(claims.iter().all(Option::is_some));
        // An upload whose file is not locked would have no protection at all.
        let unlocked = uploads.enter(uploads.key_of_file(ENTRIES + 1), 1, false, now, SILENCE);
        assert!(unlocked.is_none());
        assert!(claims[ENTRIES].as_ref().unwrap().look_at().is_none());
        drop(claims);
        assert!((0..ENTRIES).all(|number| !uploads.has(uploads.key_of_file(number))));
    }

    #[test]
    fn silent_uploads_of_the_same_owner_end() {
        let uploads = Arc::new(Uploads::new());
        let start = Instant::now();
        let (file, owner) = (uploads.key_of_file((1, 2)), uploads.key_of_owner("a", IP));
        let mut claim = uploads.enter(file, owner, true, start, SILENCE).unwrap();
        let at = |seconds| start + Duration::from_secs(seconds);
        let ask = |file, owner, now| uploads.ask_to_end(file, owner, now, SILENCE);
        assert!(!ask(file, owner, at(9)));
        claim.seen(at(5));
        assert!(!ask(file, owner, at(14)));
        let stranger = uploads.key_of_owner("b", IP);
        assert!(!ask(file, stranger, at(16)));
        assert!(!claim.is_asked_to_end(at(16)));
        assert!(ask(file, owner, at(16)));
        assert!(claim.is_asked_to_end(at(17)));
        // A client that goes on keeps its upload.
        claim.seen(at(18));
        assert!(!claim.is_asked_to_end(at(29)));
        assert!(!ask(uploads.key_of_file((1, 3)), owner, at(29)));
    }

    #[test]
    fn a_kept_claim_holds_without_its_lock() {
        let uploads = Arc::new(Uploads::new());
        let start = Instant::now();
        let (file, owner) = (uploads.key_of_file((1, 2)), uploads.key_of_owner("a", IP));
        let enter = || uploads.enter(file, owner, true, start, SILENCE);
        let claim = enter().unwrap();
        claim.keep();
        assert!(enter().is_none());
        let late = start + 100 * SILENCE;
        assert!(!uploads.ask_to_end(file, owner, late, Duration::ZERO));
        drop(claim);
        assert!(enter().is_some());
    }
}

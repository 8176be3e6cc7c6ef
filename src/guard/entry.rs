//! What the table knows about one address, in words of shared memory.

/// An entry of the table. All zero: it is free. Times are in milliseconds.
pub(super) struct Entry<'a>(pub(super) &'a mut [u64; ENTRY]);

impl Entry<'_> {
    /// Failed logins, and logins that are not decided yet.
    pub(super) fn failures(&self) -> u32 {
        low(self.0[FAILURES])
    }

    pub(super) fn asking(&self) -> u32 {
        high(self.0[FAILURES])
    }

    pub(super) fn set_failures(&mut self, failures: u32, asking: u32) {
        self.0[FAILURES] = pack(asking, failures);
    }

    /// Something happens to the address. Forgets the failures if the last one was too long ago, and
    /// the attempts that a process has left behind when it died.
    pub(super) fn touch(&mut self, now: u64, forget_after: u64) {
        if now.saturating_sub(self.0[SEEN]) >= forget_after {
            self.set_failures(self.failures(), 0);
        }
        self.0[SEEN] = now;
        if self.0[FAILED] != 0 && now.saturating_sub(self.0[FAILED]) >= forget_after {
            self.forget_failures();
            self.0[FAILED] = 0;
        }
    }

    /// Forgets all failures.
    pub(super) fn forget_failures(&mut self) {
        self.set_failures(0, self.asking());
        self.0[NEXT] = 0;
        self.0[TOLD] &= !TOLD_DELAY;
        for user in &mut self.0[USERS..] {
            *user &= !COUNT;
        }
    }

    /// Counts a failed login as `user`.
    pub(super) fn add_failure(&mut self, user: u64, now: u64) {
        self.set_failures(self.failures().saturating_add(1), self.asking());
        self.0[FAILED] = now;
        let index = self.user_index(user);
        let word = &mut self.0[index];
        if *word & COUNT < COUNT {
            *word += 1;
        }
        if *word & COUNT >= u64::from(super::config::FREE) {
            *word &= !GOOD;
        }
    }

    /// `user` has logged in: forgets the failures as that user, and no others.
    pub(super) fn forgive(&mut self, user: u64) {
        let index = self.user_index(user);
        let own = low(self.0[index] & COUNT);
        self.0[index] = self.0[index] & !COUNT | GOOD;
        let (failures, asking) = (self.failures().saturating_sub(own), self.asking());
        self.set_failures(failures, asking);
        // Logins that wait keep their places, and later ones come after them.
        if failures == 0 && asking == 0 {
            self.forget_failures();
        }
    }

    /// Whether `user` has logged in from here, and has hardly failed since.
    pub(super) fn is_good(&self, user: u64) -> bool {
        let found = self.0[USERS..]
            .iter()
            .find(|word| **word & !BITS == user & !BITS);
        user & !BITS != 0 && found.is_some_and(|word| word & GOOD != 0)
    }

    /// The place of a user, who takes the place of one that has not logged in, if there is any.
    fn user_index(&mut self, user: u64) -> usize {
        let user = user & !BITS;
        let users = &mut self.0[USERS..];
        let found = users.iter().position(|word| word & !BITS == user);
        let index = found.unwrap_or_else(|| {
            let free = users.iter().position(|word| *word == 0);
            // The last one is the one that was not used the longest.
            let bad = || users.iter().rposition(|word| word & GOOD == 0);
            let index = free.or_else(bad).unwrap_or(users.len() - 1);
            users[index] = user;
            index
        });
        users[..=index].rotate_right(1);
        USERS
    }

    /// When the next login may be decided.
    pub(super) fn next(&self) -> u64 {
        self.0[NEXT]
    }

    pub(super) fn set_next(&mut self, next: u64) {
        self.0[NEXT] = next;
    }

    /// Until when the address is banned.
    pub(super) fn banned_until(&self) -> u64 {
        self.0[BANNED]
    }

    pub(super) fn ban(&mut self, until: u64) {
        self.0[BANNED] = until;
        self.forget_failures();
    }

    /// Counts a connection. Returns how many there were in this minute.
    pub(super) fn count_connection(&mut self, now: u64) -> u32 {
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let (begun, count) = (high(self.0[CONNECTIONS]), low(self.0[CONNECTIONS]));
        let (begun, count) = match second.saturating_sub(begun) < 60 && count > 0 {
            true => (begun, count.saturating_add(1)),
            false => (second, 1),
        };
        self.0[CONNECTIONS] = pack(begun, count);
        count
    }

    /// Whether this is the first delay since the failures were forgotten.
    pub(super) fn tells_of_delay(&mut self) -> bool {
        let told = self.0[TOLD] & TOLD_DELAY != 0;
        self.0[TOLD] |= TOLD_DELAY;
        !told
    }
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

fn high(word: u64) -> u32 {
    low(word >> 32)
}

fn pack(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

// The words of an entry:
/// The hash of the address, or 0.
pub(super) const KEY: usize = 0;
/// When something last happened.
pub(super) const SEEN: usize = 1;
/// How many logins have failed, and how many are not decided.
const FAILURES: usize = 2;
/// When the last one has failed.
const FAILED: usize = 3;
const NEXT: usize = 4;
pub(super) const BANNED: usize = 5;
/// The second in which a minute began, and the connections since.
const CONNECTIONS: usize = 6;
const TOLD: usize = 7;
/// From here on: users, by the upper bits of their hash, the one that was used last first.
const USERS: usize = 8;
pub(super) const ENTRY: usize = 16;

const TOLD_DELAY: u64 = 1;

// The lower bits of a user:
/// How many logins as this user have failed.
const COUNT: u64 = 0x7fff;
/// Whether this user has logged in from here.
const GOOD: u64 = 0x8000;
const BITS: u64 = COUNT | GOOD;

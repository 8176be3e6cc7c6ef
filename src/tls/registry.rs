//! What all processes of a server know about its TLS sessions: the keys of their tickets, and
//! which user each session belongs to.
//!
//! All of it lies in memory that forked processes share: a new key, a login or the end of a
//! session needs no message. The master makes it before it forks. If a process dies while it
//! changes something, everything is forgotten. Then tickets from before are refused, except
//! on data connections of the session that has issued them.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::ids::{Owner, Secret, Secrets, SessionId, Standing};
use super::provider::{hmac, random};
use super::table::{NO_ENTRY, SESSIONS, Table, WORDS};
use crate::ioloop::clock::Clock;
use crate::sys::{self, Held, Pid, SharedWords};

/// What the processes of a server share about TLS sessions.
pub(super) struct Registry {
    words: SharedWords,
    /// The clock is the same in all processes.
    clock: Clock,
    /// All times count from here.
    start: Instant,
    /// Makes the keys of owners. A client can neither predict nor choose them.
    owners: hmac::Key,
    /// What was to be changed while another process held the lock.
    later: Mutex<VecDeque<Change>>,
    /// The secrets that this process has seen last.
    last: Mutex<Option<Secrets>>,
}

/// A change that waits for the lock.
#[derive(Debug, Clone, Copy)]
enum Change {
    SetOwner(SessionId, Owner),
    End(SessionId),
}

impl Registry {
    /// Makes an empty registry. Processes that this one forks later share it.
    ///
    /// # Errors
    /// The system has no memory, or no random numbers.
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        let owners: Secret = random().ok_or_else(|| io::Error::other("no random numbers"))?;
        Ok(Self {
            words: SharedWords::new(WORDS)?,
            start: clock.now(),
            clock,
            owners: hmac::Key::new(hmac::HMAC_SHA256, &owners),
            later: Mutex::default(),
            last: Mutex::default(),
        })
    }

    /// A session begins in this process. If another process holds the lock, the session has no
    /// entry, as if the table was full. `None` if there are no random numbers for its number.
    pub(super) fn begin(&self) -> Option<SessionId> {
        let begun = self.with(|table| table.begin(sys::process_id()));
        begun.or_else(|| {
            let number = u64::from_le_bytes(random()?);
            Some(SessionId {
                // The table counts from 1, and never comes so far.
                number: number | 1 << 63,
                entry: NO_ENTRY,
            })
        })
    }

    /// The session belongs to `owner` from now on.
    pub(super) fn set_owner(&self, id: SessionId, owner: Owner) {
        self.change(Change::SetOwner(id, owner));
    }

    /// The session has ended. It keeps its owner for ten minutes.
    pub(super) fn end(&self, id: SessionId) {
        self.change(Change::End(id));
    }

    /// A process has ended, and its sessions with it. Returns false if another process holds the
    /// lock: call it again.
    pub(super) fn forget_process(&self, pid: Pid) -> bool {
        self.with(|table| table.end_all(pid.cast_unsigned()))
            .is_some()
    }

    /// Which process holds the lock.
    pub(super) fn look(&self, now: Instant) -> Held {
        self.words.look(now)
    }

    /// What the session is to `owner`. While another process holds the lock, that is open.
    pub(super) fn standing(&self, id: SessionId, owner: Owner) -> Standing {
        let standing = self.with(|table| table.standing(id, owner));
        standing.unwrap_or(Standing::Open)
    }

    /// The owner that a user at an address is.
    pub(super) fn owner(&self, user: &str, address: IpAddr) -> Owner {
        let address = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let mut context = hmac::Context::with_key(&self.owners);
        context.update(&address);
        context.update(user.as_bytes());
        let tag = context.sign();
        let mut words = [0; 2];
        for (word, bytes) in words.iter_mut().zip(tag.as_ref().chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        Owner(words)
    }

    /// The secrets of tickets. A new one replaces the current one every hour.
    pub(super) fn secrets(&self) -> Option<Secrets> {
        let secrets = self.with(|table| table.secrets(random));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secrets) = secrets {
            *last = secrets;
        }
        *last
    }

    /// Keeps the secret of a session of TLS 1.2 that has a name but no ticket. The name has
    /// 32 bytes. A long value is not kept.
    pub(super) fn keep_named(&self, id: SessionId, name: &[u8], value: &[u8]) {
        self.with(|table| table.keep_named(id, name, value));
    }

    /// The session with this name, and its value.
    pub(super) fn find_named(&self, name: &[u8]) -> Option<(SessionId, Vec<u8>)> {
        self.with(|table| table.find_named(name))?
    }

    /// Calls a function, which must be short, with the locked table.
    fn with<T>(&self, function: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let mut words = self.words.lock().ok()?;
        let died = words.owner_died;
        let now = self.clock.now().saturating_duration_since(self.start);
        let mut table = Table::new(&mut words, now.as_secs());
        if died {
            table.reset();
        }
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        for change in later.drain(..) {
            change.apply(&mut table);
        }
        Some(function(&mut table))
    }

    /// Makes a change, or does so later if another process holds the lock.
    fn change(&self, change: Change) {
        if self.with(|table| change.apply(table)).is_none() {
            let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
            if later.len() == SESSIONS {
                later.pop_front();
            }
            later.push_back(change);
        }
    }
}

impl Change {
    fn apply(self, table: &mut Table<'_>) {
        match self {
            Self::SetOwner(id, owner) => table.set_owner(id, owner),
            Self::End(id) => table.end(id),
        }
    }
}

//! The words of a table that the processes of a server share, or that one process has for itself.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::shared::{Held, SharedWords};

/// The memory of a table, with a lock.
pub(crate) enum Words {
    /// The system has no memory that processes can share.
    None,
    Shared(SharedWords),
    Own(Mutex<Vec<u64>>),
}

impl Words {
    /// Words that this process shares with those that it forks from now on.
    pub(crate) fn shared(count: usize) -> Self {
        SharedWords::new(count).map_or(Self::None, Self::Shared)
    }

    /// Words of a server that is one process for certain.
    pub(crate) fn own(count: usize) -> Self {
        Self::Own(Mutex::new(vec![0; count]))
    }

    /// Locks the words. `work` gets true if the last holder of the lock has died while it held it:
    /// a change may be half done. `None`: there are no words, or another process holds the lock.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut [u64], bool) -> T) -> Option<T> {
        match self {
            Self::None => None,
            Self::Own(words) => {
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                Some(work(&mut words, false))
            }
            Self::Shared(words) => {
                let mut words = words.lock().ok()?;
                let is_unsure = words.owner_died;
                Some(work(&mut words, is_unsure))
            }
        }
    }

    /// Which process holds the lock, as [`SharedWords::look`].
    pub(crate) fn look(&self, now: Instant) -> Held {
        match self {
            Self::Shared(words) => words.look(now),
            Self::Own(_) | Self::None => Held::Free,
        }
    }
}

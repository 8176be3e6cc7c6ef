//! A queue that any thread fills and one loop empties.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Waker;

/// Messages for a loop, with the waker of its poll if it has one.
pub(super) struct Mailbox<M> {
    messages: Mutex<Vec<M>>,
    waker: Option<Waker>,
}

impl<M> Mailbox<M> {
    pub(super) fn new(waker: Option<Waker>) -> Self {
        Self {
            messages: Mutex::new(Vec::new()),
            waker,
        }
    }

    /// Adds a message, and wakes the loop if it is the first one.
    pub(super) fn post(&self, message: M) {
        let mut messages = self.lock();
        messages.push(message);
        if messages.len() == 1
            && let Some(waker) = &self.waker
        {
            // The loop takes all messages when it wakes up, so one wake-up is enough. It fails
            // only if the system is out of memory.
            let _ = waker.wake();
        }
    }

    /// Takes all messages.
    pub(super) fn take(&self) -> Vec<M> {
        mem::take(&mut *self.lock())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<M>> {
        let messages = &self.messages;
        messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

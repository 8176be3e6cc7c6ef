//! A queue that any thread fills and one loop empties.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Waker;

/// Messages for a loop, with the waker of its poll if it has one.
pub(super) struct Mailbox<M> {
    /// `None`: the loop has gone, and takes no message.
    messages: Mutex<Option<Vec<M>>>,
    waker: Option<Waker>,
}

impl<M> Mailbox<M> {
    pub(super) fn new(waker: Option<Waker>) -> Self {
        Self {
            messages: Mutex::new(Some(Vec::new())),
            waker,
        }
    }

    /// Adds a message, and wakes the loop if it is the first one. Drops the message if the loop has
    /// gone.
    pub(super) fn post(&self, message: M) {
        let mut lock = self.lock();
        let Some(messages) = &mut *lock else {
            // What is dropped may post another message.
            drop(lock);
            return;
        };
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
        self.lock().as_mut().map(mem::take).unwrap_or_default()
    }

    /// The loop goes: drops all messages, also those that come later.
    pub(super) fn close(&self) {
        let messages = self.lock().take();
        drop(messages);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().as_ref().is_none_or(Vec::is_empty)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<M>>> {
        let messages = &self.messages;
        messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

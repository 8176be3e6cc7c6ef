//! How other threads reach a loop.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, mem};

use mio::Waker;

use super::{ChannelId, Io};

/// A handle through which other threads hand something to a loop and wake it.
#[derive(Clone)]
pub struct Remote(Arc<Mailbox>);

impl Remote {
    pub(super) fn new(waker: Waker) -> Self {
        Self(Arc::new(Mailbox {
            letters: Mutex::new(Vec::new()),
            waker,
        }))
    }

    /// Runs a function on the loop.
    pub fn call(&self, function: impl FnOnce(&mut Io<'_>) + Send + 'static) {
        self.post(Letter::Call(Box::new(function)));
    }

    /// Sends a message to a channel; it is dropped if that is gone.
    pub fn send(&self, to: ChannelId, message: Box<dyn Any + Send>) {
        self.post(Letter::Message(to, message));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters().is_empty()
    }

    /// What is in the box, and empties it.
    pub(super) fn take(&self) -> Vec<Letter> {
        mem::take(&mut *self.letters())
    }

    fn letters(&self) -> MutexGuard<'_, Vec<Letter>> {
        let letters = &self.0.letters;
        letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, letter: Letter) {
        let mut letters = self.letters();
        letters.push(letter);
        if letters.len() == 1 {
            // The loop empties the box when it wakes up, so once is enough.
            // It cannot fail but for a system that is out of memory.
            let _ = self.0.waker.wake();
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    waker: Waker,
}

/// What is handed to a loop.
pub(super) enum Letter {
    Call(Box<dyn FnOnce(&mut Io<'_>) + Send>),
    Message(ChannelId, Box<dyn Any + Send>),
}

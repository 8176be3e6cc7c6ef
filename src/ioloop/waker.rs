//! How other threads have a channel go on that waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::task::{Wake, Waker};

use super::core::Remote;
use super::event::ChannelId;

/// The message to a channel that was woken.
pub(crate) struct Woken;

/// Wakes one channel, from any thread. Once the channel has gone, it does nothing.
pub(crate) struct ChannelWaker {
    remote: Remote,
    id: ChannelId,
    /// Whether a message is on its way, or has come and nothing was asked since.
    is_sent: AtomicBool,
}

impl ChannelWaker {
    pub(crate) fn new(remote: Remote, id: ChannelId) -> Arc<Self> {
        Arc::new(Self {
            remote,
            id,
            is_sent: AtomicBool::new(false),
        })
    }

    /// A waker for the owner of what the channel waits for.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// What the channel waits for is asked next. A call of the waker from now on sends a message; it
    /// has sent one already if it was called before, so that none gets lost.
    pub(crate) fn arm(&self) {
        self.is_sent.store(false, Release);
    }
}

impl Wake for ChannelWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // One message at a time: the mailbox does not grow, however often this is called.
        if !self.is_sent.swap(true, AcqRel) {
            self.remote.send(self.id, Box::new(Woken));
        }
    }
}

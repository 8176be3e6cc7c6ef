//! A budget of memory that many holders share, such as the listings of a process.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

/// A number of bytes that holders share. Each holder gets at most a quarter of what the others
/// leave, so the budget is never used up, and holders that come late get something too.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of listings.
    pub(crate) fn of_listings() -> Arc<Self> {
        Self::new(LISTINGS_MAX)
    }

    fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            used: AtomicUsize::new(0),
        })
    }

    /// A share of the budget. It holds nothing at first.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            held: 0,
        }
    }

    /// The bytes that are held now.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

/// What one holder has of a [`Budget`]. It is given back when this value is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Share {
    /// Takes `more` bytes. Returns false, and takes nothing, if the budget does not permit so many.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let Budget { bytes, used } = &*self.budget;
        let grown = self.held.saturating_add(more);
        let taken = used.fetch_update(Relaxed, Relaxed, |used| {
            let left = bytes.saturating_sub(used.saturating_sub(self.held));
            (grown <= left / 4).then_some(used.saturating_add(more))
        });
        if taken.is_ok() {
            self.held = grown;
        }
        taken.is_ok()
    }

    /// Takes all of it, and leaves an empty share.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            budget: Arc::clone(&self.budget),
            held: mem::take(&mut self.held),
        }
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.budget.used.fetch_sub(self.held, Relaxed);
        self.held = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What all listings of this process may hold while their clients do not read: names that are
/// sorted, and buffers. Beyond it, listings follow in the order of the system, in small pieces.
pub(crate) static LISTINGS: LazyLock<Arc<Budget>> = LazyLock::new(Budget::of_listings);

const LISTINGS_MAX: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_leave_something_for_others() {
        let budget = Budget::new(1 << 20);
        let fill = || {
            let mut share = budget.share();
            while share.grow(1024) {}
            share
        };
        let mut shares: Vec<Share> = (0..100).map(|_| fill()).collect();
        assert_eq!(shares[0].held, 1 << 18);
        assert!(shares.is_sorted_by(|a, b| a.held >= b.held));
        assert!(shares[8].held > 0);
        assert!(budget.used() <= 1 << 20);
        assert_eq!(budget.used(), shares.iter().map(|share| share.held).sum());
        // What one gives back, another one gets.
        let last = shares.pop().unwrap();
        assert_eq!(last.held, 0);
        shares.truncate(1);
        assert_eq!(fill().held, (3 << 18) / 4 / 1024 * 1024);
        drop((last, shares));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_refused_is_not_taken() {
        let budget = Budget::new(400);
        let mut share = budget.share();
        assert!(!share.grow(101) && !share.grow(usize::MAX));
        assert_eq!(budget.used(), 0);
        assert!(share.grow(100) && !share.grow(1));
        share.clear();
        assert_eq!(budget.used(), 0);
        assert!(share.grow(50) && share.grow(50));
    }

    #[test]
    fn threads_share_the_budget() {
        let budget = &Budget::new(1 << 16);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let mut share = budget.share();
                        while share.grow(64) {}
                        assert!(budget.used() <= 1 << 16);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}

//! How often workers were restarted, and whether that was too often.

/// How often the worker of each number was restarted.
pub(super) struct Restarts {
    counts: Vec<Count>,
    max: usize,
}

#[derive(Clone, Copy, Default)]
struct Count {
    restarts: usize,
    /// Whether the next restart does not count.
    is_next_free: bool,
}

impl Restarts {
    /// For this many workers, with at most `max` restarts in all.
    pub(super) fn new(workers: usize, max: usize) -> Self {
        Self {
            counts: vec![Count::default(); workers],
            max,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.total() == 0
    }

    fn total(&self) -> usize {
        self.counts.iter().map(|count| count.restarts).sum()
    }

    /// A worker of this number has ended after a full life: neither its restart nor the
    /// earlier ones count.
    pub(super) fn reset(&mut self, number: usize) {
        self.counts[number] = Count {
            restarts: 0,
            is_next_free: true,
        };
    }

    /// A worker of this number has lived a full life and still runs: the earlier restarts
    /// do not count.
    pub(super) fn reset_earlier(&mut self, number: usize) {
        self.counts[number].restarts = 0;
    }

    /// Counts a restart of this number. Returns whether it is within the limit.
    pub(super) fn count(&mut self, number: usize) -> bool {
        let count = &mut self.counts[number];
        if !std::mem::take(&mut count.is_next_free) {
            count.restarts += 1;
        }
        self.total() <= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_do_not_count_after_a_full_life() {
        let mut restarts = Restarts::new(2, 2);
        assert!(restarts.count(0) && restarts.count(1));
        for _ in 0..10 {
            restarts.reset(1);
            assert!(restarts.count(1));
        }
        assert!(restarts.count(1));
        assert!(!restarts.count(1));
        restarts.reset_earlier(1);
        assert!(restarts.count(0));
        assert!(!restarts.count(1));
    }
}

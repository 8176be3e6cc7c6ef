//! A heap of deadlines.
//!
//! Entries are never moved inside the heap: its users notice a deadline that was cancelled or put
//! off when it comes up. Monotonic time only.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Instant;

/// Items by deadline. Of those with the same deadline, the first pushed comes first.
#[derive(Debug)]
pub struct DeadlineHeap<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

impl<T> DeadlineHeap<T> {
    /// Makes an empty heap.
    #[must_use]
    pub fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            pushed: 0,
        }
    }

    /// Adds an item.
    pub fn push(&mut self, deadline: Instant, item: T) {
        self.pushed += 1;
        self.heap.push(Reverse(Entry {
            deadline,
            order: self.pushed,
            item,
        }));
    }

    /// Takes the next item whose deadline has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        if self.next_deadline()? > now {
            return None;
        }
        self.pop()
    }

    /// The next item, whether its deadline has come or not.
    pub(super) fn peek(&self) -> Option<(Instant, &T)> {
        let Reverse(entry) = self.heap.peek()?;
        Some((entry.deadline, &entry.item))
    }

    /// Takes the next item, whether its deadline has come or not.
    pub(super) fn pop(&mut self) -> Option<(Instant, T)> {
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.deadline, entry.item))
    }

    /// The nearest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.deadline)
    }

    /// Drops the items for which `keep` returns false.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.heap.retain(|Reverse(entry)| keep(&entry.item));
    }

    /// Drops the items for which `keep`, which gets the deadline too, returns false.
    pub(super) fn retain_by(&mut self, mut keep: impl FnMut(Instant, &T) -> bool) {
        self.heap
            .retain(|Reverse(entry)| keep(entry.deadline, &entry.item));
    }

    /// All items, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|Reverse(entry)| &entry.item)
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T> Default for DeadlineHeap<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Entry<T> {
    deadline: Instant,
    order: u64,
    item: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u64) {
        (self.deadline, self.order)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a naive model: a vector that is searched for the least.
        #[test]
        fn heap_equals_a_sorted_list(steps in prop::collection::vec((0u64..50, any::<bool>()), 1..200)) {
            let start = Instant::now();
            let mut heap = DeadlineHeap::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            for (number, (time, pop)) in steps.into_iter().enumerate() {
                if pop {
                    let now = start + Duration::from_millis(time);
                    let expected = model
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, item)| **item)
                        .filter(|(_, (deadline, _))| *deadline <= time)
                        .map(|(index, _)| index);
                    let expected = expected.map(|index| model.remove(index));
                    let got = heap.pop_due(now).map(|(_, item)| item);
                    prop_assert_eq!(got, expected);
                } else {
                    heap.push(start + Duration::from_millis(time), (time, number));
                    model.push((time, number));
                }
                prop_assert_eq!(heap.len(), model.len());
            }
        }
    }
}

//! Deadlines: a heap of them, and the scheduler of callbacks above it.
//!
//! Entries are never moved inside the heap: what is cancelled or put off is
//! noticed when its old deadline comes up. Monotonic time only.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::Io;
use crate::time::{LONGEST, after};

/// Items by deadline; of equal deadlines, the first pushed comes first.
#[derive(Debug)]
pub struct DeadlineHeap<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

impl<T> DeadlineHeap<T> {
    /// An empty heap.
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
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.deadline, entry.item))
    }

    /// The nearest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.deadline)
    }

    /// Drops the items that `keep` refuses, and rebuilds the heap.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.heap.retain(|Reverse(entry)| keep(&entry.item));
    }

    /// How many items there are, those without effect included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is none.
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

/// A callback that was handed to `call_later` or `call_every`: as pyftpdlib's
/// `_CallLater` and `_CallEvery`. Dropping it changes nothing.
#[derive(Clone)]
pub struct CallLater(Arc<Call>);

impl CallLater {
    /// The callback will not be called (again).
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// The delay starts anew. Without effect once cancelled.
    pub fn reset(&self) {
        let deadline = self.0.shared.clock.now() + self.0.delay;
        self.0.deadline.store(nanos(deadline), Relaxed);
    }

    /// Whether it was cancelled, or called and not to be called again.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(Relaxed)
    }
}

impl fmt::Debug for CallLater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLater")
            .field("delay", &self.0.delay)
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

/// What the handle and the heap share.
struct Call {
    delay: Duration,
    /// Nanoseconds since [`EPOCH`]; later than in the heap after a reset.
    deadline: AtomicU64,
    cancelled: AtomicBool,
    shared: Arc<Shared>,
}

/// What the scheduler shares with its handles.
#[derive(Default)]
struct Shared {
    clock: Clock,
    /// Cancelled entries that are still in the heap.
    cancellations: AtomicUsize,
}

/// What a loop takes for the time: the system's monotonic clock, or one that is
/// moved by hand.
#[derive(Default)]
pub(super) struct Clock {
    /// Nanoseconds since [`EPOCH`]; 0: the system's.
    by_hand: AtomicU64,
}

impl Clock {
    pub(super) fn now(&self) -> Instant {
        match self.by_hand.load(Relaxed) {
            0 => Instant::now(),
            nanos => instant(nanos),
        }
    }

    /// From now on it stands at `now`, until it is set again.
    pub(super) fn set(&self, now: Instant) {
        self.by_hand.store(nanos(now).max(1), Relaxed);
    }
}

impl Call {
    fn cancel(&self) {
        if !self.cancelled.swap(true, Relaxed) {
            self.shared.cancellations.fetch_add(1, Relaxed);
        }
    }

    /// A cancelled entry has left the heap.
    fn left(&self) {
        // Another thread may cancel while the heap is rebuilt: never below zero.
        let less = |count: usize| Some(count.saturating_sub(1));
        let cancellations = &self.shared.cancellations;
        let _ = cancellations.fetch_update(Relaxed, Relaxed, less);
    }
}

/// Calls functions when their time has come.
#[derive(Default)]
pub(super) struct Scheduler {
    heap: DeadlineHeap<Task>,
    shared: Arc<Shared>,
}

struct Task {
    call: Arc<Call>,
    callback: Callback,
}

enum Callback {
    Once(Box<dyn FnOnce(&mut Io<'_>)>),
    Every(Box<dyn FnMut(&mut Io<'_>)>),
}

impl Scheduler {
    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(super) fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.register(delay, Callback::Once(Box::new(callback)))
    }

    pub(super) fn call_every(
        &mut self,
        delay: Duration,
        callback: impl FnMut(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.register(delay, Callback::Every(Box::new(callback)))
    }

    fn register(&mut self, delay: Duration, callback: Callback) -> CallLater {
        let deadline = after(self.clock().now(), delay);
        let call = Arc::new(Call {
            delay: delay.min(LONGEST),
            deadline: AtomicU64::new(nanos(deadline)),
            cancelled: AtomicBool::new(false),
            shared: Arc::clone(&self.shared),
        });
        let handle = CallLater(Arc::clone(&call));
        self.heap.push(deadline, Task { call, callback });
        handle
    }

    /// Takes what is due at `now`, leaving out what was cancelled and putting
    /// back what was reset. The caller runs it: see [`DueTask::run`].
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<DueTask> {
        let mut due = Vec::new();
        while let Some((_, task)) = self.heap.pop_due(now) {
            if task.call.cancelled.load(Relaxed) {
                task.call.left();
                continue;
            }
            let deadline = instant(task.call.deadline.load(Relaxed));
            if deadline > now {
                self.heap.push(deadline, task);
            } else {
                due.push(DueTask(task));
            }
        }
        self.clean_up();
        due
    }

    /// Puts a task of `call_every` back for its next time.
    pub(super) fn put_back(&mut self, task: DueTask) {
        let call = &task.0.call;
        if call.cancelled.load(Relaxed) {
            call.left();
            return;
        }
        let deadline = self.clock().now() + call.delay;
        call.deadline.store(nanos(deadline), Relaxed);
        self.heap.push(deadline, task.0);
    }

    /// Rebuilds the heap once cancelled entries are most of it.
    fn clean_up(&mut self) {
        let cancelled = self.shared.cancellations.load(Relaxed);
        if cancelled > CANCELLED_MAX && cancelled > self.heap.len() / 2 {
            self.heap.retain(|task| !task.call.cancelled.load(Relaxed));
            self.shared.cancellations.store(0, Relaxed);
        }
    }

    /// The nearest deadline of what is not cancelled; that at the top is let go.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        while let Some(Reverse(next)) = self.heap.heap.peek() {
            if !next.item.call.cancelled.load(Relaxed) {
                return Some(next.deadline);
            }
            if let Some(Reverse(entry)) = self.heap.heap.pop() {
                entry.item.call.left();
            }
        }
        None
    }

    pub(super) fn clear(&mut self) {
        self.heap.retain(|task| {
            task.call.cancelled.store(true, Relaxed);
            false
        });
        self.shared.cancellations.store(0, Relaxed);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.heap.len()
    }
}

/// A task whose time has come.
pub(super) struct DueTask(Task);

impl DueTask {
    /// Calls it, unless it was cancelled meanwhile; returns it if it is to be
    /// called again. A panic is logged, and cancels this task only.
    pub(super) fn run(self, io: &mut Io<'_>) -> Option<Self> {
        if self.0.call.cancelled.load(Relaxed) {
            // Out of the heap already: see Scheduler::put_back.
            return Some(self);
        }
        let (again, result) = match self.0.callback {
            Callback::Once(callback) => {
                self.0.call.cancelled.store(true, Relaxed);
                let result = catch_unwind(AssertUnwindSafe(|| callback(io)));
                (None, result)
            }
            Callback::Every(mut callback) => {
                let result = catch_unwind(AssertUnwindSafe(|| callback(io)));
                let callback = Callback::Every(callback);
                (Some(Self(Task { callback, ..self.0 })), result)
            }
        };
        match (result, again) {
            (Ok(()), again) => again,
            (Err(panic), again) => {
                let text = super::panic_text(&*panic);
                log::error!(target: crate::log::TARGET, "a scheduled function panicked: {text}");
                // Put back, a cancelled task is counted out.
                again.inspect(|task| task.0.call.cancel())
            }
        }
    }
}

fn nanos(instant: Instant) -> u64 {
    u64::try_from(instant.saturating_duration_since(*EPOCH).as_nanos()).unwrap_or(u64::MAX)
}

fn instant(nanos: u64) -> Instant {
    *EPOCH + Duration::from_nanos(nanos)
}

/// What the deadlines that are shared with handles count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Cancelled entries that are always tolerated, as in pyftpdlib.
const CANCELLED_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cancelled_entries_leave_when_they_are_the_most() {
        let mut scheduler = Scheduler::default();
        let hour = Duration::from_secs(3600);
        let handles: Vec<_> = (0..1200)
            .map(|_| scheduler.call_later(hour, |_| {}))
            .collect();
        handles[..512].iter().for_each(CallLater::cancel);
        scheduler.take_due(Instant::now());
        assert_eq!(scheduler.len(), 1200, "512 are tolerated");
        handles[512..700].iter().for_each(CallLater::cancel);
        scheduler.take_due(Instant::now());
        assert_eq!(scheduler.len(), 500);
        assert!(handles[0].cancelled() && !handles[700].cancelled());
    }

    #[test]
    fn reset_puts_off() {
        let mut scheduler = Scheduler::default();
        let handle = scheduler.call_later(Duration::from_millis(50), |_| {});
        let later = Instant::now() + Duration::from_millis(60);
        std::thread::sleep(Duration::from_millis(20));
        handle.reset();
        assert!(scheduler.take_due(later).is_empty());
        assert_eq!(scheduler.take_due(later + Duration::from_secs(1)).len(), 1);
    }

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

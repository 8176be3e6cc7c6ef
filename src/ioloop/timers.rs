//! Callbacks that are called later: the scheduler of a loop.
//!
//! A cancelled callback leaves the heap when its deadline comes, or when cancelled ones are most
//! of the heap. What a callback is given when it is called is not known here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::clock::{Clock, instant, nanos};
use super::deadlines::DeadlineHeap;
use crate::time::{LONGEST, after};

/// A handle to a callback that was given to `call_later` or `call_every`: as pyftpdlib's
/// `_CallLater` and `_CallEvery`. Dropping the handle changes nothing.
#[derive(Clone)]
pub struct CallLater(Arc<Call>);

impl CallLater {
    /// Cancels the callback: it is not called (again).
    pub fn cancel(&self) {
        if !self.0.cancelled.swap(true, Relaxed) {
            self.0.shared.cancellations.fetch_add(1, Relaxed);
        }
    }

    /// Starts the delay anew. Has no effect on a cancelled callback.
    pub fn reset(&self) {
        let deadline = self.0.shared.clock.now() + self.0.delay;
        self.0.deadline.store(nanos(deadline), Relaxed);
    }

    /// Whether the callback was cancelled, or was called for the last time.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(Relaxed)
    }

    /// Marks a callback that leaves the heap as called for the last time.
    pub(super) fn finish(&self) {
        self.0.cancelled.store(true, Relaxed);
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

/// The state that a handle and the heap share.
struct Call {
    delay: Duration,
    /// In nanoseconds, as `clock` counts them. After a reset it is later than the deadline in the heap.
    deadline: AtomicU64,
    cancelled: AtomicBool,
    shared: Arc<Shared>,
}

/// The state that a scheduler shares with its handles.
struct Shared {
    clock: Clock,
    /// Cancelled entries that are still in the heap.
    cancellations: AtomicUsize,
}

impl Call {
    /// Notes that a cancelled entry has left the heap.
    fn left(&self) {
        // Another thread may cancel while the heap is rebuilt, so the count could fall below zero.
        let less = |count: usize| Some(count.saturating_sub(1));
        let cancellations = &self.shared.cancellations;
        let _ = cancellations.fetch_update(Relaxed, Relaxed, less);
    }
}

/// Callbacks of type `C` by the time at which they are to be called.
pub(super) struct Scheduler<C> {
    heap: DeadlineHeap<Task<C>>,
    shared: Arc<Shared>,
}

/// A callback with its handle.
pub(super) struct Task<C> {
    pub(super) handle: CallLater,
    pub(super) callback: C,
}

impl<C> Scheduler<C> {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            heap: DeadlineHeap::new(),
            shared: Arc::new(Shared {
                clock,
                cancellations: AtomicUsize::new(0),
            }),
        }
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Adds a callback that is to be called after `delay`.
    pub(super) fn schedule(&mut self, delay: Duration, callback: C) -> CallLater {
        let deadline = after(self.clock().now(), delay);
        let handle = CallLater(Arc::new(Call {
            delay: delay.min(LONGEST),
            deadline: AtomicU64::new(nanos(deadline)),
            cancelled: AtomicBool::new(false),
            shared: Arc::clone(&self.shared),
        }));
        let task = Task {
            handle: handle.clone(),
            callback,
        };
        self.heap.push(deadline, task);
        handle
    }

    /// Takes the callbacks that are due at `now`. Cancelled ones are dropped, and those that were
    /// reset are put back. The caller calls the others, and [puts back](Self::put_back) those that
    /// are to be called again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Task<C>> {
        let mut due = Vec::new();
        while let Some((_, task)) = self.heap.pop_due(now) {
            let call = &task.handle.0;
            if call.cancelled.load(Relaxed) {
                call.left();
                continue;
            }
            let deadline = instant(call.deadline.load(Relaxed));
            if deadline > now {
                self.heap.push(deadline, task);
            } else {
                due.push(task);
            }
        }
        self.clean_up();
        due
    }

    /// Puts back a callback that is to be called again after its delay. One that was cancelled
    /// meanwhile is dropped.
    pub(super) fn put_back(&mut self, task: Task<C>) {
        let call = &task.handle.0;
        if call.cancelled.load(Relaxed) {
            call.left();
            return;
        }
        let deadline = self.clock().now() + call.delay;
        call.deadline.store(nanos(deadline), Relaxed);
        self.heap.push(deadline, task);
    }

    /// Removes cancelled entries once they are more than half of the heap.
    fn clean_up(&mut self) {
        let cancelled = self.shared.cancellations.load(Relaxed);
        if cancelled > CANCELLED_MAX && cancelled > self.heap.len() / 2 {
            self.heap.retain(|task| !task.handle.cancelled());
            self.shared.cancellations.store(0, Relaxed);
        }
    }

    /// The nearest deadline of a callback that is not cancelled. Cancelled ones before it are
    /// dropped.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        while let Some((deadline, task)) = self.heap.peek() {
            if !task.handle.cancelled() {
                return Some(deadline);
            }
            if let Some((_, task)) = self.heap.pop() {
                task.handle.0.left();
            }
        }
        None
    }

    /// Cancels and drops all callbacks.
    pub(super) fn clear(&mut self) {
        self.heap.retain(|task| {
            task.handle.finish();
            false
        });
        self.shared.cancellations.store(0, Relaxed);
    }

    /// How many callbacks are to be called.
    pub(super) fn waiting(&self) -> usize {
        let tasks = self.heap.iter();
        tasks.filter(|task| !task.handle.cancelled()).count()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.heap.len()
    }
}

/// This many cancelled entries are always tolerated, as in pyftpdlib.
const CANCELLED_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_entries_leave_when_they_are_the_most() {
        let mut scheduler = Scheduler::new(Clock::SYSTEM);
        let hour = Duration::from_secs(3600);
        let handles: Vec<_> = (0..1200).map(|_| scheduler.schedule(hour, ())).collect();
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
        let mut scheduler = Scheduler::new(Clock::SYSTEM);
        let handle = scheduler.schedule(Duration::from_millis(50), ());
        let later = Instant::now() + Duration::from_millis(60);
        std::thread::sleep(Duration::from_millis(20));
        handle.reset();
        assert!(scheduler.take_due(later).is_empty());
        assert_eq!(scheduler.take_due(later + Duration::from_secs(1)).len(), 1);
    }
}

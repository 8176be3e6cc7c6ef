//! Waiting, until a deadline.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// Waits until `condition` is true, and panics after [`DEADLINE`].
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Returns the next event, and panics if none comes before [`DEADLINE`].
#[track_caller]
pub fn next<T>(events: &Receiver<T>) -> T {
    events
        .recv_timeout(DEADLINE)
        .expect("an event before the deadline")
}

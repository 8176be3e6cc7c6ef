//! The log of the servers of one test.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// Lines of the log, each after its level.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Locks the lines, even if a thread has panicked with them locked.
    pub fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub fn push(&self, line: impl Into<String>) {
        self.lock().push(line.into());
    }

    /// Whether a line contains this.
    pub fn contain(&self, text: &str) -> bool {
        self.lock().iter().any(|line| line.contains(text))
    }
}

thread_local! {
    /// The lines of this thread.
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Collects the log of the servers that this thread starts from now on.
pub fn keep() -> Lines {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    });
    let lines = Lines::default();
    hand_on(Some(lines.clone()));
    lines
}

/// Returns the lines of this thread, for [`hand_on`] in a thread that it starts.
pub(crate) fn kept() -> Option<Lines> {
    LINES.with_borrow(Clone::clone)
}

/// Lets the log of this thread go to these lines.
pub(crate) fn hand_on(lines: Option<Lines>) {
    LINES.set(lines);
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "ftpdlib" && kept().is_some()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata())
            && let Some(lines) = kept()
        {
            lines.push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

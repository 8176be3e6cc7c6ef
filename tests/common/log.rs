//! The log as a test sees it: that of its own servers.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// Lines of the log, each behind its level.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Whatever has failed meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, line: impl Into<String>) {
        self.lock().push(line.into());
    }

    /// Whether a line holds this.
    pub fn hold(&self, text: &str) -> bool {
        self.lock().iter().any(|line| line.contains(text))
    }
}

thread_local! {
    /// Where the lines of this thread go.
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Keeps the log of the servers that this thread starts from now on.
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

/// What a thread that this one starts has to [`hand_on`].
pub fn kept() -> Option<Lines> {
    LINES.with_borrow(Clone::clone)
}

pub fn hand_on(lines: Option<Lines>) {
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

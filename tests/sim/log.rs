//! The log of the server: no client can forge a line of it.

use std::cell::{Cell, RefCell};

use ::log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    /// Whether the world on this thread looks at the lines.
    static WATCHES: Cell<bool> = const { Cell::new(false) };
    /// The first line that is wrong.
    static WRONG: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct Watch;

/// Makes the log of this process the one that worlds look at.
pub fn install() {
    if ::log::set_logger(&Watch).is_ok() {
        ::log::set_max_level(LevelFilter::Debug);
    }
}

/// Whether the world on this thread looks at the lines from now on.
pub fn watch(watches: bool) {
    WATCHES.set(watches);
    take();
}

/// The first wrong line since the last call.
pub fn take() -> Option<String> {
    WRONG.take()
}

impl Log for Watch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        WATCHES.get() && metadata.target().starts_with("ftpdlib")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.args().to_string();
        if line.contains(char::is_control) {
            WRONG.with(|wrong| {
                wrong
                    .borrow_mut()
                    .get_or_insert(line.escape_debug().to_string())
                    .len()
            });
        }
    }

    fn flush(&self) {}
}

//! Panics in code that is not the loop's: they are caught and logged, and the loop goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls a function. A panic in it is logged with `what`, the name of the function. Returns
/// whether there was none.
pub(super) fn call_guarded(what: &str, function: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(function)) {
        Ok(()) => true,
        Err(panic) => {
            let text = panic_text(&*panic);
            log::error!(target: crate::log::TARGET, "{what} panicked: {text}");
            false
        }
    }
}

/// Drops a value whose `Drop` may panic. A panic is logged with `what`, the name of the value.
pub(super) fn drop_guarded<T>(what: &str, value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        log::error!(target: crate::log::TARGET, "{what} panicked while it was dropped");
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

//! Panics of a world: they are failures, and are not printed.

use std::any::Any;
use std::cell::RefCell;
use std::panic;

/// The text of a panic that the world has asked for.
pub const PLANNED: &str = "a panic that the world has asked for";

thread_local! {
    /// Where the last panic of this thread was.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the places of panics instead of printing them.
pub fn keep_silent() {
    panic::set_hook(Box::new(|info| {
        if payload(info.payload()) == PLANNED {
            return;
        }
        let place = info.location().map(|place| format!("{place}: "));
        let text = place.unwrap_or_default() + &payload(info.payload());
        LAST.with(|last| *last.borrow_mut() = Some(text));
    }));
}

/// The place and the text of a panic that was caught on this thread.
pub fn text(caught: &(dyn Any + Send)) -> String {
    let last = LAST.with(|last| last.borrow_mut().take());
    last.unwrap_or_else(|| payload(caught))
}

/// Whether a panic was kept since the last call, although it was caught somewhere else: in the
/// loop of the server.
pub fn take() -> Option<String> {
    LAST.with(|last| last.borrow_mut().take())
}

fn payload(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic".to_owned())
}

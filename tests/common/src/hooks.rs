//! Handlers that report the hooks that are called.

use std::path::Path;
use std::sync::Once;
use std::sync::mpsc::{Receiver, Sender, channel};

use ftpdlib::handlers::TransferLog;
use ftpdlib::{FTPConfig, FTPHandler, FTPSession};

use crate::{Mode, Server, next};

/// A handler that sends the name of each hook that is called, and of the file.
pub struct Hooks(pub Sender<String>);

impl Hooks {
    fn report(&self, event: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = self.0.send(format!("{event} {name}"));
    }
}

impl FTPHandler for Hooks {
    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        let _ = self.0.send("disconnect".to_owned());
    }

    fn on_file_sent(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report("sent", file);
    }

    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report("received", file);
    }

    fn on_incomplete_file_sent(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report("incomplete sent", file);
    }

    fn on_incomplete_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report("incomplete received", file);
    }

    fn log_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        self.report("log", transfer.filename);
        ftpdlib::handlers::dispatch::log_transfer(s, transfer);
    }
}

impl Server {
    /// Starts a server with such handlers; returns their events, too.
    pub fn with_hooks(
        mode: Mode,
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
    ) -> (Self, Receiver<String>) {
        let (sender, events) = channel();
        let server = Self::with_handler(mode, change, move |_| Hooks(sender.clone()));
        (server, events)
    }
}

/// Checks the next events.
#[track_caller]
pub fn expect_events(events: &Receiver<String>, expected: &[&str]) {
    for event in expected {
        assert_eq!(&next(events), event);
    }
}

/// Keeps panics whose text begins with "as planned" out of the output.
pub fn hide_planned_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied());
            if !text.is_some_and(|text| text.starts_with("as planned")) {
                usual(info);
            }
        }));
    });
}

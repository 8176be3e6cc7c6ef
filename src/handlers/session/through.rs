//! Replies and lines of the log, on their way through the handler.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::panic::Location;

use log::Level;

use super::overrides::Handled;
use super::state::FTPSession;
use crate::log::escape;
use crate::proto::reply::{Reply, sanitize};

impl FTPSession {
    /// Whether the handler overrides nothing.
    pub(crate) fn has_stock_commands(&self) -> bool {
        self.overrides.is_none()
    }

    /// Sends a reply in the way of the handler. What this calls is sent in the stock way.
    pub(super) fn reply_at(
        &mut self,
        level: Level,
        reply: Reply,
        place: &'static Location<'static>,
    ) {
        let Some(overrides) = self.overrides.filter(|_| !self.in_respond) else {
            let handled = self.rare.as_ref().map(|rare| &rare.handled);
            let place = handled.and_then(|handled| handled.place).unwrap_or(place);
            return self.send_reply(level, reply, place);
        };
        self.in_respond = true;
        if level < Level::Debug {
            self.rare().handled.place = Some(place);
        }
        // If it panics, the session ends, and its last lines take the stock way.
        (overrides.respond)(self, level, reply);
        self.in_respond = false;
        if let Some(rare) = &mut self.rare {
            rare.handled = Handled::default();
            self.tidy();
        }
    }

    /// Sends a reply with a name whose bytes are not UTF-8 in the way of the handler. Returns false
    /// if that is the stock way.
    pub(super) fn reply_with_bytes(&mut self, code: u16, text: &[u8]) -> bool {
        if self.has_stock_commands() || self.in_respond {
            return false;
        }
        let shown = sanitize(&String::from_utf8_lossy(text)).into_owned();
        self.rare().handled.raw = Some((shown.clone(), text.to_vec()));
        self.reply_at(Level::Debug, Reply::with(code, shown), Location::caller());
        true
    }

    /// The bytes of the reply that is handled, if its text is the one that the handler got.
    pub(super) fn take_raw(&mut self, reply: &Reply) -> Option<Vec<u8>> {
        let (shown, bytes) = self.rare.as_mut()?.handled.raw.take()?;
        (shown == reply.text).then_some(bytes)
    }

    /// Logs a message in the way of the handler, which gets it escaped. What this calls is logged in
    /// the stock way.
    pub(super) fn write(&self, level: Level, message: &dyn Display) {
        match self.overrides {
            _ if !self.wants_lines(level) => {}
            Some(overrides) if !self.in_log.replace(true) => {
                (overrides.log)(self, level, &Escaped(message));
                self.in_log.set(false);
            }
            _ => self.write_line(level, message),
        }
    }
}

/// A message whose control characters are escaped.
struct Escaped<'a>(&'a dyn Display);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.0.to_string();
        match escape(&message) {
            Cow::Owned(escaped) => f.write_str(&escaped),
            Cow::Borrowed(_) => f.write_str(&message),
        }
    }
}

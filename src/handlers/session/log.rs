//! The log lines of a session.

use std::fmt::Display;
use std::panic::Location;

use log::Level;

use super::repeats::{Kind, Verdict};
use super::state::FTPSession;
use crate::log::{TARGET, escape, escape_name};

impl FTPSession {
    /// Logs a message with the prefix of the session.
    pub fn log(&self, message: impl Display) {
        self.write(Level::Info, &message);
    }

    /// Logs a line that was received or sent, if the level `debug` is enabled.
    pub fn logline(&self, message: impl Display) {
        self.write(Level::Debug, &message);
    }

    /// Logs a message at `level` with the prefix of the session.
    ///
    /// Of the warnings and errors that one place in the code logs, ten in a minute are written. The
    /// others are counted, and a line says how often the last one was repeated: after the minute, or
    /// at the end of the session.
    #[track_caller]
    pub fn log_at(&self, level: Level, message: impl Display) {
        if level <= Level::Warn {
            self.log_few(level, Kind::Place(Location::caller()), &message);
        } else {
            self.write(level, &message);
        }
    }

    /// Logs a message that the client can cause without end, as [`log_at`](Self::log_at) does with
    /// warnings. Returns whether it was written.
    #[track_caller]
    pub(crate) fn log_seldom(&self, level: Level, message: impl Display) -> bool {
        self.log_few(level, Kind::Place(Location::caller()), &message)
    }

    /// Logs that a command is refused. The client can cause this without end.
    pub(crate) fn log_refused(&self, cmd: &str, message: impl Display) {
        self.log_few(Level::Info, Kind::Refused(cmd), &message);
    }

    /// Logs that a command has worked which changes no file. The client can cause this without end.
    pub(crate) fn log_harmless(&self, cmd: &str, message: impl Display) {
        self.log_few(Level::Info, Kind::Harmless(cmd), &message);
    }

    /// Logs a message unless it is one of many of its kind. Returns whether it was written.
    pub(super) fn log_few(&self, level: Level, kind: Kind<'_>, message: &dyn Display) -> bool {
        if !self.wants_lines(level) {
            return false;
        }
        match self.repeats.count(kind, self.now) {
            Verdict::Count => return false,
            Verdict::Write => self.write(level, message),
            Verdict::WriteAndKeep => {
                let line = match self.overrides {
                    None => self.line(message),
                    // The handler gets it once more.
                    Some(_) => escape(&message.to_string()).into_owned(),
                };
                self.repeats.keep(kind, level, &line);
                self.write(level, message);
            }
        }
        true
    }

    /// When [`report_repeats`](Self::report_repeats) has something to log.
    pub(crate) fn repeats_due(&self) -> Option<std::time::Instant> {
        self.repeats.due()
    }

    /// Logs how many lines of each kind were counted: of those whose time is over, or at the end of
    /// all.
    pub(crate) fn report_repeats(&self, at_the_end: bool) {
        for (level, line, counted) in self.repeats.take((!at_the_end).then_some(self.now)) {
            let line = format_args!("{line} (repeated {counted} times)");
            match self.overrides {
                None => log::log!(target: TARGET, level, "{line}"),
                Some(_) => self.write(level, &line),
            }
        }
    }

    /// Writes a line, if its level is enabled.
    pub(crate) fn write_line(&self, level: Level, message: &dyn Display) {
        if self.is_logged_at(level) {
            log::log!(target: TARGET, level, "{}", self.line(message));
        }
    }

    /// Whether lines of this level are to be made: they are written, or the handler gets them.
    pub(crate) fn wants_lines(&self, level: Level) -> bool {
        let goes_to_handler = self.overrides.is_some() && level < Level::Debug;
        self.is_logged_at(level) || (goes_to_handler && !self.repeats.is_off())
    }

    fn is_logged_at(&self, level: Level) -> bool {
        !self.repeats.is_off() && log::log_enabled!(target: TARGET, level)
    }

    /// No further line of this session is written.
    pub(crate) fn log_nothing(&self) {
        self.repeats.turn_off();
    }

    fn line(&self, message: &dyn Display) -> String {
        // Escaped here and not only in the logger, which may be any other one.
        let line = format!("{} {message}", self.prefix());
        match escape(&line) {
            std::borrow::Cow::Owned(escaped) => escaped,
            std::borrow::Cow::Borrowed(_) => line,
        }
    }

    /// What precedes each line of the log.
    fn prefix(&self) -> String {
        let mut prefix = String::with_capacity(48);
        let mut rest = self.log_prefix();
        while let Some((before, after)) = rest.split_once('{') {
            prefix.push_str(before);
            let Some((key, after)) = after.split_once('}') else {
                prefix.push('{');
                rest = after;
                continue;
            };
            match key {
                "remote_ip" => prefix.push_str(&self.remote_ip().to_string()),
                "remote_port" => prefix.push_str(&self.remote_port().to_string()),
                // A client that is not logged in must not choose what the log says.
                "username" if !self.authenticated() => {}
                "username" => prefix.push_str(&escape_name(cut(&self.username))),
                _ => prefix.extend(["{", key, "}"]),
            }
            rest = after;
        }
        prefix.push_str(rest);
        prefix
    }
}

/// The first characters of the name of a user, as many as the prefix shows.
fn cut(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_MAX);
    &name[..end.map_or(name.len(), |(end, _)| end)]
}

/// How many characters of the name of a user the prefix shows.
const NAME_MAX: usize = 64;

//! The log lines of a session.

use std::fmt::Display;

use log::Level;

use super::state::FTPSession;
use crate::log::{TARGET, escape};

impl FTPSession {
    /// Logs a message with the prefix of the session.
    pub fn log(&self, message: impl Display) {
        self.log_at(Level::Info, message);
    }

    /// Logs a line that was received or sent, if the level `debug` is enabled.
    pub fn logline(&self, message: impl Display) {
        self.log_at(Level::Debug, message);
    }

    /// Logs a message at `level` with the prefix of the session.
    pub fn log_at(&self, level: Level, message: impl Display) {
        if log::log_enabled!(target: TARGET, level) {
            // Escaped here and not only in the logger, which may be any other one.
            let line = format!("{} {message}", self.prefix());
            log::log!(target: TARGET, level, "{}", escape(&line));
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
                "username" => prefix.push_str(&self.username),
                _ => prefix.extend(["{", key, "}"]),
            }
            rest = after;
        }
        prefix.push_str(rest);
        prefix
    }
}

//! Replies.

use std::borrow::Cow;
use std::panic::Location;

use log::Level;

use super::repeats::Kind;
use super::state::FTPSession;
use crate::log::TARGET;
use crate::proto::reply::{Reply, sanitize, sanitize_bytes};

impl FTPSession {
    /// Sends a reply: a code, a space, and text on one line, or a [`Reply`]. A character that
    /// could end the line or act on a terminal becomes `?`.
    pub fn respond(&mut self, reply: impl Into<Reply>) {
        self.respond_at(Level::Debug, reply);
    }

    /// Sends a reply, and logs it as a warning. As in [`log_at`](Self::log_at), ten of the warnings
    /// of one place in the code are logged in a minute, and the others are counted.
    #[track_caller]
    pub fn respond_w_warning(&mut self, reply: impl Into<Reply>) {
        self.respond_at(Level::Warn, reply);
    }

    /// Sends a reply, and logs it at `level` (if `debug` is enabled, as `-> 200 ...`). From level
    /// info up, the lines of one place in the code are counted as those of
    /// [`log_at`](Self::log_at).
    #[track_caller]
    pub fn respond_at(&mut self, level: Level, reply: impl Into<Reply>) {
        self.reply_at(level, reply.into(), Location::caller());
    }

    /// Sends and logs a reply. Not generic, so that there is one copy of it.
    pub(super) fn send_reply(
        &mut self,
        level: Level,
        mut reply: Reply,
        place: &'static Location<'static>,
    ) {
        if let Some(bytes) = self.take_raw(&reply) {
            return self.send_bytes(reply.code, &bytes);
        }
        if let Cow::Owned(clean) = sanitize(&reply.text) {
            reply.text = clean.into();
        }
        let line = reply.to_string();
        self.push_encoded(line.as_bytes());
        self.chat.push(b"\r\n");
        let is_debugged = log::log_enabled!(target: TARGET, Level::Debug);
        let kind = Kind::Place(place);
        if level >= Level::Debug {
            self.log_at(level, format_args!("-> {line}"));
        } else if is_debugged {
            // All replies are in this log.
            if !self.log_few(level, kind, &format_args!("-> {line}")) {
                self.logline(format_args!("-> {line}"));
            }
        } else {
            // In a line without a code: the part that a text would be.
            let text = match reply.has_code() {
                true => &*reply.text,
                false => line.get(4..).unwrap_or_default(),
            };
            self.log_few(level, kind, &text);
        }
        self.answer = Some(reply);
    }

    /// Sends a reply that contains a name, whose bytes need not be UTF-8.
    pub(crate) fn respond_bytes(&mut self, code: u16, text: &[u8]) {
        if let Ok(text) = std::str::from_utf8(text) {
            return self.respond(Reply::with(code, text.to_owned()));
        }
        if !self.reply_with_bytes(code, text) {
            self.send_bytes(code, text);
        }
    }

    fn send_bytes(&mut self, code: u16, text: &[u8]) {
        let line = [format!("{code} ").as_bytes(), text].concat();
        self.push_bytes_line(&line);
        let text = String::from_utf8_lossy(text);
        let reply = Reply::with(code, sanitize(&text).into_owned());
        self.logline(format_args!("-> {reply}"));
        self.answer = Some(reply);
    }

    /// Sends a line that contains a name, whose bytes need not be UTF-8.
    pub(crate) fn push_bytes_line(&mut self, line: &[u8]) {
        self.push_encoded(&sanitize_bytes(line));
        self.chat.push(b"\r\n");
    }

    /// Sends a line of a reply that has several; CRLF is added.
    pub fn push_line(&mut self, line: &str) {
        let line = sanitize(line);
        self.push_encoded(line.as_bytes());
        self.chat.push(b"\r\n");
    }

    /// Sends `code` with a text that may be too long for one line, as pyftpdlib does with
    /// banners and messages of users.
    pub(crate) fn respond_message(&mut self, code: u16, text: &str) {
        if text.chars().count() <= 75 {
            self.respond(Reply::with(code, text.to_owned()));
        } else {
            self.push_line(&format!("{code}-{text}"));
            self.respond(Reply::new(code, ""));
        }
    }

    /// Sends text in the encoding of the session.
    pub(crate) fn push_encoded(&mut self, text: &[u8]) {
        let encoding = self.encoding();
        if encoding.is_utf8() {
            self.chat.push(text);
        } else {
            let mut wire = Vec::with_capacity(text.len());
            encoding.encode_text(text, &mut wire);
            self.chat.push(&wire);
        }
    }

    // --- the reply to the command in progress

    /// The reply to the command in progress, so far; `None` if it has none yet, and between
    /// commands. After the call of a stock body: its outcome, as the result of `super().ftp_X()` in
    /// pyftpdlib.
    ///
    /// [`on_command`](crate::FTPHandler::on_command) gets each reply, also one that comes later: to
    /// PORT and EPRT; to PASS if the authorizer answers later or the login fails (without the
    /// password); to STOR and APPE while another upload has the file; and to a method that calls
    /// [`offload`](Self::offload).
    ///
    /// ```
    /// use std::path::Path;
    /// use ftpdlib::handlers::commands;
    /// use ftpdlib::{FTPHandler, FTPSession};
    ///
    /// struct Noting(Vec<std::path::PathBuf>);
    ///
    /// impl FTPHandler for Noting {
    ///     fn ftp_mkd(&mut self, s: &mut FTPSession, path: &Path) {
    ///         commands::mkd(s, path); // super
    ///         if s.replied().is_some_and(|reply| reply.code == 257) {
    ///             self.0.push(path.to_owned());
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn replied(&self) -> Option<&Reply> {
        self.answer.as_ref()
    }

    /// Forgets the reply to an earlier command: a new one begins.
    pub(crate) fn begin_answer(&mut self) {
        self.answer = None;
    }

    /// Whether the reply to the command in progress is a refusal.
    pub(crate) fn has_refused(&self) -> bool {
        self.answer.as_ref().is_some_and(|reply| reply.code >= 400)
    }

    /// Takes the reply to the command in progress, if there was one.
    pub(crate) fn take_answer(&mut self) -> Option<Reply> {
        self.answer.take()
    }

    /// Runs `function`, whose replies belong to something else than the command in progress:
    /// to a transfer that ends, or to an earlier PORT.
    pub(crate) fn aside<T>(&mut self, function: impl FnOnce(&mut Self) -> T) -> T {
        let answer = self.answer.take();
        let result = function(self);
        self.answer = answer;
        result
    }
}

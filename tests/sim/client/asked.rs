//! The commands of a client that have no final reply yet.

use std::collections::VecDeque;

/// A command without its final reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub what: What,
    /// Whether it has a reply 1xx.
    pub begun: bool,
}

/// What the client does with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It makes the data connection with this number of the client.
    Open(usize),
    /// It uses that data connection, if it has one.
    Transfer(Option<usize>),
    /// It begins TLS; with true, also on data connections.
    Auth(bool),
    /// It changes the protection of data connections.
    Prot(bool),
    Rein,
    Other,
}

/// The commands that were sent, from the bytes that were sent.
#[derive(Default)]
pub struct Asked {
    waiting: VecDeque<Command>,
    /// A line that is not complete.
    line: Vec<u8>,
    /// Whether that line has counted already, because it is too long.
    too_long: bool,
}

impl Asked {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether a command with this purpose has no final reply.
    pub fn has(&self, what: What) -> bool {
        self.waiting.iter().any(|command| command.what == what)
    }

    /// Counts the commands in bytes that are sent. The last one of them has this purpose.
    pub fn send(&mut self, bytes: &[u8], what: Option<What>) {
        let before = self.waiting.len();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.too_long) {
                    self.push(purpose(&line));
                }
                continue;
            }
            if self.line.len() > LINE_MAX {
                if !self.too_long {
                    self.too_long = true;
                    self.push(What::Other);
                }
            } else {
                self.line.push(*byte);
            }
        }
        if let Some(what) = what
            && self.waiting.len() > before
            && let Some(last) = self.waiting.back_mut()
        {
            last.what = what;
        }
    }

    fn push(&mut self, what: What) {
        let begun = false;
        self.waiting.push_back(Command { what, begun });
    }

    /// A reply 1xx has come. Returns the transfer that has begun.
    pub fn begin(&mut self) -> Option<What> {
        let is_next = |x: &&mut Command| matches!(x.what, What::Transfer(_)) && !x.begun;
        let command = self.waiting.iter_mut().find(is_next)?;
        command.begun = true;
        Some(command.what)
    }

    /// Whether a transfer has no final reply.
    pub fn has_transfer(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|command| matches!(command.what, What::Transfer(_)))
    }

    /// Whether a transfer has its reply 1xx, and no final one.
    pub fn has_begun(&self) -> bool {
        self.waiting.iter().any(|command| command.begun)
    }

    /// A final reply has come. Returns the command that it is for, as far as a client can tell.
    pub fn end(&mut self, code: u16) -> Option<Command> {
        let is_transfer = |x: &Command| matches!(x.what, What::Transfer(_));
        let begun = self.waiting.iter().position(|x| is_transfer(x) && x.begun);
        let of_transfer = matches!(code, 226 | 425 | 426 | 421 | 450 | 451 | 452 | 522);
        let other = self.waiting.iter().position(|x| !x.begun);
        let index = match begun {
            Some(begun) if of_transfer => begun,
            _ => other.unwrap_or(0),
        };
        self.waiting.remove(index)
    }
}

/// What a client does with the reply to a line that it sends as it is.
fn purpose(line: &[u8]) -> What {
    let line = String::from_utf8_lossy(line).trim().to_ascii_uppercase();
    let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
    match (verb, argument.trim()) {
        ("AUTH", "SSL" | "TLS-P") => What::Auth(true),
        ("AUTH", _) => What::Auth(false),
        ("PROT", "P") => What::Prot(true),
        ("PROT", "C") => What::Prot(false),
        ("REIN", _) => What::Rein,
        ("RETR" | "STOR" | "STOU" | "APPE" | "LIST" | "NLST" | "MLSD", _) => What::Transfer(None),
        _ => What::Other,
    }
}

/// The longest line that the server takes, in bytes.
const LINE_MAX: usize = 2048;

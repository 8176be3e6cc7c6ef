//! Bytes become command lines and replies.

/// Cuts what a client sends into lines. A line ends with LF, and a CR before it belongs to the
/// end. A line of more than 2,048 bytes is one that is too long, whatever follows up to its LF.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    unfinished: Vec<u8>,
    is_skipping: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    Line(Vec<u8>),
    /// The first bytes of a line that is too long.
    TooLong(Vec<u8>),
}

const MAX_LINE: usize = 2048;

impl Lines {
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(Cut)) {
        for byte in bytes {
            if *byte == b'\n' {
                if std::mem::take(&mut self.is_skipping) {
                    self.unfinished.clear();
                    continue;
                }
                let mut whole = std::mem::take(&mut self.unfinished);
                if whole.last() == Some(&b'\r') {
                    whole.pop();
                }
                line(match whole.len() > MAX_LINE {
                    true => Cut::TooLong(whole),
                    false => Cut::Line(whole),
                });
            } else if !self.is_skipping {
                self.unfinished.push(*byte);
                // A CR may belong to the end of the line.
                if self.unfinished.len() > MAX_LINE + 1
                    || self.unfinished.len() > MAX_LINE && *byte != b'\r'
                {
                    self.is_skipping = true;
                    line(Cut::TooLong(std::mem::take(&mut self.unfinished)));
                }
            }
        }
    }

    /// Whether a line has begun whose end has not come.
    pub fn is_unfinished(&self) -> bool {
        self.is_skipping || !self.unfinished.is_empty()
    }

    /// Forgets what has come of an unfinished line, as AUTH does.
    pub fn clear(&mut self) {
        self.unfinished.clear();
        self.is_skipping = false;
    }
}

/// A reply: its code, and its lines without CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// The text of the last line, after the code.
    pub fn text(&self) -> &[u8] {
        let last = self.lines.last().map_or(&b""[..], |line| line);
        last.get(4..).unwrap_or(b"")
    }

    /// The last line.
    pub fn last(&self) -> &[u8] {
        self.lines.last().map_or(&b""[..], |line| line)
    }

    pub fn shown(&self) -> String {
        let mut text = String::new();
        for (at, line) in self.lines.iter().enumerate() {
            if at > 0 {
                text.push_str(" | ");
            }
            text.push_str(&line.escape_ascii().to_string());
        }
        if text.len() > 400 {
            let mut end = 400;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("..");
        }
        text
    }
}

/// Puts replies together (RFC 959 §4.2).
#[derive(Clone, Debug, Default)]
pub struct Replies {
    unfinished: Vec<u8>,
    lines: Vec<Vec<u8>>,
}

impl Replies {
    /// Takes bytes; gives the whole replies, or what is wrong with their form.
    pub fn push(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> Result<(), String> {
        for byte in bytes {
            self.unfinished.push(*byte);
            if *byte != b'\n' {
                continue;
            }
            let mut line = std::mem::take(&mut self.unfinished);
            line.pop();
            if line.pop() != Some(b'\r') {
                return Err(format!("a line without CR LF: {}", line.escape_ascii()));
            }
            if line.contains(&b'\r') {
                return Err(format!("a CR in a line: {}", line.escape_ascii()));
            }
            let is_first = self.lines.is_empty();
            let end = Self::ends(&line);
            let first_code = self.lines.first().map(|line| line[..3].to_vec());
            let begins = line.len() >= 4
                && line[..3].iter().all(u8::is_ascii_digit)
                && matches!(line[3], b' ' | b'-');
            if is_first && !begins {
                return Err(format!("no reply: {}", line.escape_ascii()));
            }
            let is_last = match first_code {
                None => end.is_some(),
                Some(code) => end.is_some() && line[..3] == code[..],
            };
            self.lines.push(line);
            if is_last {
                let lines = std::mem::take(&mut self.lines);
                let code = end.unwrap_or(0);
                if !(100..600).contains(&code) {
                    return Err(format!("no code: {}", lines[0].escape_ascii()));
                }
                replies.push(Reply { code, lines });
            }
        }
        Ok(())
    }

    fn ends(line: &[u8]) -> Option<u16> {
        if line.len() < 4 || line[3] != b' ' {
            return None;
        }
        std::str::from_utf8(&line[..3]).ok()?.parse().ok()
    }

    /// Whether part of a reply has come.
    pub fn is_unfinished(&self) -> bool {
        !self.unfinished.is_empty() || !self.lines.is_empty()
    }
}

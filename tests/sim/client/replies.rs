//! Replies, as a client reads them.

/// Cuts replies out of what the server sends.
#[derive(Default)]
pub struct Replies {
    /// A line that is not whole.
    rest: Vec<u8>,
    /// The code of a reply of several lines that has begun.
    begun: Option<[u8; 3]>,
}

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Its last line, without the code.
    pub text: Vec<u8>,
}

impl Replies {
    /// Takes bytes, and returns the replies that are whole.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Reply> {
        let mut replies = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.rest.push(*byte);
                continue;
            }
            let mut line = std::mem::take(&mut self.rest);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            replies.extend(self.line(&line));
        }
        replies
    }

    fn line(&mut self, line: &[u8]) -> Option<Reply> {
        let code: [u8; 3] = line.get(..3)?.try_into().ok()?;
        let number = std::str::from_utf8(&code).ok()?.parse().ok();
        match (self.begun, line.get(3)) {
            (None, Some(b'-')) => {
                self.begun = Some(code);
                None
            }
            (Some(begun), Some(b' ')) if begun == code => {
                self.begun = None;
                self.reply(number?, line)
            }
            (Some(_), _) => None,
            (None, _) => self.reply(number?, line),
        }
    }

    fn reply(&self, code: u16, line: &[u8]) -> Option<Reply> {
        Some(Reply {
            code,
            text: line.get(4..).unwrap_or_default().to_vec(),
        })
    }
}

impl Reply {
    /// The port in a 227 or a 229.
    pub fn port(&self) -> Option<u16> {
        let text = std::str::from_utf8(&self.text).ok()?;
        let (_, inside) = text.split_once('(')?;
        let (inside, _) = inside.split_once(')')?;
        match self.code {
            227 => {
                let mut numbers = inside.rsplit(',').map(str::parse::<u16>);
                let low = numbers.next()?.ok()?;
                numbers.next()?.ok()?.checked_mul(256)?.checked_add(low)
            }
            229 => inside.trim_matches('|').parse().ok(),
            _ => None,
        }
    }
}

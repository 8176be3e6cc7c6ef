//! Replies, as a client reads them.

use std::error::Error;
use std::fmt;

/// A whole reply (RFC 959 §4.2): one line, or several lines of which the first and the last
/// have the same code.
///
/// It can be compared with its text, where CRLF separates lines:
/// `assert_eq!(reply, "331 Username ok, send password.")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// The code: the three digits at the start of the last line.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text of the last line, without the code.
    #[must_use]
    pub fn text(&self) -> &str {
        let last = self.lines.last().map(String::as_str);
        last.and_then(|line| line.get(4..)).unwrap_or_default()
    }

    /// All lines as they were sent, without CRLF. Bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The port in a reply to PASV (227) or EPSV (229); `None` for other replies.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let (_, inside) = self.text().split_once('(')?;
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

    /// Whether another reply to the same command follows (RFC 959 §4.2, codes 1yz).
    pub(super) fn is_preliminary(&self) -> bool {
        self.code < 200
    }

    /// Whether the command was carried out (codes 2yz).
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Removes the first reply from the received bytes and returns it; `None` if it is not
    /// whole yet.
    ///
    /// # Panics
    /// If the bytes are not a reply.
    #[track_caller]
    pub(super) fn take(received: &mut Vec<u8>) -> Option<Self> {
        let mut lines: Vec<String> = Vec::new();
        let mut start = 0;
        loop {
            let rest = &received[start..];
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            start += end + 2;
            let opens = lines.is_empty() && line.get(3..4) == Some("-");
            let code = lines.first().unwrap_or(&line).get(..3).map(str::to_owned);
            let ends = line.get(..3) == code.as_deref() && line.get(3..4) == Some(" ");
            lines.push(line);
            if ends {
                received.drain(..start);
                let code = code.and_then(|code| code.parse().ok());
                let code =
                    code.unwrap_or_else(|| panic!("no reply: the server has sent {lines:?}"));
                return Some(Self { code, lines });
            }
            assert!(
                opens || lines.len() > 1,
                "no reply: the server has sent {lines:?}"
            );
        }
    }
}

/// Writes the reply as it was sent, without the last CRLF.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\r\n"))
    }
}

/// A reply can be an error, so that a test can use `?` where it expects another reply.
impl Error for Reply {}

impl PartialEq<str> for Reply {
    fn eq(&self, other: &str) -> bool {
        other.split("\r\n").eq(&self.lines)
    }
}

impl PartialEq<&str> for Reply {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_one_by_one() {
        let mut received = b"200 Fine.\r\n211-Features:\r\n 200 X\r\n211 End.\r\n22".to_vec();
        assert_eq!(Reply::take(&mut received).unwrap(), "200 Fine.");
        let features = Reply::take(&mut received).unwrap();
        assert_eq!((features.code(), features.text()), (211, "End."));
        assert_eq!(features.lines().len(), 3);
        assert_eq!(features, "211-Features:\r\n 200 X\r\n211 End.");
        assert_eq!(Reply::take(&mut received), None);
        assert_eq!(received, b"22");
    }

    #[test]
    #[should_panic(expected = "no reply")]
    fn what_is_no_reply_is_not_taken_for_one() {
        Reply::take(&mut b"hello\r\n".to_vec());
    }

    #[test]
    fn ports() {
        let port = |line: &str| Reply::take(&mut format!("{line}\r\n").into_bytes())?.port();
        let passive = "227 Entering Passive Mode (127,0,0,1,192,1).";
        assert_eq!(port(passive), Some(49_153));
        assert_eq!(
            port("229 Entering Extended Passive Mode (|||49153|)."),
            Some(49_153)
        );
        assert_eq!(port("227 Entering Passive Mode (127,0,0,1,256,1)."), None);
        assert_eq!(port("200 Fine (1,2)."), None);
    }
}

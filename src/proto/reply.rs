//! Text from outside that is put into replies and log lines.
//!
//! This module makes such text, most often the name of a file, safe for one line. The replies are
//! not known here.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;

use crate::error::FSError;

/// Replaces every control character by `?`, so that the text fits in one line of a reply.
///
/// Control characters are C0 (CR, LF, NUL, ESC and others), DEL and C1. Otherwise a name with a
/// line feed could forge a reply (by RFC 959 §4.2 a reply ends at CRLF), and an escape sequence
/// could control the terminal of the client or of a reader of the log. Text without control
/// characters is borrowed.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
        Cow::Owned(clean.collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Does the same as [`sanitize`] for bytes that need not be UTF-8.
#[must_use]
pub fn sanitize_bytes(line: &[u8]) -> Cow<'_, [u8]> {
    let is_c1 = |pair: &[u8]| matches!(pair, [0xc2, 0x80..=0x9f]);
    let clean = !line.iter().any(u8::is_ascii_control) && !line.windows(2).any(is_c1);
    if clean {
        return Cow::Borrowed(line);
    }
    let mut out: Vec<u8> = Vec::with_capacity(line.len());
    for byte in line {
        match (out.last(), byte) {
            (_, byte) if byte.is_ascii_control() => out.push(b'?'),
            (Some(0xc2), 0x80..=0x9f) => {
                out.pop();
                out.push(b'?');
            }
            (_, byte) => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// Quotes a text as Python's `repr()` does. pyftpdlib quotes paths so in replies and in the log:
/// `'/x' points to a path which is outside ..`.
///
/// The quote is `'`, or `"` if the text has `'` and no `"`. Backslash, tab, CR and LF get short
/// escapes. Other characters that cannot be printed become `\xNN`, `\uNNNN` or `\UNNNNNNNN`. All
/// others, in any script, are kept.
#[must_use]
pub fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str(r"\\"),
            '\t' => quoted.push_str(r"\t"),
            '\n' => quoted.push_str(r"\n"),
            '\r' => quoted.push_str(r"\r"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            ' '..='~' => quoted.push(c),
            c if is_printable(c) => quoted.push(c),
            c => push_escape(&mut quoted, u32::from(c)),
        }
    }
    quoted.push(quote);
    quoted
}

/// Whether a character beyond ASCII is printable in Python.
///
/// std's table excludes the same general categories as Python's, but it can only be reached
/// through `escape_debug`. That also escapes a combining mark at the start of a string; so a letter
/// is put before the character.
fn is_printable(c: char) -> bool {
    let mut pair = String::with_capacity(8);
    pair.push('a');
    pair.push(c);
    pair.escape_debug().count() == 2
}

fn push_escape(quoted: &mut String, code: u32) {
    let written = match code {
        0..=0xff => write!(quoted, "\\x{code:02x}"),
        0x100..=0xffff => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
}

/// A final or preliminary reply: a code and a text on one line (RFC 959 §4.2).
///
/// A line converts into a reply: `"550 No."`. A line that does not begin with three digits has
/// the code 0, and is sent as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code, of three digits.
    pub code: u16,
    /// The text that follows the code and a space.
    pub text: Cow<'static, str>,
    /// What stands between code and text. `None`: nothing.
    separator: Option<char>,
}

impl Reply {
    /// A reply with a text that is known when the program is compiled.
    #[must_use]
    pub const fn new(code: u16, text: &'static str) -> Self {
        Self {
            code,
            text: Cow::Borrowed(text),
            separator: Some(' '),
        }
    }

    /// A reply with a text that is made for the occasion.
    #[must_use]
    pub fn with(code: u16, text: String) -> Self {
        Self {
            code,
            text: Cow::Owned(text),
            separator: Some(' '),
        }
    }

    /// Whether the reply tells that something has failed: its code is from 400 to 599.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        (400..=599).contains(&self.code)
    }

    /// The reply that an error carries, if it tells that something has failed.
    pub(crate) fn of_error(err: &io::Error) -> Option<&Self> {
        let reply = err.get_ref()?.downcast_ref::<Self>()?;
        Some(reply).filter(|reply| reply.is_failure())
    }

    /// Whether the reply has a code.
    pub(crate) fn has_code(&self) -> bool {
        self.code != 0
    }
}

impl fmt::Display for Reply {
    /// The reply as it is sent, without CRLF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_code() {
            write!(f, "{:03}", self.code)?;
            if let Some(separator) = self.separator {
                f.write_char(separator)?;
            }
        }
        f.write_str(&self.text)
    }
}

impl Error for Reply {}

impl From<Reply> for io::Error {
    /// An error of a file or a producer that ends its transfer with this reply, which has a code
    /// from 400 to 599.
    fn from(reply: Reply) -> Self {
        Self::other(reply)
    }
}

impl From<&str> for Reply {
    fn from(line: &str) -> Self {
        Self::from(line.to_owned())
    }
}

impl From<&String> for Reply {
    fn from(line: &String) -> Self {
        Self::from(line.as_str())
    }
}

impl From<String> for Reply {
    fn from(line: String) -> Self {
        let (code, rest) = line.split_at_checked(3).unwrap_or_default();
        let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
        let code = code.parse().ok().filter(|_| is_code).unwrap_or(0);
        let mut text = rest.chars();
        let separator = text.next();
        match code {
            0 => Self {
                code,
                text: Cow::Owned(line),
                separator: None,
            },
            _ => Self {
                code,
                text: Cow::Owned(text.as_str().to_owned()),
                separator,
            },
        }
    }
}

impl From<FSError> for Reply {
    /// `550` and the text of the error.
    fn from(err: FSError) -> Self {
        Self::with(550, format!("{err}."))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sanitize_replaces_controls_only() {
        assert!(matches!(sanitize("plain \u{e9}\u{4e2d}"), Cow::Borrowed(_)));
        assert_eq!(sanitize("a\r\nb\0c\x1bd\x7fe"), "a??b?c?d?e");
        assert_eq!(sanitize("\u{80}\u{9b}\u{85}\u{a0}"), "???\u{a0}");
        assert_eq!(sanitize(""), "");
    }

    #[test]
    fn repr_is_pythons() {
        for (text, expected) in [
            ("", "''"),
            ("/x", "'/x'"),
            ("it's", "\"it's\""),
            ("say \"hi\"", "'say \"hi\"'"),
            ("it's \"x\"", r#"'it\'s "x"'"#),
            ("a\\b", r"'a\\b'"),
            ("a\tb\nc\rd", r"'a\tb\nc\rd'"),
            ("\0\x1b\x7f", r"'\x00\x1b\x7f'"),
            (
                "\u{e9}\u{4e2d}\u{1f600}e\u{301}",
                "'\u{e9}\u{4e2d}\u{1f600}e\u{301}'",
            ),
            ("\u{301}", "'\u{301}'"),
            ("\u{85}\u{a0}\u{ad}", r"'\x85\xa0\xad'"),
            ("\u{200b}\u{2028}\u{feff}", r"'\u200b\u2028\ufeff'"),
            ("\u{e000}\u{10ffff}", r"'\ue000\U0010ffff'"),
        ] {
            assert_eq!(repr(text), expected);
        }
    }

    #[test]
    fn a_line_becomes_a_reply() {
        let parts = |line: &str| {
            let reply = Reply::from(line);
            assert_eq!(reply.to_string(), line);
            (reply.code, reply.text.into_owned())
        };
        assert_eq!(parts("550 No."), (550, "No.".to_owned()));
        assert_eq!(parts("230 "), (230, String::new()));
        assert_eq!(parts("250-More"), (250, "More".to_owned()));
        assert_eq!(parts("250"), (250, String::new()));
        assert_eq!(parts("250\u{e9}x"), (250, "x".to_owned()));
        assert_eq!(parts("12 x"), (0, "12 x".to_owned()));
        assert_eq!(parts(""), (0, String::new()));
        assert_eq!(parts("ab\u{e9} x"), (0, "ab\u{e9} x".to_owned()));
        assert_eq!(parts("000 x"), (0, "000 x".to_owned()));
    }

    proptest! {
        #[test]
        fn sanitized_text_is_one_line(text in any::<String>()) {
            let clean = sanitize(&text);
            prop_assert!(!clean.chars().any(char::is_control));
            prop_assert_eq!(clean.chars().count(), text.chars().count());
        }

        #[test]
        fn repr_never_holds_controls(text in any::<String>()) {
            prop_assert!(!repr(&text).chars().any(char::is_control));
        }
    }
}

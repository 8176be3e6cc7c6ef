//! Text from outside that is put into replies and log lines.
//!
//! This module makes such text, most often the name of a file, safe for one line. The replies are
//! not known here.

use std::borrow::Cow;
use std::fmt::Write as _;

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

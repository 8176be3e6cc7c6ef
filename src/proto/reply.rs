//! Texts that go into replies and log lines.
//!
//! This module makes foreign text, names of files above all, harmless to stand
//! in a line. It does not know which replies there are.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What may stand in one reply line: every control character becomes `?`.
///
/// That is C0 (CR, LF, NUL, ESC and the others), DEL and C1. A name with a line
/// feed in it could otherwise forge a reply of its own (RFC 959 §4.2 ends a reply
/// at CRLF), and an escape sequence could command the terminal of the client or
/// of whoever reads the log. Text without any is borrowed.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
        Cow::Owned(clean.collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// [`sanitize`] for bytes that need not be UTF-8.
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

/// Python's `repr()` of a string, with which pyftpdlib quotes paths in replies and
/// in the log: `'/x' points to a path which is outside ..`.
///
/// The quote is `'`, or `"` where the text holds `'` and no `"`. Backslash, tab, CR
/// and LF have short escapes; other characters that cannot be printed become
/// `\xNN`, `\uNNNN` or `\UNNNNNNNN`; the rest, in any script, is kept.
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

/// Whether Python calls a character beyond ASCII printable.
///
/// std's table leaves out the same general categories as Python's, but is only
/// reachable through `escape_debug`. That also escapes combining marks, though
/// only at the start of a string; hence the letter before.
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

//! Encodings of the control connection: from the client's bytes to names of files, and back.
//!
//! A name is bytes everywhere. With UTF-8, the default (RFC 2640 §2.2), a name is never transcoded,
//! so a file whose name is not valid UTF-8 can still be listed, retrieved and deleted. Other
//! encodings are transcoded to and from UTF-8 here, and nowhere else.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;

use encoding_rs::EncoderResult;

use crate::proto::reply::sanitize;

/// The encoding of commands, replies and listings, as pyftpdlib's `encoding`.
///
/// Each is a superset of ASCII, so that commands can be recognized.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoding(Kind);

impl Encoding {
    /// UTF-8, as RFC 2640 wants it and FEAT announces it.
    pub const UTF_8: Self = Self(Kind::Utf8);
    /// ISO-8859-1, where each byte is the character of that number.
    pub const LATIN_1: Self = Self(Kind::Latin1);
    /// ASCII: bytes from 0x80 on are malformed.
    pub const ASCII: Self = Self(Kind::Ascii);

    /// Finds an encoding by one of Python's usual names for it: `utf8`, `UTF_8`, `latin-1`,
    /// `us-ascii`, `cp1251`, `gbk`, ..
    ///
    /// `None` for unknown names, and for encodings in which ASCII bytes may be part of other
    /// characters (UTF-16, ISO-2022-JP): lines cannot be found in them.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        match name.as_str() {
            "utf-8" | "utf8" | "u8" | "utf" | "cp65001" => return Some(Self::UTF_8),
            "latin-1" | "latin1" | "latin" | "l1" | "iso-8859-1" | "iso8859-1" | "iso88591"
            | "iso8859" | "8859" | "cp819" | "ibm819" | "iso-ir-100" | "csisolatin1"
            | "iso-8859-1:1987" | "iso-8859-1-1987" => return Some(Self::LATIN_1),
            "ascii" | "us-ascii" | "us" | "646" | "cp367" | "ibm367" | "csascii"
            | "ansi-x3.4-1968" | "ansi-x3-4-1968" | "ansi-x3.4-1986" | "iso646-us"
            | "iso-646.irv-1991" | "iso-ir-6" => return Some(Self::ASCII),
            _ => {}
        }
        let label = |label: &str| encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
        let found = label(&name)
            .or_else(|| label(&name.replace('-', "_")))
            .or_else(|| label(&name.replace('-', "")))
            .or_else(|| match name.as_str() {
                // Python's spellings that are no labels of the Encoding Standard.
                "cp932" => label("shift_jis"),
                "cp936" => label("gbk"),
                "cp950" => label("big5"),
                "iso8859-16" => label("iso-8859-16"),
                "mac-roman" => label("macintosh"),
                "mac-cyrillic" => label("x-mac-cyrillic"),
                _ => label(&format!("windows-{}", name.strip_prefix("cp")?)),
            })?;
        if found == encoding_rs::UTF_8 {
            return Some(Self::UTF_8);
        }
        found
            .is_ascii_compatible()
            .then_some(Self(Kind::Other(found)))
    }

    /// The usual name of the encoding, such as `UTF-8` or `windows-1251`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.0 {
            Kind::Utf8 => "UTF-8",
            Kind::Latin1 => "ISO-8859-1",
            Kind::Ascii => "ASCII",
            Kind::Other(encoding) => encoding.name(),
        }
    }

    /// Whether the encoding is UTF-8, which FEAT then announces.
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        self.0 == Kind::Utf8
    }

    /// Decodes a line from the client to bytes for the file system, which are UTF-8.
    ///
    /// UTF-8 stays as it is, valid or not. Other encodings are transcoded; with `Replace` and
    /// `SurrogateEscape`, malformed bytes become U+FFFD.
    ///
    /// # Errors
    /// [`DecodeError`] if the line is malformed and `errors` is `Strict`. The reply is 501, as in
    /// pyftpdlib.
    pub fn decode<'a>(
        &self,
        wire: &'a [u8],
        errors: UnicodeErrors,
    ) -> Result<Cow<'a, [u8]>, DecodeError> {
        // Every encoding here is a superset of ASCII.
        if wire.is_ascii() {
            return Ok(Cow::Borrowed(wire));
        }
        let strict = errors == UnicodeErrors::Strict;
        match self.0 {
            Kind::Utf8 if strict && std::str::from_utf8(wire).is_err() => Err(DecodeError),
            Kind::Utf8 => Ok(Cow::Borrowed(wire)),
            Kind::Latin1 => Ok(owned(wire.iter().map(|&byte| char::from(byte)))),
            Kind::Ascii if strict => Err(DecodeError),
            Kind::Ascii => Ok(owned(wire.iter().map(|&byte| {
                if byte.is_ascii() {
                    char::from(byte)
                } else {
                    char::REPLACEMENT_CHARACTER
                }
            }))),
            Kind::Other(encoding) if strict => encoding
                .decode_without_bom_handling_and_without_replacement(wire)
                .map(bytes_of)
                .ok_or(DecodeError),
            Kind::Other(encoding) => Ok(bytes_of(encoding.decode_without_bom_handling(wire).0)),
        }
    }

    /// Encodes the text of a reply, and appends it to `out`.
    ///
    /// UTF-8 is copied, valid or not. In other encodings, characters that they do not have become
    /// `?`. Line ends and other control characters pass: text from outside must have been through
    /// [`sanitize`].
    pub fn encode_text(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.is_utf8() || text.is_ascii() {
            out.extend_from_slice(text);
            return;
        }
        for chunk in text.utf8_chunks() {
            self.encode_str(chunk.valid(), out);
            push_marks(chunk.invalid().len(), out);
        }
    }

    /// Encodes the name of a file for a listing, and appends it to `out`.
    ///
    /// A name never forges a line: each control character (C0, DEL, and C1 in UTF-8) becomes `?`,
    /// as does each character that the encoding does not have. A byte that is not UTF-8 becomes `?`,
    /// too, except with `SurrogateEscape`, which copies such bytes.
    pub fn encode_name(&self, name: &OsStr, errors: UnicodeErrors, out: &mut Vec<u8>) {
        let name = name_bytes(name);
        if name.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            out.extend_from_slice(&name);
            return;
        }
        for chunk in name.utf8_chunks() {
            self.encode_str(&sanitize(chunk.valid()), out);
            if errors == UnicodeErrors::SurrogateEscape {
                out.extend_from_slice(chunk.invalid());
            } else {
                push_marks(chunk.invalid().len(), out);
            }
        }
    }

    fn encode_str(&self, text: &str, out: &mut Vec<u8>) {
        // In the two simple encodings, characters from `end` on do not exist.
        let end = match self.0 {
            Kind::Utf8 => return out.extend_from_slice(text.as_bytes()),
            Kind::Other(encoding) => return encode_other(encoding, text, out),
            Kind::Latin1 => 0x100,
            Kind::Ascii => 0x80,
        };
        out.extend(text.chars().map(|c| match u8::try_from(u32::from(c)) {
            Ok(byte) if u32::from(byte) < end => byte,
            _ => b'?',
        }));
    }
}

impl Default for Encoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoding({})", self.name())
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The treatment of bytes that are not text, and of text that the encoding does not have: named
/// after the error handlers of Python's codecs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum UnicodeErrors {
    /// They are replaced by a mark, as pyftpdlib does by default.
    #[default]
    Replace,
    /// A malformed command is refused with 501.
    Strict,
    /// Bytes of names that are not text are sent unchanged.
    SurrogateEscape,
}

impl UnicodeErrors {
    /// Finds a treatment by Python's name: `replace`, `strict` or `surrogateescape`.
    ///
    /// `ignore` is refused on purpose: a name without some of its bytes is another name, perhaps
    /// even `..`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "replace" => Some(Self::Replace),
            "strict" => Some(Self::Strict),
            "surrogateescape" => Some(Self::SurrogateEscape),
            _ => None,
        }
    }
}

/// The error of a line that is not text in the session's encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError;

impl fmt::Display for DecodeError {
    /// The text of pyftpdlib's 501 reply.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Can't decode command.")
    }
}

impl std::error::Error for DecodeError {}

/// encoding_rs has no true ISO-8859-1 or ASCII: the web treats both as windows-1252.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Utf8,
    Latin1,
    Ascii,
    Other(&'static encoding_rs::Encoding),
}

fn encode_other(encoding: &'static encoding_rs::Encoding, mut text: &str, out: &mut Vec<u8>) {
    let mut encoder = encoding.new_encoder();
    loop {
        // Enough for text that does not get longer. A guess that is too small only costs another
        // round. It is never less than the 4 bytes of one character.
        out.reserve(text.len().saturating_add(16));
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(text, out, true);
        text = text.get(read..).unwrap_or_default();
        match result {
            EncoderResult::InputEmpty => return,
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(_) => out.push(b'?'),
        }
    }
}

fn owned<'a>(chars: impl Iterator<Item = char>) -> Cow<'a, [u8]> {
    Cow::Owned(chars.collect::<String>().into_bytes())
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn push_marks(count: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + count, b'?');
}

#[cfg(unix)]
fn name_bytes(name: &OsStr) -> Cow<'_, [u8]> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

#[cfg(not(unix))]
fn name_bytes(name: &OsStr) -> Cow<'_, [u8]> {
    bytes_of(name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::UnicodeErrors::{Replace, Strict, SurrogateEscape};
    use super::*;

    fn text(encoding: Encoding, text: &str) -> Vec<u8> {
        let mut out = b">".to_vec();
        encoding.encode_text(text.as_bytes(), &mut out);
        out.split_off(1)
    }

    #[cfg(unix)]
    fn name(encoding: Encoding, name: &[u8], errors: UnicodeErrors) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        let mut out = b">".to_vec();
        encoding.encode_name(OsStr::from_bytes(name), errors, &mut out);
        out.split_off(1)
    }

    fn other(name: &str) -> Encoding {
        Encoding::by_name(name).unwrap()
    }

    #[test]
    fn names_of_encodings() {
        for name in ["utf8", "utf-8", "UTF_8", "U8", "cp65001"] {
            assert_eq!(Encoding::by_name(name), Some(Encoding::UTF_8), "{name}");
        }
        for name in [
            "latin-1",
            "latin1",
            "Latin_1",
            "iso-8859-1",
            "iso8859-1",
            "L1",
            "8859",
        ] {
            assert_eq!(Encoding::by_name(name), Some(Encoding::LATIN_1), "{name}");
        }
        for name in ["ascii", "US-ASCII", "646", "us_ascii"] {
            assert_eq!(Encoding::by_name(name), Some(Encoding::ASCII), "{name}");
        }
        for (name, expected) in [
            ("cp1251", "windows-1251"),
            ("windows_1251", "windows-1251"),
            ("cp1252", "windows-1252"),
            ("cp866", "IBM866"),
            ("cp949", "EUC-KR"),
            ("cp932", "Shift_JIS"),
            ("shift_jis", "Shift_JIS"),
            ("euc_jp", "EUC-JP"),
            ("gbk", "GBK"),
            ("GB2312", "GBK"),
            ("big5", "Big5"),
            ("koi8_r", "KOI8-R"),
            ("iso8859_15", "ISO-8859-15"),
            ("iso8859_16", "ISO-8859-16"),
            ("mac_cyrillic", "x-mac-cyrillic"),
        ] {
            let found = Encoding::by_name(name).map(|encoding| encoding.name());
            assert_eq!(found, Some(expected), "{name}");
        }
        for name in [
            "cp437",
            "utf-16",
            "utf_16_le",
            "iso-2022-jp",
            "replacement",
            "hz",
            "",
            "x",
        ] {
            assert_eq!(Encoding::by_name(name), None, "{name}");
        }
        assert!(Encoding::default().is_utf8());
        assert!(!Encoding::LATIN_1.is_utf8());
        assert_eq!(Encoding::ASCII.to_string(), "ASCII");
    }

    #[test]
    fn names_of_error_handlers() {
        assert_eq!(UnicodeErrors::by_name("replace"), Some(Replace));
        assert_eq!(UnicodeErrors::by_name("strict"), Some(Strict));
        assert_eq!(
            UnicodeErrors::by_name("surrogateescape"),
            Some(SurrogateEscape)
        );
        assert_eq!(UnicodeErrors::by_name("ignore"), None);
    }

    #[test]
    fn lines_are_decoded() {
        let bad = b"RETR \xff";
        assert_eq!(&*Encoding::UTF_8.decode(bad, Replace).unwrap(), bad);
        assert_eq!(Encoding::UTF_8.decode(bad, Strict), Err(DecodeError));
        assert_eq!(
            &*Encoding::LATIN_1.decode(bad, Strict).unwrap(),
            "RETR \u{ff}".as_bytes()
        );
        assert_eq!(
            &*Encoding::ASCII.decode(bad, SurrogateEscape).unwrap(),
            "RETR \u{fffd}".as_bytes()
        );
        assert_eq!(Encoding::ASCII.decode(bad, Strict), Err(DecodeError));
        assert_eq!(
            &*other("cp1251").decode(b"\xff", Strict).unwrap(),
            "\u{44f}".as_bytes()
        );
        assert_eq!(
            other("gbk").decode(b"\xd6\xd0\xff", Strict),
            Err(DecodeError)
        );
        assert_eq!(
            &*other("gbk").decode(b"\xd6\xd0\xff", Replace).unwrap(),
            "\u{4e2d}\u{fffd}".as_bytes()
        );
    }

    #[test]
    fn replies_are_encoded() {
        assert_eq!(text(Encoding::UTF_8, "\u{e9}\r\n"), "\u{e9}\r\n".as_bytes());
        assert_eq!(text(Encoding::LATIN_1, "\u{e9}\u{4e2d}\r\n"), b"\xe9?\r\n");
        assert_eq!(text(Encoding::ASCII, "\u{e9}x"), b"?x");
        assert_eq!(text(other("gbk"), "\u{4e2d}\u{1f600}x"), b"\xd6\xd0?x");
        let long = "\u{1f600}\u{4e2d}".repeat(1000);
        assert_eq!(text(other("gbk"), &long), b"?\xd6\xd0".repeat(1000));
        let mut out = Vec::new();
        Encoding::LATIN_1.encode_text(b"a\xff\xfe\xc3\xa9", &mut out);
        assert_eq!(out, b"a??\xe9");
    }

    #[cfg(unix)]
    #[test]
    fn names_are_encoded() {
        let utf8 = Encoding::UTF_8;
        assert_eq!(name(utf8, b"a\r\nb\x7f\x1b", Replace), b"a??b??");
        assert_eq!(
            name(utf8, b"a\xc2\x85b\xc2\x9bc\xc2\xa0", Strict),
            b"a?b?c\xc2\xa0"
        );
        assert_eq!(name(utf8, b"a\xff\xfe", Replace), b"a??");
        assert_eq!(name(utf8, b"a\xff\n", SurrogateEscape), b"a\xff?");
        assert_eq!(
            name(Encoding::LATIN_1, b"\xc3\xa9\xff\xe4\xb8\xad", Replace),
            b"\xe9??"
        );
        assert_eq!(name(Encoding::LATIN_1, b"\xc2\x85", Replace), b"?");
        assert_eq!(
            name(Encoding::ASCII, b"\xc3\xa9\xff", SurrogateEscape),
            b"?\xff"
        );
    }

    #[cfg(unix)]
    proptest! {
        #[test]
        fn names_never_forge_lines(bytes in any::<Vec<u8>>(), which in 0_usize..5, how in 0_usize..3) {
            let encoding = ["utf-8", "latin-1", "ascii", "gbk", "gb18030"][which];
            let errors = [Replace, Strict, SurrogateEscape][how];
            let sent = name(other(encoding), &bytes, errors);
            prop_assert!(!sent.iter().any(|&byte| byte < b' ' || byte == 0x7f));
        }

        #[test]
        fn printable_names_are_unchanged(text in "[^\\p{Cc}]*") {
            prop_assert_eq!(name(Encoding::UTF_8, text.as_bytes(), Replace), text.as_bytes());
        }

        #[test]
        fn what_is_encoded_is_decoded(text in "[ -~\u{430}-\u{44f}]*") {
            let cp1251 = other("cp1251");
            let mut wire = Vec::new();
            cp1251.encode_text(text.as_bytes(), &mut wire);
            prop_assert_eq!(&*cp1251.decode(&wire, Strict).unwrap(), text.as_bytes());
        }
    }
}

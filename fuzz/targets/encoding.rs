//! Text between the wire and the file system: encodings, names in listings, TYPE A.
//!
//! Input: the encoding, what to do with errors, where to cut; then the text.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use ftpdlib::proto::ascii::{FromNetwork, ToNetwork};
use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::proto::reply::{repr, sanitize, sanitize_bytes};
use libfuzzer_sys::fuzz_target;

const ENCODINGS: [&str; 16] = [
    "utf-8",
    "latin-1",
    "ascii",
    "cp1252",
    "cp1251",
    "koi8-r",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "iso8859-15",
    "cp874",
    "macintosh",
    "cp866",
];

fuzz_target!(|input: &[u8]| {
    let [encoding, errors, cut, text @ ..] = input else {
        return;
    };
    let name = ENCODINGS[usize::from(*encoding) % ENCODINGS.len()];
    let encoding = Encoding::by_name(name).expect("a known encoding");
    let errors = match errors % 3 {
        0 => UnicodeErrors::Replace,
        1 => UnicodeErrors::Strict,
        _ => UnicodeErrors::SurrogateEscape,
    };
    decodes(encoding, errors, text);
    encodes_names(encoding, errors, text);
    is_clean(text);
    if let Ok(name) = std::str::from_utf8(text) {
        // Any text is a name of an encoding or is not, and a known one has a name.
        let found = Encoding::by_name(name);
        assert!(found.is_none_or(|found| Encoding::by_name(found.name()) == Some(found)));
    }
    converts_lines(text, usize::from(*cut));
});

fn decodes(encoding: Encoding, errors: UnicodeErrors, wire: &[u8]) {
    let Ok(decoded) = encoding.decode(wire, errors) else {
        assert_eq!(errors, UnicodeErrors::Strict);
        return;
    };
    if encoding.is_utf8() {
        assert_eq!(decoded, wire);
        assert!(errors != UnicodeErrors::Strict || std::str::from_utf8(wire).is_ok());
        return;
    }
    let text = std::str::from_utf8(&decoded).expect("names are UTF-8 here");
    // No byte of the wire turns into a separator or an end of a line by itself.
    for special in [b'/', b'\0', b'\r', b'\n'] {
        let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == special).count();
        assert!(count(&decoded) <= count(wire));
    }
    let mut back = Vec::new();
    encoding.encode_text(&decoded, &mut back);
    if wire.is_ascii() || encoding == Encoding::LATIN_1 {
        assert_eq!(back, wire);
    }
    let again = encoding.decode(&back, errors).expect("it was encoded here");
    let again = std::str::from_utf8(&again).expect("names are UTF-8 here");
    assert_eq!(again.chars().count(), text.chars().count());
    let mut pairs = again.chars().zip(text.chars());
    assert!(pairs.all(|(again, before)| again == before || again == '?'));
}

fn encodes_names(encoding: Encoding, errors: UnicodeErrors, name: &[u8]) {
    let mut out = b"before ".to_vec();
    encoding.encode_name(OsStr::from_bytes(name), errors, &mut out);
    let line = out.strip_prefix(b"before ").expect("what was there stays");
    assert!(!line.iter().any(u8::is_ascii_control), "{line:?}");
    if encoding.is_utf8() {
        assert_eq!(sanitize_bytes(line), line);
        let copied = errors == UnicodeErrors::SurrogateEscape;
        assert!(copied || std::str::from_utf8(line).is_ok());
        if copied && sanitize_bytes(name) == name {
            assert_eq!(line, name);
        }
    }
}

fn is_clean(text: &[u8]) {
    let clean = sanitize_bytes(text);
    assert_eq!(sanitize_bytes(&clean), clean);
    assert!(!clean.iter().any(u8::is_ascii_control));
    assert!(
        !clean
            .windows(2)
            .any(|pair| matches!(pair, [0xc2, 0x80..=0x9f]))
    );
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    assert_eq!(sanitize(text).as_bytes(), &*clean);
    let quoted = repr(text);
    assert!(!quoted.chars().any(char::is_control));
    let quote = if quoted.starts_with('"') { '"' } else { '\'' };
    assert!(quoted.len() >= 2 && quoted.ends_with(quote));
}

fn converts_lines(file: &[u8], cut: usize) {
    let chunks = file.chunks(cut.max(1));
    let (mut to, mut from) = (ToNetwork::default(), FromNetwork::default());
    let (mut network, mut stored) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let start = network.len();
        to.convert(chunk, &mut network);
        from.convert(&network[start..], &mut stored);
    }
    let mut whole = Vec::new();
    ToNetwork::default().convert(file, &mut whole);
    assert_eq!(network, whole);
    let bare = |bytes: &[u8]| {
        let mut before = 0;
        bytes.iter().any(|byte| {
            let is_bare = *byte == b'\n' && before != b'\r';
            before = *byte;
            is_bare
        })
    };
    assert!(!bare(&network));
    if !file.contains(&b'\r') {
        assert_eq!(stored, file);
    }
    let mut whole = Vec::new();
    FromNetwork::default().convert(&network, &mut whole);
    assert_eq!(stored, whole);
}

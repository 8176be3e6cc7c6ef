//! Facts that a client chooses, and the lines of LIST, NLST and MLSD.
//!
//! Input: the attributes of a file, then the argument of OPTS MLST, a NUL, and a name.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ftpdlib::authorizers::Perms;
use ftpdlib::filesystems::Stat;
use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::proto::listing::{ListEntry, ListingStyle, MlsxFacts, Names};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((numbers, rest)) = input.split_at_checked(40) else {
        return select(&String::from_utf8_lossy(input));
    };
    let (arg, name) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &b"name"[..]),
    };
    let arg = String::from_utf8_lossy(arg);
    select(&arg);
    lines(numbers, &arg, name);
});

const ALL: [&str; 8] = [
    "type",
    "perm",
    "size",
    "modify",
    "unique",
    "unix.mode",
    "unix.uid",
    "unix.gid",
];

fn select(arg: &str) {
    let mut facts = MlsxFacts::default();
    let before = facts;
    let Ok(accepted) = facts.select(arg) else {
        assert_eq!(facts, before);
        assert!(!arg.is_empty() && !arg.contains(';'));
        return;
    };
    let names: Vec<&str> = accepted.split_terminator(';').collect();
    assert!(names.iter().all(|name| ALL.contains(name)));
    let shown = |name: &&str| if names.contains(name) { "*" } else { "" };
    let feat: String = ALL
        .iter()
        .map(|name| format!("{name}{};", shown(name)))
        .collect();
    assert_eq!(facts.feat(), feat);
    let mut again = MlsxFacts::default();
    assert_eq!(again.select(&accepted).as_ref(), Ok(&accepted));
    assert_eq!(again, facts);
}

fn lines(numbers: &[u8], arg: &str, name: &[u8]) {
    let mut numbers = numbers.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    });
    let mut next = || numbers.next().unwrap_or_default();
    let (bits, size, mtime, now, ino) = (next(), next(), next(), next(), next());
    let small = |shift: u32| u32::try_from(bits >> shift & 0xffff).expect("16 bits");
    let stat = Stat {
        mode: small(0),
        nlink: bits >> 60,
        uid: small(16),
        gid: small(32),
        size,
        mtime: mtime.cast_signed(),
        dev: ino >> 40,
        ino,
    };
    let errors = match bits >> 48 & 3 {
        0 => UnicodeErrors::Replace,
        1 => UnicodeErrors::Strict,
        _ => UnicodeErrors::SurrogateEscape,
    };
    let is_set = |bit: u32| bits >> bit & 1 == 1;
    let encoding = if is_set(50) {
        Encoding::LATIN_1
    } else {
        Encoding::UTF_8
    };
    let mut style = ListingStyle::new(encoding, errors, is_set(51), now.cast_signed());
    let name = OsStr::from_bytes(name);
    let entry = ListEntry {
        name,
        stat: &stat,
        target: is_set(52).then_some(Path::new(name)),
    };
    list(&mut style, &entry);
    let mut nlst = Vec::new();
    style.name_line(name, &mut nlst);
    mlsx(&mut style, &entry, arg, line(&nlst));
}

fn list(style: &mut ListingStyle, entry: &ListEntry<'_>) {
    let owner = |number: u32| format!("owner\r\n{number}");
    let names = Names {
        user: &owner,
        group: &owner,
    };
    let mut list = Vec::new();
    style.list_line(names, entry, &mut list);
    let first = line(&list).to_vec();
    assert!(b"-dlsbcp?".contains(&first[0]) && first[10] == b' ');
    assert!(first.windows(3).any(|bytes| bytes == b"r??"));
    // A second line is as the first, though names and days are known now.
    list.clear();
    style.list_line(names, entry, &mut list);
    assert_eq!(line(&list), first);
}

fn mlsx(style: &mut ListingStyle, entry: &ListEntry<'_>, arg: &str, name: &[u8]) {
    let mut facts = MlsxFacts::default().with_perms(Perms::ALL);
    let _ = facts.select(arg);
    let mut mlsx = Vec::new();
    style.mlsx_line(&facts, entry, &mut mlsx);
    let shown = line(&mlsx).strip_suffix(name).expect("the same name");
    let shown = std::str::from_utf8(shown).expect("facts are ASCII");
    let shown = shown.strip_suffix(' ').expect("a space before the name");
    let pairs = shown.split_terminator(';');
    let pairs: Vec<_> = pairs.map(|fact| fact.split_once('=')).collect();
    let keys = pairs.iter().map(|pair| pair.expect("name=value").0);
    let keys: Vec<&str> = keys.collect();
    assert!(keys.is_sorted(), "{keys:?}");
    let feat = facts.feat();
    for fact in feat.split_terminator(';') {
        let expected = fact.ends_with('*');
        let fact = fact.trim_end_matches('*');
        // A time that no calendar has is left out.
        assert!(keys.contains(&fact) == expected || fact == "modify" && expected);
    }
    if let Some((_, value)) = pairs.iter().flatten().find(|(key, _)| *key == "size") {
        assert_eq!(value.parse(), Ok(entry.stat.size));
    }
}

/// The one line that there is.
fn line(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\r\n").expect("a whole line");
    assert!(!line.iter().any(u8::is_ascii_control), "{line:?}");
    line
}

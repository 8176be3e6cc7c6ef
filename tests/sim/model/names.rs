//! Names: from the wire to the disk and back, and paths.

use crate::plan::scene::Encoding;

/// The bytes on the disk that bytes on the wire name; `None` if they are not in the encoding.
pub fn decode(encoding: Encoding, wire: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Utf8 => Some(wire.to_vec()),
        Encoding::Utf8Strict => std::str::from_utf8(wire).ok().map(|_| wire.to_vec()),
        Encoding::Latin1 => Some(
            wire.iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
                .into_bytes(),
        ),
    }
}

/// How a path of the disk is shown in replies. Names that are not valid UTF-8 are shown as their
/// bytes; control characters as `?`.
pub fn in_reply(encoding: Encoding, disk: &[u8]) -> Vec<u8> {
    show(encoding, disk, true)
}

/// How a name of the disk is shown in listings: what is not in the encoding is `?`.
pub fn in_listing(encoding: Encoding, disk: &[u8]) -> Vec<u8> {
    show(encoding, disk, false)
}

fn show(encoding: Encoding, disk: &[u8], raw: bool) -> Vec<u8> {
    let mut shown = Vec::with_capacity(disk.len());
    for chunk in disk.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                shown.push(b'?');
            } else if encoding != Encoding::Latin1 {
                shown.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                shown.push(u8::try_from(u32::from(c)).unwrap_or(b'?'));
            }
        }
        for byte in chunk.invalid() {
            shown.push(if raw { *byte } else { b'?' });
        }
    }
    shown
}

/// Whether two texts are the same where neither has a `?`, as which a character may be shown:
/// a `?` stands for one to four bytes of the other.
pub fn alike(shown: &[u8], real: &[u8]) -> bool {
    if shown == real {
        return true;
    }
    let (mut s, mut r) = (shown, real);
    loop {
        match (s.split_first(), r.split_first()) {
            (None, None) => return true,
            (Some((a, rest_s)), Some((b, rest_r))) if a == b => (s, r) = (rest_s, rest_r),
            (Some((b'?', rest_s)), Some(_)) => {
                return (1..=4.min(r.len())).any(|n| alike(rest_s, &r[n..]));
            }
            _ => return false,
        }
    }
}

/// The absolute path without `.`, `..` and `//`, as text. There is no way above `/`.
pub fn normal(cwd: &[u8], path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let relative = !path.starts_with(b"/");
    let both = [cwd, path];
    for text in &both[usize::from(!relative)..] {
        for part in text.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
    }
    let mut joined = Vec::with_capacity(cwd.len() + path.len() + 1);
    for part in parts {
        joined.push(b'/');
        joined.extend_from_slice(part);
    }
    if joined.is_empty() {
        joined.push(b'/');
    }
    joined
}

/// Whether a path names a directory by its last part: `d/`, `.`, `..`, `d/.`.
pub fn ends_as_directory(path: &[u8]) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').next();
    matches!(last, Some(b"" | b"." | b".."))
}

/// The directory of a normal path, and its last name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    (&path[..at.max(1)], &path[at + 1..])
}

pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = dir.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Whether `path` is `dir` or below it.
pub fn is_below(dir: &[u8], path: &[u8]) -> bool {
    dir == b"/" || path == dir || path.strip_prefix(dir).is_some_and(|rest| rest[0] == b'/')
}

//! The lines of listings, and the style that makes them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use jiff::tz::TimeZone;

use super::calendar::Calendar;
use super::facts::{Fact, MlsxFacts};
use super::stat::Stat;
use crate::proto::encoding::{Encoding, UnicodeErrors};

/// A file to be listed.
#[derive(Debug, Clone, Copy)]
pub struct ListEntry<'a> {
    /// The name as it is to appear.
    pub name: &'a OsStr,
    /// The attributes: for LIST those of a link itself, for MLSx those of its target.
    pub stat: &'a Stat,
    /// The target of a link, which LIST shows as `name -> target`.
    pub target: Option<&'a Path>,
}

/// Functions that look up the names of owners. A listing calls them once for each number.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Returns the name of a user.
    pub user: &'a dyn Fn(u32) -> String,
    /// Returns the name of a group.
    pub group: &'a dyn Fn(u32) -> String,
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// The style of the lines of one listing, with what it remembers from one line to the next: the
/// names of owners, and the day that was shown last.
#[derive(Debug)]
pub struct ListingStyle {
    encoding: Encoding,
    unicode_errors: UnicodeErrors,
    /// Seconds since 1970 when the listing began.
    now: i64,
    calendar: Calendar,
    /// The names of owners, encoded and padded for a line.
    users: HashMap<u32, Box<[u8]>>,
    groups: HashMap<u32, Box<[u8]>>,
    /// The columns of owners that were shown last, and the numbers of their user and group.
    owners: (Option<(u32, u32)>, Vec<u8>),
}

impl ListingStyle {
    /// Makes the style of a listing that begins at `now`, in seconds since 1970. Times are shown in
    /// GMT if `gmt` is true, else in the time zone of the system.
    #[must_use]
    pub fn new(encoding: Encoding, unicode_errors: UnicodeErrors, gmt: bool, now: i64) -> Self {
        let zone = if gmt {
            TimeZone::UTC
        } else {
            TimeZone::system()
        };
        Self::with_zone(encoding, unicode_errors, zone, now)
    }

    fn with_zone(encoding: Encoding, errors: UnicodeErrors, zone: TimeZone, now: i64) -> Self {
        Self {
            encoding,
            unicode_errors: errors,
            now,
            calendar: Calendar::new(zone),
            users: HashMap::new(),
            groups: HashMap::new(),
            owners: (None, Vec::new()),
        }
    }

    /// Appends a line in the form of `/bin/ls -lA`, with its CRLF:
    /// `-rw-r--r--   1 user     group         380 Sep 02 03:40 module.py`.
    ///
    /// A time more than 180 days ago is shown with its year, any other time with its hour and
    /// minute. As pyftpdlib's `format_list()`.
    pub fn list_line(&mut self, names: Names<'_>, entry: &ListEntry<'_>, out: &mut Vec<u8>) {
        let stat = entry.stat;
        out.extend_from_slice(&filemode(stat.mode));
        out.push(b' ');
        push_number(out, stat.nlink.max(1), 3);
        out.push(b' ');
        self.push_owners(names, stat, out);
        push_number(out, stat.size, 8);
        out.push(b' ');
        self.push_list_time(stat.mtime, out);
        out.push(b' ');
        self.push_name(entry.name, out);
        if let Some(target) = entry.target {
            out.extend_from_slice(b" -> ");
            self.push_name(target.as_os_str(), out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a line of NLST: a name and its CRLF.
    pub fn name_line(&mut self, name: &OsStr, out: &mut Vec<u8>) {
        self.push_name(name, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a line of MLSD, or of MLST without its leading space, with its
    /// CRLF: `modify=20071029155301;perm=r;size=156;type=file; music.mp3`.
    ///
    /// The form is that of RFC 3659 §7.2. The facts are sorted by name, as by pyftpdlib's
    /// `format_mlsx()`.
    pub fn mlsx_line(&mut self, facts: &MlsxFacts, entry: &ListEntry<'_>, out: &mut Vec<u8>) {
        let stat = entry.stat;
        for fact in Fact::SORTED {
            if !facts.shows(fact) {
                continue;
            }
            let start = out.len();
            out.extend_from_slice(fact.name().as_bytes());
            out.push(b'=');
            match fact {
                Fact::Modify => {
                    let Some(time) = self.calendar.civil(stat.mtime) else {
                        // The calendar does not have this time. A fact may be missing.
                        out.truncate(start);
                        continue;
                    };
                    time.push_mlsx(out);
                }
                Fact::Perm => facts.push_perm(stat.is_dir(), out),
                Fact::Size => push_number(out, stat.size, 0),
                Fact::Type => out.extend_from_slice(type_of(entry)),
                Fact::Unique => {
                    push_hex(out, stat.dev);
                    out.push(b'g');
                    push_hex(out, stat.ino);
                }
                Fact::UnixGid => push_number(out, stat.gid.into(), 0),
                Fact::UnixMode => push_octal(out, stat.mode & 0o777),
                Fact::UnixUid => push_number(out, stat.uid.into(), 0),
            }
            out.push(b';');
        }
        out.push(b' ');
        self.push_name(entry.name, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends both columns of owners. Most entries have the owners of the entry before.
    fn push_owners(&mut self, names: Names<'_>, stat: &Stat, out: &mut Vec<u8>) {
        if self.owners.0 != Some((stat.uid, stat.gid)) {
            let (encoding, errors) = (&self.encoding, self.unicode_errors);
            let owner = |name: String| owner_column(encoding, errors, &name);
            let user = self.users.entry(stat.uid);
            let user = user.or_insert_with(|| owner((names.user)(stat.uid)));
            let group = self.groups.entry(stat.gid);
            let group = group.or_insert_with(|| owner((names.group)(stat.gid)));
            self.owners = (Some((stat.uid, stat.gid)), [&**user, &**group].concat());
        }
        out.extend_from_slice(&self.owners.1);
    }

    /// Appends `Sep 02 03:40`, or `Sep 02  2007` for a time more than six months ago.
    fn push_list_time(&mut self, mtime: i64, out: &mut Vec<u8>) {
        if let Some(time) = self.calendar.civil(mtime) {
            return time.push_list(self.now.saturating_sub(mtime) > SIX_MONTHS, out);
        }
        // A time that the calendar does not have is shown as the present time, as in pyftpdlib.
        match self.calendar.civil(self.now) {
            Some(now) => now.push_list(false, out),
            None => out.extend_from_slice(b"Jan 01 00:00"),
        }
    }

    fn push_name(&self, name: &OsStr, out: &mut Vec<u8>) {
        self.encoding.encode_name(name, self.unicode_errors, out);
    }
}

/// Makes the first column, as Python's `stat.filemode()`.
fn filemode(mode: u32) -> [u8; 10] {
    let kind = match mode & 0o170_000 {
        0o100_000 => b'-',
        0o040_000 => b'd',
        0o120_000 => b'l',
        0o140_000 => b's',
        0o060_000 => b'b',
        0o020_000 => b'c',
        0o010_000 => b'p',
        _ => b'?',
    };
    let bit = |bit: u32, letter: u8| if mode & bit == 0 { b'-' } else { letter };
    // Set-uid, set-gid and sticky share a letter with x.
    let execute = |special: u32, x: u32, letter: u8| match (mode & special != 0, mode & x != 0) {
        (true, true) => letter,
        (true, false) => letter.to_ascii_uppercase(),
        (false, true) => b'x',
        (false, false) => b'-',
    };
    [
        kind,
        bit(0o400, b'r'),
        bit(0o200, b'w'),
        execute(0o4000, 0o100, b's'),
        bit(0o040, b'r'),
        bit(0o020, b'w'),
        execute(0o2000, 0o010, b's'),
        bit(0o004, b'r'),
        bit(0o002, b'w'),
        execute(0o1000, 0o001, b't'),
    ]
}

fn type_of(entry: &ListEntry<'_>) -> &'static [u8] {
    if !entry.stat.is_dir() {
        b"file"
    } else if entry.name == "." {
        b"cdir"
    } else if entry.name == ".." {
        b"pdir"
    } else {
        b"dir"
    }
}

/// The name of an owner, left-justified in eight columns, and a space.
fn owner_column(encoding: &Encoding, errors: UnicodeErrors, name: &str) -> Box<[u8]> {
    let mut column = Vec::new();
    encoding.encode_name(OsStr::new(name), errors, &mut column);
    let missing = 8_usize.saturating_sub(name.chars().count());
    column.resize(column.len() + missing + 1, b' ');
    column.into_boxed_slice()
}

/// Appends a number, right-justified in `width` columns.
fn push_number(out: &mut Vec<u8>, number: u64, width: usize) {
    push_base(out, number, 10, width);
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    push_base(out, number, 16, 0);
}

/// Appends a number as Python's `oct()`: `0o755`.
fn push_octal(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"0o");
    push_base(out, number.into(), 8, 0);
}

fn push_base(out: &mut Vec<u8>, mut number: u64, base: u64, width: usize) {
    // 64 bits have at most 22 octal digits.
    let mut digits = [b' '; 24];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is below 16, so this finds a digit.
        digits[at] = b"0123456789abcdef"[usize::try_from(number % base).unwrap_or(0)];
        number /= base;
        if number == 0 {
            break;
        }
    }
    let start = at.min(digits.len().saturating_sub(width));
    out.extend_from_slice(&digits[start..]);
}

/// Six months, as pyftpdlib and proftpd count them, in seconds.
const SIX_MONTHS: i64 = 180 * 24 * 60 * 60;

#[cfg(test)]
mod tests;

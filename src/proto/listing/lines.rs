//! The lines of listings, and the style that makes them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use jiff::tz::TimeZone;

use super::calendar::{Calendar, Civil};
use super::facts::{Fact, MlsxFacts};
use super::stat::Stat;
use crate::proto::encoding::{Encoding, UnicodeErrors};

/// A file to be listed.
#[derive(Debug, Clone, Copy)]
pub struct ListEntry<'a> {
    /// The name as it is to appear.
    pub name: &'a OsStr,
    /// The attributes: for LIST those of a link itself, for MLSx those of its target. MLSx shows the
    /// attributes of a link as those of a link that leads nowhere.
    pub stat: &'a Stat,
    /// The target of a link, which LIST shows as `name -> target`.
    pub target: Option<&'a Path>,
}

/// Functions that look up the names of owners. A listing remembers the names of many numbers.
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
    /// Whether owners are not shown.
    hides_owners: bool,
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

    /// The same style; if `hides` is true, without the names and numbers of owners: LIST shows
    /// `ftp` for all, and MLSx leaves out the facts about them.
    #[must_use]
    pub fn without_owners(self, hides: bool) -> Self {
        Self {
            hides_owners: hides,
            ..self
        }
    }

    fn with_zone(encoding: Encoding, errors: UnicodeErrors, zone: TimeZone, now: i64) -> Self {
        Self {
            encoding,
            unicode_errors: errors,
            now,
            calendar: Calendar::new(zone),
            users: HashMap::new(),
            groups: HashMap::new(),
            hides_owners: false,
            owners: (None, Vec::new()),
        }
    }

    /// Appends a line in the form of `/bin/ls -lA`, with its CRLF:
    /// `-rw-r--r--   1 user     group         380 Sep 02 03:40 module.py`.
    ///
    /// The time has the form of GNU `ls` in the locale C: hour and minute if it lies within the last
    /// half year, else the year. Otherwise as pyftpdlib's `format_list()`.
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
            let is_of_owner = matches!(fact, Fact::UnixGid | Fact::UnixUid);
            if !facts.shows(fact) || is_of_owner && self.hides_owners {
                continue;
            }
            let start = out.len();
            out.extend_from_slice(fact.name().as_bytes());
            out.push(b'=');
            match fact {
                Fact::Modify => {
                    let time = self.calendar.civil(stat.mtime);
                    let Some(time) = time.filter(Civil::is_timeval) else {
                        // Four digits do not hold the year. A fact may be missing.
                        out.truncate(start);
                        continue;
                    };
                    time.push_mlsx(out);
                }
                Fact::Perm => facts.push_perm(stat, out),
                Fact::Size => push_number(out, stat.size, 0),
                Fact::Type => out.extend_from_slice(type_of(entry)),
                Fact::Unique => {
                    push_hex(out, stat.dev);
                    out.push(b'g');
                    push_hex(out, stat.ino);
                }
                Fact::UnixGid => push_number(out, stat.gid.into(), 0),
                Fact::UnixMode => push_octal(out, stat.mode & 0o7777),
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
        if self.hides_owners {
            out.extend_from_slice(b"ftp      ftp      ");
            return;
        }
        if self.owners.0 != Some((stat.uid, stat.gid)) {
            if self.users.len() + self.groups.len() > OWNERS_MAX {
                self.users.clear();
                self.groups.clear();
            }
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

    /// Appends `Sep  2 03:40` for a time within the last half year, else `Sep  2  2007`. A time
    /// without a date is shown in seconds.
    fn push_list_time(&mut self, mtime: i64, out: &mut Vec<u8>) {
        let is_recent = mtime > self.now.saturating_sub(HALF_YEAR) && mtime <= self.now;
        match self.calendar.civil(mtime) {
            Some(time) => time.push_list(!is_recent, out),
            None => out.extend_from_slice(mtime.to_string().as_bytes()),
        }
    }

    /// Tells the style the present time, in seconds since 1970, if a listing takes long.
    pub(crate) fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// Whether a time lies after the present time that the style knows.
    pub(crate) fn is_future(&self, mtime: i64) -> bool {
        mtime > self.now
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
    if entry.stat.is_symlink() {
        // RFC 3659 §7.5.1.5, without the target: the client cannot use it.
        b"OS.unix=symlink"
    } else if !entry.stat.is_dir() {
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

/// Appends the bits of a mode as C and clients write them: `0755`, `04755`.
fn push_octal(out: &mut Vec<u8>, mode: u32) {
    out.push(b'0');
    for shift in [9, 6, 3, 0] {
        let digit = u8::try_from(mode >> shift & 7).unwrap_or(0);
        // Without a set-uid, set-gid or sticky bit there are three digits after the 0.
        if shift < 9 || digit > 0 {
            out.push(b'0' + digit);
        }
    }
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

/// The names of owners that are remembered.
const OWNERS_MAX: usize = 1000;
/// Half a year of the Gregorian calendar, on average, in seconds: as GNU `ls`.
const HALF_YEAR: i64 = 31_556_952 / 2;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod times;

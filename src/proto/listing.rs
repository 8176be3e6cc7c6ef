//! The lines of directory listings: LIST as `ls -l`, MLSD and MLST with facts.
//!
//! A line is a function of an entry, of the style of its listing and of the
//! time "now" given to the style. Which entries there are, and how they are
//! looked up, is not known here.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::encoding::{Encoding, UnicodeErrors};
use crate::authorizers::{Perm, Perms};
use crate::filesystems::Stat;

/// A file to be listed.
#[derive(Debug, Clone, Copy)]
pub struct ListEntry<'a> {
    /// Its name as it shall appear.
    pub name: &'a OsStr,
    /// Its attributes: of a link itself for LIST, of its destination for MLSx.
    pub stat: &'a Stat,
    /// Where a link points to, shown by LIST as `name -> target`.
    pub target: Option<&'a Path>,
}

/// The look-ups of owners; a listing asks once for each number.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The name of a user.
    pub user: &'a dyn Fn(u32) -> String,
    /// The name of a group.
    pub group: &'a dyn Fn(u32) -> String,
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// How the lines of one listing are made, and what was learnt while making
/// them: the names of owners, and the day last shown.
#[derive(Debug)]
pub struct ListingStyle {
    encoding: Encoding,
    unicode_errors: UnicodeErrors,
    /// Seconds since 1970 when the listing began.
    now: i64,
    calendar: Calendar,
    /// Encoded and padded, ready for a line.
    users: HashMap<u32, Box<[u8]>>,
    groups: HashMap<u32, Box<[u8]>>,
}

impl ListingStyle {
    /// The style of a listing that begins `now`, in seconds since 1970.
    ///
    /// `gmt` chooses between GMT and the time zone of the system.
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
        }
    }

    /// Appends a line in the form of `/bin/ls -lA`, with its CRLF:
    /// `-rw-r--r--   1 user     group         380 Sep 02 03:40 module.py`.
    ///
    /// A time more than 180 days ago is shown with its year, another one with
    /// its hour. As pyftpdlib's `format_list()`.
    pub fn list_line(&mut self, names: Names<'_>, entry: &ListEntry<'_>, out: &mut Vec<u8>) {
        let stat = entry.stat;
        out.extend_from_slice(&filemode(stat.mode));
        out.push(b' ');
        push_number(out, stat.nlink.max(1), 3);
        out.push(b' ');
        let (encoding, errors) = (&self.encoding, self.unicode_errors);
        let owner = |name: String| owner_column(encoding, errors, &name);
        let user = self.users.entry(stat.uid);
        out.extend_from_slice(user.or_insert_with(|| owner((names.user)(stat.uid))));
        let group = self.groups.entry(stat.gid);
        out.extend_from_slice(group.or_insert_with(|| owner((names.group)(stat.gid))));
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

    /// Appends a line of MLSD, or of MLST without its leading space, with its
    /// CRLF: `modify=20071029155301;perm=r;size=156;type=file; music.mp3`.
    ///
    /// RFC 3659 §7.2; the facts are sorted by name, as by pyftpdlib's
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
                        // No calendar has it: a fact may be missing.
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

    /// `Sep 02 03:40`, or `Sep 02  2007` for what is older than six months.
    fn push_list_time(&mut self, mtime: i64, out: &mut Vec<u8>) {
        if let Some(time) = self.calendar.civil(mtime) {
            return time.push_list(self.now.saturating_sub(mtime) > SIX_MONTHS, out);
        }
        // As pyftpdlib: what no calendar has is shown as of now.
        match self.calendar.civil(self.now) {
            Some(now) => now.push_list(false, out),
            None => out.extend_from_slice(b"Jan 01 00:00"),
        }
    }

    fn push_name(&self, name: &OsStr, out: &mut Vec<u8>) {
        self.encoding.encode_name(name, self.unicode_errors, out);
    }
}

/// The facts that a client wants to see of each file in MLSD and MLST, and the
/// permissions that they are shown with.
///
/// The default are pyftpdlib's: type, perm, size, modify and unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MlsxFacts {
    shown: u8,
    perms: Perms,
}

impl MlsxFacts {
    /// The same facts with the permissions of a user.
    #[must_use]
    pub fn with_perms(self, perms: Perms) -> Self {
        Self { perms, ..self }
    }

    /// Chooses facts by the argument of `OPTS MLST` (RFC 3659 §7.9), such as
    /// `Type;Size;`. Unknown ones are passed over; an empty argument hides all.
    ///
    /// Returns what follows `200 MLST OPTS `: the facts as they were asked for,
    /// `type;size;`.
    ///
    /// # Errors
    ///
    /// For an argument that is not empty and has no `;`. Nothing changes then.
    pub fn select(&mut self, arg: &str) -> Result<String, InvalidFacts> {
        if !arg.is_empty() && !arg.contains(';') {
            return Err(InvalidFacts);
        }
        self.shown = 0;
        let mut accepted = String::new();
        for name in arg.split(';') {
            let found = Fact::FEAT
                .into_iter()
                .find(|fact| fact.name().eq_ignore_ascii_case(name));
            // A fact named twice is listed twice by pyftpdlib; once is enough,
            // and keeps the reply short whatever was sent.
            if let Some(fact) = found
                && !self.shows(fact)
            {
                self.shown |= fact.bit();
                accepted.push_str(fact.name());
                accepted.push(';');
            }
        }
        Ok(accepted)
    }

    /// What follows `MLST ` in the reply to FEAT (RFC 3659 §7.8): all facts, a
    /// `*` after those that are shown: `type*;perm*;size*;modify*;unique*;unix.mode;`.
    #[must_use]
    pub fn feat(&self) -> String {
        let mut list = String::new();
        for fact in Fact::FEAT {
            list.push_str(fact.name());
            list.push_str(if self.shows(fact) { "*;" } else { ";" });
        }
        list
    }

    fn shows(self, fact: Fact) -> bool {
        self.shown & fact.bit() != 0
    }

    /// The value of `perm` (RFC 3659 §7.5.5), in terms of pyftpdlib's letters.
    fn push_perm(self, is_dir: bool, out: &mut Vec<u8>) {
        let hidden = if is_dir { "arw" } else { "celmp" };
        for perm in self.perms.iter() {
            let letter = perm.letter();
            // A letter is one byte in any encoding of the wire.
            if let (false, Ok(byte)) = (hidden.contains(letter), u8::try_from(letter)) {
                out.push(byte);
            }
        }
        if !is_dir {
            return;
        }
        // c: files may be created in it; p: what is in it may be deleted.
        if [Perm::Write, Perm::Append, Perm::Rename]
            .iter()
            .any(|perm| self.perms.has(*perm))
        {
            out.push(b'c');
        }
        if self.perms.has(Perm::Delete) {
            out.push(b'p');
        }
    }
}

impl Default for MlsxFacts {
    fn default() -> Self {
        let shown = [
            Fact::Type,
            Fact::Perm,
            Fact::Size,
            Fact::Modify,
            Fact::Unique,
        ];
        Self {
            shown: shown.into_iter().fold(0, |bits, fact| bits | fact.bit()),
            perms: Perms::NONE,
        }
    }
}

/// The argument of `OPTS MLST` is no list of facts. Its `Display` follows `501 `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidFacts;

impl fmt::Display for InvalidFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid argument")
    }
}

impl std::error::Error for InvalidFacts {}

/// A fact of RFC 3659 §7.5, or one of the UNIX ones that others show too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Modify,
    Perm,
    Size,
    Type,
    Unique,
    UnixGid,
    UnixMode,
    UnixUid,
}

impl Fact {
    /// In the order of a line.
    const SORTED: [Self; 8] = [
        Self::Modify,
        Self::Perm,
        Self::Size,
        Self::Type,
        Self::Unique,
        Self::UnixGid,
        Self::UnixMode,
        Self::UnixUid,
    ];

    /// In the order of pyftpdlib's reply to FEAT.
    const FEAT: [Self; 8] = [
        Self::Type,
        Self::Perm,
        Self::Size,
        Self::Modify,
        Self::Unique,
        Self::UnixMode,
        Self::UnixUid,
        Self::UnixGid,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn name(self) -> &'static str {
        match self {
            Self::Modify => "modify",
            Self::Perm => "perm",
            Self::Size => "size",
            Self::Type => "type",
            Self::Unique => "unique",
            Self::UnixGid => "unix.gid",
            Self::UnixMode => "unix.mode",
            Self::UnixUid => "unix.uid",
        }
    }
}

/// Turns times into dates, and keeps the last day: the files of a directory
/// were often changed on few of them.
#[derive(Debug)]
struct Calendar {
    zone: TimeZone,
    day: Day,
}

/// A day, or the part of it around a time where the offset did not change.
#[derive(Debug, Clone, Copy)]
struct Day {
    /// Seconds since 1970: from here on, and up to there.
    start: i64,
    end: i64,
    /// Local time less GMT, in seconds.
    offset: i64,
    year: u64,
    month: usize,
    day: u8,
}

impl Calendar {
    fn new(zone: TimeZone) -> Self {
        let day = Day {
            start: 0,
            end: 0,
            offset: 0,
            year: 1970,
            month: 1,
            day: 1,
        };
        Self { zone, day }
    }

    /// The date and time of a time; none before the year 1 and after 9999.
    fn civil(&mut self, seconds: i64) -> Option<Civil> {
        if !(self.day.start..self.day.end).contains(&seconds) {
            self.day = self.look_up(seconds)?;
        }
        // Both are small: the day was found.
        let second = (seconds + self.day.offset).rem_euclid(DAY);
        let part = |value: i64| u8::try_from(value).unwrap_or(0);
        Some(Civil {
            day: self.day,
            hour: part(second / 3600),
            minute: part(second / 60 % 60),
            second: part(second % 60),
        })
    }

    fn look_up(&self, seconds: i64) -> Option<Day> {
        let time = Timestamp::from_second(seconds).ok()?;
        let offset = self.zone.to_offset(time);
        let date = offset.to_datetime(time).date();
        let year = u64::try_from(date.year()).ok().filter(|year| *year > 0)?;
        let offset = i64::from(offset.seconds());
        let start = seconds - (seconds + offset).rem_euclid(DAY);
        let same_offset = |seconds: i64| {
            Timestamp::from_second(seconds)
                .is_ok_and(|time| i64::from(self.zone.to_offset(time).seconds()) == offset)
        };
        // On a day when the clocks change only this second is certain.
        let (start, end) = if same_offset(start) && same_offset(start + DAY - 1) {
            (start, start + DAY)
        } else {
            (seconds, seconds + 1)
        };
        Some(Day {
            start,
            end,
            offset,
            year,
            month: usize::from(date.month().unsigned_abs()),
            day: date.day().unsigned_abs(),
        })
    }
}

/// A date and time of day.
struct Civil {
    day: Day,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Civil {
    fn push_list(&self, with_year: bool, out: &mut Vec<u8>) {
        let month = MONTHS.get(self.day.month.wrapping_sub(1));
        out.extend_from_slice(month.unwrap_or(&MONTHS[0]).as_bytes());
        out.push(b' ');
        push_two(out, self.day.day);
        out.push(b' ');
        if with_year {
            out.push(b' ');
            push_year(out, self.day.year);
        } else {
            push_two(out, self.hour);
            out.push(b':');
            push_two(out, self.minute);
        }
    }

    /// `YYYYMMDDHHMMSS`, the time-val of RFC 3659 §2.3.
    fn push_mlsx(&self, out: &mut Vec<u8>) {
        push_year(out, self.day.year);
        // A month is one of twelve.
        push_two(out, u8::try_from(self.day.month).unwrap_or(0));
        for part in [self.day.day, self.hour, self.minute, self.second] {
            push_two(out, part);
        }
    }
}

/// The first column, as Python's `stat.filemode()`.
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
    // Set-uid, set-gid and sticky share the place of x.
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

/// The name of an owner at the left of eight places, and a space.
fn owner_column(encoding: &Encoding, errors: UnicodeErrors, name: &str) -> Box<[u8]> {
    let mut column = Vec::new();
    encoding.encode_name(OsStr::new(name), errors, &mut column);
    let missing = 8_usize.saturating_sub(name.chars().count());
    column.resize(column.len() + missing + 1, b' ');
    column.into_boxed_slice()
}

/// A number at the right of `width` places.
fn push_number(out: &mut Vec<u8>, number: u64, width: usize) {
    push_base(out, number, 10, width);
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    push_base(out, number, 16, 0);
}

/// As Python's `oct()`: `0o755`.
fn push_octal(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"0o");
    push_base(out, number.into(), 8, 0);
}

fn push_base(out: &mut Vec<u8>, mut number: u64, base: u64, width: usize) {
    // 22 octal digits are the most that 64 bits make.
    let mut digits = [b' '; 24];
    let mut at = digits.len();
    loop {
        at -= 1;
        // The remainder is below 16.
        digits[at] = b"0123456789abcdef"[usize::try_from(number % base).unwrap_or(0)];
        number /= base;
        if number == 0 {
            break;
        }
    }
    let start = at.min(digits.len().saturating_sub(width));
    out.extend_from_slice(&digits[start..]);
}

fn push_two(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
}

/// Four digits: a year of the calendar has no more.
fn push_year(out: &mut Vec<u8>, year: u64) {
    let part = |value: u64| u8::try_from(value % 100).unwrap_or(0);
    push_two(out, part(year / 100));
    push_two(out, part(year));
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// What pyftpdlib and proftpd call six months.
const SIX_MONTHS: i64 = 180 * DAY;

#[cfg(test)]
mod tests;

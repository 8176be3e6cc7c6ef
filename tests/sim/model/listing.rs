//! Listings: what they must show, and what they show.

use std::collections::BTreeSet;

use super::names;
use super::tree::{Lost, Model, Mtime, Node, What};
use crate::plan::scene::Encoding;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// LIST and STAT.
    Long,
    /// NLST.
    Names,
    /// MLSD and MLST.
    Facts,
}

/// An entry that a listing must show.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As it is shown, with the directory that NLST of a pattern puts before it.
    pub shown: Vec<u8>,
    /// As it is in its directory.
    pub name: Vec<u8>,
    pub kind: Shape,
    /// Of files; `None` is not known.
    pub size: Option<usize>,
    pub mode: Option<u32>,
    pub mtime: Mtime,
    /// Where a link leads, for LIST.
    pub link: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Dir,
    File,
    Link,
}

#[derive(Clone, Debug)]
pub struct Expected {
    pub style: Style,
    /// The directory that is listed, to notice changes in it.
    pub dir: Vec<u8>,
    pub entries: Vec<Entry>,
    /// Names that have changed since the listing began.
    pub loose: BTreeSet<Vec<u8>>,
    /// All may have changed.
    pub any: bool,
    /// There are more entries than are sorted.
    pub in_any_order: bool,
    pub facts: Vec<&'static str>,
    pub perms: String,
    pub encoding: Encoding,
}

impl Expected {
    pub fn new(
        style: Style,
        dir: &[u8],
        facts: &[&'static str],
        perms: &str,
        encoding: Encoding,
    ) -> Self {
        Self {
            style,
            dir: dir.to_vec(),
            entries: Vec::new(),
            loose: BTreeSet::new(),
            any: false,
            in_any_order: false,
            facts: facts.to_vec(),
            perms: perms.to_owned(),
            encoding,
        }
    }

    /// Adds an entry of the tree. `before` precedes its name in NLST of a pattern.
    pub fn add(&mut self, tree: &Model, path: &[u8], name: &[u8], before: &[u8]) {
        let Some(entry) = entry(self.style, self.encoding, tree, path, name) else {
            return;
        };
        let mut entry = entry;
        if !before.is_empty() {
            entry.shown = [before, &entry.shown[..]].concat();
        }
        self.entries.push(entry);
    }

    /// A path has changed while the listing is under way.
    pub fn changed(&mut self, path: &[u8]) {
        let (dir, name) = names::split(path);
        if dir == self.dir {
            self.loose.insert(names::in_listing(self.encoding, name));
        } else if names::is_below(&self.dir, path) {
            // A directory that is listed has another time.
            for entry in &mut self.entries {
                if names::is_below(&names::join(&self.dir, &entry.name), path) {
                    entry.mtime = Mtime::ANY;
                }
            }
        }
        if names::is_below(path, &self.dir) {
            self.any = true;
        }
        // Links may lead there.
        for entry in &mut self.entries {
            if entry.link.is_some() || entry.kind == Shape::Link {
                self.loose.insert(entry.shown.clone());
            }
        }
    }

    /// What is wrong with the text of a listing; `whole` is false if it was cut.
    pub fn judge(&self, text: &[u8], whole: bool) -> Result<(), String> {
        if self.any {
            return Ok(());
        }
        let mut seen = vec![false; self.entries.len()];
        let mut before: Option<Vec<u8>> = None;
        let mut lines = text.split(|byte| *byte == b'\n');
        let rest = lines.next_back().unwrap_or(b"");
        if whole && !rest.is_empty() {
            return Err(format!("a line without an end: {}", rest.escape_ascii()));
        }
        for line in lines {
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(format!(
                    "a line that ends with LF alone: {}",
                    line.escape_ascii()
                ));
            };
            let found = self.line(line)?;
            if let Some(at) = found {
                if std::mem::replace(&mut seen[at], true) && !self.repeats(at) {
                    return Err(format!("an entry twice: {}", line.escape_ascii()));
                }
                let sorts = self.style != Style::Facts && !self.in_any_order;
                if sorts && self.loose.is_empty() && !self.repeats(at) {
                    let name = self.entries[at].name.clone();
                    if before.as_ref().is_some_and(|before| *before > name) {
                        return Err(format!("not sorted: {}", line.escape_ascii()));
                    }
                    before = Some(name);
                }
            }
        }
        if !whole {
            return Ok(());
        }
        // Of several that are shown in the same way, one line stands for all.
        let shown = self.entries.iter().zip(&seen).filter(|(_, seen)| **seen);
        let twins: BTreeSet<&Vec<u8>> = shown.map(|(entry, _)| &entry.shown).collect();
        for (entry, seen) in self.entries.iter().zip(seen) {
            if !seen && !self.loose.contains(&entry.shown) && !twins.contains(&entry.shown) {
                return Err(format!(
                    "an entry is missing: {}",
                    entry.shown.escape_ascii()
                ));
            }
        }
        Ok(())
    }

    /// Whether another entry is shown in the same way.
    fn repeats(&self, at: usize) -> bool {
        let shown = &self.entries[at].shown;
        self.entries
            .iter()
            .filter(|entry| entry.shown == *shown)
            .count()
            > 1
    }

    /// The number of the entry that a line shows; `None` for one that may have come meanwhile.
    pub fn line(&self, line: &[u8]) -> Result<Option<usize>, String> {
        let wrong = |what: &str| Err(format!("{what}: {}", line.escape_ascii()));
        let (head, name) = match self.style {
            Style::Names => (&b""[..], line),
            Style::Long => match cut_long(line) {
                Some(parts) => parts,
                None => return wrong("not a line of LIST"),
            },
            Style::Facts => match line.iter().position(|byte| *byte == b' ') {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => return wrong("not a line of MLSD"),
            },
        };
        let is_it = |entry: &Entry| match (&entry.link, self.style) {
            (Some(link), Style::Long) => {
                let link = names::in_listing(self.encoding, link);
                name == [&entry.shown[..], b" -> ", &link].concat()
            }
            _ => name == entry.shown,
        };
        let Some(at) = self.entries.iter().position(is_it) else {
            let known = |loose: &Vec<u8>| name.ends_with(loose) || name.starts_with(loose);
            return match self.loose.iter().any(known) {
                true => Ok(None),
                false => wrong("no such entry"),
            };
        };
        let entry = &self.entries[at];
        if self.repeats(at) || self.loose.contains(&entry.shown) {
            return Ok(Some(at));
        }
        let fine = match self.style {
            Style::Names => Ok(()),
            Style::Long => long(head, entry),
            Style::Facts => self.facts(head, entry),
        };
        match fine {
            Ok(()) => Ok(Some(at)),
            Err(what) => wrong(&what),
        }
    }

    fn facts(&self, head: &[u8], entry: &Entry) -> Result<(), String> {
        let head = std::str::from_utf8(head).map_err(|_| "facts that are no text")?;
        let mut wanted: Vec<&str> = self.facts.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = Vec::new();
        for fact in head.split_terminator(';') {
            let (name, value) = fact.split_once('=').ok_or("a fact without a value")?;
            found.push(name);
            self.fact(name, value, entry)?;
        }
        if found != wanted {
            return Err(format!("the facts {found:?} instead of {wanted:?}"));
        }
        Ok(())
    }

    fn fact(&self, name: &str, value: &str, entry: &Entry) -> Result<(), String> {
        let fine = match name {
            "type" => {
                value
                    == match entry.kind {
                        Shape::Dir => "dir",
                        Shape::File => "file",
                        Shape::Link => "OS.unix=symlink",
                    }
            }
            "perm" => match entry.kind {
                Shape::Dir => value == perms_of_dir(&self.perms),
                Shape::File => value == perms_of_file(&self.perms),
                Shape::Link => value
                    .chars()
                    .all(|c| "df".contains(c) && self.perms.contains(c)),
            },
            "size" => match (entry.size, value.parse::<usize>()) {
                (_, Err(_)) => false,
                (Some(size), Ok(value)) => entry.kind != Shape::File || size == value,
                (None, Ok(_)) => true,
            },
            "modify" => parse_time(value).is_some_and(|at| entry.mtime.permits(at)),
            "unix.mode" => match entry.mode {
                Some(mode) => entry.kind == Shape::Link || value == format!("0{mode:03o}"),
                None => value.starts_with('0'),
            },
            "unix.uid" | "unix.gid" => value.parse::<u32>().is_ok(),
            "unique" => !value.is_empty(),
            _ => false,
        };
        match fine {
            true => Ok(()),
            false => Err(format!("the fact {name}={value} of {entry:?}")),
        }
    }
}

/// The entry of a path; `None` if this style leaves it out.
fn entry(
    style: Style,
    encoding: Encoding,
    tree: &Model,
    path: &[u8],
    name: &[u8],
) -> Option<Entry> {
    let shown = names::in_listing(encoding, name);
    let root = Node {
        id: 0,
        what: What::Dir,
        mode: None,
        mtime: Mtime::ANY,
    };
    let of = |path: &[u8]| match path {
        b"/" => Some(&root),
        _ => tree.get(path),
    };
    let node = of(path)?;
    let mut link = None;
    let mut seen = node;
    if let What::Link(to) = &node.what {
        link = Some(to.clone());
        if style == Style::Facts {
            // What it leads to, if that is inside.
            match tree.resolve(path, true).map(|real| of(&real)) {
                Ok(Some(target)) => seen = target,
                Ok(None) | Err(Lost::NoEntry | Lost::Loop | Lost::Outside) => {}
                Err(Lost::NotDirectory | Lost::TooLong) => {}
            }
        }
    }
    let (kind, size) = match &seen.what {
        What::Dir => (Shape::Dir, None),
        What::File(bytes) => (Shape::File, Some(bytes.len())),
        What::Flux => (Shape::File, None),
        What::Link(_) => (Shape::Link, None),
    };
    Some(Entry {
        shown,
        name: name.to_vec(),
        kind,
        size,
        mode: seen.mode,
        mtime: seen.mtime,
        link,
    })
}

/// pyftpdlib's `format_mlsx`.
pub fn perms_of_dir(perms: &str) -> String {
    let mut letters: String = perms.chars().filter(|c| !"arw".contains(*c)).collect();
    if perms.contains(['w', 'a', 'f']) {
        letters.push('c');
    }
    if perms.contains('d') {
        letters.push('p');
    }
    letters
}

pub fn perms_of_file(perms: &str) -> String {
    perms.chars().filter(|c| !"celmp".contains(*c)).collect()
}

/// A line of LIST: what is before the name, and the name.
fn cut_long(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    for _ in 0..5 {
        while line.get(at)? == &b' ' {
            at += 1;
        }
        while line.get(at)? != &b' ' {
            at += 1;
        }
    }
    // A space, the time in twelve characters, a space.
    let name = at + 14;
    match line.get(name - 1)? {
        b' ' => Some((&line[..name - 1], &line[name..])),
        _ => None,
    }
}

fn long(head: &[u8], entry: &Entry) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    let mut words = head.split_whitespace();
    let letter = match entry.kind {
        Shape::Dir => 'd',
        Shape::File => '-',
        Shape::Link => 'l',
    };
    let modes = words.next().unwrap_or("");
    if !modes.starts_with(letter) || modes.len() != 10 {
        return Err(format!("the type of {entry:?}"));
    }
    if let (Some(mode), true) = (entry.mode, entry.kind != Shape::Link) {
        let bits: String = (0..9)
            .map(|bit| match mode >> (8 - bit) & 1 {
                1 => ['r', 'w', 'x'][bit % 3],
                _ => '-',
            })
            .collect();
        if mode < 0o1000 && modes[1..] != bits {
            return Err(format!("the mode {mode:o}"));
        }
    }
    let size = words.nth(3).unwrap_or("");
    match (entry.size, size.parse::<usize>()) {
        (Some(known), Ok(size)) if known != size => Err(format!("the size of {entry:?}")),
        (_, Err(_)) => Err("no size".to_owned()),
        _ => Ok(()),
    }
}

/// Seconds since 1970 of `YYYYMMDDHHMMSS`; second 60 is the next minute.
pub fn parse_time(text: &str) -> Option<i64> {
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(8..10)?, number(10..12)?, number(12..14)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [
        31,
        28 + i64::from(leap),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let month_at = usize::try_from(month - 1).ok()?;
    if year == 0 || !(1..=*days.get(month_at)?).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 (Howard Hinnant's).
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let total = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(total * 86_400 + hour * 3600 + minute * 60 + second)
}

/// `YYYYMMDDHHMMSS` of seconds since 1970.
pub fn format_time(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let rest = seconds.rem_euclid(86_400);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}{:02}{:02}{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

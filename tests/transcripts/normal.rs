//! Replaces what differs from run to run with placeholders.

#![allow(unreachable_pub, reason = "a module of a test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;

use super::script::escape;

/// The difference in minutes that still counts as now.
const WINDOW: i64 = 10;
const LS_TIME: &str = "%b %e %H:%M";
const STAMP: &str = "%Y%m%d%H%M%S";

/// Returns the time 30 days ago, on the minute.
pub fn recent() -> i64 {
    now() / 60 * 60 - 30 * 86_400
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

fn format(seconds: i64, form: &str) -> String {
    let time = Timestamp::from_second(seconds).unwrap();
    time.strftime(form).to_string()
}

/// Whether `text` is the present time in this format.
fn is_now(text: &str, form: &str) -> bool {
    (-1..WINDOW).any(|minutes| format(now() - 60 * minutes, form) == text)
}

#[derive(Debug)]
pub struct Normaliser {
    home: String,
    address: String,
    recent: i64,
    uid: String,
    gid: String,
    /// The random ends of names, in the order in which they were seen.
    uniques: Vec<String>,
    /// The unique facts, in the order in which they were seen.
    files: HashMap<String, usize>,
    /// The last name that STOU gave.
    pub stou: String,
}

impl Normaliser {
    pub fn new(home: &Path, port: u16, recent: i64) -> Self {
        let metadata = home.metadata().unwrap();
        Self {
            home: home.to_str().unwrap().to_owned(),
            address: format!("127.0.0.1:{port}"),
            recent,
            uid: metadata.uid().to_string(),
            gid: metadata.gid().to_string(),
            uniques: Vec::new(),
            files: HashMap::new(),
            stou: String::new(),
        }
    }

    /// Normalises a line of a reply.
    pub fn reply(&mut self, line: &[u8]) -> String {
        let mut text = escape(line);
        if let Some((code, name)) = text.split_once(" FILE: ")
            && code.len() == 3
            && code.starts_with('1')
            && let Some(at) = name.len().checked_sub(8)
        {
            self.uniques.push(name[at..].to_owned());
            self.stou = name.to_owned();
        }
        if text.starts_with("227 ")
            && let Some((start, inner)) = text.split_once('(')
        {
            let host: Vec<&str> = inner.splitn(5, ',').take(4).collect();
            text = format!("{start}({},<PORT>).", host.join(","));
        } else if text.starts_with("229 ")
            && let Some((start, _)) = text.split_once("(|||")
        {
            text = format!("{start}(|||<PORT>|).");
        } else if text.starts_with("426 ")
            && let Some((start, rest)) = text.split_once(" aborted; ")
            && let Some((count, rest)) = rest.split_once(' ')
            && count.parse::<u64>().is_ok()
        {
            text = format!("{start} aborted; <N> {rest}");
        } else if let Some(rest) = text.strip_prefix(" Transfer elapsed time: ")
            && rest
                .strip_suffix(" secs")
                .is_some_and(|time| time.parse::<f64>().is_ok())
        {
            text = " Transfer elapsed time: <SECONDS> secs".to_owned();
        }
        self.line(&text)
    }

    /// Normalises a line of a reply or of a listing.
    pub fn line(&mut self, text: &str) -> String {
        let text = text.replace(&self.home, "<HOME>");
        let text = self.unique(&text.replace(&self.address, "127.0.0.1:<PORT>"));
        let text = self.facts(&text).unwrap_or(text);
        let text = self.ls(&text).unwrap_or(text);
        self.stamps(&text)
    }

    /// Replaces the random ends of names.
    pub fn unique(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, unique) in self.uniques.iter().enumerate() {
            text = text.replace(unique, &format!("<UNIQUE{}>", index + 1));
        }
        text
    }

    /// Normalises a line of MLSD or MLST.
    fn facts(&mut self, text: &str) -> Option<String> {
        let stripped = text.strip_prefix(' ').unwrap_or(text);
        let blank = &text[..text.len() - stripped.len()];
        let (facts, name) = stripped.split_once("; ")?;
        let facts: Option<Vec<(&str, &str)>> =
            facts.split(';').map(|fact| fact.split_once('=')).collect();
        let facts = facts?;
        let is_dir = facts
            .iter()
            .any(|(fact, value)| *fact == "type" && value.ends_with("dir"));
        let mut out = blank.to_owned();
        for (fact, value) in facts {
            let next = self.files.len() + 1;
            let value = match fact {
                "size" if is_dir => "<SIZE>".to_owned(),
                "unix.uid" if value == self.uid => "<UID>".to_owned(),
                "unix.gid" if value == self.gid => "<GID>".to_owned(),
                "unique" => {
                    let number = self.files.entry(value.to_owned()).or_insert(next);
                    format!("<FILE{number}>")
                }
                _ => value.to_owned(),
            };
            out.push_str(&format!("{fact}={value};"));
        }
        Some(format!("{out} {name}"))
    }

    /// Normalises a line of LIST, if its columns are exactly where they must be.
    fn ls(&self, text: &str) -> Option<String> {
        let mut words = text.split_whitespace();
        let mut word = || words.next();
        let (mode, links, owner, group, size) = (word()?, word()?, word()?, word()?, word()?);
        let start = format!("{mode} {links:>3} {owner:<8} {group:<8} {size:>8} ");
        let rest = text.strip_prefix(&start)?;
        if mode.len() != 10 || size.parse::<u64>().is_err() {
            return None;
        }
        let (time, name) = rest.split_at_checked(12)?;
        let time = if time == format(self.recent, LS_TIME) {
            "<RECENT>"
        } else if is_now(time, LS_TIME) {
            "<NOW>"
        } else {
            time
        };
        let (links, size) = if mode.starts_with('d') {
            ("<LINKS>".to_owned(), "<SIZE>".to_owned())
        } else {
            (format!("{links:>3}"), format!("{size:>8}"))
        };
        Some(format!(
            "{mode} {links} <OWNER> <GROUP> {size} {time}{name}"
        ))
    }

    /// Replaces all times of 14 digits in a line.
    fn stamps(&self, text: &str) -> String {
        let is_word = |char: char| char.is_alphanumeric() || char == '_';
        text.split_inclusive(|char| !is_word(char))
            .map(|word| {
                let digits = word.trim_end_matches(|char| !is_word(char));
                if digits.len() == 14 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    self.stamp(digits) + &word[14..]
                } else {
                    word.to_owned()
                }
            })
            .collect()
    }

    fn stamp(&self, digits: &str) -> String {
        if digits == format(self.recent, STAMP) {
            "<RECENT>".to_owned()
        } else if is_now(&digits[..12], "%Y%m%d%H%M") {
            "<NOW>".to_owned()
        } else {
            digits.to_owned()
        }
    }

    /// Replaces the time of a file.
    pub fn time(&self, seconds: i64) -> String {
        self.stamp(&format(seconds, STAMP))
    }
}

//! From a reply to the command that it answers.

use std::net::IpAddr;
use std::time::Duration;

use super::lines::{Cut, Reply};
use super::names;
use super::session::{Command, Session, Stage};
use super::together::Together;
use super::tree;
use super::verbs::{self, Arg, Verb};
use super::{Disk, Fault, FaultKind, Verdict};
use crate::plan::scene::{Encoding, Settings, Tls, User};

/// What the sessions share.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub users: Vec<User>,
    pub homes: Vec<HomeState>,
    pub wall: i64,
    pub drained: Option<Duration>,
    /// How many events there were.
    pub events: u64,
    /// Connections to passive ports that are not, or no longer, those of the client.
    pub strays: Vec<Stray>,
    /// There are so few passive ports that a session may get the same one again.
    pub has_few_ports: bool,
}

/// A client has connected to a port that may be one of another session by now.
#[derive(Debug)]
pub struct Stray {
    pub at: Duration,
    pub from: IpAddr,
    pub number: u16,
}

#[derive(Debug)]
pub struct HomeState {
    pub tree: tree::Model,
    /// Others work in it, too: what a command finds there is not known.
    pub shared: bool,
    /// The disk was changed by another hand since the model has looked.
    pub changed: bool,
    pub marker: Vec<u8>,
    /// What has happened in it, if it is shared.
    pub together: Together,
}

/// One session, with all that its judgement needs.
pub struct Judge<'a> {
    pub s: &'a mut Session,
    pub w: &'a mut World,
    pub others: &'a [Option<Box<Session>>],
    pub now: Duration,
    pub disk: &'a dyn Disk,
}

/// Slack of time-outs: the clock moves while a turn reads it.
pub const SLACK: Duration = Duration::from_millis(100);

impl Judge<'_> {
    pub fn fault<T>(
        &self,
        kind: FaultKind,
        what: &str,
        wanted: &str,
        got: &str,
    ) -> Result<T, Fault> {
        Err(Fault {
            kind,
            text: format!(
                "client {}: {what}: expected {wanted}, got {got}",
                self.s.index
            ),
        })
    }

    fn shown(command: &Command) -> String {
        let line = match &command.cut {
            Cut::Line(line) | Cut::TooLong(line) => line,
        };
        let end = line.len().min(100);
        line[..end].escape_ascii().to_string()
    }

    pub fn wrong<T>(
        &self,
        kind: FaultKind,
        c: &Command,
        wanted: &str,
        r: &Reply,
    ) -> Result<T, Fault> {
        self.fault(kind, &Self::shown(c), wanted, &r.shown())
    }

    pub fn reply(&mut self, r: &Reply) -> Verdict {
        self.form(r)?;
        match self.s.stage {
            Stage::New | Stage::Closed => {
                return self.fault(FaultKind::Unasked, "no session", "nothing", &r.shown());
            }
            Stage::Silent => return self.greeting(r),
            Stage::Open | Stage::Leaving => {}
        }
        if let Some(verdict) = self.service(r) {
            return verdict;
        }
        if self.ends_transfer(r) {
            return self.finish(r);
        }
        let Some(command) = self.s.queue.front().cloned() else {
            return self.fault(
                FaultKind::Unasked,
                "no command waits",
                "nothing",
                &r.shown(),
            );
        };
        if self.s.stage == Stage::Leaving {
            return self.fault(
                FaultKind::Unasked,
                "after the last reply",
                "nothing",
                &r.shown(),
            );
        }
        self.answer(&command, r)
    }

    /// What no reply may have: control characters, and names of other homes.
    fn form(&self, r: &Reply) -> Verdict {
        for line in &r.lines {
            if line.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
                return self.fault(
                    FaultKind::Form,
                    "a reply",
                    "no control characters",
                    &r.shown(),
                );
            }
            self.no_secret(line)?;
        }
        if r.lines.len() > 1 && r.lines[0].get(3) != Some(&b'-') {
            return self.fault(FaultKind::Form, "a reply", "code and -", &r.shown());
        }
        Ok(())
    }

    pub fn no_secret(&self, bytes: &[u8]) -> Verdict {
        // All markers begin like this, and nothing else has it.
        const BEGIN: &[u8] = b"zqM";
        let mut from = 0;
        while let Some(at) = find(&bytes[from..], BEGIN) {
            let marker = &bytes[from + at..];
            let own = self.s.last_home;
            let mut homes = self.w.homes.iter().enumerate();
            let is_other = |(home, state): (usize, &HomeState)| {
                Some(home) != own && marker.starts_with(&state.marker)
            };
            let is_secret = homes.any(is_other);
            let named = |line: &Cut| match line {
                Cut::Line(line) | Cut::TooLong(line) => find(line, BEGIN).is_some(),
            };
            let asked = self
                .s
                .queue
                .front()
                .is_some_and(|command| named(&command.cut));
            if is_secret && !asked {
                let shown = bytes[..bytes.len().min(200)].escape_ascii().to_string();
                return self.fault(FaultKind::Secret, "bytes of another home", "none", &shown);
            }
            from += at + BEGIN.len();
        }
        Ok(())
    }

    /// The command has its final reply.
    pub fn done(&mut self, c: &Command) -> Verdict {
        self.s.queue.pop_front();
        self.s.head_since = self.now;
        // A line that is too long counts when its end comes, if it comes.
        if matches!(c.cut, Cut::Line(_)) {
            self.s.last_active = self.s.last_active.max(c.sent);
        }
        self.settle_relaxed();
        Ok(())
    }

    /// What the commands and transfers in progress find and leave is not known.
    pub fn relax(&mut self) {
        self.s.relaxed = true;
        let transfer = self.s.transfer.as_deref_mut();
        for transfer in transfer.into_iter().chain(&mut self.s.ended) {
            transfer.loose = true;
        }
    }

    /// When all commands have been answered after a fault of the disk, the model begins anew with
    /// what is there.
    pub fn settle_relaxed(&mut self) {
        if !self.s.relaxed || !self.s.is_idle() {
            return;
        }
        self.s.relaxed = false;
        if let Some(home) = self.s.last_home.filter(|home| !self.w.homes[*home].shared) {
            let tree = self.disk.tree(home);
            self.w.homes[home].tree.replace(&tree);
            self.w.homes[home].changed = false;
        }
    }

    /// Whether the outcome of commands on files is not known.
    pub fn is_loose(&self) -> bool {
        let shared = self.s.login.is_some_and(|user| self.is_shared(user));
        self.s.relaxed || shared && !self.s.is_sure
    }

    pub fn is_shared(&self, user: usize) -> bool {
        self.w.homes[self.w.users[user].home].shared
    }

    pub fn tree(&mut self) -> &mut tree::Model {
        let user = self.s.login.unwrap_or(0);
        let home = self.w.users[user].home;
        &mut self.w.homes[home].tree
    }

    pub fn encoding(&self) -> Encoding {
        self.w.settings.encoding
    }

    pub fn has_perm(&self, perm: char) -> bool {
        let user = self.s.login.map(|user| &self.w.users[user]);
        user.is_some_and(|user| user.perms.contains(perm))
    }

    /// Expects this reply of one line.
    pub fn want(&self, c: &Command, r: &Reply, line: &str) -> Verdict {
        if r.lines.len() == 1 && r.last() == line.as_bytes() {
            return Ok(());
        }
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        let kind = match code == Some(r.code) {
            true => FaultKind::Text,
            false => FaultKind::Code,
        };
        self.wrong(kind, c, line, r)
    }

    pub fn code(&self, c: &Command, r: &Reply, codes: &[u16]) -> Verdict {
        match codes.contains(&r.code) {
            true => Ok(()),
            false => self.wrong(FaultKind::Code, c, &format!("{codes:?}"), r),
        }
    }

    fn answer(&mut self, c: &Command, r: &Reply) -> Verdict {
        if std::mem::take(&mut self.s.aborted) {
            self.want(c, r, "226 ABOR command successful.")?;
            return self.done(c);
        }
        let line = match &c.cut {
            Cut::Line(line) => line,
            Cut::TooLong(start) => {
                // Whatever it was, what was begun for it is over.
                self.s.rest = 0;
                self.s.rnfr = None;
                if is_http(start) {
                    self.s.http = true;
                }
                self.want(c, r, "500 Command too long.")?;
                return self.done(c);
            }
        };
        if is_http(line) {
            self.s.http = true;
        }
        let tls = self.w.settings.tls != Tls::Off;
        let parsed = verbs::parse(line, tls);
        if names::decode(self.encoding(), line).is_none() {
            self.refused(parsed.verb);
            self.want(c, r, "501 Can't decode command.")?;
            return self.done(c);
        }
        let Some(verb) = parsed.verb else {
            let fine = r.code == 500 && (self.s.http || r.text().starts_with(b"Command \""));
            if !fine {
                return self.wrong(FaultKind::Code, c, "500 not understood", r);
            }
            return self.done(c);
        };
        if let Some(refusal) = self.refusal(verb, parsed.arg) {
            self.refused(Some(verb));
            self.want(c, r, refusal)?;
            return self.done(c);
        }
        if verb.perm.is_some() && !(verb.name == "STAT" && parsed.arg.is_empty()) {
            self.s.is_sure = self.is_sure(c, verb.name);
            let verdict = self.on_files(c, r, verb, parsed.arg);
            self.s.is_sure = false;
            return verdict;
        }
        self.plain(c, r, verb.name, parsed.arg)
    }

    /// What the table of commands refuses.
    fn refusal(&self, verb: &Verb, arg: &[u8]) -> Option<&'static str> {
        match verb.arg {
            Arg::Must if arg.is_empty() => {
                return Some("501 Syntax error: command needs an argument.");
            }
            Arg::None if !arg.is_empty() => {
                return Some("501 Syntax error: command does not accept arguments.");
            }
            _ => {}
        }
        // Windows and FileZilla send it before the login.
        let word = arg.split(|byte| *byte == b' ').next().unwrap_or(b"");
        let utf8 = ["UTF8", "UTF-8"]
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name.as_bytes()));
        let utf8 = verb.name == "OPTS" && utf8;
        let needs_login = verb.auth && !utf8 || verb.name == "STAT" && !arg.is_empty();
        if self.s.login.is_none() && needs_login {
            return Some("530 Log in with USER and PASS first.");
        }
        None
    }

    /// What a refused command takes with it.
    pub fn refused(&mut self, verb: Option<&Verb>) {
        let Some(verb) = verb else {
            return;
        };
        if verbs::is_transfer_of_file(verb.name) {
            self.s.rest = 0;
        }
        if verb.name == "RNFR" {
            self.s.rnfr = None;
        }
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        let at = from + at;
        if bytes[at..].starts_with(part) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// A request of HTTP, for which the server closes.
pub fn is_http(line: &[u8]) -> bool {
    find(line, b"HTTP/").is_some()
}

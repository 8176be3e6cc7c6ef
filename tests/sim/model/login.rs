//! The greeting, USER, PASS, REIN, and the replies that a session gets unasked.

use std::net::IpAddr;

use super::judge::{Judge, SLACK};
use super::lines::{Cut, Reply};
use super::session::{Command, Due, Session, Stage};
use super::verbs;
use super::{Callback, FaultKind, Verdict};
use crate::plan::scene::Answers;

impl Judge<'_> {
    pub fn greeting(&mut self, r: &Reply) -> Verdict {
        let settings = &self.w.settings;
        if r.code == 421 {
            self.s.stage = Stage::Leaving;
            let (sockets, same, _) = self.s.crowd;
            let (most, most_of_ip) = (settings.max_cons, settings.max_cons_per_ip);
            // The last ones are for data connections.
            let most = most - if self.makes_room() { most / 8 } else { 0 };
            let full = most > 0 && sockets > most || most_of_ip > 0 && same > most_of_ip;
            if !full && self.w.drained.is_none() {
                return self.fault(FaultKind::Limit, "connect", "220", &r.shown());
            }
            return Ok(());
        }
        self.s.stage = Stage::Open;
        self.s.head_since = self.now;
        self.s.nobody_since.1 = self.now;
        let banner = settings.banner.clone();
        let most = settings.max_cons_per_ip;
        if most > 0 && !self.makes_room() {
            let certain =
                |other: &&Session| other.is_certainly_open() && is_same(other.ip, self.s.ip);
            let others = self.others.iter().flatten().map(|other| &**other);
            // When it connected, and now: the greeting may be read long after.
            if self.s.crowd.2.min(others.filter(certain).count()) >= most {
                let expected = "421 for the address";
                return self.fault(FaultKind::Limit, "connect", expected, &r.shown());
            }
        }
        let lines: Vec<Vec<u8>> = match banner.chars().count() <= 75 {
            true => vec![format!("220 {banner}").into_bytes()],
            false => vec![format!("220-{banner}").into_bytes(), b"220 ".to_vec()],
        };
        match r.lines == lines {
            true => Ok(()),
            false => self.fault(FaultKind::Text, "connect", &banner, &r.shown()),
        }
    }

    /// Whether a session may have to leave for others, at any time.
    pub fn makes_room(&self) -> bool {
        self.w.settings.max_cons >= 32
    }

    /// How many sockets there may be when this client connects, how many clients of its address,
    /// and how many of these certainly.
    pub fn crowd(&self) -> (usize, usize, usize) {
        let (mut sockets, mut same, mut certain) = (2, 1, 0);
        // The socket of a session that is over counts until its client has closed it, or a job ends.
        let lingers = |other: &Session| {
            let is_open = other.client_end.is_none() && !other.was_reset;
            other.stage != Stage::New && is_open || self.has_job(other)
        };
        for other in self
            .others
            .iter()
            .flatten()
            .filter(|other| other.is_alive() || lingers(other))
        {
            // Its control connection, its data connections, and a listener.
            sockets += 2 + other.conns.iter().filter(|conn| !conn.by_server).count();
            if is_same(other.ip, self.s.ip) {
                same += 1;
                certain += usize::from(other.is_certainly_open());
            }
        }
        (sockets, same, certain)
    }

    /// Whether a job may still decide a login of this session, or the delay of its refusal goes on:
    /// both hold the slot.
    fn has_job(&self, session: &Session) -> bool {
        let asks = |line: &[u8]| {
            verbs::parse(line, true)
                .verb
                .is_some_and(|verb| verb.name == "PASS")
        };
        let settings = &self.w.settings;
        (settings.authorizer == Answers::Job || !settings.auth_failed_timeout.is_zero())
            && session.stage != Stage::New
            && session.queue.iter().any(|command| match &command.cut {
                Cut::Line(line) => asks(line),
                Cut::TooLong(_) => false,
            })
    }

    /// What speaks against a 421 that ends the session; `None` if the text is none of these.
    fn last_word(&self, text: &[u8]) -> Option<Option<&'static str>> {
        let settings = &self.w.settings;
        let now = self.now + SLACK;
        let early = |since, limit: std::time::Duration| limit.is_zero() || now < since + limit;
        match text {
            b"Too many connections. This one is closed to make room for others." => {
                Some((!self.makes_room()).then_some("there are few connections"))
            }
            b"Control connection timed out." => {
                let is_early = early(self.s.last_active, settings.timeout);
                Some(is_early.then_some("the control connection"))
            }
            b"Login timed out." => {
                let is_early = early(self.s.nobody_since.0, settings.login_timeout);
                Some((self.s.login.is_some() || is_early).then_some("the login"))
            }
            _ => None,
        }
    }

    /// Replies that come without a command: `None` if this is none of them.
    pub fn service(&mut self, r: &Reply) -> Option<Verdict> {
        if r.code != 421 {
            return None;
        }
        let settings = &self.w.settings;
        let now = self.now + SLACK;
        let text = r.text();
        let early = |since, limit: std::time::Duration| limit.is_zero() || now < since + limit;
        let wrong =
            |what: &str| Some(self.fault(FaultKind::Unasked, what, "no time-out yet", &r.shown()));
        let end = self.last_word(text);
        match end {
            Some(Some(what)) => return wrong(what),
            Some(None) => {
                self.s.stage = Stage::Leaving;
                // It ends a transfer, too.
                self.s.quit = false;
                return Some(Ok(()));
            }
            None => {}
        }
        if text == b"Passive data channel timed out." {
            let since = self
                .s
                .port
                .as_ref()
                .filter(|port| port.passive)
                .map(|port| port.since);
            let Some(since) = since else {
                return wrong("no passive port");
            };
            if early(since, settings.passive_timeout) {
                return wrong("the passive port");
            }
            return Some(match self.s.transfer.is_some() {
                true => self.finish(r),
                false => {
                    self.s.port = None;
                    Ok(())
                }
            });
        }
        if text == b"Data connection timed out." {
            // The client may read it long after the end of the connection.
            let since = self.s.conns.iter().map(|conn| conn.opened).min();
            // One that the server has made, and the client has not accepted yet.
            let made = self.s.port.as_ref().filter(|port| !port.passive);
            let Some(since) = since.or(made.map(|port| port.since)) else {
                return wrong("no data connection");
            };
            if early(since, settings.data_timeout) {
                return wrong("the data connection");
            }
            let verdict = match self.s.transfer.is_some() {
                true => self.finish(r),
                false => Ok(()),
            };
            self.s.port = None;
            self.s.stage = Stage::Leaving;
            return Some(verdict);
        }
        if text == b"Active data channel timed out." {
            // The reply to PORT or EPRT.
            return None;
        }
        if self.w.drained.is_some() {
            self.s.stage = Stage::Leaving;
            return Some(Ok(()));
        }
        wrong("a reply that no command has asked for")
    }

    pub fn user(&mut self, c: &Command, r: &Reply, arg: &[u8]) -> Verdict {
        match self.s.login.is_some() {
            false => self.want(c, r, "331 Username ok, send password.")?,
            true => {
                self.want(
                    c,
                    r,
                    "331 Previous account information was flushed, send password.",
                )?;
                self.log_out();
                self.s.rest = 0;
                self.s.rnfr = None;
            }
        }
        let text = super::names::decode(self.encoding(), arg).unwrap_or_default();
        let name = String::from_utf8_lossy(&text).into_owned();
        self.s.asked_ever.push(name.clone());
        self.s.asked = Some(name);
        self.done(c)
    }

    pub fn pass(&mut self, c: &Command, r: &Reply, arg: &[u8]) -> Verdict {
        if self.s.login.is_some() {
            self.want(c, r, "503 User already authenticated.")?;
            return self.done(c);
        }
        let Some(name) = self.s.asked.clone().filter(|name| !name.is_empty()) else {
            self.want(c, r, "503 Login with USER first.")?;
            return self.done(c);
        };
        let password = super::names::decode(self.encoding(), arg).unwrap_or_default();
        let right = self.w.users.iter().position(|user| {
            user.name == name && (name == "anonymous" || user.password.as_bytes() == password)
        });
        let Some(user) = right else {
            return self.wrong_password(c, r, &name);
        };
        if r.code == 530 && r.text() == b"Too many connections of this user." {
            let most = self.w.settings.max_cons_per_user;
            // Also those that have gone by now: this client may read slowly.
            let maybe = |other: &&Session| other.was_asked_for(&name);
            let of_user = self.others.iter().flatten().map(|other| &**other);
            // A transfer that this session has begun as the same user counts, too.
            let again = self
                .s
                .asked_ever
                .iter()
                .filter(|asked| **asked == name)
                .count()
                > 1;
            if most == 0 || !again && of_user.filter(maybe).count() < most {
                return self.fault(FaultKind::Limit, "PASS", "230", &r.shown());
            }
            self.done(c)?;
            self.s.stage = Stage::Leaving;
            return Ok(());
        }
        let login = self.w.users[user].msg_login.clone();
        self.message(c, r, 230, &login)?;
        let most = self.w.settings.max_cons_per_user;
        // The client may read it when the session has ended, or has logged out again.
        let logged_out = |call: &Callback| matches!(call, Callback::Logout(_));
        let is_over = self.s.disconnects > 0 || self.s.called.iter().any(logged_out);
        if most > 0 && !is_over && !self.makes_room() {
            let certain = |other: &&Session| other.is_certainly_open() && other.login == Some(user);
            let of_user = self.others.iter().flatten().map(|other| &**other);
            if of_user.filter(certain).count() >= most {
                return self.fault(FaultKind::Limit, "PASS", "530 for the user", &r.shown());
            }
        }
        self.s.login = Some(user);
        self.s.last_home = Some(self.w.users[user].home);
        self.s.cwd = b"/".to_vec();
        self.s.relaxed |= self.w.homes[self.w.users[user].home].changed;
        if name != "anonymous" {
            self.s.attempts = 0;
        }
        self.s.due.push_back(Due::Login(name));
        self.done(c)
    }

    fn wrong_password(&mut self, c: &Command, r: &Reply, name: &str) -> Verdict {
        let settings = &self.w.settings;
        let last = self.s.attempts + 1 >= settings.max_login_attempts;
        let what = match name {
            "anonymous" => "Anonymous access not allowed.",
            _ => "Authentication failed.",
        };
        let end = if last { " Disconnecting." } else { "" };
        self.want(c, r, &format!("530 {what}{end}"))?;
        if self.now + SLACK < self.s.head_since.min(c.sent) + settings.auth_failed_timeout {
            return self.wrong(FaultKind::Code, c, "a delay before the 530", r);
        }
        self.s.attempts += 1;
        self.s.asked = None;
        self.s.due.push_back(Due::LoginFailed);
        self.done(c)?;
        if last {
            self.s.stage = Stage::Leaving;
        }
        Ok(())
    }

    pub fn rein(&mut self, c: &Command, r: &Reply) -> Verdict {
        let pending = self
            .s
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.is_pending() && !transfer.stolen);
        if pending {
            return self.wrong(FaultKind::Code, c, "426 for the transfer first", r);
        }
        self.want(c, r, "230 Ready for new user.")?;
        self.log_out();
        // A transfer in progress goes on.
        self.s.reset_parameters();
        self.s.asked = None;
        self.done(c)
    }
}

impl Session {
    /// Whether the server certainly counts this session: nothing has begun to end it.
    pub fn is_certainly_open(&self) -> bool {
        self.stage == Stage::Open
            && self.disconnects == 0
            && self.client_end.is_none()
            && !self.was_reset
            && !self.http
            && self.queue.is_empty()
    }

    /// Whether this session has ever been, or may now be, one of this user.
    fn was_asked_for(&self, name: &str) -> bool {
        self.asked_ever.iter().any(|asked| asked == name)
            || self.queue.iter().any(|command| match &command.cut {
                Cut::Line(line) => line.ends_with(name.as_bytes()),
                Cut::TooLong(_) => false,
            })
    }
}

/// Whether two addresses stand for one client: a network of 64 bits of IPv6 does.
fn is_same(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() >> 64 == other.to_bits() >> 64,
        _ => one == other,
    }
}

//! Replies to commands that look at no file.

use super::FaultKind;
use super::Verdict;
use super::judge::Judge;
use super::lines::Reply;
use super::names;
use super::session::{ALL_FACTS, Command, Conn, Due, Port, Stage};
use super::verbs;
use crate::plan::scene::{Encoding, Tls};

impl Judge<'_> {
    pub fn plain(&mut self, c: &Command, r: &Reply, name: &str, arg: &[u8]) -> Verdict {
        let tls = &self.w.settings.tls;
        let clear = *tls != Tls::Off && *tls != Tls::On && !self.s.secure;
        if clear && matches!(name, "USER" | "PASS") {
            self.want(c, r, "550 SSL/TLS required on the control channel.")?;
            return self.done(c);
        }
        let upper = arg.to_ascii_uppercase();
        match name {
            "USER" => return self.user(c, r, arg),
            "PASS" => return self.pass(c, r, arg),
            "QUIT" => return self.quit(c, r),
            "REIN" => return self.rein(c, r),
            "AUTH" | "PBSZ" | "PROT" => return self.security(c, r, name, &upper),
            "PASV" | "EPSV" | "PORT" | "EPRT" => return self.way(c, r, name, arg),
            "ABOR" => return self.abor(c, r),
            "REST" => return self.rest(c, r, arg),
            "OPTS" => return self.opts(c, r, arg),
            "TYPE" => {
                let kind: Vec<u8> = upper.iter().copied().filter(|byte| *byte != b' ').collect();
                match &kind[..] {
                    b"A" | b"L7" | b"AN" => {
                        self.want(c, r, "200 Type set to: ASCII.")?;
                        self.s.ascii = true;
                        self.s.rest = 0;
                    }
                    b"I" | b"L8" => {
                        self.want(c, r, "200 Type set to: Binary.")?;
                        self.s.ascii = false;
                    }
                    _ => self.code(c, r, &[504])?,
                }
            }
            "STRU" => self.want(
                c,
                r,
                match &upper[..] {
                    b"F" => "200 File transfer structure set to: F.",
                    b"P" | b"R" => "504 Unimplemented STRU type.",
                    _ => "501 Unrecognized STRU type.",
                },
            )?,
            "MODE" => self.want(
                c,
                r,
                match &upper[..] {
                    b"S" => "200 Transfer mode set to: S",
                    b"B" | b"C" => "504 Unimplemented MODE type.",
                    _ => "501 Unrecognized MODE type.",
                },
            )?,
            "ALLO" => self.want(c, r, "202 No storage allocation necessary.")?,
            "NOOP" => self.want(c, r, "200 I successfully did nothing'.")?,
            "SYST" => self.want(c, r, "215 UNIX Type: L8")?,
            "PWD" | "XPWD" => {
                let cwd = names::in_reply(self.encoding(), &self.s.cwd);
                self.about(
                    c,
                    r,
                    257,
                    b"",
                    &double_quotes(&cwd),
                    b" is the current directory.",
                )?;
            }
            "STAT" => self.status(c, r)?,
            "FEAT" => self.feat(c, r)?,
            "HELP" | "SITE HELP" => self.help(c, r, name, &upper)?,
            // SITE alone, with an argument, is no command.
            _ => self.code(c, r, &[500])?,
        }
        self.done(c)
    }

    /// Expects `CODE "path"tail`, where the path may show `?` for what cannot be shown.
    pub fn about(
        &self,
        c: &Command,
        r: &Reply,
        code: u16,
        head: &[u8],
        path: &[u8],
        tail: &[u8],
    ) -> Verdict {
        let text = r.text();
        let fine = r.code == code
            && r.lines.len() == 1
            && text.starts_with(head)
            && text.ends_with(tail)
            && text.len() >= head.len() + tail.len()
            && {
                let shown = &text[head.len()..text.len() - tail.len()];
                let quoted = match head.is_empty() {
                    true => shown
                        .strip_prefix(b"\"")
                        .and_then(|rest| rest.strip_suffix(b"\"")),
                    false => Some(shown),
                };
                quoted.is_some_and(|shown| names::alike(shown, path))
            };
        if fine {
            return Ok(());
        }
        let kind = match r.code == code {
            true => FaultKind::Text,
            false => FaultKind::Code,
        };
        let wanted = format!(
            "{code} {}{}{}",
            head.escape_ascii(),
            path.escape_ascii(),
            tail.escape_ascii()
        );
        self.wrong(kind, c, &wanted, r)
    }

    fn rest(&mut self, c: &Command, r: &Reply, arg: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(arg);
        let text = text.trim();
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let number = match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Some(digits.trim_start_matches('0')),
            false => None,
        };
        let negative = text.starts_with('-') && number != Some("");
        match number {
            _ if self.s.ascii && number != Some("") => {
                self.want(c, r, "501 Resuming transfers not allowed in ASCII mode.")?;
            }
            Some(number) if !negative => match number.parse::<u128>() {
                Ok(position) => {
                    self.want(c, r, &format!("350 Restarting at position {position}."))?;
                    self.s.rest = position;
                }
                Err(_) if number.is_empty() => {
                    self.want(c, r, "350 Restarting at position 0.")?;
                    self.s.rest = 0;
                }
                Err(_) => {
                    self.code(c, r, &[350, 501])?;
                    if r.code == 350 {
                        self.s.rest = u128::MAX;
                    }
                }
            },
            _ => self.want(c, r, "501 Invalid parameter.")?,
        }
        self.done(c)
    }

    fn opts(&mut self, c: &Command, r: &Reply, arg: &[u8]) -> Verdict {
        let words: Vec<&[u8]> = arg.split(|byte| *byte == b' ').collect();
        let first = words[0].to_ascii_uppercase();
        let utf8 = self.encoding() != Encoding::Latin1;
        let option = words.get(1).copied().unwrap_or(b"");
        match &first[..] {
            _ if words.len() > 2 => self.want(c, r, "501 Invalid number of arguments.")?,
            b"UTF8" | b"UTF-8" if utf8 => self.want(c, r, "200 Always in UTF8 mode.")?,
            b"UTF8" | b"UTF-8" if option.eq_ignore_ascii_case(b"OFF") => self.code(c, r, &[200])?,
            b"UTF8" | b"UTF-8" => self.code(c, r, &[501])?,
            b"MLST" if !option.is_empty() && !option.contains(&b';') => {
                self.want(c, r, "501 Invalid argument.")?;
            }
            b"MLST" => {
                let asked = option.to_ascii_lowercase();
                let known =
                    |fact: &[u8]| ALL_FACTS.into_iter().find(|name| name.as_bytes() == fact);
                let facts: Vec<&str> = asked
                    .split(|byte| *byte == b';')
                    .filter_map(known)
                    .collect();
                let shown: String = facts.iter().flat_map(|fact| [fact, ";"]).collect();
                self.want(c, r, &format!("200 MLST OPTS {shown}"))?;
                self.s.facts = facts;
            }
            _ => self.code(c, r, &[501])?,
        }
        self.done(c)
    }

    fn status(&self, c: &Command, r: &Reply) -> Verdict {
        let has = |line: &str| r.lines.iter().any(|found| found == line.as_bytes());
        let fine = r.code == 211
            && r.lines[0] == b"211-FTP server status:"
            && r.last() == b"211 End of status."
            && has(match self.s.ascii {
                true => " TYPE: ASCII; STRUcture: File; MODE: Stream",
                false => " TYPE: Binary; STRUcture: File; MODE: Stream",
            });
        if !fine {
            return self.wrong(FaultKind::Text, c, "211 with the type", r);
        }
        let who = match (self.s.login, &self.s.asked) {
            (Some(user), _) => format!(" Logged in as: {}", self.w.users[user].name),
            (None, None) => " Waiting for username.".to_owned(),
            (None, Some(_)) => " Waiting for password.".to_owned(),
        };
        if !has(&who) {
            return self.wrong(FaultKind::Text, c, &who, r);
        }
        let moving = self
            .s
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.conn.is_some() || transfer.stolen);
        if self.s.port.is_none() && !moving && !has(" Data connection closed.") {
            return self.wrong(FaultKind::Text, c, "Data connection closed.", r);
        }
        Ok(())
    }

    fn feat(&self, c: &Command, r: &Reply) -> Verdict {
        let mut facts = " MLST ".to_owned();
        for fact in ALL_FACTS {
            facts.push_str(fact);
            facts.push_str(if self.s.facts.contains(&fact) {
                "*;"
            } else {
                ";"
            });
        }
        let has = |line: &str| r.lines.iter().any(|found| found == line.as_bytes());
        let utf8 = self.encoding() != Encoding::Latin1;
        let tls = self.w.settings.tls != Tls::Off;
        let fine = r.code == 211
            && has(&facts)
            && has(" REST STREAM")
            && has(" UTF8") == utf8
            && has(" AUTH TLS") == tls
            && r.last() == b"211 End FEAT.";
        match fine {
            true => Ok(()),
            false => self.wrong(FaultKind::Text, c, &format!("211 with{facts}"), r),
        }
    }

    fn help(&self, c: &Command, r: &Reply, name: &str, upper: &[u8]) -> Verdict {
        let tls = self.w.settings.tls != Tls::Off;
        let known = upper.is_empty() || verbs::find(upper, tls).is_some();
        match known {
            true => self.code(c, r, &[214]),
            false if name == "HELP" => self.want(c, r, "501 Unrecognized command."),
            false => self.want(c, r, "501 Unrecognized SITE command."),
        }
    }

    fn abor(&mut self, c: &Command, r: &Reply) -> Verdict {
        // A pending or running transfer gets its 426 before, which `finish` has judged.
        let nothing = "225 No transfer to abort.";
        let closed = "225 ABOR command successful; data channel closed.";
        if self.s.transfer.is_some() {
            return self.wrong(FaultKind::Code, c, "426 for the transfer first", r);
        }
        let gone = self.s.port.as_ref().is_some_and(|port| {
            let conn = port.conn;
            let ended = |id: u32| {
                self.s
                    .conns
                    .iter()
                    .any(|conn| conn.id == id && conn.has_ended())
            };
            // A client that has not accepted may have dropped its listener.
            let is_dropped = !port.passive && conn.is_none();
            port.stranger || is_dropped || conn.is_some_and(ended)
        });
        let in_time = self.s.refused_at.is_some_and(|at| c.sent <= at);
        match (&self.s.port, gone) {
            (None, _) if in_time => self.code(c, r, &[225])?,
            (None, _) => self.want(c, r, nothing)?,
            (Some(_), false) => self.want(c, r, closed)?,
            (Some(_), true) => self.code(c, r, &[225])?,
        }
        self.s.port = None;
        self.done(c)
    }

    fn security(&mut self, c: &Command, r: &Reply, name: &str, arg: &[u8]) -> Verdict {
        let shown = String::from_utf8_lossy(arg).into_owned();
        match name {
            "AUTH" if self.s.secure => self.want(c, r, "503 Already using TLS.")?,
            "AUTH" if matches!(arg, b"TLS" | b"TLS-C" | b"SSL" | b"TLS-P") => {
                if let Some(transfer) = &self.s.transfer {
                    let name = transfer.name;
                    return self.wrong(FaultKind::Code, c, &format!("the end of {name} first"), r);
                }
                self.want(c, r, &format!("234 AUTH {shown} successful."))?;
                self.log_out();
                self.s.is_shaking = true;
                self.s.implied = matches!(arg, b"SSL" | b"TLS-P");
                self.s.reset_parameters();
                self.s.asked = None;
                self.done(c)?;
                // What was sent in clear is part of the handshake.
                self.s.queue.clear();
                self.s.lines.clear();
                return Ok(());
            }
            "AUTH" => self.code(c, r, &[502])?,
            "PBSZ" if !self.s.secure => {
                self.want(c, r, "503 PBSZ not allowed on insecure control connection.")?;
            }
            "PBSZ" => match shown.parse::<u32>() {
                Ok(_) => {
                    self.want(c, r, "200 PBSZ=0 successful.")?;
                    self.s.pbsz = true;
                }
                Err(_) => {
                    self.code(c, r, &[501, 200])?;
                    self.s.pbsz |= r.code == 200;
                }
            },
            "PROT" if !self.s.secure => {
                self.want(c, r, "503 PROT not allowed on insecure control connection.")?;
            }
            "PROT" if !self.s.pbsz => {
                self.want(c, r, "503 You must issue the PBSZ command prior to PROT.")?;
            }
            _ => match arg {
                b"C" => {
                    self.want(c, r, "200 Protection set to Clear")?;
                    self.s.prot = false;
                }
                b"P" => {
                    self.want(c, r, "200 Protection set to Private")?;
                    self.s.prot = true;
                }
                b"S" | b"E" => self.code(c, r, &[521])?,
                _ => self.code(c, r, &[502])?,
            },
        }
        self.done(c)
    }

    /// Whoever is logged in is no more.
    pub fn log_out(&mut self) {
        if let Some(user) = self.s.login.take() {
            let sent = self.s.queue.front().map_or(self.now, |c| c.sent);
            self.s.nobody_since = (sent, self.now);
            self.s
                .due
                .push_back(Due::Logout(self.w.users[user].name.clone()));
        }
    }

    fn quit(&mut self, c: &Command, r: &Reply) -> Verdict {
        let bye = match self.s.login {
            Some(user) => self.w.users[user].msg_quit.clone(),
            None => "Goodbye.".to_owned(),
        };
        self.message(c, r, 221, &bye)?;
        self.log_out();
        self.done(c)?;
        self.s.quit = true;
        self.s.stage = Stage::Leaving;
        Ok(())
    }

    /// A text of the settings: more than 75 characters are a reply of two lines.
    pub fn message(&self, c: &Command, r: &Reply, code: u16, text: &str) -> Verdict {
        if text.chars().count() <= 75 {
            return self.want(c, r, &format!("{code} {text}"));
        }
        let first = format!("{code}-{text}");
        let last = format!("{code} ");
        match &r.lines[..] {
            [a, b] if *a == first.as_bytes() && *b == last.as_bytes() => Ok(()),
            _ => self.wrong(FaultKind::Text, c, &first, r),
        }
    }

    /// A new data port, by its command.
    pub fn open_port(&mut self, c: &Command, passive: bool, number: u16) -> Verdict {
        // A client may have accepted before it has read the reply.
        let fresh = |conn: &&Conn| {
            !conn.passive
                && conn.number == number
                && !conn.is_given
                && conn.used_by.is_none()
                && conn.opened >= c.sent
        };
        let conn = match passive {
            true => None,
            false => self.s.conns.iter().find(fresh).map(|conn| conn.id),
        };
        let permits = self.w.settings.permit_foreign;
        // The client itself may have meant an earlier port of the same number.
        let own = |conn: &Conn| conn.passive && conn.number == number && conn.opened >= c.sent;
        let earlier = passive && self.s.conns.iter().any(own);
        let stranger = passive
            && self.w.strays.iter().any(|stray| {
                let may = permits || stray.from == self.s.ip;
                stray.number == number && stray.at >= c.sent && may
            })
            || earlier;
        self.s.port = Some(Port {
            passive,
            number,
            since: c.sent,
            conn,
            is_seen: false,
            stranger,
        });
        if let Some(transfer) = &mut self.s.transfer {
            transfer.port = Some((passive, number));
        }
        if stranger {
            self.s.meet_stranger();
        }
        let Some(id) = conn else {
            return Ok(());
        };
        if let Some(conn) = self.s.conn(id) {
            conn.is_given = true;
            // The server has made it, and the client has accepted it later.
            conn.opened = c.sent;
        }
        self.bind(id)
    }
}

pub fn double_quotes(path: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(path.len());
    for byte in path {
        if *byte == b'"' {
            doubled.push(b'"');
        }
        doubled.push(*byte);
    }
    doubled
}

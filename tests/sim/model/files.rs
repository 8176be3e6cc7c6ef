//! Replies to commands on files.

use super::judge::Judge;
use super::lines::Reply;
use super::names::{self, ends_as_directory};
use super::plain::double_quotes;
use super::session::Command;
use super::tree::{Lost, Mtime, What};
use super::verbs::{self, Verb};
use super::{FaultKind, Verdict};
use crate::plan::scene::Tls;

/// What a command on files must get.
pub enum Fate {
    /// This reply, and then its effect.
    Done(Vec<u8>),
    /// This code, and nothing changes.
    Fails(u16),
    /// One of these codes, and nothing changes.
    FailsAs(&'static [u16]),
}

impl Judge<'_> {
    pub fn on_files(&mut self, c: &Command, r: &Reply, verb: &'static Verb, arg: &[u8]) -> Verdict {
        let (mode, path) = match verb.name {
            "SITE CHMOD" | "MFMT" => {
                let at = arg.iter().position(|byte| *byte == b' ');
                match at {
                    Some(at) if at + 1 < arg.len() => (&arg[..at], &arg[at + 1..]),
                    _ => {
                        self.want(c, r, "501 Syntax error: command needs two arguments.")?;
                        return self.done(c);
                    }
                }
            }
            "LIST" | "NLST" | "STAT" => (&b""[..], without_flags(arg)),
            "CDUP" | "XCUP" => (&b""[..], &b".."[..]),
            "CWD" | "XCWD" if arg.is_empty() => (&b""[..], &b"/"[..]),
            _ => (&b""[..], arg),
        };
        if path.contains(&0) || path.contains(&b'\r') {
            self.refused(Some(verb));
            self.code(c, r, &[550])?;
            return self.done(c);
        }
        let allowed = verb.perm.is_none_or(|perm| self.has_perm(perm));
        let privileges = r.last() == b"550 Not enough privileges.";
        let replaces = verb.name == "RNTO" && !self.has_perm('d');
        if !self.is_loose() && allowed && privileges && !replaces {
            return self.wrong(FaultKind::Code, c, "the privilege is there", r);
        }
        let Some(path_on_disk) = names::decode(self.encoding(), path) else {
            return self.wrong(FaultKind::Code, c, "501", r);
        };
        let normal = names::normal(&self.s.cwd, &path_on_disk);
        // `?` may stand for what cannot be shown.
        let looked_up = match verb.name {
            "STOU" if path.is_empty() => &normal,
            "MKD" | "XMKD" | "STOU" => names::split(&normal).0,
            _ => &normal,
        };
        let is_unknown = looked_up.contains(&b'?') && self.tree().get(looked_up).is_none();
        // The current directory may be another one, in whose name bytes are not in the encoding.
        if is_unknown || self.s.cwd.contains(&b'?') {
            self.relax();
        }
        let policy = self.w.settings.tls == Tls::AllRequired && !self.s.prot;
        if policy && is_transfer(verb.name) && r.code == 521 {
            self.s.rest = 0;
            return self.done(c);
        }
        if !allowed {
            self.refused(Some(verb));
            if verb.name == "STOU" && r.code == 450 {
                return self.done(c);
            }
            // Patterns and paths that lead out are refused first.
            let pattern = verb.name == "STAT" && path.iter().any(|byte| b"*?[".contains(byte));
            let other = is_outside(r) || pattern;
            if !privileges && !other && !self.is_loose() {
                return self.wrong(FaultKind::Code, c, "550 Not enough privileges.", r);
            }
            self.code(c, r, &[550])?;
            return self.done(c);
        }
        let follow = !matches!(
            verb.name,
            "DELE" | "RNFR" | "RNTO" | "MKD" | "XMKD" | "MLST" | "STOU"
        );
        let real = self.tree().resolve(&normal, follow);
        if real == Err(Lost::Outside) && !self.is_loose() {
            self.refused(Some(verb));
            // Its other argument may be refused first.
            self.code(c, r, &[550, 450, 553, 501])?;
            return self.done(c);
        }
        self.run(c, r, verb.name, mode, path, &normal, real)
    }

    #[allow(clippy::too_many_arguments, reason = "one command, taken apart")]
    fn run(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &'static str,
        mode: &[u8],
        path: &[u8],
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let shown = names::in_reply(self.encoding(), normal);
        let directory = ends_as_directory(path);
        match name {
            "CWD" | "XCWD" | "CDUP" | "XCUP" => {
                let fine = matches!(&real, Ok(real) if self.tree().is_dir(real));
                let text = [b"250 \"", &shown[..], b"\" is the current directory."].concat();
                let fate = if fine {
                    Fate::Done(text)
                } else {
                    Fate::Fails(550)
                };
                if self.fate(c, r, fate)? {
                    self.s.cwd = normal.to_vec();
                }
            }
            "MKD" | "XMKD" => {
                self.mkd(c, r, &shown, real)?;
                if r.code < 400 {
                    self.name_made(normal);
                }
            }
            "RMD" | "XRMD" => {
                let real = self.tree().resolve(normal, false);
                let fine = matches!(&real, Ok(real) if self.is_empty_dir(real));
                self.removes(c, r, "250 Directory removed.", fine, real)?;
                if r.code < 400 {
                    self.name_removed(normal, false);
                }
            }
            "DELE" => {
                let fine = match &real {
                    Ok(real) => {
                        let tree = self.tree();
                        tree.get(real).is_some() && !tree.is_dir(real) && !directory
                    }
                    Err(_) => false,
                };
                self.removes(c, r, "250 File removed.", fine, real)?;
                if r.code < 400 {
                    self.name_removed(normal, true);
                }
            }
            "RNFR" => self.rnfr(c, r, normal, real, directory)?,
            "RNTO" => self.rnto(c, r, normal, real, directory)?,
            "SIZE" | "MDTM" => self.size_or_time(c, r, name, real, directory)?,
            "MFMT" => return self.mfmt(c, r, mode, &shown, real, directory),
            "SITE CHMOD" => self.chmod(c, r, mode, real, directory)?,
            _ => return self.transfer(c, r, name, path, normal, real),
        }
        self.done(c)
    }

    fn mkd(
        &mut self,
        c: &Command,
        r: &Reply,
        shown: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let fine = matches!(&real, Ok(real) if self.may_make(real));
        let text = [
            b"257 \"",
            &double_quotes(shown)[..],
            b"\" directory created.",
        ]
        .concat();
        let fate = if fine {
            Fate::Done(text)
        } else {
            Fate::Fails(550)
        };
        if self.fate(c, r, fate)?
            && let Ok(real) = real
        {
            let mtime = self.just_now(c);
            self.change(&real, |tree| {
                tree.make(&real, What::Dir, None, mtime);
            });
        }
        Ok(())
    }

    fn is_empty_dir(&mut self, real: &[u8]) -> bool {
        let tree = self.tree();
        real != b"/" && tree.is_dir(real) && tree.entries(real).next().is_none()
    }

    /// DELE and RMD.
    fn removes(
        &mut self,
        c: &Command,
        r: &Reply,
        done: &str,
        fine: bool,
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let fate = match fine {
            true => Fate::Done(done.as_bytes().to_vec()),
            false => Fate::Fails(550),
        };
        if self.fate(c, r, fate)?
            && let Ok(real) = real
        {
            self.change(&real, |tree| tree.remove(&real));
        }
        Ok(())
    }

    /// Compares a reply with what the state says. True: the command has succeeded.
    pub fn fate(&mut self, c: &Command, r: &Reply, fate: Fate) -> Result<bool, super::Fault> {
        if self.is_loose() {
            // Only whether it worked.
            return match r.code {
                100..400 => match fate {
                    Fate::Done(text) if text[..3] != r.last()[..3] => {
                        self.wrong(FaultKind::Code, c, &text.escape_ascii().to_string(), r)
                    }
                    _ => Ok(true),
                },
                450 | 550..=554 | 501 | 503 => Ok(false),
                _ => self.wrong(FaultKind::Code, c, "success, 450 or 550", r),
            };
        }
        match fate {
            Fate::Done(text) => {
                let fine = r.lines.len() == 1 && names::alike(r.last(), &text);
                if fine {
                    return Ok(true);
                }
                let kind = match r.last().get(..3) == text.get(..3) {
                    true => FaultKind::Text,
                    false => FaultKind::Code,
                };
                self.wrong(kind, c, &text.escape_ascii().to_string(), r)
            }
            Fate::Fails(code) => self.code(c, r, &[code]).map(|()| false),
            Fate::FailsAs(codes) => self.code(c, r, codes).map(|()| false),
        }
    }

    /// Changes the tree, and tells a listing that is under way.
    pub fn change(&mut self, path: &[u8], change: impl FnOnce(&mut super::tree::Model)) {
        if self.is_loose() {
            return;
        }
        change(self.tree());
        self.tell(path);
    }

    pub fn tell(&mut self, path: &[u8]) {
        if let Some(transfer) = &mut self.s.transfer
            && let super::transfer::Payload::Listing(listing) = &mut transfer.what
        {
            listing.changed(path);
        }
    }

    /// The time of a change that this command has made.
    pub fn just_now(&self, c: &Command) -> Mtime {
        let seconds = |at: std::time::Duration| {
            self.w.wall + i64::try_from(at.as_secs()).unwrap_or(i64::MAX / 2)
        };
        Mtime {
            low: seconds(c.sent) - 1,
            high: seconds(self.now) + 1,
        }
    }

    pub fn may_make(&mut self, real: &[u8]) -> bool {
        let (dir, name) = names::split(real);
        let tree = self.tree();
        real != b"/" && name.len() <= 255 && tree.get(real).is_none() && tree.is_dir(dir)
    }

    /// Whether this transfer is refused before anything is tried.
    pub fn refuses_slash(name: &str, path: &[u8]) -> bool {
        matches!(name, "STOR" | "APPE" | "STOU") && !path.is_empty() && ends_as_directory(path)
    }
}

pub fn is_outside(r: &Reply) -> bool {
    r.text()
        .ends_with(b"points to a path which is outside the user's root directory.")
}

/// The argument of LIST, NLST and STAT without flags of `ls`.
pub fn without_flags(arg: &[u8]) -> &[u8] {
    let mut rest = arg;
    loop {
        let end = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        let word = &rest[..end];
        let is_flag =
            word.len() > 1 && word[0] == b'-' && word[1..].iter().all(u8::is_ascii_alphanumeric);
        if !is_flag {
            return rest;
        }
        if end == rest.len() {
            return b"";
        }
        rest = &rest[end + 1..];
    }
}

/// Whether a command sends its reply 1xx or a listing.
pub fn is_transfer(name: &str) -> bool {
    verbs::is_transfer_of_file(name) || matches!(name, "LIST" | "NLST" | "MLSD")
}

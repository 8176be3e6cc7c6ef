//! How transfers and listings begin.

use std::rc::Rc;

use super::files::{Fate, is_outside, is_transfer};
use super::judge::Judge;
use super::lines::Reply;
use super::names;
use super::session::{Began, Command};
use super::transfer::{Mode, Payload, Transfer, Upload, to_ascii};
use super::tree::{Lost, What};
use super::{FaultKind, Verdict};
use crate::plan::scene::Tls;

impl Judge<'_> {
    pub fn transfer(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &'static str,
        path: &[u8],
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let policy = self.w.settings.tls == Tls::AllRequired && !self.s.prot;
        if policy && is_transfer(name) && matches!(r.code, 521 | 522) {
            self.s.rest = 0;
            return self.done(c);
        }
        // A handshake that has failed is reported as the reply to the command.
        if self.s.prot && is_transfer(name) && r.code == 522 {
            self.s.rest = 0;
            self.s.port = None;
            return self.done(c);
        }
        match name {
            "STAT" => {
                self.stat(c, r, path, normal, real)?;
                self.done(c)
            }
            "MLST" => {
                self.mlst(c, r, path, normal)?;
                self.done(c)
            }
            "LIST" | "NLST" | "MLSD" => self.list(c, r, name, path, normal, real),
            "RETR" => self.retr(c, r, path, normal, real),
            _ => self.store(c, r, name, path, normal, real),
        }
    }

    fn retr(
        &mut self,
        c: &Command,
        r: &Reply,
        path: &[u8],
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let rest = std::mem::take(&mut self.s.rest);
        let bytes = match &real {
            Ok(real) if !names::ends_as_directory(path) => {
                match self.tree().get(real).map(|node| &node.what) {
                    Some(What::File(bytes)) => Some(Rc::clone(bytes)),
                    _ => None,
                }
            }
            _ => None,
        };
        let bytes = match bytes {
            Some(bytes) => bytes,
            None if self.is_loose() => Rc::default(),
            // It was opened before the upload that had made it was replaced.
            None if r.code == 150 && self.s.replaced.as_ref() == real.as_ref().ok() => {
                Rc::default()
            }
            None => {
                self.code(c, r, &[550])?;
                return self.done(c);
            }
        };
        let Some(bytes) = self.rest_of(c, r, rest, &bytes)? else {
            return self.done(c);
        };
        let wire = match self.s.ascii {
            true => Rc::new(to_ascii(&bytes)),
            false => bytes,
        };
        self.begin(c, r, "RETR", Payload::Download(wire))?;
        let real = real.unwrap_or_default();
        self.file_began(c, r, false, [&real[..], normal]);
        Ok(())
    }

    /// The bytes from the position of REST; `None`: it is beyond the end, and the reply says so.
    fn rest_of(
        &self,
        c: &Command,
        r: &Reply,
        rest: u128,
        bytes: &Rc<Vec<u8>>,
    ) -> Result<Option<Rc<Vec<u8>>>, super::Fault> {
        if rest == 0 {
            return Ok(Some(Rc::clone(bytes)));
        }
        if self.is_loose() {
            return Ok(match r.code {
                125 | 150 => Some(Rc::default()),
                _ => self.code(c, r, &[450, 550, 554]).map(|()| None)?,
            });
        }
        let tail = usize::try_from(rest)
            .ok()
            .and_then(|rest| bytes.get(rest..));
        match tail {
            Some(tail) => Ok(Some(Rc::new(tail.to_vec()))),
            None if rest > u128::from(u64::MAX / 2) => self.code(c, r, &[554]).map(|()| None),
            None => {
                let text = format!("554 REST position ({rest}) > file size ({})", bytes.len());
                self.want(c, r, &text).map(|()| None)
            }
        }
    }

    fn store(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &'static str,
        path: &[u8],
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let rest = std::mem::take(&mut self.s.rest);
        let loosely_refused = self.is_loose() && is_outside(r);
        let slash = Self::refuses_slash(name, path) && r.code == 553 || loosely_refused;
        if rest > 0 && name != "STOR" && !slash {
            self.want(
                c,
                r,
                &format!("450 Can't {name} while REST request is pending."),
            )?;
            return self.done(c);
        }
        if Self::refuses_slash(name, path) {
            self.fate(c, r, Fate::FailsAs(&[553]))?;
            return self.done(c);
        }
        let (real, fine) = match name {
            "STOU" => {
                let Some((real, fine)) = self.unique(c, r, path, normal)? else {
                    return self.done(c);
                };
                (real, fine)
            }
            _ => {
                let real = real.unwrap_or_default();
                let exists = matches!(
                    self.tree().get(&real).map(|node| &node.what),
                    Some(What::File(_))
                );
                let fine = exists || rest == 0 && !real.is_empty() && self.may_make(&real);
                (real, fine)
            }
        };
        if !fine && !self.is_loose() {
            let codes: &[u16] = if name == "STOU" { &[450] } else { &[550] };
            self.code(c, r, codes)?;
            return self.done(c);
        }
        let old = match self.tree().get(&real).map(|node| &node.what) {
            Some(What::File(bytes)) => Some(Rc::clone(bytes)),
            _ => None,
        };
        if let (Some(old), true) = (&old, rest > 0)
            && self.rest_of(c, r, rest, old)?.is_none()
        {
            return self.done(c);
        }
        let mode = match name {
            "APPE" => Mode::Append,
            _ if rest > 0 => Mode::Update(usize::try_from(rest).unwrap_or(0)),
            _ => Mode::Write,
        };
        let id = self.opened(c, r, &real, old.is_none());
        let named = named(name, path, normal, &real);
        let upload = Upload {
            id,
            path: match real.is_empty() {
                true => named.clone(),
                false => real.clone(),
            },
            named,
            made: old.is_none(),
            old: old.unwrap_or_default(),
            mode,
            ascii: self.s.ascii,
        };
        self.store_begins(c, r, name, upload)?;
        self.file_began(c, r, true, [&real[..], normal]);
        Ok(())
    }

    fn store_begins(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &'static str,
        upload: Upload,
    ) -> Verdict {
        self.busy(c, r, &upload)?;
        if matches!(r.code, 125 | 150) {
            self.name_made(&upload.path);
            self.name_made(&upload.named);
        }
        self.begin(c, r, name, Payload::Upload(Box::new(upload)))
    }

    /// The number of the file that an upload has opened, and perhaps made.
    fn opened(&mut self, c: &Command, r: &Reply, real: &[u8], made: bool) -> u32 {
        let mut id = 0;
        if self.is_loose() || !matches!(r.code, 125 | 150) {
            return id;
        }
        if made {
            let mtime = self.just_now(c);
            let file = What::File(Rc::default());
            self.change(real, |tree| id = tree.make(real, file, None, mtime));
        } else if let Some(node) = self.tree().get(real) {
            id = node.id;
        }
        id
    }

    /// Where STOU has made its file, by its reply.
    fn unique(
        &mut self,
        c: &Command,
        r: &Reply,
        path: &[u8],
        normal: &[u8],
    ) -> Result<Option<(Vec<u8>, bool)>, super::Fault> {
        let (dir, prefix) = match path.is_empty() {
            true => (self.s.cwd.clone(), b"ftpd".to_vec()),
            false => {
                let (dir, prefix) = names::split(normal);
                (dir.to_vec(), prefix.to_vec())
            }
        };
        let named = dir;
        let dir = self.tree().resolve(&named, true);
        let fine = matches!(&dir, Ok(dir) if self.tree().is_dir(dir)) && prefix.len() < 246;
        if !matches!(r.code, 125 | 150) {
            match fine && !self.is_loose() {
                true => return self.wrong(FaultKind::Code, c, "125 or 150", r),
                false => self.code(c, r, &[450, 550])?,
            }
            return Ok(None);
        }
        let shown = r.text().strip_prefix(b"FILE: ");
        let head = [&prefix[..], b"."].concat();
        let head = names::in_reply(self.encoding(), &head);
        let tail = shown.and_then(|name| name.get(head.len()..));
        let good =
            tail.is_some_and(|tail| tail.len() >= 6 && tail.iter().all(u8::is_ascii_graphic));
        if !good || !shown.is_some_and(|shown| names::alike(&shown[..head.len()], &head)) {
            return self.wrong(FaultKind::Text, c, "FILE: and a unique name", r);
        }
        let name = [&prefix[..], b".", tail.unwrap_or(b"")].concat();
        // It need not be known where others work, too.
        let at = names::join(&dir.unwrap_or(named), &name);
        if self.tree().get(&at).is_some() && !self.is_loose() {
            return self.wrong(FaultKind::Text, c, "a name that is new", r);
        }
        Ok(Some((at, fine)))
    }

    /// A transfer of a file has begun: its path without links, and as it was named.
    fn file_began(&mut self, c: &Command, r: &Reply, receive: bool, paths: [&[u8]; 2]) {
        if !matches!(r.code, 125 | 150) {
            return;
        }
        let root = &self.w.homes[self.s.last_home.unwrap_or(0)].tree.root;
        let paths = paths.map(|path| super::calls::path_of(&[&root[..], path].concat()));
        self.s.began.push_back(Began {
            serial: c.serial,
            receive,
            paths,
            complete: None,
        });
    }

    /// The reply 1xx of a transfer.
    pub fn begin(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &'static str,
        mut what: Payload,
    ) -> Verdict {
        let loose = self.is_loose();
        if loose && matches!(r.code, 450 | 501 | 550..=554) {
            return self.done(c);
        }
        if let Some(earlier) = &self.s.transfer {
            let name = earlier.name;
            return self.wrong(FaultKind::Code, c, &format!("the end of {name} first"), r);
        }
        // What the one before has taken with it may still be listed.
        if let (Payload::Listing(listing), Some(path)) = (&mut what, self.s.replaced.take()) {
            listing.changed(&path);
        }
        let texts: [&[u8]; 2] = [
            b"125 Data connection already open. Transfer starting.",
            b"150 File status okay. About to open data connection.",
        ];
        let fine = r.lines.len() == 1 && (name == "STOU" || texts.contains(&r.last()));
        if !fine || !matches!(r.code, 125 | 150) {
            return self.wrong(FaultKind::Code, c, "125 or 150", r);
        }
        let (codes, mut of, mut conn) = self.preliminary(c);
        // The client has left a connection that the server has seen: another one must come.
        let is_seen = self.s.port.as_ref().is_some_and(|port| port.is_seen);
        let is_over = |id| {
            self.s
                .conns
                .iter()
                .any(|found| found.id == id && found.has_ended())
        };
        // The server has made an active one itself.
        let is_seen = is_seen || matches!(of, Some((false, _)));
        if r.code == 150 && is_seen && conn.is_some_and(is_over) {
            self.s.port = None;
            (of, conn) = (None, None);
        }
        // Somebody else may have the data connection.
        let stolen = self.s.port.as_ref().is_some_and(|port| port.stranger);
        self.code(c, r, codes)?;
        self.s.transfer = Some(Box::new(Transfer {
            serial: c.serial,
            name,
            what,
            home: self.s.last_home.unwrap_or(0),
            conn: None,
            port: of,
            promised: of.is_none() || stolen,
            started: self.now,
            asked: c.at,
            began: self.w.events,
            loose: loose || stolen,
            unwritten: false,
            stolen,
            code: None,
        }));
        let is_upload = |transfer: &Transfer| matches!(transfer.what, Payload::Upload(_));
        if stolen && self.s.transfer.as_deref().is_some_and(is_upload) {
            self.relax();
        }
        self.s.queue.pop_front();
        self.s.head_since = self.now;
        self.s.last_active = self.s.last_active.max(c.sent);
        match conn {
            Some(id) => self.bind(id),
            None => Ok(()),
        }
    }

    /// The codes that may announce a transfer, its data port, and its data connection.
    fn preliminary(&self, c: &Command) -> (&'static [u16], Option<(bool, u16)>, Option<u32>) {
        let Some(port) = &self.s.port else {
            return (&[150], None, None);
        };
        let (of, conn) = (Some((port.passive, port.number)), port.conn);
        let mut conns = self.s.conns.iter();
        let ended = conns.any(|found| Some(found.id) == conn && found.has_ended());
        let codes: &[u16] = match port.passive {
            _ if ended || self.s.prot || port.stranger => &[125, 150],
            false => &[125],
            true if conn.is_none() => &[150],
            true if conn == c.sees => &[125],
            true => &[125, 150],
        };
        (codes, of, conn)
    }
}

/// The path of an upload without its links followed. `real` has the name that STOU has found.
fn named(name: &str, path: &[u8], normal: &[u8], real: &[u8]) -> Vec<u8> {
    if name != "STOU" {
        return normal.to_vec();
    }
    let dir = match path.is_empty() {
        true => normal,
        false => names::split(normal).0,
    };
    names::join(dir, names::split(real).1)
}

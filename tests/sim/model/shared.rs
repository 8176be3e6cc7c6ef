//! Homes in which several clients work.
//!
//! What a command finds there is not known while others change the home. But whenever no command
//! that changes it is in progress, what has happened since the last such moment must explain what
//! is there: each file has its old bytes, or those of uploads that came one after the other. Until
//! the next change, commands are judged as in a home of one client. And while one upload is in
//! progress, no other one begins to its file.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use super::explain::explains;
use super::judge::Judge;
use super::lines::{Cut, Reply};
use super::names;
use super::session::{Command, Session, Stage};
use super::together::{Paths, Since, Together, Written, last, may_share};
use super::transfer::{Payload, Transfer, Upload};
use super::tree::What;
use super::verbs;
use super::{FaultKind, Verdict};
use crate::plan::scene::{Kind, Tree};
use crate::plan::step::End;

/// An upload whose client has been silent for so long may be taken over by its own user.
const SILENCE: Duration = Duration::from_secs(10);

impl Session {
    /// Whether a command waits that needs one of these permissions.
    fn asks(&self, perms: &str) -> bool {
        let mut needed = self.queue.iter().filter_map(|command| command.perm);
        needed.any(|perm| perms.contains(perm))
    }

    /// Whether the server has ended the session, and its client reads no more replies.
    fn is_over(&self) -> bool {
        let is_read = self.server_end
            || self.was_reset
            || matches!(self.client_end, Some(End::Fin | End::Reset));
        self.stage == Stage::New || self.disconnects > 0 && is_read
    }

    /// Whether it may be changing this home.
    fn may_change(&self, home: usize) -> bool {
        let uploads = self.transfer.as_ref().is_some_and(|transfer| {
            transfer.home == home && matches!(transfer.what, Payload::Upload(_))
        });
        !self.is_over() && (uploads || self.panicked || self.asks("adfmwMT"))
    }
}

impl Judge<'_> {
    /// Something has changed the home of this session, if it is shared.
    fn changed(&mut self, change: impl FnOnce(&mut Together)) {
        let is_sure = self.s.is_sure && !self.s.relaxed;
        if let Some(home) = self.s.last_home
            && let home = &mut self.w.homes[home]
            && home.shared
        {
            home.together.since.any = true;
            home.together.since.is_unsure |= !is_sure;
            change(&mut home.together);
        }
    }

    /// It is not known what happens in the home of this session.
    pub fn taint(&mut self) {
        self.changed(Together::taint);
    }

    pub fn attributes_set(&mut self) {
        self.changed(|_| {});
    }

    /// A command has made a name, or an upload a file.
    pub fn name_made(&mut self, path: &[u8]) {
        self.changed(|together| together.made(path));
    }

    pub fn name_removed(&mut self, path: &[u8], is_file: bool) {
        self.changed(|together| together.removed(path, is_file));
    }

    pub fn name_moved(&mut self, from: Option<&[u8]>, to: &[u8]) {
        self.changed(|together| together.moved(from, to));
    }

    /// Whether it is known what a command has found in a shared home. Uploads change the home for
    /// a while.
    pub fn is_sure(&self, c: &Command, name: &str) -> bool {
        let Some(home) = self.s.last_home.filter(|home| self.w.homes[*home].shared) else {
            return false;
        };
        let transfer = self.s.transfer.as_deref();
        let uploads = transfer.is_some_and(|x| matches!(x.what, Payload::Upload(_)));
        let uploads = uploads || matches!(name, "STOR" | "APPE" | "STOU");
        self.s.login.is_some() && !uploads && self.is_unchanged(home, c.at)
    }

    /// Whether nothing has changed a shared home since this event, nor does now.
    fn is_unchanged(&self, home: usize, since: u64) -> bool {
        let together = &self.w.homes[home].together;
        let mut others = self.others.iter().flatten();
        let is_idle = !together.since.any && together.settled < since;
        is_idle && !others.any(|other| other.may_change(home))
    }

    /// Whether it is not known what a transfer moves.
    pub fn is_loose_transfer(&self, transfer: &Transfer) -> bool {
        let home = transfer.home;
        let changed = || self.w.homes[home].shared && !self.is_unchanged(home, transfer.asked);
        self.s.relaxed || transfer.loose || changed()
    }

    // --- one upload at a time: files that are none of the system are known by their paths

    /// All sessions, this one last.
    fn sessions(&self) -> impl Iterator<Item = &Session> {
        let others = self.others.iter().flatten().map(|other| &**other);
        others.chain([&*self.s])
    }

    /// Whether all paths lead where they led when nothing was in progress, except to what was
    /// made since.
    fn links_hold(&self, home: usize) -> bool {
        let since = &self.w.homes[home].together.since;
        let moves = |session: &Session| !session.is_over() && session.asks("df");
        !since.is_tainted && !since.moved && since.removed.is_empty() && !self.sessions().any(moves)
    }

    /// Uploads to the home that are not over.
    fn in_progress(&self, home: usize) -> impl Iterator<Item = (&Transfer, &Upload)> {
        let others = self.others.iter().flatten();
        others.filter_map(move |other| {
            let transfer = other.transfer.as_deref()?;
            match &transfer.what {
                Payload::Upload(upload) if transfer.home == home => Some((transfer, &**upload)),
                _ => None,
            }
        })
    }

    /// While an upload was in progress for certain, which was until its client has closed, no
    /// other one to its file has begun.
    fn was_alone(&self, home: usize, upload: &Written, until: u64) -> Verdict {
        let named = &upload.paths.named;
        let meanwhile = |path: &[u8], asked: u64, began: u64| {
            path == named && asked > upload.began && began < until
        };
        let mut written = self.w.homes[home].together.since.written.iter();
        let was = written.any(|other| meanwhile(&other.paths.named, other.asked, other.began));
        let mut others = self.in_progress(home);
        let is =
            others.any(|(transfer, other)| meanwhile(&other.named, transfer.asked, transfer.began));
        if !was && !is || !self.w.settings.upload_lock {
            return Ok(());
        }
        let what = format!("an upload to {}", upload.paths.named.escape_ascii());
        self.fault(
            FaultKind::Code,
            &what,
            "450 for a second one",
            "it has begun",
        )
    }

    /// A 450 says that another upload has the file.
    pub fn busy(&self, c: &Command, r: &Reply, upload: &Upload) -> Verdict {
        const BUSY: &[u8] = b"Another upload to this file is in progress.";
        let home = self.s.last_home.unwrap_or(0);
        if r.text() != BUSY || !self.w.homes[home].shared {
            return Ok(());
        }
        let mut written = self.w.homes[home].together.since.written.iter();
        let was = written.any(|other| other.ended > c.at && other.paths.named == upload.named);
        let mut others = self.in_progress(home);
        let is = others.any(|(_, other)| other.named == upload.named);
        let others = self.others.iter().flatten();
        // It may have begun already, or have ended without a reply since.
        let asks = |other: &Session| {
            other.left_at > c.at || !other.is_over() && (other.panicked || other.asks("aw"))
        };
        let may = was || is || others.map(|other| &**other).any(asks);
        if may && self.w.settings.upload_lock {
            return Ok(());
        }
        self.wrong(FaultKind::Code, c, "no other upload has the file", r)
    }

    /// Why an upload to a shared home may fail although its own client has done nothing.
    pub fn excuse_of_others(&self, transfer: &Transfer, r: &Reply) -> Option<&'static str> {
        if r.text() != b"Transfer aborted; another session uploads this file now." {
            let holds = self.links_hold(transfer.home);
            return (!holds).then_some("the name leads elsewhere");
        }
        // Only its own user may do that, from the same address, and after a silence.
        let mut conns = self.s.conns.iter();
        let conn = conns.find(|conn| Some(conn.id) == transfer.conn);
        let last = conn.map_or(transfer.started, |conn| conn.last.max(transfer.started));
        let is_own = |other: &Session| {
            let mut names = other.asked_ever.iter();
            other.ip == self.s.ip && names.any(|name| self.s.asked_ever.contains(name))
        };
        let mut others = self.others.iter().flatten();
        let may = self.now >= last + SILENCE && others.any(|other| is_own(other));
        (may && self.w.settings.upload_lock).then_some("another session")
    }

    /// An upload is over.
    pub fn upload_over(&mut self, transfer: &Transfer, upload: &Upload, complete: bool) -> Verdict {
        let home = transfer.home;
        if !self.w.homes[home].shared {
            return Ok(());
        }
        let unknown = transfer.stolen || self.s.relaxed || upload.named.contains(&b'?');
        let mut conns = self.s.conns.iter();
        let conn = conns.find(|conn| Some(conn.id) == transfer.conn);
        let sent = conn.map_or(&b""[..], |conn| &conn.sent);
        let written = Written {
            paths: Paths::of(upload),
            mode: upload.mode,
            ascii: upload.ascii,
            bytes: upload.written(sent),
            complete,
            asked: transfer.asked,
            began: transfer.began,
            ended: self.w.events,
        };
        // Under TLS the end of the records comes before that of the connection.
        let until = conn.map_or(0, |conn| match conn.is_secure {
            true => conn.sent_at,
            false => conn.ended_at.max(conn.sent_at),
        });
        if complete && !unknown {
            self.was_alone(home, &written, until)?;
        }
        let together = &mut self.w.homes[home].together;
        together.since.any = true;
        together.since.is_unsure = true;
        together.since.written.push(written);
        if unknown {
            together.taint();
        }
        Ok(())
    }

    // --- what is there when nothing is in progress

    /// Judges the home of this session if nothing changes it now.
    pub fn settle_home(&mut self) -> Verdict {
        self.lose_commands()?;
        let Some(home) = self.s.last_home else {
            return Ok(());
        };
        let state = &self.w.homes[home];
        let idle = !state.shared || !state.together.since.any;
        if idle || self.sessions().any(|session| session.may_change(home)) {
            return Ok(());
        }
        self.judge_home(home)
    }

    /// What a session has begun that is over for its client may have been done.
    pub fn lose_commands(&mut self) -> Verdict {
        if self.s.lost || self.s.stage == Stage::New || !self.s.is_over() {
            return Ok(());
        }
        self.s.lost = true;
        if !self.w.homes.iter().any(|home| home.shared) {
            return Ok(());
        }
        if let Some(transfer) = self.s.transfer.clone()
            && let Payload::Upload(upload) = &transfer.what
        {
            self.upload_over(&transfer, upload, false)?;
        }
        let unknown = self.s.panicked || self.s.login.is_none();
        if unknown && (self.s.panicked || self.s.asks("adfmwMT")) {
            let homes = self.w.homes.iter_mut().filter(|home| home.shared);
            homes.for_each(|home| home.together.taint());
            return Ok(());
        }
        for command in mem::take(&mut self.s.queue) {
            self.lose_command(&command);
            self.s.queue.push_back(command);
        }
        Ok(())
    }

    fn lose_command(&mut self, command: &Command) {
        let Cut::Line(line) = &command.cut else {
            return;
        };
        let parsed = verbs::parse(line, true);
        let Some(verb) = parsed.verb else {
            return;
        };
        let Some(arg) = names::decode(self.encoding(), parsed.arg) else {
            return;
        };
        let path = names::normal(&self.s.cwd, &arg);
        match verb.name {
            "DELE" => self.name_removed(&path, true),
            "RMD" | "XRMD" => self.name_removed(&path, false),
            "MKD" | "XMKD" => self.name_made(&path),
            "RNFR" => self.s.rnfr = Some(path),
            "RNTO" => {
                let from = self.s.rnfr.clone();
                self.name_moved(from.as_deref(), &path);
            }
            "MFMT" | "SITE CHMOD" => self.attributes_set(),
            // It may have had a data connection, and bytes.
            "STOR" | "APPE" | "STOU" => self.taint(),
            // Later names may be relative to another directory, but only their last part counts.
            _ => {}
        }
    }

    /// Compares a home with what has happened there, and begins anew with what is there.
    fn judge_home(&mut self, home: usize) -> Verdict {
        let tree = self.disk.tree(home);
        let since = mem::take(&mut self.w.homes[home].together.since);
        if !since.is_unsure {
            self.compare(home)?;
        } else if !since.is_tainted && self.w.settings.upload_lock {
            self.judge_files(home, &since, &tree)?;
        }
        let state = &mut self.w.homes[home];
        state.tree.replace(&tree);
        state.changed = false;
        state.together.settled = self.w.events;
        Ok(())
    }

    fn judge_files(&self, home: usize, since: &Since, tree: &Tree) -> Verdict {
        let known = &self.w.homes[home].tree;
        let old = |path: &[u8]| match known.get(path).map(|node| &node.what) {
            Some(What::File(bytes)) => Some(&bytes[..]),
            _ => None,
        };
        let what = format!("the home {home}");
        if since.moved && since.written.iter().any(|a| may_share(a, &since.written)) {
            return Ok(());
        }
        let strict = !since.moved && since.removed.is_empty();
        for (path, node) in tree {
            let Kind::File(found) = &node.kind else {
                continue;
            };
            let before = old(path);
            let uploads: Vec<&Written> = since
                .written
                .iter()
                .filter(|written| since.moved || written.paths.may_be(path))
                .collect();
            let is_old = uploads.is_empty() && before == Some(found);
            if is_old
                || uploads
                    .iter()
                    .any(|a| may_share(a, uploads.iter().copied()))
            {
                continue;
            }
            let mut bases: Vec<&[u8]> = Vec::new();
            match (strict, uploads.is_empty()) {
                (true, false) => bases.push(before.unwrap_or_default()),
                (true, true) => bases.extend(before),
                (false, no_uploads) => {
                    bases.extend(before);
                    if !no_uploads {
                        bases.push(b"");
                    }
                    if since.moved {
                        bases.extend(known.all().filter_map(|(path, _)| old(path)));
                    }
                }
            }
            if !explains(found, &bases, &uploads, strict) && !self.led_here(home, found, since) {
                let name = path.escape_ascii();
                let end = found.len().min(60);
                let got = format!("{} bytes: {}", found.len(), found[..end].escape_ascii());
                let wanted = format!("{name} to be old, or of {} uploads", uploads.len());
                return self.fault(FaultKind::File, &what, &wanted, &got);
            }
        }
        if since.moved {
            return Ok(());
        }
        let files = known
            .all()
            .map(|(path, _)| path)
            .filter(|path| old(path).is_some());
        let whole = since.written.iter().filter(|written| written.complete);
        let whole = whole.filter(|written| !known.leads_through_link(&written.paths.named));
        let whole = whole.map(|written| &written.paths.real);
        for path in files.chain(whole) {
            if !tree.contains_key(path) && !since.removed.contains(&last(path)) {
                let name = path.escape_ascii().to_string();
                return self.fault(FaultKind::Tree, &what, &name, "no such entry");
            }
        }
        Ok(())
    }

    /// Whether these are the bytes of uploads that came through links: a directory that is made, or
    /// a name that is removed, changes where links lead.
    fn led_here(&self, home: usize, found: &[u8], since: &Since) -> bool {
        let known = &self.w.homes[home].tree;
        let led = since.written.iter();
        let led = led.filter(|written| known.leads_through_link(&written.paths.named));
        explains(found, &[b""], &led.collect::<Vec<_>>(), false)
    }

    /// All sessions are over: what is there, and what is not.
    pub fn shared_home_at_end(&mut self, home: usize) -> Verdict {
        if self.w.homes[home].together.since.any {
            self.judge_home(home)?;
        }
        let together = &self.w.homes[home].together;
        if together.was_tainted {
            return Ok(());
        }
        let what = format!("the home {home}");
        let there = self.disk.tree(home);
        let first: BTreeSet<&[u8]> = together
            .first
            .iter()
            .map(|path| names::split(path).1)
            .collect();
        for path in there.keys() {
            let name = names::split(path).1;
            if !first.contains(name) && !together.made.contains(name) {
                let name = path.escape_ascii().to_string();
                return self.fault(FaultKind::Tree, &what, "no such entry", &name);
            }
        }
        for path in &together.first {
            let mut parts = path.split(|byte| *byte == b'/');
            let stays = !parts.any(|part| together.gone.contains(part));
            if stays && !there.contains_key(path) {
                let name = path.escape_ascii().to_string();
                return self.fault(FaultKind::Tree, &what, &name, "no such entry");
            }
        }
        Ok(())
    }
}

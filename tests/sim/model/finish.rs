//! How transfers end.

use super::files::is_transfer;
use super::judge::{Judge, find};
use super::lines::{Cut, Reply};
use super::session::{Command, Conn, Stage};
use super::transfer::{Payload, Transfer, Upload};
use super::tree::{Mtime, What};
use super::verbs;
use super::{Fault, FaultKind, Verdict};
use crate::plan::scene::Tls;
use crate::plan::step::End;
use std::rc::Rc;

/// The excuse of a transfer that another one replaces.
const REPLACED: &str = "another transfer";
/// The excuse of a transfer whose data port is replaced.
const MOVED: &str = "another data port";

impl Judge<'_> {
    /// Whether this is the final reply of the transfer in progress.
    pub fn ends_transfer(&self, r: &Reply) -> bool {
        if self.s.transfer.is_none() {
            return false;
        }
        match r.code {
            226 => r.text() != b"ABOR command successful.",
            426 => true,
            522 => find(r.text(), b"Network protocol").is_none(),
            _ => false,
        }
    }

    /// The name of the command that waits.
    fn head(&self) -> Option<&'static str> {
        let line = match &self.s.queue.front()?.cut {
            Cut::Line(line) => line,
            Cut::TooLong(_) => return None,
        };
        verbs::parse(line, true).verb.map(|verb| verb.name)
    }

    /// Whether an ABOR waits, first or behind a PORT for which the server still connects.
    fn is_aborted(&self) -> bool {
        let aborts = |command: &Command| match &command.cut {
            Cut::Line(line) => verbs::parse(line, true)
                .verb
                .is_some_and(|verb| verb.name == "ABOR"),
            Cut::TooLong(_) => false,
        };
        match self.head() {
            Some("ABOR") => true,
            Some("PORT" | "EPRT") => self.s.queue.iter().any(aborts),
            _ => false,
        }
    }

    /// Why a transfer may fail now.
    fn excuse(&self, transfer: &Transfer, r: &Reply) -> Option<&'static str> {
        let port = self.s.port.as_ref();
        let unseen = port.is_none_or(|port| !port.is_seen);
        let head = self.head();
        // Another transfer takes the place of one that has no data port, or had none.
        let is_unused = transfer.conn.is_none() || unseen;
        if transfer.promised && is_unused && head.is_some_and(is_transfer) && r.code == 426 {
            return Some(REPLACED);
        }
        let is_upload = matches!(transfer.what, Payload::Upload(_));
        let shared = self.w.homes[transfer.home].shared && is_upload && !transfer.stolen;
        if self.s.relaxed || !shared && self.is_loose_transfer(transfer) {
            return Some("the disk");
        }
        if self.s.client_end.is_some() || self.s.was_reset || self.w.drained.is_some() {
            return Some("the end of the session");
        }
        if r.code == 426 && r.text() == b"Transfer aborted via ABOR." {
            return self.is_aborted().then_some("ABOR");
        }
        let pending = transfer.conn.is_none();
        if pending && !transfer.is_pending() {
            return Some("a client that has not accepted");
        }
        let replaced = head.is_some_and(|name| {
            matches!(name, "PASV" | "EPSV" | "PORT" | "EPRT" | "REIN" | "AUTH")
        });
        if replaced && (pending || unseen) {
            return Some(MOVED);
        }
        if pending && (self.s.stage == Stage::Leaving || port.is_some_and(|port| port.stranger)) {
            return Some("QUIT");
        }
        if self.s.prot || r.code == 522 && self.w.settings.tls != Tls::Off {
            return Some("a handshake");
        }
        let conn = self
            .s
            .conns
            .iter()
            .find(|conn| Some(conn.id) == transfer.conn);
        if let Some(conn) = conn {
            let sends = !matches!(transfer.what, Payload::Upload(_));
            if conn.was_reset || conn.by_client == Some(End::Reset) {
                return Some("a reset");
            }
            if sends && conn.by_client.is_some() {
                return Some("the client has closed");
            }
            if self.w.settings.data_timeout < self.now - conn.last && r.code == 421 {
                return Some("silence");
            }
        }
        if r.code == 421 {
            return Some("time");
        }
        match &transfer.what {
            Payload::Upload(_) if shared => self.excuse_of_others(transfer, r),
            Payload::Upload(upload) if self.is_lost(transfer, upload) => {
                Some("the name leads elsewhere")
            }
            _ => None,
        }
    }

    /// Whether the name of an upload leads elsewhere by now.
    fn is_lost(&self, transfer: &Transfer, upload: &Upload) -> bool {
        let tree = &self.w.homes[transfer.home].tree;
        let is_other = |path: &[u8]| tree.get(path).is_none_or(|node| node.id != upload.id);
        is_other(&upload.path)
            || tree
                .resolve(&upload.named, true)
                .ok()
                .is_none_or(|at| is_other(&at))
    }

    /// Takes the transfer in progress, and says why it may fail. Its data connection is its own,
    /// unless it may be for the next transfer.
    fn take_transfer(
        &mut self,
        r: &Reply,
    ) -> Result<Option<(Transfer, Option<&'static str>)>, Fault> {
        let Some(mut transfer) = self.s.transfer.take() else {
            return Ok(None);
        };
        // A connection to a port that was replaced, of the same number: it is for the next one.
        let excuse = self.excuse(&transfer, r);
        let is_next = r.code == 426 && excuse == Some(MOVED) && self.may_be_next(&transfer);
        let Some(id) = transfer.conn else {
            return Ok(Some((*transfer, excuse)));
        };
        // It has sent nothing, so what came is of the one that has taken its place.
        let is_unused = find(r.text(), b" 0 bytes").is_some();
        if excuse == Some(REPLACED) && is_unused {
            return Ok(Some((*transfer, excuse)));
        }
        if is_next {
            // It may have begun with it, but hardly.
            if matches!(transfer.what, Payload::Upload(_)) {
                self.s.relaxed = true;
                self.taint();
            }
            transfer.conn = None;
            if let Some(conn) = self.s.conn(id) {
                conn.used_by = None;
                conn.is_stray = true;
            }
            return Ok(Some((*transfer, excuse)));
        }
        let serial = transfer.serial;
        self.s.transfer = Some(transfer);
        self.commit(id, serial)?;
        let transfer = self.s.transfer.take();
        Ok(transfer.map(|transfer| (*transfer, excuse)))
    }

    pub fn finish(&mut self, r: &Reply) -> Verdict {
        let Some((mut transfer, excuse)) = self.take_transfer(r)? else {
            return Ok(());
        };
        transfer.code = Some(r.code);
        let what = format!("the transfer {}", transfer.name);
        let complete = r.code == 226;
        if !complete && excuse.is_none() {
            return self.fault(FaultKind::Code, &what, "226", &r.shown());
        }
        if complete && r.last() != b"226 Transfer complete." {
            return self.fault(FaultKind::Text, &what, "226 Transfer complete.", &r.shown());
        }
        // A client that was connected to may accept late, and then read all.
        let late = matches!(transfer.port, Some((false, _)));
        let sends = !matches!(transfer.what, Payload::Upload(_));
        self.s.relaxed |= transfer.stolen && !sends;
        if complete && transfer.conn.is_none() && !(late && sends) && !transfer.stolen {
            return self.fault(
                FaultKind::Code,
                &what,
                "no 226 without a data connection",
                &r.shown(),
            );
        }
        if r.text() == b"Transfer aborted via ABOR." {
            // While the server connects to the client, the reply of PORT comes next.
            self.s.aborted = self.head() == Some("ABOR");
        }
        if let Some(began) = self
            .s
            .began
            .iter_mut()
            .find(|began| began.serial == transfer.serial)
        {
            began.complete = Some(complete);
        }
        // The data port is for the transfer that has taken its place.
        if excuse != Some(REPLACED) || complete {
            self.s.port = None;
        } else if let (Some(port), Some(_)) = (&mut self.s.port, transfer.conn) {
            // The first may have had the connection before the second came: then that has none.
            port.stranger = true;
        }
        self.s.head_since = self.now;
        match &transfer.what {
            Payload::Upload(upload) => {
                let upload = upload.clone();
                self.upload_over(&transfer, &upload, complete)?;
                self.uploaded(&transfer, &upload, complete)?;
            }
            Payload::Download(_) | Payload::Listing(_) => {
                if transfer.conn.is_some() || late {
                    let conn = transfer.conn;
                    self.s.ended.push(transfer);
                    if let Some(id) = conn {
                        self.look_at_end(id)?;
                    }
                }
            }
        }
        self.calls_of_files()?;
        self.settle_relaxed();
        Ok(())
    }

    /// Whether the connection of a transfer may be one to the port for which the command that
    /// waits has asked.
    fn may_be_next(&self, transfer: &Transfer) -> bool {
        let mut conns = self.s.conns.iter();
        let conn = conns.find(|conn| Some(conn.id) == transfer.conn);
        let sent = self.s.queue.front().map(|command| command.sent);
        conn.is_some_and(|conn| {
            conn.received == 0 && conn.early.is_empty() && Some(conn.opened) >= sent
        })
    }

    /// An upload that never began: the old bytes stay, and a file that it has made goes.
    fn leave_old(&mut self, transfer: &Transfer, upload: &Upload) {
        if transfer.loose {
            return;
        }
        if matches!(transfer.port, Some((false, _))) {
            // The server had made the connection before another one was asked for: it has begun.
            return self.relax();
        }
        let tree = &mut self.w.homes[transfer.home].tree;
        if !upload.made {
            if let Some(node) = tree.find_id(upload.id).and_then(|at| tree.get_mut(&at)) {
                node.what = What::File(Rc::clone(&upload.old));
            }
        } else if !self.is_lost(transfer, upload) {
            self.w.homes[transfer.home].tree.remove(&upload.path);
            self.tell(&upload.path);
            self.s.replaced = Some(upload.path.clone());
        } else if self.w.homes[transfer.home]
            .tree
            .find_id(upload.id)
            .is_some()
        {
            // It has moved with its directory, or alone: only then does it stay.
            self.relax();
        }
    }

    fn uploaded(&mut self, transfer: &Transfer, upload: &Upload, complete: bool) -> Verdict {
        let what = format!("{} {}", transfer.name, upload.path.escape_ascii());
        let Some(conn) = self
            .s
            .conns
            .iter()
            .find(|conn| Some(conn.id) == transfer.conn)
        else {
            self.leave_old(transfer, upload);
            return Ok(());
        };
        if complete && let Some(expected) = speaks_against(transfer, conn) {
            return self.fault(FaultKind::Code, &what, expected, "226");
        }
        if transfer.loose || self.s.relaxed {
            return Ok(());
        }
        let sent = conn.sent.clone();
        let tree = &self.w.homes[transfer.home].tree;
        let at = tree.find_id(upload.id);
        let whole = upload.content(&upload.written(&sent));
        // What is on the disk can be looked at if no later command can have changed it.
        let alone = self.changes_nothing() && !self.w.homes[transfer.home].shared;
        let found = match (&at, alone) {
            (Some(at), true) => self.disk.file(transfer.home, at),
            _ => None,
        };
        if complete {
            if let Some(found) = &found
                && *found != whole
            {
                let text = difference(&whole, found);
                return self.fault(FaultKind::File, &what, "the bytes that were sent", &text);
            }
            if alone && at.is_some() && found.is_none() {
                return self.fault(FaultKind::File, &what, "a file", "none");
            }
        } else if let Some(found) = &found
            && !upload.is_part(&sent, found)
        {
            let text = difference(&whole, found);
            return self.fault(FaultKind::File, &what, "a part of the bytes", &text);
        }
        let Some(at) = at else {
            return Ok(());
        };
        let content = if complete { Some(whole) } else { found };
        let tree = &mut self.w.homes[transfer.home].tree;
        match content {
            Some(bytes) => {
                if let Some(node) = tree.get_mut(&at) {
                    node.what = What::File(Rc::new(bytes));
                    node.mtime = Mtime::ANY;
                }
            }
            // The server had not seen the connection, and has removed what it had made.
            None if alone && upload.made => tree.remove(&at),
            None if alone => {
                return self.fault(FaultKind::File, &what, "the old file", "none");
            }
            // A later command may have changed it: the disk says it when all are answered.
            None => self.relax(),
        }
        Ok(())
    }

    /// Whether no command that waits for its reply can have changed a file.
    fn changes_nothing(&self) -> bool {
        self.s.queue.iter().all(|command| match &command.cut {
            Cut::Line(line) => {
                let perm = verbs::parse(line, true).verb.and_then(|verb| verb.perm);
                perm.is_none_or(|perm| "elr".contains(perm))
            }
            Cut::TooLong(_) => true,
        })
    }

    /// A data connection is for the transfer in progress.
    pub fn bind(&mut self, id: u32) -> Verdict {
        let Some(transfer) = &mut self.s.transfer else {
            return Ok(());
        };
        transfer.conn = Some(id);
        let serial = transfer.serial;
        if let Payload::Upload(upload) = &transfer.what
            && !transfer.loose
        {
            // From now on its bytes change.
            let (home, id) = (transfer.home, upload.id);
            let tree = &mut self.w.homes[home].tree;
            if let Some(at) = tree.find_id(id)
                && let Some(node) = tree.get_mut(&at)
            {
                node.what = What::Flux;
                node.mtime = Mtime::ANY;
            }
        }
        // Another transfer may still take the place of one that was promised.
        if transfer.promised && !transfer.is_seen(&self.s.port) {
            return Ok(());
        }
        self.commit(id, serial)
    }

    pub fn conn_of_transfer(&self) -> Option<(Option<u32>, u64)> {
        let transfer = self.s.transfer.as_ref()?;
        Some((transfer.conn, transfer.serial))
    }

    /// The bytes of a data connection are those of this transfer.
    pub fn commit(&mut self, id: u32, serial: u64) -> Verdict {
        let Some(conn) = self.s.conn(id).filter(|conn| conn.used_by.is_none()) else {
            return Ok(());
        };
        conn.used_by = Some(serial);
        let early = std::mem::take(&mut conn.early);
        match early.is_empty() {
            true => Ok(()),
            false => self.data(id, &early),
        }
    }
}

/// Where two contents differ.
pub fn difference(wanted: &[u8], found: &[u8]) -> String {
    let at = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let part = |bytes: &[u8]| {
        let from = at.saturating_sub(8).min(bytes.len());
        let to = (at + 16).min(bytes.len());
        bytes[from..to].escape_ascii().to_string()
    };
    format!(
        "{} bytes instead of {}; at {at}: \"{}\" instead of \"{}\"",
        found.len(),
        wanted.len(),
        part(found),
        part(wanted)
    )
}

/// What speaks against the 226 of an upload.
fn speaks_against(transfer: &Transfer, conn: &Conn) -> Option<&'static str> {
    let has_closed = matches!(conn.by_client, Some(End::Fin | End::Half)) && !conn.was_reset;
    if transfer.unwritten {
        return Some("no 226 after an error of the disk");
    }
    // Under TLS the end of the records comes before that of the connection.
    let is_early = !transfer.stolen && !has_closed && !conn.is_secure;
    is_early.then_some("no 226 before the client has closed")
}

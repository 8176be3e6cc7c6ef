//! The tree on the disk, and the tree of the model.

use super::judge::Judge;
use super::lines::Cut;
use super::names;
use super::transfer::Payload;
use super::tree::What;
use super::verbs;
use super::{FaultKind, Verdict};
use crate::plan::scene::Kind;

impl Judge<'_> {
    /// A session has ended with commands that have no reply, or with a transfer: what differs on
    /// the disk must be what they name. Takes over what is there.
    pub fn explain(&mut self, home: usize) -> Verdict {
        if let Some(suspects) = self.suspects()
            && !self.s.relaxed
            && !self.w.homes[home].changed
        {
            let excused = |path: &[u8]| {
                let below = |suspect: &Vec<u8>| names::is_below(suspect, path);
                // The directory of what has changed has another time.
                let above = |suspect: &Vec<u8>| names::split(suspect).0 == path;
                suspects
                    .iter()
                    .any(|suspect| below(suspect) || above(suspect))
            };
            self.compare_but(home, &excused)?;
            self.partial()?;
        }
        let tree = self.disk.tree(home);
        self.w.homes[home].tree.replace(&tree);
        self.w.homes[home].changed = false;
        Ok(())
    }

    /// The real paths that commands without a reply may have changed; `None`: any.
    fn suspects(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut suspects = Vec::new();
        self.s.login?;
        let mut from = self.s.rnfr.clone();
        if from.as_ref().is_some_and(|path| path.contains(&b'?')) {
            return None;
        }
        let queue = self.s.queue.clone();
        for command in &queue {
            let Cut::Line(line) = &command.cut else {
                continue;
            };
            let parsed = verbs::parse(line, true);
            let Some(verb) = parsed.verb else {
                continue;
            };
            let arg = match verb.name {
                "MFMT" | "SITE CHMOD" => {
                    let at = parsed.arg.iter().position(|byte| *byte == b' ');
                    &parsed.arg[at.map_or(0, |at| at + 1)..]
                }
                _ => parsed.arg,
            };
            let path = names::normal(&self.s.cwd, &names::decode(self.encoding(), arg)?);
            if path.contains(&b'?') {
                return None;
            }
            match verb.name {
                "CWD" | "XCWD" | "CDUP" | "XCUP" | "USER" | "REIN" | "PASS" | "STOU" => {
                    return None;
                }
                "RNFR" => from = Some(path),
                "RNTO" => {
                    suspects.extend(from.clone());
                    suspects.push(path);
                }
                _ if verb.perm.is_some_and(|perm| "admwMT".contains(perm)) => suspects.push(path),
                _ => {}
            }
        }
        if let Some(transfer) = &self.s.transfer
            && let Payload::Upload(upload) = &transfer.what
        {
            suspects.extend(self.w.homes[transfer.home].tree.find_id(upload.id));
            suspects.push(upload.path.clone());
        }
        let tree = self.tree();
        let real = |path: &Vec<u8>| tree.resolve(path, true).ok();
        let real: Vec<Vec<u8>> = suspects.iter().filter_map(real).collect();
        suspects.extend(real);
        Some(suspects)
    }

    /// The file of an upload that has got no final reply is old, new, or a part.
    fn partial(&self) -> Verdict {
        let Some(transfer) = &self.s.transfer else {
            return Ok(());
        };
        let Payload::Upload(upload) = &transfer.what else {
            return Ok(());
        };
        if transfer.loose || !self.s.queue.is_empty() {
            return Ok(());
        }
        let conn = self
            .s
            .conns
            .iter()
            .find(|conn| Some(conn.id) == transfer.conn);
        let sent = conn.map_or(&b""[..], |conn| &conn.sent);
        // It may have another name by now, or none.
        let tree = &self.w.homes[transfer.home].tree;
        let Some(at) = tree.find_id(upload.id) else {
            return Ok(());
        };
        let Some(found) = self.disk.file(transfer.home, &at) else {
            return match upload.made {
                true => Ok(()),
                false => self.fault(FaultKind::File, transfer.name, "the old file", "none"),
            };
        };
        if upload.is_part(sent, &found) {
            return Ok(());
        }
        let whole = upload.content(&upload.written(sent));
        let text = super::finish::difference(&whole, &found);
        self.fault(FaultKind::File, transfer.name, "a part of the bytes", &text)
    }

    /// Compares the tree of a home with the disk.
    pub fn compare(&self, home: usize) -> Verdict {
        self.compare_but(home, &|_| false)
    }

    /// The same without the paths that are excused.
    fn compare_but(&self, home: usize, excused: &dyn Fn(&[u8]) -> bool) -> Verdict {
        let known = &self.w.homes[home].tree;
        let there = self.disk.tree(home);
        let what = format!("the home {home}");
        for (path, node) in &there {
            if excused(path) {
                continue;
            }
            let name = path.escape_ascii().to_string();
            let Some(model) = known.get(path) else {
                return self.fault(FaultKind::Tree, &what, "no such entry", &name);
            };
            let fine = match (&model.what, &node.kind) {
                (What::Dir, Kind::Dir) | (What::Flux, Kind::File(_)) => true,
                (What::Link(a), Kind::Link(b)) => a == b,
                (What::File(bytes), Kind::File(found)) => {
                    if **bytes != *found {
                        let text = super::finish::difference(bytes, found);
                        return self.fault(FaultKind::File, &what, &name, &text);
                    }
                    true
                }
                _ => false,
            };
            if !fine {
                return self.fault(FaultKind::Tree, &what, "another type", &name);
            }
            if model.mode.is_some_and(|mode| mode != node.mode) {
                return self.fault(FaultKind::Tree, &what, "another mode", &name);
            }
            if !model.mtime.permits(node.mtime) {
                let text = format!("{name} at {}", node.mtime);
                return self.fault(FaultKind::Tree, &what, &format!("{:?}", model.mtime), &text);
            }
        }
        for (path, _) in known.all() {
            if !there.contains_key(path) && !excused(path) {
                let name = path.escape_ascii().to_string();
                return self.fault(FaultKind::Tree, &what, &name, "no such entry");
            }
        }
        Ok(())
    }
}

//! Listings: LIST, NLST, MLSD, MLST and STAT of a path.

use super::files::Fate;
use super::judge::Judge;
use super::lines::Reply;
use super::listing::{Expected, Style};
use super::names;
use super::session::Command;
use super::transfer::Payload;
use super::tree::Lost;
use super::{FaultKind, Verdict};

impl Judge<'_> {
    /// The listing of a path; `None` if there is none.
    fn expected(
        &mut self,
        style: Style,
        path: &[u8],
        normal: &[u8],
        real: &Result<Vec<u8>, Lost>,
    ) -> Option<Expected> {
        let encoding = self.encoding();
        let facts = self.s.facts.clone();
        let user = self.s.login.unwrap_or(0);
        let perms = self.w.users[user].perms.clone();
        let tree = &self.w.homes[self.w.users[user].home].tree;
        let slash = names::ends_as_directory(path);
        if let Ok(real) = real
            && tree.is_dir(real)
        {
            let mut expected = Expected::new(style, real, &facts, &perms, encoding);
            for (name, _) in tree.entries(real) {
                expected.add(tree, &names::join(real, name), name, b"");
            }
            return Some(expected);
        }
        // A name: the link itself, if it is one.
        let (dir, name) = names::split(normal);
        let dir = tree.resolve(dir, true).ok()?;
        let at = names::join(&dir, name);
        if let (Some(_), false) = (tree.get(&at), slash && !path.is_empty()) {
            let mut expected = Expected::new(style, &dir, &facts, &perms, encoding);
            expected.add(tree, &at, name, b"");
            return Some(expected);
        }
        let magic = name.iter().any(|byte| b"*?[".contains(byte));
        if !magic || style == Style::Facts || !tree.is_dir(&dir) {
            return None;
        }
        let before = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) if style == Style::Names => &path[..=at],
            _ => b"",
        };
        let mut expected = Expected::new(style, &dir, &facts, &perms, encoding);
        for (entry, _) in tree.entries(&dir) {
            if matches(name, entry) && !entry.starts_with(b".") {
                expected.add(tree, &names::join(&dir, entry), entry, before);
            }
        }
        // What the letters of a class mean in another encoding is not judged.
        let plain = |byte: &u8| byte.is_ascii() && !b"[?".contains(byte);
        expected.any = !name.iter().all(plain);
        (!expected.entries.is_empty() || expected.any).then_some(expected)
    }

    pub fn stat(
        &mut self,
        c: &Command,
        r: &Reply,
        path: &[u8],
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let magic = path.iter().any(|byte| b"*?[".contains(byte));
        let expected = self.expected(Style::Long, path, normal, &real);
        if self.is_loose() || magic {
            return self.code(c, r, &[213, 450, 550]);
        }
        let Some(expected) = expected else {
            return self.code(c, r, &[550]);
        };
        self.code(c, r, &[213])?;
        let mut expected = expected;
        // STAT sorts 8 KiB of names, with what each of them costs.
        expected.in_any_order = expected.entries.len() > 200;
        let shown = names::in_reply(self.encoding(), normal);
        let head = [b"213-Status of \"", &shown[..], b"\":"].concat();
        let fine = r.lines.len() >= 2
            && names::alike(&r.lines[0], &head)
            && r.last() == b"213 End of status.";
        if !fine {
            return self.wrong(FaultKind::Text, c, &head.escape_ascii().to_string(), r);
        }
        let mut text = r.lines[1..r.lines.len() - 1].join(&b"\r\n"[..]);
        if !text.is_empty() {
            text.extend_from_slice(b"\r\n");
        }
        match expected.judge(&text, true) {
            Ok(()) => Ok(()),
            Err(what) => self.fault(FaultKind::Listing, "STAT", "the tree", &what),
        }
    }

    pub fn mlst(&mut self, c: &Command, r: &Reply, path: &[u8], normal: &[u8]) -> Verdict {
        if self.is_loose() {
            return self.code(c, r, &[250, 450, 550]);
        }
        let user = self.s.login.unwrap_or(0);
        let encoding = self.encoding();
        let tree = &self.w.homes[self.w.users[user].home].tree;
        let (dir, name) = names::split(normal);
        let at = tree.resolve(dir, true).map(|dir| match name.is_empty() {
            true => dir,
            false => names::join(&dir, name),
        });
        let slash = !path.is_empty() && names::ends_as_directory(path);
        let real = tree.resolve(normal, true);
        let as_directory = matches!(&real, Ok(real) if tree.is_dir(real));
        let exists = matches!(&at, Ok(at) if at == b"/" || tree.get(at).is_some());
        let found = exists && (!slash || as_directory);
        if !found {
            return self.code(c, r, &[550]);
        }
        let mut expected = Expected::new(
            Style::Facts,
            b"",
            &self.s.facts,
            &self.w.users[user].perms,
            encoding,
        );
        if let Ok(at) = &at {
            expected.add(tree, at, name, b"");
        }
        let shown = names::in_reply(encoding, normal);
        let head = [b"250-Listing \"", &shown[..], b"\":"].concat();
        let fine = r.code == 250
            && r.lines.len() == 3
            && names::alike(&r.lines[0], &head)
            && r.last() == b"250 End MLST.";
        if !fine {
            return self.wrong(FaultKind::Code, c, &head.escape_ascii().to_string(), r);
        }
        // The path takes the place of the name, after the facts and a space.
        let line = r.lines[1].strip_prefix(b" ").unwrap_or(b"");
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let path = line.get(at + 1..).unwrap_or(b"");
        if !names::alike(path, &shown) {
            return self.wrong(FaultKind::Text, c, &shown.escape_ascii().to_string(), r);
        }
        let Some(entry) = expected.entries.first() else {
            return Ok(());
        };
        let line = [&line[..at], b" ", &entry.shown[..]].concat();
        match expected.line(&line) {
            Ok(_) => Ok(()),
            Err(what) => self.fault(FaultKind::Listing, "MLST", "the tree", &what),
        }
    }

    pub fn list(
        &mut self,
        c: &Command,
        r: &Reply,
        name: &'static str,
        path: &[u8],
        normal: &[u8],
        real: Result<Vec<u8>, Lost>,
    ) -> Verdict {
        let style = match name {
            "LIST" => Style::Long,
            "NLST" => Style::Names,
            _ => Style::Facts,
        };
        let mut expected = match (name, &real) {
            // Only directories.
            ("MLSD", Ok(real)) if !self.tree().is_dir(real) => None,
            ("MLSD", Err(_)) => None,
            _ => self.expected(style, path, normal, &real),
        };
        // What a replaced upload has made was there when the listing was opened.
        let was_there = self.s.replaced.is_some() && r.code == 150;
        // In a large directory it is not known in time that a pattern matches nothing.
        let dir = self.tree().resolve(names::split(normal).0, true);
        let is_large = dir.is_ok_and(|dir| self.tree().entries(&dir).count() > 400);
        let is_slow = is_large && matches!(r.code, 125 | 150);
        let is_pattern = (was_there || expected.is_none() && is_slow) && path.contains(&b'*');
        if is_pattern || expected.is_none() && (self.is_loose() || was_there) {
            let mut any = Expected::new(style, b"", &[], "", self.encoding());
            any.any = true;
            expected = Some(any);
        }
        let Some(expected) = expected else {
            self.fate(
                c,
                r,
                Fate::FailsAs(if name == "MLSD" { &[501, 550] } else { &[550] }),
            )?;
            return self.done(c);
        };
        if expected.any && r.code == 550 {
            return self.done(c);
        }
        self.begin(c, r, name, Payload::Listing(Box::new(expected)))
    }
}

/// Whether a name matches a pattern of `*`, and of the rest as it is.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        Some((byte, rest)) => name.first() == Some(byte) && matches(rest, &name[1..]),
    }
}

//! Callbacks: which must come, how often, in which order.

use std::path::PathBuf;

use super::judge::Judge;
use super::lines::Cut;
use super::names;
use super::session::{Due, Stage};
use super::tree::What;
use super::verbs;
use super::{Callback, FaultKind, Verdict};

/// A real path, as the disk of the model names it.
pub fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

impl Judge<'_> {
    pub fn called(&mut self, call: Callback) -> Verdict {
        let text = format!("{call:?}");
        if self.s.disconnects > 0 {
            return self.fault(FaultKind::Callback, "after on_disconnect", "nothing", &text);
        }
        if self.s.connects == 0 && call != Callback::Connect {
            return self.fault(FaultKind::Callback, "before on_connect", "nothing", &text);
        }
        match call {
            Callback::Connect => {
                self.s.connects += 1;
                if self.s.connects > 1 {
                    return self.fault(FaultKind::Callback, "on_connect", "once", "twice");
                }
                Ok(())
            }
            Callback::Disconnect => {
                self.s.disconnects += 1;
                self.s.left_at = self.w.events;
                Ok(())
            }
            Callback::Login(_) | Callback::LoginFailed(_) | Callback::Logout(_) => {
                self.s.called.push_back(call);
                self.calls_of_logins()
            }
            _ => {
                self.s.file_calls.push_back(call);
                self.calls_of_files()
            }
        }
    }

    /// Compares callbacks with the replies that promise them, as far as both are there.
    pub fn calls_of_logins(&mut self) -> Verdict {
        while let (Some(due), Some(call)) = (self.s.due.front(), self.s.called.front()) {
            let fine = match (due, call) {
                (Due::Login(name), Callback::Login(called)) => name == called,
                (Due::Logout(name), Callback::Logout(called)) => name == called,
                (Due::LoginFailed, Callback::LoginFailed(_)) => true,
                _ => false,
            };
            if !fine {
                let (due, call) = (format!("{due:?}"), format!("{call:?}"));
                return self.fault(FaultKind::Callback, "a login", &due, &call);
            }
            self.s.due.pop_front();
            self.s.called.pop_front();
        }
        Ok(())
    }

    /// The same for transfers of files, in the order in which they began.
    pub fn calls_of_files(&mut self) -> Verdict {
        while let (Some(began), Some(call)) = (self.s.began.front(), self.s.file_calls.front()) {
            let Some(complete) = began.complete else {
                return Ok(());
            };
            let (path, receive, whole) = match call {
                Callback::FileSent(path) => (path, false, true),
                Callback::FileReceived(path) => (path, true, true),
                Callback::IncompleteFileSent(path) => (path, false, false),
                Callback::IncompleteFileReceived(path) => (path, true, false),
                _ => return Ok(()),
            };
            let fine = (receive, whole) == (began.receive, complete)
                && (began.paths.contains(path)
                    || self.is_loose_home()
                    || self.is_behind_link(path));
            if !fine {
                let (began, call) = (format!("{began:?}"), format!("{call:?}"));
                return self.fault(FaultKind::Callback, "a transfer", &began, &call);
            }
            self.s.began.pop_front();
            self.s.file_calls.pop_front();
        }
        Ok(())
    }

    fn is_loose_home(&self) -> bool {
        let shared = |home: usize| self.w.homes[home].shared;
        self.s.relaxed || self.s.last_home.is_some_and(shared)
    }

    /// Whether a real path is one that links lead away from: callbacks have the name that was
    /// opened.
    fn is_behind_link(&self, path: &std::path::Path) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let Some(home) = self.s.last_home else {
            return true;
        };
        let tree = &self.w.homes[home].tree;
        let bytes = path.as_os_str().as_bytes();
        let Some(inside) = bytes.strip_prefix(&tree.root[..]) else {
            return false;
        };
        let mut at = inside.to_vec();
        while at.len() > 1 {
            match tree.get(&at).map(|node| &node.what) {
                // A directory was renamed meanwhile, or a link.
                None | Some(What::Link(_)) => return true,
                Some(_) => at = names::split(&at).0.to_vec(),
            }
        }
        false
    }

    /// The session is over, and nothing more will be read from it: what it has left.
    pub fn over(&mut self) -> Verdict {
        if self.s.stage == Stage::New {
            return Ok(());
        }
        self.s.server_end = true;
        self.lose_commands()?;
        if self.s.panicked {
            return Ok(());
        }
        if self.s.connects > 0 && self.s.disconnects != 1 {
            return self.fault(FaultKind::Callback, "the end", "on_disconnect", "none");
        }
        if let Some(due) = self.s.due.front() {
            let due = format!("{due:?}");
            return self.fault(FaultKind::Callback, "the end", &due, "none");
        }
        self.calls_of_files()?;
        let (began, calls) = (self.s.began.len(), self.s.file_calls.len());
        let shown = format!("{:?} and {:?}", self.s.began, self.s.file_calls);
        if began > calls {
            return self.fault(
                FaultKind::Callback,
                "the end",
                "a callback for each transfer",
                &shown,
            );
        }
        let answered = self.s.is_idle() && !self.s.relaxed;
        if !answered {
            self.forget_homes_of_logins();
        }
        if answered && calls > began {
            return self.fault(FaultKind::Callback, "the end", "no more callbacks", &shown);
        }
        let Some(home) = self.s.last_home.filter(|_| !answered) else {
            return Ok(());
        };
        match self.w.homes[home].shared {
            true => Ok(()),
            false => self.explain(home),
        }
    }

    /// What is in the homes of this session is not known any more.
    pub fn forget_homes(&mut self) {
        let last = self.s.last_home;
        self.forget_homes_of_logins();
        if let Some(home) = last {
            self.w.homes[home].changed = true;
        }
    }

    /// A login without a reply may have worked: what is in the home of its user is not known.
    fn forget_homes_of_logins(&mut self) {
        let mut names: Vec<String> = self.s.asked.iter().cloned().collect();
        for command in &self.s.queue {
            if let Cut::Line(line) = &command.cut
                && let parsed = verbs::parse(line, true)
                && parsed.verb.is_some_and(|verb| verb.name == "USER")
            {
                names.push(String::from_utf8_lossy(parsed.arg).into_owned());
            }
        }
        let logs_in = self.s.queue.iter().any(|command| match &command.cut {
            Cut::Line(line) => verbs::parse(line, true)
                .verb
                .is_some_and(|verb| verb.name == "PASS"),
            Cut::TooLong(_) => false,
        });
        if !logs_in {
            return;
        }
        for user in &self.w.users {
            if names.contains(&user.name) {
                self.w.homes[user.home].changed = true;
            }
        }
    }

    /// What must have come before the server is at rest.
    pub fn quiet(&mut self) -> Verdict {
        if self.w.drained.is_some() || self.s.stage == Stage::New {
            return Ok(());
        }
        if let Some(port) = &mut self.s.port {
            port.is_seen |= port.conn.is_some();
        }
        if let Some((Some(id), serial)) = self.conn_of_transfer() {
            self.commit(id, serial)?;
        }
        if self.s.client_end.is_some() || self.s.was_reset || self.s.server_end {
            return Ok(());
        }
        if self.s.stage == Stage::Silent {
            return self.fault(FaultKind::Missing, "connect", "a greeting", "silence");
        }
        if self.s.replies.is_unfinished() {
            return self.fault(FaultKind::Missing, "a reply", "its end", "silence");
        }
        if self.s.stage != Stage::Open {
            return Ok(());
        }
        self.due_reply()
    }
}

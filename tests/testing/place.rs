//! A directory, and sessions in memory that serve it.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::handlers::{StockHandler, TimerId};
use ftpdlib::testing::Session;
use ftpdlib::{FTPConfig, FTPHandler, FTPSession};
use tempfile::TempDir;

/// A handler that reports what happens, and does some things on request.
pub(super) struct Reporter(Sender<String>);

impl Reporter {
    pub(super) fn report(&self, event: impl Into<String>) {
        let _ = self.0.send(event.into());
    }
}

impl FTPHandler for Reporter {
    fn on_connect(&mut self, s: &mut FTPSession) {
        self.report(format!("connect {}", s.remote_ip()));
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        self.report("disconnect");
    }

    fn on_login_failed(&mut self, _s: &mut FTPSession, username: &str, _password: &str) {
        self.report(format!("{username} failed"));
    }

    fn on_file_sent(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report(format!("sent {}", file.file_name().unwrap().display()));
    }

    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report(format!("received {}", file.file_name().unwrap().display()));
    }

    fn on_incomplete_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.report(format!(
            "incomplete {}",
            file.file_name().unwrap().display()
        ));
    }

    fn on_timer(&mut self, s: &mut FTPSession, _id: TimerId) {
        self.report("timer");
        s.respond("200 Timer.");
    }

    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let asked = s.offload(|| 6 * 7, |s, answer| s.respond(format!("200 {answer}.")));
        asked.unwrap();
    }

    fn ftp_dele(&mut self, _s: &mut FTPSession, _path: &Path) {
        // It panics without the usual message.
        std::panic::resume_unwind(Box::new("as planned"));
    }
}

/// An authorizer that decides with a function, from the password, at once or later.
struct Deciding<F>(DummyAuthorizer, F);

impl<F> Authorizer for Deciding<F>
where
    F: Fn(&str, &dyn Fn() -> LaterVerdict) -> Verdict + Send + Sync,
{
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn authenticate(
        &self,
        _username: &str,
        password: &str,
        _client: &authorizers::Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        self.1(password, later)
    }
}

pub(super) struct Place {
    pub(super) home: TempDir,
    pub(super) config: FTPConfig,
}

pub(super) fn place() -> Place {
    let home = tempfile::tempdir().unwrap();
    let mut config = FTPConfig::default();
    config.set_authorizer(users(&home));
    Place { home, config }
}

/// The user of the tests, with all permissions.
fn users(home: &TempDir) -> DummyAuthorizer {
    let users = DummyAuthorizer::new();
    let added = users.add_user("user", "12345", home.path(), "elradfmwMT");
    added.unwrap();
    users
}

impl Place {
    /// Lets a function decide about the logins of the user.
    pub(super) fn decide(
        &mut self,
        verdict: impl Fn(&str, &dyn Fn() -> LaterVerdict) -> Verdict + Send + Sync + 'static,
    ) {
        let users = users(&self.home);
        self.config.set_authorizer(Deciding(users, verdict));
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.home.path().join(name), bytes).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.home.path().join(name)).unwrap()
    }

    pub(super) fn connect(&self) -> Session<StockHandler> {
        Session::new(self.config.clone(), StockHandler).unwrap()
    }

    pub(super) fn login(&self) -> Session<StockHandler> {
        let mut session = self.connect();
        session.login("user", "12345");
        session
    }

    pub(super) fn reporting(&self) -> (Session<Reporter>, Receiver<String>) {
        let (sender, events) = channel();
        let mut session = Session::new(self.config.clone(), Reporter(sender)).unwrap();
        session.login("user", "12345");
        (session, events)
    }
}

/// Returns the next reply, which must have come.
#[track_caller]
pub(super) fn reply<H: FTPHandler>(session: &mut Session<H>) -> String {
    session.reply().expect("a reply").to_string()
}

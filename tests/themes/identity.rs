//! Each step on the file system runs with the identity of the user who is logged in, also the
//! later steps of open files and of listings.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer};
use ftpdlib::filesystems::{AbstractedFS, FSDir, FSFile, FSState, OpenMode, Stat, local};
use ftpdlib::{FSError, FTPHandler, FTPSession};
use testkit::{PASSWORD, Server, USER};

use crate::MODE;

thread_local! {
    /// The user that the thread of the server acts as.
    static ACTING_AS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Stands for an authorizer that switches the identity of the process.
struct Switching(DummyAuthorizer);

impl Authorizer for Switching {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn keeps_password(&self) -> bool {
        true
    }

    fn impersonate_user(&self, username: &str, password: &str) {
        assert_eq!(password, PASSWORD);
        let before = ACTING_AS.replace(Some(username.to_owned()));
        assert_eq!(before, None, "an identity was not given up");
    }

    fn terminate_impersonation(&self, username: &str) {
        let before = ACTING_AS.take();
        assert_eq!(before.as_deref(), Some(username));
    }
}

/// A step, and the user whose identity it had.
type Step = (&'static str, Option<String>);

/// The steps that were taken.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Vec<Step>>>);

impl Steps {
    fn take(&self, step: &'static str) {
        let user = ACTING_AS.with_borrow(Clone::clone);
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push((step, user));
    }

    /// Fails unless these steps were taken, and all steps as the user.
    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        let steps = std::mem::take(&mut *self.0.lock().unwrap());
        for (step, user) in &steps {
            assert_eq!(user.as_deref(), Some(USER), "{step}");
        }
        for expected in expected {
            let taken = steps.iter().any(|(step, _)| step == expected);
            assert!(taken, "no {expected} in {steps:?}");
        }
    }
}

/// The local file system, which notes each step.
struct Noting(Steps);

impl AbstractedFS for Noting {
    fn initial_cwd(&self, _root: &Path) -> OsString {
        self.0.take("initial_cwd");
        OsString::from("/")
    }

    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        self.0.take("validpath");
        local::validpath(fs, path)
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        self.0.take("open");
        let file = local::open(fs, path, mode)?;
        Ok(Box::new(NotingFile(file, self.0.clone())))
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        self.0.take("mkstemp");
        let file = local::mkstemp(fs, dir, prefix)?;
        Ok(Box::new(NotingFile(file, self.0.clone())))
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        self.0.take("listdir");
        let dir = local::listdir(fs, path)?;
        Ok(Box::new(NotingDir(dir, self.0.clone())))
    }

    fn get_user_by_uid(&self, uid: u32) -> String {
        self.0.take("get_user_by_uid");
        local::user_by_uid(uid)
    }
}

/// A file that is not one of the system, so that its bytes pass through these methods.
struct NotingFile(Box<dyn FSFile>, Steps);

impl Read for NotingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.take("read");
        self.0.read(buffer)
    }
}

impl Write for NotingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.take("write");
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for NotingFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.1.take("seek");
        self.0.seek(position)
    }
}

impl FSFile for NotingFile {
    fn name(&self) -> &Path {
        self.0.name()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.1.take("size");
        self.0.size()
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        self.1.take("finish");
        self.0.finish(completed)
    }
}

impl Drop for NotingFile {
    fn drop(&mut self) {
        self.1.take("close");
    }
}

struct NotingDir(Box<dyn FSDir>, Steps);

impl Drop for NotingDir {
    fn drop(&mut self) {
        self.1.take("closedir");
    }
}

impl FSDir for NotingDir {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        self.1.take("next_name");
        self.0.next_name()
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.1.take("lstat");
        self.0.lstat(name)
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.1.take("stat");
        self.0.stat(name)
    }

    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError> {
        self.1.take("readlink");
        self.0.readlink(name)
    }
}

fn server() -> (Server, Steps) {
    let steps = Steps::default();
    let noted = steps.clone();
    let server = Server::with(MODE, move |config| {
        let table = DummyAuthorizer::new();
        let home = config.authorizer.get_home_dir(USER).unwrap();
        table.add_user(USER, PASSWORD, home, "elradfmwMT").unwrap();
        config.set_authorizer(Switching(table));
        config.set_abstracted_fs(Noting(noted));
    });
    (server, steps)
}

#[test]
fn files() {
    let (server, steps) = server();
    let mut client = server.login();
    steps.expect(&["initial_cwd"]);
    client.upload("STOR new", b"0123456789");
    steps.expect(&["validpath", "open", "write", "finish", "close"]);
    assert_eq!(client.download("RETR new"), b"0123456789");
    steps.expect(&["validpath", "open", "read", "finish", "close"]);
    client.expect(350, "REST 4");
    assert_eq!(client.download("RETR new"), b"456789");
    steps.expect(&["open", "size", "seek", "read", "finish"]);
    client.upload("STOU", b"x");
    steps.expect(&["mkstemp", "write", "finish"]);
}

#[test]
fn listings() {
    let (server, steps) = server();
    server.write("file", b"x");
    std::os::unix::fs::symlink("file", server.path("link")).unwrap();
    let mut client = server.login();
    assert_eq!(client.lines("LIST").len(), 2);
    steps.expect(&[
        "listdir",
        "next_name",
        "lstat",
        "readlink",
        "get_user_by_uid",
    ]);
    assert_eq!(client.lines("NLST").len(), 2);
    steps.expect(&["listdir", "next_name", "closedir"]);
    assert_eq!(client.lines("MLSD").len(), 2);
    steps.expect(&["listdir", "next_name", "stat"]);
    assert_eq!(client.lines("LIST f*").len(), 1);
    steps.expect(&["listdir", "next_name", "lstat"]);
    client.expect(213, "STAT /");
    steps.expect(&["listdir", "next_name", "lstat"]);
}

/// The file is closed by a session that has logged out meanwhile.
#[test]
fn a_transfer_that_outlives_its_login() {
    let (server, steps) = server();
    let mut client = server.login();
    let mut data = client.pasv();
    client.begin("STOR late");
    data.write_all(b"some").unwrap();
    client.expect(230, "REIN");
    drop(data);
    client.expect_reply(226);
    steps.expect(&["open", "write", "finish", "close"]);
}

/// Reports the passwords that the session has and that the authorizer gets.
struct Passwords(DummyAuthorizer, Sender<String>);

impl Authorizer for Passwords {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn impersonate_user(&self, _: &str, password: &str) {
        let _ = self.1.send(format!("step \"{password}\""));
    }
}

struct Reporting(Sender<String>);

impl FTPHandler for Reporting {
    fn on_login(&mut self, s: &mut FTPSession, _: &str) {
        let _ = self.0.send(format!("login \"{}\"", s.password()));
    }

    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let _ = self.0.send(format!("noop \"{}\"", s.password()));
        ftpdlib::handlers::commands::noop(s);
    }
}

#[test]
fn the_password_is_forgotten_after_the_login() {
    let (events, reports) = mpsc::channel();
    let (of_authorizer, of_handler) = (events.clone(), events);
    let server = Server::with_handler(
        MODE,
        move |config| {
            let table = DummyAuthorizer::new();
            let home = config.authorizer.get_home_dir(USER).unwrap();
            table.add_user(USER, PASSWORD, home, "elradfmwMT").unwrap();
            config.set_authorizer(Passwords(table, of_authorizer));
        },
        move |_| Reporting(of_handler.clone()),
    );
    let mut client = server.login();
    client.expect(200, "NOOP");
    client.expect(257, "MKD d");
    client.expect(250, "CWD d");
    let (before, after): (Vec<_>, Vec<_>) =
        reports.try_iter().partition(|line| line.contains(PASSWORD));
    // The first step of a session looks up where it begins.
    let step = format!("step \"{PASSWORD}\"");
    assert_eq!(before, [step, format!("login \"{PASSWORD}\"")]);
    assert_eq!(after[0], "noop \"\"");
    assert!(
        after.len() > 2 && after[1..].iter().all(|line| line == "step \"\""),
        "{after:?}"
    );
}

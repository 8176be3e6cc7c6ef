//! The file system of a login, and the file system in hooks and jobs.

use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer};
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, LocalFS, OpenMode, local};
use ftpdlib::handlers::{StockHandler, commands};
use ftpdlib::testing::Session;
use ftpdlib::{FSError, FTPHandler, FTPSession};

use crate::place::{Place, place, reply};

/// A file system of one login, which reports who opens what, and when it is dropped.
struct OfLogin {
    who: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl AbstractedFS for OfLogin {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        let name = path.file_name().unwrap().display();
        self.log
            .lock()
            .unwrap()
            .push(format!("{} {name}", self.who));
        local::open(fs, path, mode)
    }
}

impl Drop for OfLogin {
    fn drop(&mut self) {
        self.log.lock().unwrap().push(format!("{} gone", self.who));
    }
}

#[derive(Clone, Default)]
struct Choosing(Arc<Mutex<Vec<String>>>);

impl Choosing {
    #[track_caller]
    fn expect(&self, lines: &[&str]) {
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), lines);
    }
}

impl FTPHandler for Choosing {
    fn abstracted_fs(&mut self, s: &mut FTPSession) -> Arc<dyn AbstractedFS> {
        assert!(s.authenticated() && s.fs().is_none());
        if s.username() == "stored-nowhere" {
            s.respond("530 The storage does not answer.");
            s.close_when_done();
            return Arc::new(LocalFS);
        }
        Arc::new(OfLogin {
            who: format!("{}@{} {:?}", s.username(), s.remote_ip(), s.password()),
            log: Arc::clone(&self.0),
        })
    }

    fn on_login(&mut self, _: &mut FTPSession, username: &str) {
        self.0.lock().unwrap().push(format!("{username} in"));
    }

    fn on_logout(&mut self, _: &mut FTPSession, username: &str) {
        self.0.lock().unwrap().push(format!("{username} out"));
    }
}

fn choosing(place: &mut Place) -> (Session<Choosing>, Choosing) {
    let users = DummyAuthorizer::new();
    for name in ["joe", "ann", "stored-nowhere"] {
        let added = users.add_user(name, "x", place.home.path(), "elradfmwMT");
        added.unwrap();
    }
    place.config.set_authorizer(users);
    let log = Choosing::default();
    let session = Session::new(place.config.clone(), log.clone()).unwrap();
    (session, log)
}

#[test]
fn each_login_has_its_own_file_system() {
    let mut place = place();
    place.write("file", b"hello");
    let (mut session, log) = choosing(&mut place);
    assert_eq!(session.login("joe", "x").code(), 230);
    assert_eq!(session.retr("file").unwrap(), b"hello");
    log.expect(&["joe in", "joe@127.0.0.1 \"x\" file"]);
    session.command("USER ann");
    log.expect(&["joe out", "joe@127.0.0.1 \"x\" gone"]);
    session.command("PASS x");
    session.retr("file").unwrap();
    log.expect(&["ann in", "ann@127.0.0.1 \"x\" file"]);
    session.command("REIN");
    log.expect(&["ann out", "ann@127.0.0.1 \"x\" gone"]);
    session.login("joe", "x");
    drop(session);
    log.expect(&["joe in", "joe@127.0.0.1 \"x\" gone"]);
}

/// What a login has begun keeps the file system of that login: an upload that has not begun is
/// ended in it.
#[test]
fn a_transfer_keeps_the_file_system_of_its_login() {
    let mut place = place();
    let (mut session, log) = choosing(&mut place);
    session.login("joe", "x");
    let _listener = session.command("EPSV");
    assert_eq!(session.command("STOR new").code(), 150);
    session.login("ann", "x");
    log.expect(&["joe in", "joe@127.0.0.1 \"x\" new", "joe out", "ann in"]);
    session.send(b"ABOR\r\n");
    while session.reply().is_some() {}
    log.expect(&["joe@127.0.0.1 \"x\" gone"]);
}

#[test]
fn a_handler_without_a_file_system_refuses_the_login() {
    let mut place = place();
    let (mut session, log) = choosing(&mut place);
    session.command("USER stored-nowhere");
    let reply = session.command("PASS x");
    assert_eq!(reply, "530 The storage does not answer.");
    assert_eq!(session.reply(), None);
    assert!(session.is_closed());
    log.expect(&[]);
}

// --- as the user of the session

thread_local! {
    /// Whether this thread acts for a user.
    static ACTS: Cell<bool> = const { Cell::new(false) };
}

/// Takes an identity on each thread.
struct Acting(DummyAuthorizer);

impl Authorizer for Acting {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn impersonate_user(&self, username: &str, _: &str) {
        assert_eq!(username, "user");
        assert!(!ACTS.replace(true));
    }

    fn terminate_impersonation(&self, _: &str) {
        assert!(ACTS.replace(false));
    }
}

fn acting() -> (Place, Session<StockHandler>) {
    let mut place = place();
    let users = DummyAuthorizer::new();
    let added = users.add_user("user", "12345", place.home.path(), "elradfmwMT");
    added.unwrap();
    place.config.set_authorizer(Acting(users));
    let session = place.login();
    (place, session)
}

#[test]
fn a_hook_uses_files_as_the_user() {
    let (place, mut session) = acting();
    place.write("file", b"hello");
    let path = place.home.path().canonicalize().unwrap().join("file");
    let size = session.with(|_, s| {
        s.with_fs(|fs, state| {
            assert!(ACTS.get());
            fs.getsize(state, &path)
        })
    });
    assert_eq!(size.ok(), Some(5));
    assert!(!ACTS.get());
    let panicked = session.with(|_, s| {
        let closure = || s.with_fs(|_, _| -> Result<(), FSError> { panic!("as planned") });
        catch_unwind(AssertUnwindSafe(closure)).is_err()
    });
    assert!(panicked && !ACTS.get());
    session.command("REIN");
    let refused = session.with(|_, s| s.with_fs(|_, _| Ok(())));
    assert_eq!(refused.unwrap_err().to_string(), "Not logged in");
    assert!(session.with(|_, s| s.user_fs()).is_none());
}

#[test]
fn a_job_uses_files_as_the_user() {
    let (place, mut session) = acting();
    place.write("file", b"hello");
    let path = place.home.path().canonicalize().unwrap().join("file");
    session.with(|_, s| {
        let mut files = s.user_fs().unwrap();
        let work = move || {
            let closure = || files.run(|_, _| panic!("as planned"));
            assert!(catch_unwind(AssertUnwindSafe(closure)).is_err());
            assert!(!ACTS.get());
            let read = files.run(|fs, state| {
                assert!(ACTS.get());
                let mut text = String::new();
                let mut file = fs.open(state, &path, OpenMode::Read)?;
                file.read_to_string(&mut text)?;
                Ok::<_, FSError>(text)
            });
            assert!(!ACTS.get());
            read
        };
        let then = |s: &mut FTPSession, read: Result<String, FSError>| match read {
            Ok(text) => s.respond(format!("200 {text}")),
            Err(err) => s.respond(err),
        };
        s.offload(work, then).unwrap();
    });
    session.wait();
    assert_eq!(session.reply().unwrap(), "200 hello");
}

/// A hook gets no further than a client: names that are denied stay denied.
#[test]
fn hooks_and_jobs_respect_the_fences() {
    let mut place = place();
    place.config.deny = vec!["*.key".to_owned()];
    place.write("a.key", b"");
    let path = place.home.path().canonicalize().unwrap().join("a.key");
    let mut session = place.login();
    let refused = session.with(|_, s| s.with_fs(|fs, state| fs.stat(state, &path)));
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
    let mut files = session.with(|_, s| s.user_fs()).unwrap();
    let refused = files.run(|fs, state| fs.stat(state, &path));
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
}

// --- CWD from a hook

#[test]
fn a_hook_changes_the_directory_as_cwd_does() {
    let mut place = place();
    let home = place.home.path().to_owned();
    std::fs::create_dir_all(home.join("a/b")).unwrap();
    std::fs::create_dir(home.join("closed")).unwrap();
    std::os::unix::fs::symlink("/", home.join("out")).unwrap();
    place.write("file", b"");
    let users = DummyAuthorizer::new();
    users
        .add_user("user", "12345", &home, "elradfmwMT")
        .unwrap();
    let over = users.override_perm("user", home.join("closed"), "", true);
    over.unwrap();
    place.config.set_authorizer(users);
    let mut session = place.login();
    let mut go = |path: &str| {
        let changed = session.with(|_, s| s.set_cwd(path));
        let here = session.command("PWD").text().to_owned();
        let here = here.split('"').nth(1).unwrap().to_owned();
        (changed.map_err(|err| err.to_string()), here)
    };
    assert_eq!(go("a"), (Ok(()), "/a".to_owned()));
    assert_eq!(go("b/"), (Ok(()), "/a/b".to_owned()));
    assert_eq!(go(".."), (Ok(()), "/a".to_owned()));
    for (path, error) in [
        ("closed", None),
        ("/closed", Some("Not enough privileges")),
        ("/file", Some("Not a directory")),
        ("/none", Some("No such file or directory")),
        ("/out", None),
    ] {
        let (changed, here) = go(path);
        let text = changed.unwrap_err();
        assert!(error.is_none_or(|error| text == error), "{path}: {text}");
        assert_eq!(here, "/a");
    }
    assert_eq!(go(""), (Ok(()), "/".to_owned()));
    // The program may know better.
    session.with(|_, s| {
        let set = s.with_fs(|_, state| {
            state.set_cwd("/not/there".into());
            Ok(())
        });
        set.unwrap();
    });
    assert!(session.command("PWD").text().contains("/not/there"));
    session.command("REIN");
    assert!(session.with(|_, s| s.set_cwd("/")).is_err());
}

/// An override that changes the directory on the way keeps the questions about its own path.
#[test]
fn changing_the_directory_keeps_what_the_command_asks() {
    struct Moving;
    impl FTPHandler for Moving {
        fn ftp_retr(&mut self, s: &mut FTPSession, path: &Path) {
            s.set_cwd("/a").unwrap();
            let closed = path.with_file_name("closed").join("x");
            assert!(s.fs().unwrap().permits(path, path));
            assert!(!s.fs().unwrap().permits(path, &closed));
            commands::retr(s, path);
        }
    }
    let mut place = place();
    let home = place.home.path().canonicalize().unwrap();
    std::fs::create_dir(home.join("a")).unwrap();
    std::fs::create_dir(home.join("closed")).unwrap();
    place.write("file", b"hello");
    let users = DummyAuthorizer::new();
    users
        .add_user("user", "12345", &home, "elradfmwMT")
        .unwrap();
    let over = users.override_perm("user", home.join("closed"), "", true);
    over.unwrap();
    place.config.set_authorizer(users);
    let mut session = Session::new(place.config.clone(), Moving).unwrap();
    session.login("user", "12345");
    assert_eq!(session.retr("file").unwrap(), b"hello");
    assert!(session.command("PWD").text().contains("\"/a\""));
}

// --- REST

/// Has a RETR and a STOR of its own. One of them takes the position of REST.
struct Own(Arc<AtomicUsize>);

impl FTPHandler for Own {
    fn ftp_retr(&mut self, s: &mut FTPSession, _: &Path) {
        let rest = s.take_rest();
        assert_eq!(s.take_rest(), 0);
        self.0.store(usize::try_from(rest).unwrap(), Relaxed);
        s.respond("200 Taken.");
    }

    fn ftp_stor(&mut self, s: &mut FTPSession, path: &Path, mode: OpenMode) {
        match path.ends_with("own") {
            true => s.respond("200 Not taken."),
            false => commands::stor(s, path, mode),
        }
    }
}

#[test]
fn a_retr_of_its_own_sees_rest() {
    let place = place();
    place.write("file", b"hello");
    let taken = Arc::new(AtomicUsize::new(7));
    let mut session = Session::new(place.config.clone(), Own(Arc::clone(&taken))).unwrap();
    session.login("user", "12345");
    session.command("TYPE I");
    session.command("RETR file");
    assert_eq!(taken.load(Relaxed), 0);
    session.command("REST 3");
    session.command("RETR file");
    assert_eq!(taken.load(Relaxed), 3);
    assert_eq!(session.stor("file", b"new").code(), 226);
    assert_eq!(place.read("file"), b"new");
}

/// A position that a transfer has ignored does not spoil the next one.
#[test]
fn a_rest_that_is_not_taken_is_forgotten() {
    let place = place();
    place.write("file", b"hello");
    let mut session = Session::new(place.config.clone(), Own(Arc::default())).unwrap();
    session.login("user", "12345");
    session.command("TYPE I");
    session.command("REST 3");
    assert_eq!(session.command("STOR own").code(), 200);
    drop(session.passive());
    let appe = session.command("APPE file");
    assert!(matches!(appe.code(), 125 | 150), "{appe}");
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    session.command("REST 3");
    // Commands in between do not count.
    session.command("NOOP");
    assert_eq!(session.stor("file", b"p!").code(), 226);
    assert_eq!(place.read("file"), b"help!");
}

/// The position waits for a RETR that asks another thread first.
#[test]
fn a_rest_outlives_a_job() {
    struct Asking;
    impl FTPHandler for Asking {
        fn ftp_retr(&mut self, s: &mut FTPSession, path: &Path) {
            let path = path.to_owned();
            let asked = s.offload(|| (), move |s, ()| commands::retr(s, &path));
            asked.unwrap();
        }
    }
    let place = place();
    place.write("file", b"hello");
    let mut session = Session::new(place.config.clone(), Asking).unwrap();
    session.login("user", "12345");
    session.command("TYPE I");
    session.command("REST 3");
    assert_eq!(session.retr("file").unwrap(), b"lo");
}

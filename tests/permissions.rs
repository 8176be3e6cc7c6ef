//! Directories with other permissions, while somebody renames the directories around them.
//!
//! `x/y/l/secret` is a file that the user may use, until `x/y` is swapped for a directory in
//! which `l` is a link to `vault`, where the user may do nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perm};
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, LocalFile, OpenMode, local};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FSError, FTPConfig, ThreadedFTPServer};
use testkit::{Client, DEADLINE, Mode, PASSWORD, Server, USER};

/// What every byte of the protected file tells.
const PROTECTED: &str = "protected";

/// The number of bytes of the protected file.
const PROTECTED_SIZE: usize = 9 * 1371;

/// Makes the tree, in which all is as it should be.
fn make_tree(home: &Path) {
    for entry in fs::read_dir(home).unwrap() {
        let path = entry.unwrap().path();
        let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
        match is_dir {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    fs::create_dir_all(home.join("vault/sub")).unwrap();
    fs::create_dir_all(home.join("x/y/l/sub")).unwrap();
    fs::create_dir_all(home.join("x/trap")).unwrap();
    symlink("../../vault", home.join("x/trap/l")).unwrap();
    fs::write(home.join("x/y/l/secret"), "public").unwrap();
    fs::write(home.join("here"), "public").unwrap();
    let secret = home.join("vault/secret");
    fs::write(&secret, PROTECTED.repeat(1371)).unwrap();
    fs::write(home.join("vault/only-there"), PROTECTED).unwrap();
    let year_1999 = SystemTime::UNIX_EPOCH + Duration::from_secs(920_000_000);
    let file = fs::File::options().write(true).open(&secret).unwrap();
    file.set_modified(year_1999).unwrap();
}

/// Everything about the protected directory.
fn vault(home: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let entries = fs::read_dir(home.join("vault")).unwrap();
    let of = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        let bytes = fs::read(path).unwrap_or_default();
        (meta.permissions().mode(), meta.mtime(), bytes)
    };
    let all = entries.map(|entry| {
        let path = entry.unwrap().path();
        (path.clone(), of(&path))
    });
    all.collect()
}

fn authorizer(home: &Path) -> DummyAuthorizer {
    let authorizer = DummyAuthorizer::new();
    authorizer
        .add_user(USER, PASSWORD, home, "elradfmwMT")
        .unwrap();
    authorizer
        .override_perm(USER, home.join("vault"), "", true)
        .unwrap();
    authorizer
}

/// Swaps the directories at the worst moment.
struct Swapping {
    inner: DummyAuthorizer,
    home: PathBuf,
    /// After how many questions about a permission; 0: not at all.
    after: Arc<AtomicUsize>,
    /// Whether the operations ask again.
    asks_again: bool,
}

impl Authorizer for Swapping {
    fn inner(&self) -> &dyn Authorizer {
        &self.inner
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        let answer = self.inner.has_perm(username, perm, path);
        if self.after.load(SeqCst) > 0 && self.after.fetch_sub(1, SeqCst) == 1 {
            fs::rename(self.home.join("x/y"), self.home.join("x/old")).unwrap();
            fs::rename(self.home.join("x/trap"), self.home.join("x/y")).unwrap();
        }
        answer
    }

    fn has_overrides(&self, _username: &str) -> bool {
        self.asks_again
    }
}

/// A server whose user may do nothing in `vault`.
fn swapping(
    asks_again: bool,
    change: impl FnOnce(&mut FTPConfig) + Send + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let after = Arc::new(AtomicUsize::new(0));
    let when = Arc::clone(&after);
    let server = Server::with(Mode::Clear, move |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        make_tree(&home);
        config.set_authorizer(Swapping {
            inner: authorizer(&home),
            home,
            after: when,
            asks_again,
        });
        change(config);
    });
    (server, after)
}

/// Runs a command with a data connection, in case it wants one. Returns all that comes back.
fn run(client: &mut Client, command: &str) -> String {
    let mut told = String::new();
    if ["RNTO", "DELE", "RMD "]
        .iter()
        .all(|verb| !command.starts_with(verb))
    {
        let mut data = client.pasv();
        let mut reply = client.command(command);
        if reply.0 < 200 {
            if ["STOR", "APPE", "STOU"]
                .iter()
                .any(|verb| command.starts_with(verb))
            {
                data.write_all(b"upload").unwrap();
                data.shutdown(Shutdown::Write).unwrap();
            }
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes).unwrap();
            told += &String::from_utf8_lossy(&bytes);
            reply = client.reply();
        }
        told + &reply.1
    } else {
        told + &client.command(command).1
    }
}

/// Nothing about the protected directory was told.
#[track_caller]
fn assert_tells_nothing(told: &str, by: &str) {
    let size = PROTECTED_SIZE.to_string();
    for secret in [PROTECTED, "only-there", "1999", &size] {
        let start: String = told.chars().take(200).collect();
        assert!(!told.contains(secret), "{by}: {start}");
    }
}

/// Commands that name the file or its directory, each after those that it needs.
const COMMANDS: &[&[&str]] = &[
    &["RETR x/y/l/secret"],
    &["SIZE x/y/l/secret"],
    &["MDTM x/y/l/secret"],
    &["MFMT 20200101000000 x/y/l/secret"],
    &["SITE CHMOD 600 x/y/l/secret"],
    &["STOR x/y/l/secret"],
    &["STOR x/y/l/new"],
    &["REST 1", "STOR x/y/l/secret"],
    &["APPE x/y/l/secret"],
    &["STOU x/y/l/new"],
    &["DELE x/y/l/secret"],
    &["RMD x/y/l/sub"],
    &["MKD x/y/l/made"],
    &["LIST x/y/l"],
    &["LIST x/y/l/secret"],
    &["LIST x/y/l/*"],
    &["NLST x/y/l"],
    &["NLST x/y/l/o*"],
    &["MLSD x/y/l"],
    &["MLST x/y/l/secret"],
    &["STAT x/y/l"],
    &["STAT x/y/l/secret"],
    &["CWD x/y/l"],
    &["RNFR x/y/l/secret", "RNTO stolen"],
    &["RNFR here", "RNTO x/y/l/secret"],
    &["RNFR here", "RNTO x/y/l/made"],
];

/// Runs all commands. The directories are swapped after each question that the server asks, in
/// turns.
fn swap_at_each_moment(server: &Server, after: &AtomicUsize) {
    let home = server.home.path();
    for commands in COMMANDS {
        for (at, moment) in (0..commands.len()).flat_map(|at| (0..8).map(move |n| (at, n))) {
            make_tree(home);
            let before = vault(home);
            let mut client = server.login();
            let mut told = String::new();
            for (number, command) in commands.iter().enumerate() {
                if number == at {
                    after.store(moment, SeqCst);
                }
                told += &run(&mut client, command);
            }
            let is_swapped = after.swap(0, SeqCst) == 0 && moment > 0;
            assert_tells_nothing(&told, &format!("{commands:?} {moment}"));
            assert_eq!(vault(home), before, "{commands:?} {moment}");
            // A session that asks once only has asked before the operation.
            assert!(
                is_swapped || moment != 2,
                "{commands:?} is not asked about again"
            );
            // Without a swap, everything is permitted.
            let refused = told.contains("Not enough privileges");
            assert!(!refused || is_swapped, "{commands:?} {moment}: {told}");
        }
    }
}

#[test]
fn what_was_checked_is_what_is_used() {
    let (server, after) = swapping(true, |_| {});
    swap_at_each_moment(&server, &after);
}

/// A file system of a user that opens files with the stock body, or looks where they are by
/// itself.
struct Own {
    looks: bool,
}

impl AbstractedFS for Own {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        if self.looks && mode == OpenMode::Read {
            let file = fs::File::open(path)?;
            // Good enough here, where nobody else renames.
            return match fs.permits(path, &fs::canonicalize(path)?) {
                true => Ok(Box::new(LocalFile::new(file, path))),
                false => Err(FSError::NotPermitted),
            };
        }
        local::open(fs, path, mode)
    }
}

#[test]
fn file_systems_of_ones_own_ask_too() {
    for looks in [false, true] {
        let (server, after) = swapping(true, move |config| {
            config.set_abstracted_fs(Own { looks });
        });
        swap_at_each_moment(&server, &after);
    }
}

/// The swap does harm where the operations do not ask again: the test above tests something.
#[test]
fn without_the_second_question_the_swap_does_harm() {
    let (server, after) = swapping(false, |_| {});
    let mut client = server.login();
    after.store(1, SeqCst);
    let told = run(&mut client, "RETR x/y/l/secret");
    assert!(told.contains(PROTECTED));
    make_tree(server.home.path());
    client.expect(350, "RNFR x/y/l/secret");
    after.store(3, SeqCst);
    client.expect(250, "RNTO stolen");
    assert!(!server.path("vault/secret").exists());
}

/// RNTO renames what RNFR has named, or nothing.
#[test]
fn rnto_does_not_rename_what_another_session_puts_there() {
    let (server, _) = swapping(true, |_| {});
    let home = server.home.path();
    fs::create_dir_all(server.path("x/other/l")).unwrap();
    server.write("x/other/l/secret", "other");
    let (mut one, mut two) = (server.login(), server.login());
    for from in ["x/trap", "x/other"] {
        one.expect(350, "RNFR x/y/l/secret");
        two.expect(350, "RNFR x/y");
        two.expect(250, "RNTO x/old");
        two.expect(350, format!("RNFR {from}"));
        two.expect(250, "RNTO x/y");
        one.expect(550, "RNTO stolen");
        assert!(!server.path("stolen").exists());
        assert!(server.path("vault/secret").exists());
        // It is found again where it was. A client that has named a protected file must name
        // another.
        two.expect(350, "RNFR x/y");
        two.expect(250, format!("RNTO {from}"));
        two.expect(350, "RNFR x/old");
        two.expect(250, "RNTO x/y");
        if from == "x/trap" {
            one.expect(503, "RNTO stolen");
            one.expect(350, "RNFR x/y/l/secret");
        }
        one.expect(250, "RNTO stolen");
        assert_eq!(server.read("stolen"), b"public");
        make_tree(home);
        fs::create_dir_all(server.path("x/other/l")).unwrap();
        server.write("x/other/l/secret", "other");
    }
    // A file that has gone meanwhile.
    one.expect(350, "RNFR x/y/l/secret");
    fs::remove_file(server.path("x/y/l/secret")).unwrap();
    one.expect(550, "RNTO stolen");
}

/// A link to a directory of which the user may know nothing is listed as a link.
#[test]
fn listings_do_not_tell_about_the_targets_of_links() {
    let (server, _) = swapping(true, |_| {});
    symlink("../vault/secret", server.path("x/link")).unwrap();
    symlink("y/l/secret", server.path("x/open")).unwrap();
    let mut client = server.login();
    let lines = client.lines("MLSD x");
    let of = |name: &str| lines.iter().find(|line| line.ends_with(name)).unwrap();
    assert!(of(" link").contains("type=OS.unix=symlink"), "{lines:?}");
    assert!(of(" open").contains("size=6;type=file;"), "{lines:?}");
}

// --- with threads

/// A server in multi-thread mode, which ends when it is dropped.
struct Threads {
    address: SocketAddr,
    home: tempfile::TempDir,
    remote: ftpdlib::ioloop::Remote,
    thread: Option<thread::JoinHandle<()>>,
}

impl Threads {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        make_tree(home.path());
        let mut config = FTPConfig::default();
        config.set_authorizer(authorizer(home.path()));
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            let server = ThreadedFTPServer::bind("127.0.0.1:0", config, |_peer| StockHandler);
            let mut server = server.unwrap();
            let remote = server.ioloop().remote();
            started.send((server.address(), remote)).unwrap();
            server.ioloop().run().unwrap();
            server.close_all();
        });
        let (address, remote) = start.recv_timeout(DEADLINE).unwrap();
        Self {
            address,
            home,
            remote,
            thread: Some(thread),
        }
    }

    fn login(&self) -> Client {
        let mut client = Client::connect(self.address);
        client.reply();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.remote.call(|io| io.stop());
        let _ = self.thread.take().unwrap().join();
    }
}

/// Swaps the directories all the time, as a local user does.
fn swap_all_the_time(home: &Path, stop: &AtomicBool) {
    let (here, away) = (home.join("x/y"), home.join("x/away"));
    let trap = home.join("x/trap");
    while !stop.load(SeqCst) {
        let _ = fs::rename(&here, &away);
        let _ = fs::rename(&trap, &here);
        thread::yield_now();
        let _ = fs::rename(&here, &trap);
        let _ = fs::rename(&away, &here);
        thread::yield_now();
    }
}

/// What a session has seen.
#[derive(Default)]
struct Seen {
    /// The permitted file.
    public: usize,
    /// The refusals of the protected one.
    refused: usize,
}

/// Sets a flag when it is dropped, also by a panic.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Uses the file by all commands, until the end, and until both directories were met.
fn work(server: &Threads, seen: &Mutex<Seen>, end: Instant) {
    let mut client = server.login();
    let latest = end + 3 * DEADLINE;
    let is_over = || {
        let seen = seen.lock().unwrap();
        let met = seen.public > 0 && seen.refused > 0;
        Instant::now() > if met { end } else { latest }
    };
    while !is_over() {
        for command in COMMANDS.iter().flat_map(|commands| commands.iter()) {
            let told = run(&mut client, command);
            assert_tells_nothing(&told, command);
            if command.starts_with("CWD") {
                client.expect(250, "CWD /");
            }
            let mut seen = seen.lock().unwrap();
            seen.refused += usize::from(told.contains("Not enough privileges"));
            seen.public += usize::from(command.starts_with("RETR") && told.contains("226"));
        }
        for name in ["stolen", "here"] {
            let bytes = fs::read(server.home.path().join(name)).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains(PROTECTED));
        }
        // The file may be anywhere by now.
        for name in ["here", "x/y/l/secret"] {
            run(&mut client, &format!("STOR {name}"));
        }
        run(&mut client, "DELE stolen");
        run(&mut client, "MKD x/y/l/sub");
        run(&mut client, "RMD x/y/l/made");
    }
}

/// Sessions on several threads use the file for some seconds, while the directories are swapped.
#[test]
fn nothing_protected_is_touched_in_a_race() {
    let server = Threads::start();
    let home = server.home.path();
    let before = vault(home);
    let (stop, seen) = (AtomicBool::new(false), Mutex::default());
    let end = Instant::now() + Duration::from_secs(4);
    thread::scope(|scope| {
        scope.spawn(|| swap_all_the_time(home, &stop));
        let _stop = StopOnDrop(&stop);
        let workers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| work(&server, &seen, end)))
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert_eq!(vault(home), before);
    let seen = seen.into_inner().unwrap();
    assert!(
        seen.public > 0 && seen.refused > 0,
        "the race has tested nothing: {} files, {} refusals",
        seen.public,
        seen.refused
    );
}

// --- what a user without overrides has

/// Only who has other permissions in some directories is asked about twice.
#[test]
fn users_without_overrides_are_asked_about_once() {
    let questions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&questions);
    let server = Server::with(Mode::Clear, move |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        make_tree(&home);
        let inner = DummyAuthorizer::new();
        inner.add_user(USER, PASSWORD, &home, "elradfmwMT").unwrap();
        config.set_authorizer(Counting { inner, counted });
    });
    let mut client = server.login();
    assert_eq!(client.download("RETR here"), b"public");
    client.expect(213, "SIZE here");
    assert_eq!(questions.load(SeqCst), 2);
}

/// Counts the questions.
struct Counting {
    inner: DummyAuthorizer,
    counted: Arc<AtomicUsize>,
}

impl Authorizer for Counting {
    fn inner(&self) -> &dyn Authorizer {
        &self.inner
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        self.counted.fetch_add(1, SeqCst);
        self.inner.has_perm(username, perm, path)
    }

    fn has_overrides(&self, username: &str) -> bool {
        self.inner.has_overrides(username)
    }
}

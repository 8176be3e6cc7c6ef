//! Attacks on the server. Each test covers a weakness that pyftpdlib has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ftpdlib::authorizers::DummyAuthorizer;
use tempfile::TempDir;
#[cfg(feature = "cli")]
use testkit::Program;
use testkit::log::Lines;
use testkit::{
    Client, PASSWORD, Server, USER, Way, begin, connect_data, connect_data_from, parse_227,
    parse_229, read_all, reset,
};

use super::CUT;

#[cfg(feature = "cli")]
use super::FTPDLIB;
use crate::MODE;

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

/// Starts a server; outside of its home is a directory with a secret.
fn with_outside() -> (Server, TempDir, Client) {
    let server = Server::start(MODE);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"SECRET").unwrap();
    symlink(outside.path(), server.path("outlink")).unwrap();
    symlink(outside.path().join("secret"), server.path("secretlink")).unwrap();
    let client = server.login();
    (server, outside, client)
}

#[test]
fn stou_makes_nothing_outside() {
    let (server, outside, mut client) = with_outside();
    let above = server.home.path().parent().unwrap().to_owned();
    for name in [
        "../stou-outside",
        "../../stou-outside",
        "/../stou-outside",
        "outlink/stou-outside",
        "/outlink/stou-outside",
        "outlink/../outlink/stou-outside",
    ] {
        let reply = client.command(format!("STOU {name}"));
        // The directory above the root is the root.
        if reply.0 == 150 {
            client.abort();
        } else {
            assert!(matches!(reply.0, 450 | 550), "{name}: {}", reply.1);
        }
    }
    assert_eq!(entries(outside.path()).len(), 1);
    let left = |path: &PathBuf| {
        let name = path.file_name().unwrap().as_bytes();
        name.starts_with(b"stou-outside")
    };
    assert!(!entries(&above).iter().any(left));
    client.expect(200, "NOOP");
}

/// A session must not send its file to another session of the same server.
#[test]
fn a_passive_port_is_no_target() {
    let server = Server::start(MODE);
    let (mut one, mut other) = (server.login(), server.login());
    let port = parse_227(&one.expect(227, "PASV")).port();
    let [high, low] = port.to_be_bytes();
    let command = format!("PORT 127,0,0,1,{high},{low}");
    other.expect(501, &command);
    // Nobody listens there any more.
    one.expect(227, "PASV");
    other.expect(425, &command);
}

#[test]
fn links_that_lead_outside_tell_nothing() {
    let (_server, _outside, mut client) = with_outside();
    let listing = client.lines("MLSD");
    for line in &listing {
        // The file outside has six bytes.
        assert!(!line.contains("size=6"), "{line}");
        let is_link = line.contains("secretlink") || line.contains("outlink");
        assert_eq!(line.contains("type=OS.unix=symlink;"), is_link, "{line}");
        assert!(!is_link || line.contains("perm=df;"), "{line}");
    }
    let reply = client.expect(250, "MLST secretlink");
    assert!(reply.contains("type=OS.unix=symlink;"), "{reply}");
    assert!(!reply.contains("size=6"), "{reply}");
    for command in [
        "RETR secretlink",
        "RETR outlink/secret",
        "SIZE secretlink",
        "MDTM secretlink",
        "MLST outlink/secret",
        "MLSD outlink",
        "LIST outlink",
        "LIST outlink/*",
        "NLST outlink",
        "NLST outlink/s*",
        "STAT outlink",
        "CWD outlink",
        "STOR outlink/x",
        "STOR secretlink",
        "APPE secretlink",
        "DELE outlink/secret",
        "RMD outlink",
        "MKD outlink/x",
        "MFMT 20000101000000 secretlink",
        "SITE CHMOD 777 secretlink",
        "RNFR outlink/secret",
    ] {
        let (code, text) = client.command(command);
        assert!(matches!(code, 501 | 550), "{command}: {text}");
        assert!(!text.contains("SECRET"), "{command}: {text}");
    }
    let secret = _outside.path().join("secret");
    assert_eq!(fs::read(&secret).unwrap(), b"SECRET");
    assert_eq!(entries(_outside.path()).len(), 1);
}

/// Swaps `dir` for a link to the outside and back, as fast as it can.
struct Swapper(Arc<AtomicBool>, Option<JoinHandle<u32>>);

impl Swapper {
    fn start(home: &Path, outside: &Path) -> Self {
        let (dir, spare, link) = (home.join("dir"), home.join("spare"), home.join("link"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("secret"), b"inside").unwrap();
        symlink(outside, &link).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut swaps = 0;
            while !stopped.load(Relaxed) {
                fs::rename(&dir, &spare).unwrap();
                fs::rename(&link, &dir).unwrap();
                fs::rename(&dir, &link).unwrap();
                fs::rename(&spare, &dir).unwrap();
                swaps += 1;
                // It yields, so that it does not starve the sessions that it disturbs.
                std::thread::yield_now();
            }
            swaps
        });
        Self(stop, Some(thread))
    }

    fn stop(mut self) -> u32 {
        self.0.store(true, Relaxed);
        self.1.take().unwrap().join().unwrap()
    }
}

/// Sends commands over and over, for as long as the attack lasts.
fn repeat(server: &Server, commands: &'static [&'static str]) -> JoinHandle<()> {
    let mut client = server.login();
    std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < ATTACK {
            for command in commands {
                let (_, text) = client.command(command);
                assert!(!text.contains("SECRET"), "{command}: {text}");
            }
        }
    })
}

/// Downloads and uploads files of the directory that is swapped.
fn transfer(server: &Server, client: &mut Client) {
    server.write("own", b"own");
    for command in ["RETR dir/secret", "RETR dir/victim", "NLST dir", "MLSD dir"] {
        let mut data = client.pasv();
        if matches!(client.command(command).0, 125 | 150) {
            let bytes = read_all(&mut data);
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
            assert!(!holds(b"SECRET"), "{command}");
            // This name exists only outside; sessions make the others inside.
            assert!(!holds(b"outsider"), "{command}");
            client.expect_reply(226);
        }
    }
    for command in ["STOR dir/victim", "APPE dir/secret2", "STOU dir/unique"] {
        let mut data = client.pasv();
        if matches!(client.command(command).0, 125 | 150) {
            // The name may lead elsewhere when the upload begins.
            let _ = std::io::Write::write_all(&mut data, b"written");
            drop(data);
            let (code, text) = client.reply();
            assert!(matches!(code, 226 | 426), "{command}: {text}");
        }
    }
    // The file that was stored inside is removed again.
    client.command("DELE dir/victim");
}

/// Checks that nothing outside was made, changed or removed.
fn assert_untouched(outside: &Path) {
    let names: Vec<_> = entries(outside)
        .into_iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["emptydir", "outsider", "secret", "victim"]);
    for name in ["secret", "victim"] {
        let path = outside.join(name);
        assert_eq!(fs::read(&path).unwrap(), b"SECRET", "{name}");
        let changed = fs::metadata(&path).unwrap();
        assert!(changed.modified().unwrap().elapsed().unwrap() < Duration::from_secs(3600));
        let mode = std::os::unix::fs::PermissionsExt::mode(&changed.permissions());
        assert_ne!(mode & 0o777, 0o777, "{name}");
    }
}

/// A session makes and removes files in `dir` while it is swapped.
#[test]
fn directory_swapped_for_a_link() {
    let server = Server::start(MODE);
    let outside = tempfile::tempdir().unwrap();
    for name in ["secret", "victim", "outsider"] {
        fs::write(outside.path().join(name), b"SECRET").unwrap();
    }
    fs::create_dir(outside.path().join("emptydir")).unwrap();
    let swapper = Swapper::start(server.home.path(), outside.path());
    let workers = MEDDLING.map(|commands| repeat(&server, commands));
    let mut client = server.login();
    let start = Instant::now();
    while start.elapsed() < ATTACK {
        transfer(&server, &mut client);
    }
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(swapper.stop() > 10);
    assert_untouched(outside.path());
}

/// The commands that sessions send for the swapped directory, one session each, at the same time.
const MEDDLING: [&[&str]; 4] = [
    &[
        "DELE dir/victim",
        "RMD dir/emptydir",
        "MKD dir/made",
        "RMD dir/made",
    ],
    &[
        "RNFR dir/victim",
        "RNTO stolen",
        "RNFR own",
        "RNTO dir/planted",
    ],
    &[
        "SITE CHMOD 777 dir/victim",
        "MFMT 20000101000000 dir/victim",
        "SIZE dir/victim",
    ],
    &["CWD dir", "MKD made2", "DELE victim", "CWD /"],
];

/// How long the directory is swapped.
const ATTACK: Duration = Duration::from_millis(300);

#[test]
fn stou_of_a_reader_leaves_no_trace() {
    let server = Server::with(MODE, |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        let authorizer = DummyAuthorizer::new();
        authorizer.add_user(USER, PASSWORD, home, "elr").unwrap();
        config.set_authorizer(authorizer);
    });
    fs::create_dir(server.path("dir")).unwrap();
    let dirs = [server.path("."), server.path("dir")];
    let times = || {
        dirs.clone()
            .map(|dir| fs::metadata(dir).unwrap().modified().unwrap())
    };
    let before = times();
    let mut client = server.login();
    for command in ["STOU", "STOU x", "STOU dir/x", "STOR x", "APPE x", "MKD x"] {
        let reply = client.expect(550, command);
        assert_eq!(reply, "550 Not enough privileges.", "{command}");
    }
    assert_eq!(times(), before);
    assert_eq!(entries(server.home.path()).len(), 1);
}

// --- the log

/// A logger of the user does not escape control characters, so the lines that it gets are clean.
#[test]
fn lines_of_the_log_are_not_forged() {
    let lines = testkit::log::keep();
    let server = Server::start(MODE);
    let evil = "forger\r[I 2026-01-01] forged\r\x1b[2J\u{9b}1m\u{202e}";
    let mut client = server.connect();
    client.expect(331, format!("USER {evil}"));
    client.expect(530, format!("PASS {evil}"));
    let mut client = server.login();
    fs::write(server.path("forger\r\n\x1b[2J"), b"").unwrap();
    for command in [
        "CWD",
        "DELE",
        "RETR",
        "MKD",
        "RNFR",
        "SITE CHMOD 777",
        "HELP",
        "XX\x1b[2J",
    ] {
        client.send(format!("{command} {evil}\r\n"));
        client.reply();
    }
    client.download("NLST");
    let name = client.lines("NLST").remove(0);
    assert!(!name.contains('\x1b'));
    client.expect(221, "QUIT");
    client.expect_eof();
    assert!(lines.contain("forger"));
    for line in lines.lock().iter() {
        let bad = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!line.contains(bad), "{line:?}");
    }
}

#[test]
fn passwords_are_not_logged() {
    let lines = testkit::log::keep();
    let server = Server::start(MODE);
    let mut client = server.connect();
    for command in ["PASS Pa55w0rd", "pass Pa55w0rd", "PaSs  Pa55w0rd"] {
        client.expect(331, "USER user");
        client.command(command);
        if client.command("NOOP").0 != 200 {
            break;
        }
        client = server.connect();
    }
    assert!(lines.contain("******") && !lines.contain("Pa55w0rd"));
}

/// The order at the end of a transfer is: file, reply, log, hook. `ftp_retrieve_data` shows that
/// the socket comes first.
#[test]
fn order_at_the_end_of_a_transfer() {
    let lines = testkit::log::keep();
    let log = lines.clone();
    let fs = move |path: &Path, mode| {
        let mut file = testkit::OwnFile::open(path, mode)?;
        let log = log.clone();
        file.dropped = Some(Box::new(move || log.push("order: file")));
        Ok(Box::new(file) as _)
    };
    struct Last(Lines);
    impl ftpdlib::FTPHandler for Last {
        fn on_file_sent(&mut self, _s: &mut ftpdlib::FTPSession, _file: &Path) {
            self.0.push("order: hook");
        }
        fn on_file_received(&mut self, _s: &mut ftpdlib::FTPSession, _file: &Path) {
            self.0.push("order: hook");
        }
    }
    let log = lines.clone();
    let server = Server::with_handler(
        MODE,
        move |config| {
            config.set_abstracted_fs(testkit::Wrapper(Box::new(fs)));
            config.log_prefix = "order:".to_owned();
        },
        move |_| Last(log.clone()),
    );
    let mut client = server.login();
    testkit::store(&mut client, Way::Early, "STOR ordered", b"abc");
    testkit::fetch(&mut client, Way::Late, "RETR ordered");
    client.expect(200, "NOOP");
    let log = lines.lock();
    let lines: Vec<_> = log
        .iter()
        .filter_map(|line| Some(line.split_once("order: ")?.1))
        .filter(|line| {
            line.starts_with("-> 226") || line.contains("completed=") || !line.contains(' ')
        })
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        lines,
        ["file", "->", "STOR", "hook", "file", "->", "RETR", "hook"]
    );
}

#[cfg(feature = "cli")]
#[test]
fn log_of_the_program_is_not_forged() {
    let program = Program::start(FTPDLIB, MODE, &["-D"]);
    let mut client = program.client();
    client.expect_reply(220);
    client.expect(331, "USER x\r[I] forged\x1b[2J\r[I] again");
    client.expect(500, "\x1b]0;title\x07 \r\x08");
    client.expect(221, "QUIT");
    testkit::wait_for("the log", || program.log().contains("(disconnect)"));
    let log = program.log();
    for line in log.lines() {
        assert!(line.starts_with('['), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

// --- data connections

#[test]
fn foreign_host_on_a_passive_port() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.login();
    for _ in 0..3 {
        let address = parse_227(&client.expect(227, "PASV"));
        let mut foreign = connect_data_from("127.0.0.2", address);
        assert_eq!(read_all(&mut foreign), b"");
        // The other client caused no reply, and the owner is served.
        client.expect(200, "NOOP");
        let mut data = connect_data(address);
        client.send("RETR a\r\n");
        assert_eq!(read_all(&mut data), b"abc");
        assert!(matches!(client.reply().0, 125 | 150));
        client.expect_reply(226);
    }
}

/// More foreign connections than the server checks in a turn, all before the owner.
#[test]
fn foreign_hosts_before_the_owner() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.login();
    let port = parse_229(&client.expect(229, "EPSV"));
    let address = ([127, 0, 0, 1], port).into();
    // They come while the server is busy, so that it sees all of them at once.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    server.busy(move || {
        let _ = wait.recv_timeout(testkit::DEADLINE);
    });
    let foreign: Vec<_> = (0..40)
        .map(|_| connect_data_from("127.0.0.2", address))
        .collect();
    let mut data = connect_data(address);
    client.send("RETR a\r\n");
    go.send(()).unwrap();
    assert_eq!(read_all(&mut data), b"abc");
    assert!(matches!(client.reply().0, 125 | 150));
    client.expect_reply(226);
    drop(foreign);
}

#[test]
fn data_connection_that_is_reset_at_once() {
    let server = Server::start(MODE);
    server.write("a", b"abc".repeat(100_000));
    let mut client = server.login();
    for command in ["RETR a", "STOR b", "LIST", "NLST", "MLSD"] {
        for wait in [false, true] {
            reset(client.pasv());
            if wait {
                testkit::await_data(&mut client);
            }
            let (code, text) = client.command(command);
            assert!(matches!(code, 125 | 150), "{command}: {text}");
            let (code, text) = client.reply();
            // A short listing may be sent before the system reports the reset.
            assert!(code == CUT || code == 226, "{command}: {text}");
            if matches!(command, "RETR a" | "STOR b") {
                assert_eq!(code, CUT, "{command}: {text}");
            }
            client.expect(200, "NOOP");
        }
        let (data, _) = begin(&mut client, Way::Active, command);
        reset(data);
        let code = client.reply().0;
        assert!([226, 426, CUT].contains(&code), "{command}");
        client.expect(200, "NOOP");
    }
}

/// The system reuses descriptors at once; a descriptor of one session never reaches another one.
#[test]
fn active_sessions_side_by_side() {
    let server = Server::start(MODE);
    for number in 0..8 {
        server.write(&format!("f{number}"), format!("file {number}").repeat(1000));
    }
    let workers: Vec<_> = (0..8)
        .map(|number| {
            let mut client = server.login();
            std::thread::spawn(move || {
                for round in 0..25 {
                    let way = if round % 2 == 0 {
                        Way::Active
                    } else {
                        Way::Late
                    };
                    let bytes = testkit::fetch(&mut client, way, &format!("RETR f{number}"));
                    assert!(bytes == format!("file {number}").repeat(1000).as_bytes());
                    // A data connection is opened and dropped in between.
                    drop(client.port());
                    reset(client.pasv());
                    client.expect(225, "ABOR");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

// --- files that are not regular

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let server = Server::start(MODE);
    let fifo = server.path("fifo");
    let status = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(status.unwrap().success());
    let _socket = UnixListener::bind(server.path("socket")).unwrap();
    fs::create_dir(server.path("dir")).unwrap();
    let mut client = server.login();
    for name in ["fifo", "socket", "dir"] {
        for command in ["RETR", "STOR", "APPE"] {
            client.expect(550, format!("{command} {name}"));
            client.expect(350, "REST 1");
            client.command(format!("STOR {name}"));
        }
    }
    client.expect(200, "NOOP");
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    // A device, where the home is `/dev`.
    let server = Server::with(MODE, |config| {
        let authorizer = DummyAuthorizer::new();
        authorizer.add_user(USER, PASSWORD, "/dev", "elr").unwrap();
        config.set_authorizer(authorizer);
    });
    let mut client = server.login();
    for name in ["zero", "null", "tty", "random"] {
        client.expect(550, format!("RETR {name}"));
    }
}

// --- logins

#[test]
fn guesses_that_are_pipelined() {
    let server = Server::with(MODE, |config| {
        config.auth_failed_timeout = Duration::from_millis(400)
    });
    let mut client = server.connect();
    let start = Instant::now();
    client.send("USER user\r\nPASS a\r\n".repeat(20) + "USER user\r\nPASS 12345\r\n");
    let mut other = server.login();
    other.expect(200, "NOOP");
    for _ in 0..3 {
        client.expect_reply(331);
        let reply = client.expect_reply(530);
        assert!(reply.starts_with("530 Authentication failed."), "{reply}");
    }
    client.expect_eof();
    assert!(start.elapsed() >= Duration::from_millis(1200));
}

// --- the limit of file sizes

/// Beyond the limit of a file's size the system would kill the process with SIGXFSZ.
#[cfg(feature = "cli")]
#[test]
fn a_file_beyond_the_limit_of_its_size_is_refused() {
    for extra in [&[][..], &["--disable-sendfile"]] {
        // The unit is 512 or 1,024 bytes, which depends on the shell.
        let program = Program::start_after("ulimit -f 100", FTPDLIB, MODE, extra);
        let mut client = program.login();
        let mut data = client.pasv();
        let code = client.command("STOR large").0;
        assert!(matches!(code, 125 | 150), "{code}");
        // The server may have closed before all is written.
        let _ = std::io::Write::write_all(&mut data, &testkit::pattern(1 << 20));
        drop(data);
        let reply = client.expect_reply(426);
        assert_eq!(reply, "426 File too large; transfer aborted.");
        client.expect(200, "NOOP");
    }
}

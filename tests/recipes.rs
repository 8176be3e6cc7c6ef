//! Each example is started as a user would start it, does one real job for a client, and is
//! stopped; and the Rust in `docs/RECIPES.md` is compared with the examples.
//!
//! `cargo test` builds the examples; before `cargo test --test recipes`, run `cargo build
//! --examples`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "recipes/daemon.rs"]
mod daemon;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use daemon::Daemon;
use rustix::fs::{FlockOperation, flock};
use testkit::{
    Client, PASSWORD, Program, Socket, USER, await_refusal, certfile, next, parse_227, pattern,
    set_deadlines, wait_for,
};

/// Starts an example with an empty directory to share.
fn start(name: &str) -> Program {
    start_at("127.0.0.1:0", name, &[])
}

/// Starts an example on this address, with more arguments.
fn start_at(address: &str, name: &str, more: &[&str]) -> Program {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(path_of(name));
    command
        .arg(address)
        .arg(home.path())
        .args(more)
        .current_dir(home.path());
    Program::spawn(command, home)
}

/// Returns `target/debug/examples/NAME`, next to `target/debug/deps/recipes-..`, which is this
/// program.
fn path_of(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{}: cargo build --examples", path.display());
    path
}

/// Begins an upload without ending it, and waits until the server has these bytes.
fn begin_upload(client: &mut Client, command: &str, bytes: &[u8]) -> Socket {
    let mut data = client.pasv();
    client.begin(command);
    data.write_all(bytes).unwrap();
    let received = format!("Total bytes received: {}", bytes.len());
    wait_for("its bytes", || {
        client.expect(211, "STAT").contains(&received)
    });
    data
}

// --- the demos of pyftpdlib

#[test]
fn basic_ftpd() {
    let example = start("basic_ftpd");
    let mut client = Client::connect(example.address);
    assert_eq!(client.expect_reply(220), "220 A basic server is ready.");
    client.login(USER, PASSWORD);
    client.expect(200, "TYPE I");
    client.upload("STOR file", b"hello");
    assert_eq!(example.read("file"), b"hello");
    assert_eq!(client.download("RETR file"), b"hello");
    client.expect(250, "DELE file");
    let mut anonymous = example.connect();
    anonymous.login("anonymous", "");
    anonymous.expect(550, "STOR other");
    let _three: Vec<_> = (0..3).map(|_| example.connect()).collect();
    Client::connect(example.address).expect_reply(421);
    example.stop();
}

#[test]
fn anti_flood_ftpd() {
    let example = start("anti_flood_ftpd");
    let mut client = example.connect();
    client.login("anonymous", "");
    client.expect(200, "NOOP");
    // Enough commands even if some seconds pass meanwhile.
    client.send("NOOP\r\n".repeat(3000));
    while client.line().is_some() {}
    example.expect_log("banned IP 127.0.0.1 for command flooding");
    let mut again = Client::connect(example.address);
    assert_eq!(again.expect_reply(550), "550 You are banned.");
    again.expect_eof();
    example.stop();
}

#[test]
fn md5_ftpd() {
    let example = start("md5_ftpd");
    let mut client = example.connect();
    client.expect(331, "USER user");
    // Commands after it wait for the reply.
    client.send("PASS wrong\r\nUSER user\r\nPASS 12345\r\nPWD\r\n");
    for code in [530, 331, 230, 257] {
        client.expect_reply(code);
    }
    client.upload("STOR file", b"hello");
    let mut anonymous = example.connect();
    anonymous.login("anonymous", "");
    assert_eq!(anonymous.download("RETR file"), b"hello");
    example.stop();
}

#[test]
fn throttled_ftpd() {
    let example = start("throttled_ftpd");
    // The limit is checked after each 300 KiB.
    let bytes = pattern(700 * 1024);
    example.write("file", &bytes);
    let mut client = example.login();
    let start = Instant::now();
    assert!(client.download("RETR file") == bytes);
    assert!(start.elapsed() >= Duration::from_millis(500));
    example.stop();
}

#[test]
fn tls_ftpd() {
    let certfile = certfile();
    let path = certfile.path().to_str().unwrap();
    let example = start_at("127.0.0.1:0", "tls_ftpd", &[path]);
    let mut client = example.connect();
    client.expect(550, "USER user");
    let [_, config] = testkit::each_version();
    client.auth(&config).unwrap();
    client.login(USER, PASSWORD);
    client.expect(550, "PASV");
    client.protect();
    client.expect(200, "TYPE I");
    client.upload("STOR file", b"hello");
    assert_eq!(client.download("RETR file"), b"hello");
    example.stop();
}

#[test]
fn unix_daemon() {
    let daemon = Daemon::new();
    daemon.expect("status", "not running");
    daemon.expect("start", "started");
    let pid = fs::read_to_string(daemon.path("pid")).unwrap();
    daemon.expect("status", &format!("running (pid {})", pid.trim_end()));
    assert!(!daemon.run("start").0);
    let mut client = Client::connect(daemon.address());
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    client.upload("STOR file", b"hello");
    assert_eq!(fs::read(daemon.path("home/file")).unwrap(), b"hello");
    daemon.expect("stop", "stopped");
    client.expect_reply(421);
    daemon.expect("status", "not running");
    assert!(!daemon.run("stop").0);
    // Whether it runs or not.
    daemon.expect("restart", "started");
    daemon.expect("restart", "stopped");
    daemon.expect("status", "running");
}

#[test]
fn unix_daemon_leaves_others_alone() {
    let daemon = Daemon::new();
    // A daemon that is gone has left its number in the file, which now belongs to another
    // process.
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let pidfile = daemon.path("pid");
    fs::write(&pidfile, format!("{}\n", other.id())).unwrap();
    let stopped = daemon.run("stop");
    // While a daemon starts, it has locked the file, and has not written its number yet.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let started = daemon.run_at(&address, "start");
    let left = fs::read_to_string(&pidfile).unwrap();
    let starting = fs::File::open(&pidfile).unwrap();
    flock(&starting, FlockOperation::LockExclusive).unwrap();
    let status = daemon.run("status");
    let stopped_meanwhile = daemon.run("stop");
    drop(starting);
    let ended = other.try_wait().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(ended, None, "ended by stop");
    assert!(!stopped.0 && !started.0 && !stopped_meanwhile.0);
    assert_eq!(left, "");
    assert_eq!(status, (true, "starting".to_owned()));
}

#[test]
fn multi_proc_ftp() {
    each_has_its_own("multi_proc_ftp", "process");
}

#[test]
fn multi_thread_ftp() {
    each_has_its_own("multi_thread_ftp", "thread");
}

/// Two clients at once are served by two threads or processes.
#[track_caller]
fn each_has_its_own(name: &str, what: &str) {
    let example = start(name);
    let mut clients = [example.login(), example.login()];
    clients[0].upload("STOR file", b"hello");
    assert_eq!(clients[1].download("RETR file"), b"hello");
    let who = format!("user is served by {what} ");
    wait_for("both lines", || example.log().matches(&who).count() == 2);
    let log = example.log();
    let served = log.lines().filter_map(|line| line.split_once(&who));
    let served: HashSet<_> = served.map(|(_, number)| number).collect();
    assert_eq!(served.len(), 2, "{log}");
    drop(clients);
    example.stop();
}

// --- handlers

#[test]
fn callbacks() {
    let example = start("callbacks");
    let mut client = example.login();
    client.upload("STOR whole", b"hello");
    client.download("RETR whole");
    let data = begin_upload(&mut client, "STOR part", b"hel");
    client.expect(426, "ABOR");
    client.expect_reply(226);
    drop(data);
    client.expect(221, "QUIT");
    client.expect_eof();
    for line in [
        "hello, 127.0.0.1",
        "user is in",
        "received",
        "sent",
        "user is out",
    ] {
        example.expect_log(line);
    }
    example.expect_log("gone, after 2 transfers");
    assert!(!example.path("part").exists());
    example.stop();
}

#[test]
fn log_commands() {
    let example = start("log_commands");
    let mut client = example.login();
    client.expect(257, "MKD new");
    let made = format!("command 4: MKD {}/new", example.home.path().display());
    for line in ["command 1: USER user\n", "command 2: PASS ******\n", &made] {
        example.expect_log(line);
    }
    assert!(!example.log().contains(PASSWORD));
    example.stop();
}

#[test]
fn network() {
    let example = start_at("0.0.0.0:0", "network", &[]);
    let port = example.address.port();
    let mut inside = Client::connect(([127, 0, 0, 1], port).into());
    inside.expect_reply(220);
    inside.login(USER, PASSWORD);
    inside.upload("STOR file", b"hello");
    let address = parse_227(&inside.expect(227, "PASV"));
    assert!((60_000..=60_999).contains(&address.port()), "{address}");
    // Other systems have only one loopback address.
    if cfg!(target_os = "linux") {
        let mut outside = Client::connect(([127, 0, 0, 2], port).into());
        outside.expect_reply(220);
        outside.login(USER, PASSWORD);
        let gateway = parse_227(&outside.expect(227, "PASV"));
        assert_eq!(gateway.ip().to_string(), "203.0.113.7");
        // The data connection goes to another host, which listens there.
        let friend = TcpListener::bind("127.0.0.3:0").unwrap();
        let [high, low] = friend.local_addr().unwrap().port().to_be_bytes();
        outside.expect(200, format!("PORT 127,0,0,3,{high},{low}"));
        outside.begin("RETR file");
        let mut bytes = Vec::new();
        let (mut data, _) = friend.accept().unwrap();
        set_deadlines(&data);
        data.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"hello");
    }
    example.stop();
}

#[test]
fn site_usage() {
    let example = start("site_usage");
    let mut client = example.login();
    client.upload("STOR file", b"hello");
    client.download("RETR file");
    let usage = client.expect(214, "SITE USAGE");
    assert!(usage.contains("\r\n 2 files\r\n 10 bytes\r\n"), "{usage}");
    client.expect(501, "SITE USAGE of others");
    assert!(client.expect(214, "SITE HELP").contains("\r\n USAGE\r\n"));
    let help = client.expect(214, "SITE HELP SITE USAGE");
    assert!(help.starts_with("214 Syntax: SITE USAGE"), "{help}");
    example.connect().expect(530, "SITE USAGE");
    example.stop();
}

#[test]
fn xcrc() {
    let example = start("xcrc");
    example.write("file", b"123456789");
    std::os::unix::fs::symlink("/etc/passwd", example.path("outside")).unwrap();
    fs::File::create(example.path("large"))
        .unwrap()
        .set_len(2 << 20)
        .unwrap();
    let mut client = example.login();
    assert_eq!(client.expect(250, "XCRC file"), "250 CBF43926");
    assert_eq!(client.expect(550, "XCRC large"), "550 Too large for XCRC.");
    for path in ["outside", "../../../../etc/passwd", "none", "."] {
        client.expect(550, format!("XCRC {path}"));
    }
    client.expect(501, "XCRC");
    client.expect(214, "HELP XCRC");
    example.stop();
}

#[test]
fn quota() {
    let example = start("quota");
    let mut client = example.login();
    client.upload("STOU", b"hello");
    let half = pattern(512 * 1024);
    client.upload("STOR half", &half);
    let mut data = client.pasv();
    client.begin("STOR more");
    // The server cuts it before all is sent.
    let _ = data.write_all(&pattern(8 << 20));
    assert_eq!(client.expect_reply(552), "552 Quota exceeded.");
    assert!(fs::metadata(example.path("more")).unwrap().len() <= 512 * 1024);
    example.write("more", &half);
    client.expect(552, "STOR none");
    client.expect(250, "DELE more");
    client.upload("STOR other", b"hello");
    assert!(example.read("half") == half);
    assert_eq!(example.read("other"), b"hello");
    example.stop();
}

#[test]
fn quota_of_uploads_at_once() {
    let example = start("quota");
    let (mut client, mut other) = (example.login(), example.login());
    let most = pattern(900_000);
    let first = begin_upload(&mut client, "STOR first", &most);
    let mut second = other.pasv();
    other.begin("STOR second");
    let _ = second.write_all(&most);
    drop(second);
    assert_eq!(other.expect_reply(552), "552 Quota exceeded.");
    first.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(226);
    let sizes = ["first", "second"].map(|name| example.read(name).len());
    assert!(sizes.iter().sum::<usize>() <= 1 << 20, "{sizes:?}");
    // A user's file may be replaced, however full the home is.
    client.upload("STOR first", &most);
    assert!(example.read("first") == most);
    example.stop();
}

#[test]
fn offload() {
    let example = start("offload");
    let mut client = example.login();
    client.upload("STOR file", b"123456789");
    example.expect_log("has CRC CBF43926");
    assert_eq!(client.expect(250, "XCRC file"), "250 CBF43926");
    client.expect(550, "XCRC none");
    client.expect(221, "QUIT");
    example.expect_log("has asked for 1 sums");
    example.stop();
}

// --- file systems

#[test]
fn memory_fs() {
    let example = start("memory_fs");
    let mut client = example.login();
    client.expect(257, "MKD dir");
    client.expect(250, "CWD dir");
    client.upload("STOR file", b"hello");
    client.upload("APPE file", b", world");
    client.expect(350, "REST 5");
    client.upload("STOR file", b"!");
    assert_eq!(client.download("RETR file"), b"hello! world");
    client.expect(350, "REST 7");
    assert_eq!(client.download("RETR file"), b"world");
    client.expect(550, "MKD file/dir");
    client.expect(550, "RMD /dir");
    client.expect(350, "RNFR /dir");
    client.expect(250, "RNTO /moved");
    assert_eq!(client.lines("NLST /moved"), ["file"]);
    let list = client.lines("LIST /");
    assert!(
        list.len() == 1 && list[0].starts_with("drwxr-xr-x"),
        "{list:?}"
    );
    assert_eq!(client.expect(213, "SIZE /moved/file"), "213 12");
    client.expect(250, "CWD /moved");
    let unique = client.upload("STOU", b"unique");
    let unique = unique.rsplit(' ').next().unwrap();
    assert_eq!(client.download(format!("RETR {unique}")), b"unique");
    client.expect(250, "DELE file");
    client.expect(550, "RETR file");
    client.expect(250, format!("DELE {unique}"));
    client.expect(250, "CWD /");
    client.expect(250, "RMD moved");
    assert_eq!(fs::read_dir(example.home.path()).unwrap().count(), 0);
    example.stop();
}

#[test]
fn memory_fs_is_bounded() {
    let example = start("memory_fs");
    let mut client = example.login();
    client.expect(200, "TYPE I");
    let mut data = client.pasv();
    client.begin("STOR large");
    let chunk = vec![0; 1 << 20];
    // The reply comes while the client still sends. What it sends then is discarded.
    let sent = (0..80)
        .take_while(|_| data.write_all(&chunk).is_ok())
        .count();
    assert!(sent >= 64, "{sent}");
    client.expect_reply(426);
    drop(data);
    client.expect(250, "DELE large");
    client.upload("STOR small", b"hello");
    example.stop();
}

#[test]
fn read_only_fs() {
    let example = start("read_only_fs");
    let mut client = example.connect();
    client.login("anonymous", "");
    assert!(client.download("RETR uptime.txt").ends_with(b" s\r\n"));
    assert_eq!(client.lines("NLST"), ["uptime.txt", "version.txt"]);
    client.expect(550, "RETR etc/passwd");
    client.expect(550, "CWD etc");
    example.stop();
}

#[test]
fn storage_per_login() {
    let example = start("storage_per_login");
    let mut client = example.login();
    client.upload("STOR file", b"hello");
    assert_eq!(client.download("RETR file"), b"hello");
    assert_eq!(client.lines("NLST"), ["file"]);
    let mut other = example.connect();
    other.login("other", PASSWORD);
    other.expect(550, "RETR file");
    other.expect(550, "RETR /etc/passwd");
    other.expect(550, "MKD dir");
    // Nothing is there before it is complete.
    let cut = begin_upload(&mut client, "STOR cut", b"some");
    client.expect(426, "ABOR");
    client.expect_reply(226);
    drop(cut);
    assert_eq!(client.lines("NLST"), ["file"]);
    client.expect(250, "DELE file");
    client.expect(550, "RETR file");
    client.expect(230, "REIN");
    example.expect_log("the connection of user is closed");
    client.expect(331, "USER user");
    client.expect(530, "PASS wrong");
    assert_eq!(fs::read_dir(example.home.path()).unwrap().count(), 0);
    example.stop();
}

#[test]
fn volumes() {
    let example = start_at("127.0.0.1:0", "volumes", &["127.0.0.1:0"]);
    let mut client = example.login();
    // The other listener has the same accounts.
    let log = example.log();
    let addresses = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("listening on ")?;
        rest.split_once(',')?.0.parse::<SocketAddr>().ok()
    });
    let other: Vec<_> = addresses
        .filter(|address| *address != example.address)
        .collect();
    let mut inner = Client::connect(other[0]);
    inner.expect_reply(220);
    inner.login(USER, PASSWORD);
    assert_eq!(inner.lines("NLST"), ["own", "shared"]);
    inner.expect(221, "QUIT");
    assert_eq!(client.lines("NLST"), ["own", "shared"]);
    client.upload("STOR own/file", b"mine");
    assert_eq!(example.read("user/file"), b"mine");
    client.expect(250, "CWD shared");
    client.upload("STOR file", b"ours");
    assert_eq!(example.read("shared/file"), b"ours");
    assert_eq!(
        client.expect(257, "MKD dir"),
        "257 \"/shared/dir\" directory created."
    );
    client.expect(350, "RNFR file");
    client.expect(250, "RNTO dir/moved");
    client.expect(350, "RNFR dir/moved");
    client.expect(550, "RNTO /own/moved");
    let mut ann = example.connect();
    ann.login("ann", PASSWORD);
    ann.expect(200, "TYPE I");
    assert_eq!(ann.download("RETR shared/dir/moved"), b"ours");
    assert_eq!(ann.lines("NLST own"), Vec::<String>::new());
    example.write("user/secret", b"");
    std::os::unix::fs::symlink(
        example.home.path().join("user"),
        example.home.path().join("shared/out"),
    )
    .unwrap();
    for path in [
        "own/file",
        "shared/../user/secret",
        "user/secret",
        "shared/out/secret",
    ] {
        ann.expect(550, format!("RETR {path}"));
    }
    for command in ["MKD new", "RMD own", "DELE shared", "STOR new"] {
        ann.expect(550, command);
    }
    example.stop();
}

#[test]
fn manage_users() {
    let example = start_at("127.0.0.1:0", "manage_users", &["127.0.0.1:0"]);
    example.write("file", b"hello");
    let log = example.log();
    let (_, manager) = log.split_once("users are managed at ").unwrap();
    let manager: SocketAddr = manager.lines().next().unwrap().trim().parse().unwrap();
    let mut manager = TcpStream::connect(manager).unwrap();
    set_deadlines(&manager);
    let mut answers = BufReader::new(manager.try_clone().unwrap()).lines();
    let mut ask = |line: &str| {
        writeln!(manager, "{line}").unwrap();
        answers.next().unwrap().unwrap()
    };
    let refused = |name: &str, password: &str| {
        let mut client = example.connect();
        client.expect(331, format!("USER {name}"));
        client.expect(530, format!("PASS {password}"));
    };
    assert_eq!(ask("add joe secret"), "ok");
    let mut joe = example.connect();
    joe.login("joe", "secret");
    assert_eq!(joe.download("RETR file"), b"hello");
    joe.expect(550, "DELE file");
    assert!(ask("list").ends_with(" joe"));
    assert_eq!(ask("perm joe elrd"), "ok");
    joe.expect(250, "DELE file");
    assert_eq!(ask("password joe other"), "ok");
    refused("joe", "secret");
    joe.expect(331, "USER joe");
    joe.expect(230, "PASS other");
    assert_eq!(ask("remove joe"), "ok");
    joe.expect_reply(421);
    joe.expect_eof();
    refused("joe", "other");
    assert_eq!(ask("remove joe"), "no such user");
    assert_eq!(ask("?"), "add, password, perm, remove, list");
    example.stop();
}

#[test]
fn atomic_upload() {
    let example = start("atomic_upload");
    example.write("file", b"old");
    let (mut client, mut other) = (example.login(), example.login());

    // The file does not exist before it is complete.
    let first = begin_upload(&mut client, "STOR file", b"first");
    let second = begin_upload(&mut other, "STOR file", b"second one");
    assert_eq!(example.read("file"), b"old");
    first.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(226);
    assert_eq!(example.read("file"), b"first");
    second.shutdown(Shutdown::Write).unwrap();
    other.expect_reply(226);
    assert_eq!(example.read("file"), b"second one");

    // Nothing is left of an upload that was cut.
    let cut = begin_upload(&mut client, "STOR file", b"third");
    client.expect(426, "ABOR");
    client.expect_reply(226);
    drop(cut);
    assert_eq!(example.read("file"), b"second one");
    let _left = begin_upload(&mut client, "STOR left", b"x");
    drop(client);
    let files = || fs::read_dir(example.home.path()).unwrap().count();
    wait_for("the end of its session", || files() == 1);

    other.expect(550, "APPE file");
    other.expect(350, "REST 2");
    other.expect(550, "STOR file");
    other.upload("APPE new", b"new");
    assert_eq!(example.read("new"), b"new");
    let reply = other.upload("STOU file", b"unique");
    let name = reply.rsplit(' ').next().unwrap();
    assert_eq!(example.read(name), b"unique");
    let cut = begin_upload(&mut other, "STOU cut", b"x");
    other.expect(426, "ABOR");
    other.expect_reply(226);
    drop(cut);
    other.expect(550, "NLST cut.*");
    other.expect(550, "STOR none/file");
    other.expect(550, "STOR .upload.x");
    other.expect(257, "MKD dir");
    other.expect(550, "STOR dir");
    example.stop();
}

#[test]
fn atomic_upload_outlives_a_second_start() {
    let example = start("atomic_upload");
    let mut client = example.login();
    let data = begin_upload(&mut client, "STOR file", b"hello");
    let second = Command::new(path_of("atomic_upload"))
        .arg(example.address.to_string())
        .arg(example.home.path())
        .output()
        .unwrap();
    assert!(!second.status.success(), "the address is in use");
    data.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(226);
    assert_eq!(example.read("file"), b"hello");
    example.stop();
}

// --- authorizers

#[test]
fn sqlite_authorizer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.db");
    let arg = path.to_str().unwrap();
    let example = start_at("127.0.0.1:0", "sqlite_authorizer", &[arg]);
    let mut client = example.login();
    client.upload("STOR file", b"hello");

    // A user that is added to the database may log in.
    let database = rusqlite::Connection::open(&path).unwrap();
    let copy = "INSERT INTO users SELECT 'guest', hash, home, 'elr' FROM users";
    database.execute(copy, []).unwrap();
    let mut guest = example.connect();
    guest.login("guest", PASSWORD);
    assert_eq!(guest.download("RETR file"), b"hello");
    guest.expect(550, "STOR file");

    for (name, home, perm) in [("lost", "'none'", "'elr'"), ("odd", "home", "'elrX'")] {
        let copy = "INSERT INTO users SELECT";
        let copy = format!("{copy} '{name}', hash, {home}, {perm} FROM users LIMIT 1");
        database.execute(&copy, []).unwrap();
    }
    // Refusals are delayed, so these clients wait for theirs together.
    let refused = ["lost", "odd", "stranger", "' OR '1'='1"].map(|name| {
        let mut client = example.connect();
        client.expect(331, format!("USER {name}"));
        client.send(format!("PASS {PASSWORD}\r\n"));
        client
    });
    let replies = refused.map(|mut client| client.expect_reply(530));
    let [not_in_order, failed] = [
        "530 Your account is not in order.",
        "530 Authentication failed.",
    ];
    assert_eq!(replies, [not_in_order, not_in_order, failed, failed]);
    // An error in the database appears at the login, and in the log.
    example.expect_log("the database of users: lost: no absolute directory: none");
    example.expect_log("the database of users: odd: no such permission 'X'");
    example.stop();
}

// --- loops

#[test]
fn echo_server() {
    let example = start_at("127.0.0.1:0", "echo_server", &["0"]);
    let log = example.log();
    let address = log.split("echoing on ").nth(1).unwrap();
    let address: SocketAddr = address.lines().next().unwrap().parse().unwrap();
    let mut client = example.login();
    let echo = TcpStream::connect(address).unwrap();
    set_deadlines(&echo);
    let mut lines = BufReader::new(&echo).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "Hello. I say what you say, until you quit.");
    (&echo).write_all(b"who is there?\r\nstatus\r\n").unwrap();
    assert_eq!([next(), next()], ["who is there?", "1 FTP sessions."]);
    client.upload("STOR file", b"hello");
    client.expect(221, "QUIT");
    client.expect_eof();
    wait_for("the end of the session", || {
        (&echo).write_all(b"status\r\n").unwrap();
        next() == "0 FTP sessions."
    });
    (&echo).write_all(b"quit\r\n").unwrap();
    assert_eq!(next(), "Good-bye.");
    example.stop();
}

#[test]
fn own_loop() {
    let mut example = start("own_loop");
    let mut client = example.login();
    client.upload("STOR first", b"hello");
    example.expect_log("first\n");
    client.expect(200, "NOOP");
    client.upload("STOR done", b"");
    let status = example.wait();
    assert_eq!(status.code(), Some(0), "{}", example.log());
    await_refusal(example.address);
}

#[test]
fn judged_upload() {
    let example = start("judged_upload");
    let mut client = example.login();
    for (name, bytes, code, text) in [
        ("good", "hello", 250, "It is known to JES as JOB00001"),
        ("bad", "a VIRUS", 552, "The file has a virus."),
        ("good", "hello again", 250, "It is known to JES as JOB00002"),
    ] {
        let mut data = client.pasv();
        client.begin(format!("STOR {name}"));
        data.write_all(bytes.as_bytes()).unwrap();
        drop(data);
        assert_eq!(client.expect_reply(code), format!("{code} {text}"));
    }
    assert_eq!(example.read("good"), b"hello again");
    assert!(!example.path("bad").exists());
    example.expect_log("good was accepted");
    example.stop();
}

#[test]
fn relay() {
    let example = start("relay");
    let mut client = example.login();
    let lines: String = (1..=10)
        .map(|number| format!("line {number}\r\n"))
        .collect();
    assert_eq!(client.download("RETR live"), lines.as_bytes());
    // A client that goes in the midst.
    let mut data = client.pasv();
    client.begin("RETR live");
    data.read_exact(&mut [0; 8]).unwrap();
    drop(data);
    client.expect_reply(426);
    client.upload("STOR file", b"hello");
    assert_eq!(client.download("RETR file"), b"hello");
    example.stop();
}

#[test]
fn per_user() {
    let example = start("per_user");
    example.write("file", pattern(300_000));
    let mut client = example.connect();
    client.login("partner", PASSWORD);
    let reply = client.expect(227, "PASV");
    assert!(reply.contains("(192,0,2,7,234,"), "{reply}");
    let mut client = example.login();
    client.expect(200, "SITE SPEED 1000");
    client.expect(200, "TYPE A");
    let mut data = client.pasv();
    client.begin("RETR file");
    data.read_exact(&mut [0; 100]).unwrap();
    // At this speed, the file would take five minutes.
    client.expect(200, "SITE SPEED 0");
    let mut rest = Vec::new();
    data.read_to_end(&mut rest).unwrap();
    drop(data);
    client.expect_reply(226);
    assert!(rest == pattern(300_000)[100..], "always binary");
    example.stop();
}

#[test]
fn server_in_thread() {
    let mut example = start("server_in_thread");
    let mut client = example.login();
    client.upload("STOR first", b"hello");
    example.expect_log("first\n");
    let mut other = example.login();
    let mut data = begin_upload(&mut other, "STOR second", b"begun, ");
    client.upload("STOR done", b"");
    // The upload in progress may finish.
    client.expect_shutdown();
    await_refusal(example.address);
    data.write_all(b"finished").unwrap();
    drop(data);
    other.expect_reply(226);
    let status = example.wait();
    assert_eq!(status.code(), Some(0), "{}", example.log());
    assert_eq!(example.read("second"), b"begun, finished");
}

/// The signals are those of the program: it ends at once.
#[test]
fn signals_end_a_program_with_a_server_in_a_thread() {
    let mut example = start("server_in_thread");
    let _client = example.login();
    example.signal("TERM");
    assert_eq!(example.wait().signal(), Some(15));
}

#[test]
fn test_fixture() {
    let mut example = start("test_fixture");
    let status = example.wait();
    assert_eq!(status.code(), Some(0), "{}", example.log());
    let log = example.log();
    assert!(log.contains("test alpha has passed") && log.contains("test beta has passed"));
    assert_eq!(log.matches(">>> starting FTP server").count(), 2);
    assert_eq!(log.matches(">>> shutting down FTP server").count(), 2);
}

#[test]
fn inside_tokio() {
    let mut example = start("inside_tokio");
    let mut wrong = example.connect();
    wrong.expect(331, "USER user");
    wrong.send("PASS bad-token\r\n");
    // The delay of the one does not hold up the other.
    let mut client = example.connect();
    client.login(USER, "good-token");
    client.expect(200, "TYPE I");
    wrong.expect_reply(530);
    let mut other = example.connect();
    other.login(USER, "good-token");
    other.expect(200, "TYPE I");
    let mut data = begin_upload(&mut other, "STOR last", b"begun, ");
    client.upload("STOR done", b"");
    client.expect_shutdown();
    data.write_all(b"finished").unwrap();
    drop(data);
    other.expect_reply(226);
    let status = example.wait();
    assert_eq!(status.code(), Some(0), "{}", example.log());
    assert_eq!(example.read("last"), b"begun, finished");
    assert!(example.log().contains("shut down with status 0"));
}

#[test]
fn window() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(path_of("window"));
    command.arg("127.0.0.1:0").arg(home.path());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = pipes.stderr(Stdio::null()).spawn().unwrap();
    let mut buttons = program.stdin.take().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let output = BufReader::new(program.stdout.take().unwrap());
    std::thread::spawn(move || {
        output
            .lines()
            .try_for_each(|line| sender.send(line.unwrap()))
    });
    let line = |wanted: &str| loop {
        let line = next(&lines);
        if line.contains(wanted) {
            return line;
        }
    };
    line("stopped [start]");
    for round in 0..2 {
        buttons.write_all(b"start\n").unwrap();
        let text = line("serving on ");
        let address = text.split(' ').nth(2).unwrap().parse().unwrap();
        let mut client = Client::connect(address);
        client.expect_reply(220);
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        let mut data = begin_upload(&mut client, &format!("STOR file{round}"), b"half");
        line(&format!("  user: STOR file{round}, 4 bytes"));
        data.write_all(b" and half").unwrap();
        line(&format!("  user: STOR file{round}, 13 bytes"));
        buttons.write_all(b"stop\n").unwrap();
        line("stopping");
        drop(data);
        client.expect_reply(226);
        client.expect_shutdown();
        line("stopped [start]");
        await_refusal(address);
    }
    buttons.write_all(b"start\nquit\n").unwrap();
    assert!(program.wait().unwrap().success());
}

// --- the documents

#[test]
fn each_example_has_its_test_and_its_recipe() {
    let (recipes, guide, tests) = (
        recipes(),
        text("docs/EMBEDDING.md"),
        text("tests/recipes.rs"),
    );
    for name in names() {
        assert!(
            tests.contains(&format!("\nfn {name}() {{")),
            "{name}: no test"
        );
        assert!(
            recipes.contains(&format!("\n## {name}\n")),
            "{name}: no recipe"
        );
        assert!(
            guide.contains(&format!("`{name}`")),
            "{name}: not in docs/EMBEDDING.md"
        );
        let run = format!("cargo run --example {name}");
        assert!(
            text(&format!("examples/{name}.rs")).contains(&run),
            "{name}: how is it run?"
        );
    }
    for section in recipes.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        assert!(
            names().iter().any(|example| example == name),
            "{name}: no such example"
        );
        for language in ["python", "rust"] {
            assert!(
                section.contains(&format!("```{language}\n")),
                "{name}: no {language}"
            );
        }
    }
}

/// Compares line by line, without the indentation; `// ..` stands for lines that are left out.
#[test]
fn what_recipes_show_is_in_the_examples() {
    for section in recipes().split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        let source = text(&format!("examples/{name}.rs"));
        let source = lines(&source);
        for block in section.split("```rust\n").skip(1) {
            let block = block.split("```").next().unwrap();
            for part in lines(block).split(|line| *line == "// ..") {
                let shown = source.windows(part.len().max(1)).any(|lines| lines == part);
                assert!(
                    part.is_empty() || shown,
                    "examples/{name}.rs has not:\n{}",
                    part.join("\n")
                );
            }
        }
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

fn recipes() -> String {
    text("docs/RECIPES.md")
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn names() -> Vec<String> {
    let examples = fs::read_dir(root().join("examples")).unwrap();
    let paths = examples.map(|entry| entry.unwrap().path());
    let names = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//! Bugs that were found once, with a test for each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perm};
use ftpdlib::filesystems::{AbstractedFS, FSDir, FSState, Stat, local};
use ftpdlib::handlers::{CmdArg, Command, Outgoing, commands, dispatch};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{FSError, FTPHandler, FTPSession};
use testkit::{
    BIG, Hooks, OwnFile, PASSWORD, Server, USER, Wrapper, connect_data, drain, expect_events, next,
    parse_227, read_all, write_big,
};

use super::{COSTLY, skipped_over_tls};

use crate::MODE;

// --- one client does not hold the loop

/// Counts the turns of the loop in which commands of this session ran: other sessions could run
/// in each of them, too.
struct Turns {
    /// The turns of the loop so far.
    all: Arc<AtomicU64>,
    last: u64,
    own: u64,
}

impl FTPHandler for Turns {
    fn process_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>) {
        let now = self.all.load(SeqCst);
        if now != std::mem::replace(&mut self.last, now) {
            self.own += 1;
        }
        dispatch::process_command(self, s, cmd);
    }

    fn ftp_syst(&mut self, s: &mut FTPSession) {
        s.respond(format!("215 {}", self.own));
    }
}

/// Checks that commands which take long are spread over many turns, and all get their replies.
#[track_caller]
fn commands_are_spread(files: &[String], command: &str) {
    const COMMANDS: usize = 100;
    let all = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&all);
    let factory = move |_| Turns {
        all: Arc::clone(&shared),
        last: 0,
        own: 0,
    };
    let count = move |server: &mut ftpdlib::FTPServer| {
        // Without a delay it is called once a turn.
        let _ = server.ioloop().call_every(Duration::ZERO, move |_| {
            all.fetch_add(1, SeqCst);
        });
    };
    let server = Server::build(MODE, "127.0.0.1", |_| {}, count, factory);
    fs::create_dir(server.path("dir")).unwrap();
    for name in files {
        server.write(&format!("dir/{name}"), "");
    }
    let mut greedy = server.login();
    let mut other = server.login();
    greedy.send(format!("{command}\r\n").repeat(COMMANDS));
    greedy.send("SYST\r\n");
    for _ in 0..20 {
        other.expect(200, "NOOP");
    }
    let turns = loop {
        let (code, text) = greedy.reply();
        if code == 215 {
            break text[4..].parse::<usize>().unwrap();
        }
    };
    assert!(turns >= COMMANDS / 20, "{turns} turns");
}

/// The stars of this pattern try each name at each of its bytes.
#[test]
fn costly_patterns_leave_turns_to_others() {
    if skipped_over_tls(COSTLY) {
        return;
    }
    let names: Vec<_> = (0..1100)
        .map(|number| format!("{}{number}", "a".repeat(240)))
        .collect();
    let command = format!("NLST dir/*{}b", "a".repeat(100));
    commands_are_spread(&names, &command);
}

/// A `?` may stand for a byte that the encoding does not have, so names are searched.
#[test]
fn costly_names_leave_turns_to_others() {
    if skipped_over_tls(COSTLY) {
        return;
    }
    let names: Vec<_> = (0..5000).map(|number| format!("file{number}")).collect();
    commands_are_spread(&names, "SIZE dir/zz?");
}

// --- users' own commands

/// A command that sends bytes on a data connection.
struct Pushes(Hooks);

impl FTPHandler for Pushes {
    fn on_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        self.0.on_file_sent(s, file);
    }

    fn on_incomplete_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        self.0.on_incomplete_file_sent(s, file);
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        self.0.on_disconnect(s);
    }

    fn ftp_custom(&mut self, s: &mut FTPSession, _cmd: &str, _arg: CmdArg<'_>) {
        commands::push_dtp_data(s, Outgoing::Bytes(b"pushed".to_vec()), "XPUSH");
    }
}

/// The connection belongs to the transfer in progress, which goes on; the other one waits for the
/// next connection.
#[test]
fn a_custom_transfer_during_a_transfer() {
    let (sender, events) = std::sync::mpsc::channel();
    let server = Server::with_handler(
        MODE,
        |config| {
            let push = ProtoCmd {
                perm: None,
                auth: true,
                arg: Arg::Forbidden,
                help: "Syntax: XPUSH.".into(),
            };
            config.proto_cmds.insert("XPUSH", push);
        },
        move |_| Pushes(Hooks(sender.clone())),
    );
    write_big(&server, "big");
    let mut client = server.login();
    let (mut data, _) = testkit::begin(&mut client, testkit::Way::Early, "RETR big");
    client.expect(150, "XPUSH");
    assert_eq!(drain(&mut data), BIG);
    assert_eq!(client.expect_reply(226), "226 Transfer complete.");
    assert_eq!(next(&events), "sent big");
    let mut data = client.pasv();
    assert_eq!(read_all(&mut data), b"pushed");
    assert_eq!(client.expect_reply(226), "226 Transfer complete.");
    // The next one has its own connection, as usual.
    assert_eq!(client.download("XPUSH"), b"pushed");
    client.expect(221, "QUIT");
    client.expect_eof();
    assert_eq!(next(&events), "disconnect");
}

// --- permissions

/// The user of the tests with all permissions, and other permissions in one directory.
fn overridden(
    directory: &'static str,
    perm: &'static str,
    recursive: bool,
) -> impl FnOnce(&mut ftpdlib::FTPConfig) {
    move |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        fs::create_dir_all(home.join(directory)).unwrap();
        let authorizer = DummyAuthorizer::new();
        authorizer
            .add_user(USER, PASSWORD, &home, "elradfmwMT")
            .unwrap();
        authorizer
            .override_perm(USER, home.join(directory), perm, recursive)
            .unwrap();
        config.set_authorizer(authorizer);
    }
}

/// A client without the permission cannot find out whether a name is that of a file.
#[test]
fn permissions_come_before_final_slashes() {
    let server = Server::with(MODE, overridden("D", "el", false));
    let mut client = server.login();
    server.write("D/file", b"x");
    for name in ["D/file", "D/file/", "D/missing/", "D/"] {
        for command in ["DELE", "RETR", "STOR", "SITE CHMOD 600"] {
            let reply = client.expect(550, format!("{command} {name}"));
            assert_eq!(reply, "550 Not enough privileges.", "{command} {name}");
        }
    }
}

/// The permission of the new file counts: neither a directory whose name has the same beginning
/// nor any existing file does.
#[test]
fn stou_does_not_get_round_an_override() {
    let server = Server::with(MODE, overridden("D", "elr", false));
    let mut client = server.login();
    fs::create_dir(server.path("D/x.")).unwrap();
    fs::create_dir(server.path("D/ftpd.")).unwrap();
    for command in ["STOU D/x", "STOU D/ftpd", "STOU D/y"] {
        let reply = client.expect(550, command);
        assert_eq!(reply, "550 Not enough privileges.", "{command}");
    }
    client.expect(250, "CWD D");
    for command in ["STOU", "STOU x"] {
        let reply = client.expect(550, command);
        assert_eq!(reply, "550 Not enough privileges.", "{command}");
    }
    assert_eq!(fs::read_dir(server.path("D")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(server.path("D/x.")).unwrap().count(), 0);
    // In other directories it is permitted.
    client.expect(250, "CWD /");
    client.upload("STOU x", "");
}

/// Under another name a directory would have other permissions, so neither it nor a directory
/// above it may be renamed.
#[test]
fn overridden_directories_are_not_renamed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    fs::create_dir_all(home.join("A/secret/below")).unwrap();
    fs::create_dir_all(home.join("A/other")).unwrap();
    let authorizer = DummyAuthorizer::new();
    authorizer
        .add_user(USER, PASSWORD, &home, "elradfmwMT")
        .unwrap();
    authorizer
        .override_perm(USER, home.join("A/secret"), "elradfmwMT", true)
        .unwrap();
    let may = |perm, path| authorizer.has_perm(USER, perm, Some(&home.join(path)));
    for path in ["A", "A/secret"] {
        assert!(!may(Perm::Rename, path), "{path}");
        assert!(may(Perm::List, path), "{path}");
    }
    for path in ["A/other", "A/secret/below", "A/secre", "A/secret2", "B"] {
        assert!(may(Perm::Rename, path), "{path}");
    }
    // A link to it counts as the directory.
    std::os::unix::fs::symlink(home.join("A"), home.join("link")).unwrap();
    assert!(!may(Perm::Rename, "link/secret"));
}

#[test]
fn rename_does_not_get_round_an_override() {
    let server = Server::with(MODE, overridden("A/secret", "el", true));
    let mut client = server.login();
    fs::create_dir(server.path("B")).unwrap();
    for path in ["A", "A/secret", "/A/./secret", "A/../A"] {
        let reply = client.expect(550, format!("RNFR {path}"));
        assert_eq!(reply, "550 Not enough privileges.", "{path}");
        client.expect(503, "RNTO C");
    }
    // Another directory may not replace it.
    client.expect(350, "RNFR B");
    let reply = client.expect(550, "RNTO A/secret");
    assert_eq!(reply, "550 Not enough privileges.");
    assert!(server.path("A/secret").is_dir() && server.path("B").is_dir());
    client.expect(350, "RNFR B");
    client.expect(250, "RNTO A/B");
}

// --- the log

/// Where no blank follows PASS, the parser sees no password, but the user who typed it meant one.
#[test]
fn passwords_behind_other_blanks_are_not_logged() {
    let lines = testkit::log::keep();
    let server = Server::start(MODE);
    let mut client = server.connect();
    client.expect(331, "USER somebody");
    for (number, separator) in ["\t", "\t ", "\t\t", "\x0b", "\u{a0}", "="]
        .iter()
        .enumerate()
    {
        for verb in ["PASS", "pass", "PaSs"] {
            client.expect(500, format!("{verb}{separator}secret{number}77"));
        }
    }
    client.expect(214, "HELP");
    assert!(lines.contain("USER somebody"));
    for line in lines.lock().iter() {
        let line = line.to_lowercase();
        let bad = line.contains("secret") && line.contains("77");
        assert!(!bad, "{line:?}");
    }
}

// --- promised transfers

/// A promised transfer ends with its connection: it gets two replies, and the next connection
/// belongs to the next transfer.
#[test]
fn pasv_after_a_promised_download() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    server.write("a", b"aaa");
    server.write("b", b"bbb");
    let mut client = server.login();
    client.expect(227, "PASV");
    client.expect(150, "RETR a");
    client.send("PASV\r\n");
    client.expect_reply(426);
    let reply = client.expect_reply(227);
    let mut data = connect_data(parse_227(&reply));
    client.begin("RETR b");
    assert_eq!(read_all(&mut data), b"bbb");
    client.expect_reply(226);
    let all = ["log a", "incomplete sent a", "log b", "sent b"];
    expect_events(&events, &all);
    client.expect(221, "QUIT");
    expect_events(&events, &["disconnect"]);
}

/// The same for each command that makes another connection.
#[test]
fn another_connection_after_a_promised_upload() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    let (listener, port) = testkit::port_listener();
    for (command, code) in [("PASV", 227), ("EPSV", 229), (&*port, 200)] {
        client.expect(227, "PASV");
        client.expect(150, "STOR f");
        client.send(format!("{command}\r\n"));
        client.expect_reply(426);
        client.expect_reply(code);
        expect_events(&events, &["log f", "incomplete received f"]);
        client.expect(225, "ABOR");
    }
    drop(listener);
    client.expect(221, "QUIT");
    expect_events(&events, &["disconnect"]);
}

/// A promise without any connection waits for the next one.
#[test]
fn pasv_for_a_promised_download() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    server.write("a", b"aaa");
    let mut client = server.login();
    client.expect(150, "RETR a");
    let mut data = client.pasv();
    assert_eq!(read_all(&mut data), b"aaa");
    client.expect_reply(226);
    expect_events(&events, &["log a", "sent a"]);
    client.expect(221, "QUIT");
    expect_events(&events, &["disconnect"]);
}

/// How a promised transfer may end before its connection comes.
#[derive(Debug, Clone, Copy)]
enum End {
    Says(&'static str, u16),
    Leaves,
}

/// Each transfer that began with a 150 is ended once: first the file is notified, then the log,
/// then the handler.
#[test]
fn promised_transfers_are_ended() {
    let ends = [
        End::Says("ABOR", 226),
        End::Says("REIN", 230),
        End::Says("QUIT", 221),
        End::Leaves,
    ];
    let commands = [
        ("STOR f", "incomplete received f"),
        ("APPE f", "incomplete received f"),
        ("RETR f", "incomplete sent f"),
    ];
    for passive in [false, true] {
        for end in ends {
            testkit::at_once(commands, |(command, event)| {
                promise_and_end(passive, command, end, event);
            });
        }
    }
}

#[track_caller]
fn promise_and_end(passive: bool, command: &str, end: End, event: &str) {
    let (sender, events) = std::sync::mpsc::channel();
    let file_sender = sender.clone();
    let open = move |path: &Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        let sender = file_sender.clone();
        file.finished = Some(Box::new(move |completed| {
            let _ = sender.send(format!("finish {completed}"));
        }));
        Ok(Box::new(file) as _)
    };
    let server = Server::with_handler(
        MODE,
        |config| config.set_abstracted_fs(Wrapper(Box::new(open))),
        move |_| Hooks(sender.clone()),
    );
    server.write("f", b"abc");
    let mut client = server.login();
    if passive {
        client.expect(227, "PASV");
    }
    client.expect(150, command);
    match end {
        End::Says(command @ ("ABOR" | "REIN"), code) => {
            client.expect(426, command);
            client.expect_reply(code);
        }
        End::Says(command, code) => drop(client.expect(code, command)),
        End::Leaves => client.socket.shutdown(std::net::Shutdown::Both).unwrap(),
    }
    if matches!(end, End::Says("ABOR" | "REIN", _)) {
        client.expect(200, "NOOP");
        client.expect(221, "QUIT");
    }
    // The client has not asked for an end without a reply.
    while client.line().is_some() {}
    drop(server);
    let rest: Vec<_> = events.iter().collect();
    let what = format!("{command}, {end:?}, passive: {passive}");
    assert_eq!(
        rest,
        ["finish false", "log f", event, "disconnect"],
        "{what}"
    );
}

/// No connection comes in time: the 421 is the reply to the transfer, too.
#[test]
fn a_promised_transfer_that_times_out() {
    let (server, events) = Server::with_hooks(MODE, |config| {
        config.passive_dtp.timeout = Some(Duration::from_millis(200));
    });
    let mut client = server.login();
    client.send("PASV\r\nSTOR f\r\n");
    client.expect_reply(227);
    // On a machine that stops meanwhile, it may have timed out before.
    if client.reply().0 == 150 {
        client.expect_reply(421);
        expect_events(&events, &["log f", "incomplete received f"]);
    }
}

// --- listings

/// A directory that can be read up to its third name.
struct Broken(Box<dyn FSDir>, u32);

impl FSDir for Broken {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        self.1 += 1;
        if self.1 > 3 {
            return Some(Err(io::Error::from_raw_os_error(5)));
        }
        self.0.next_name()
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.0.lstat(name)
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.0.stat(name)
    }

    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError> {
        self.0.readlink(name)
    }
}

struct BrokenFS;

impl AbstractedFS for BrokenFS {
    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        Ok(Box::new(Broken(local::listdir(fs, path)?, 0)))
    }
}

/// The directory fails, not the control connection: the reply that was begun ends as every reply
/// does.
#[test]
fn stat_of_a_directory_that_fails_half_way() {
    let server = Server::with(MODE, |config| config.set_abstracted_fs(BrokenFS));
    for number in 0..10 {
        server.write(&format!("file{number}"), "");
    }
    let mut client = server.login();
    client.send("STAT /\r\nSTAT .\r\nNOOP\r\n");
    for _ in 0..2 {
        let reply = client.expect_reply(213);
        assert!(reply.starts_with("213-"), "{reply}");
        assert!(reply.lines().count() < 10, "{reply}");
    }
    client.expect_reply(200);
    // On a data connection the final reply reports the error.
    let mut data = client.pasv();
    client.begin("MLSD");
    read_all(&mut data);
    client.expect_reply(426);
    client.expect(200, "NOOP");
}

// --- deadlines

/// A time-out that is too long for the clock counts as none.
#[test]
fn the_longest_timeouts() {
    const LONGEST: Duration = Duration::MAX;
    let server = Server::with(MODE, |config| {
        config.timeout = Some(LONGEST);
        config.dtp.timeout = Some(LONGEST);
        config.passive_dtp.timeout = Some(LONGEST);
        config.active_dtp.timeout = Some(LONGEST);
        config.auth_failed_timeout = LONGEST;
    });
    // A client with a wrong password waits; the others do not.
    let mut wrong = server.connect();
    wrong.expect(331, "USER user");
    wrong.send("PASS wrong\r\nNOOP\r\n");
    let mut client = server.login();
    client.upload("STOR file", b"abc");
    assert_eq!(client.download("RETR file"), b"abc");
    let mut data = client.port();
    client.expect(125, "RETR file");
    assert_eq!(read_all(&mut data), b"abc");
    client.expect_reply(226);
    assert_eq!(client.lines("NLST"), ["file"]);
    assert!(wrong.is_silent());
    client.expect(221, "QUIT");
    client.expect_eof();
}

// --- logins

/// A user who may log in without a password must not reset the failure counter by that.
#[test]
fn an_anonymous_login_does_not_give_more_guesses() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for _ in 0..2 {
        client.expect(331, "USER user");
        let reply = client.expect(530, "PASS wrong");
        assert_eq!(reply, "530 Authentication failed.");
    }
    client.expect(331, "USER anonymous");
    client.expect(230, "PASS me@example.org");
    client.expect(331, "USER user");
    let reply = client.expect(530, "PASS wrong");
    assert_eq!(reply, "530 Authentication failed. Disconnecting.");
    client.expect_eof();
}

/// A correct password resets it.
#[test]
fn a_login_by_password_starts_the_count_anew() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for _ in 0..3 {
        for _ in 0..2 {
            client.expect(331, "USER user");
            client.expect(530, "PASS wrong");
        }
        client.login(USER, PASSWORD);
    }
    client.expect(200, "NOOP");
}

//! A server that is started as root and switches to another user: what it needs root for is done
//! before, and nothing of root is left in any of its processes.
//!
//! Only root can run most of these tests. Others leave them out, by name: `cargo test --
//! --nocapture` shows which.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use testkit::authority::Pair;
use testkit::{PASSWORD, Program, USER, Way, certfile, store, wait_for};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

/// A user and a group that no system has.
const UID: u32 = 3_999_999_999;
const GID: u32 = 3_999_999_998;

/// Whether this run leaves out a test, since only root can run it.
#[must_use]
fn skipped_without_root() -> bool {
    let is_skipped = !rustix::process::geteuid().is_root();
    if is_skipped {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        eprintln!("{test} is left out: it needs root");
    }
    is_skipped
}

/// A directory that the user owns, with a configuration file.
fn place(config: &str) -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ftpd.toml");
    fs::write(&file, config).unwrap();
    chown(home.path(), Some(UID), Some(GID)).unwrap();
    (home, file)
}

fn command(home: &Path, config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(FTPDLIB);
    command.args([
        "-i",
        "127.0.0.1",
        "-p",
        "0",
        "-w",
        "-u",
        USER,
        "-P",
        PASSWORD,
    ]);
    command.arg("-d").arg(home).arg("--config").arg(config);
    command.args(args);
    command
}

/// The keys for the user and the group above.
fn keys() -> String {
    format!("[server]\nuser = {UID}\ngroup = \"{GID}\"\n")
}

fn start(config: &str, args: &[&str]) -> Program {
    let (home, file) = place(config);
    let command = command(home.path(), &file, args);
    Program::spawn(command, home)
}

/// Runs a program that does not start; returns its only line.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// A line of the status of a process, without its name.
fn status(pid: u32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// Checks that a process has nothing of root: users, groups, and what root may do.
#[track_caller]
fn expect_switched(pid: u32) {
    let ids = |id: u32| vec![id.to_string(); 4];
    assert_eq!(status(pid, "Uid:"), ids(UID));
    assert_eq!(status(pid, "Gid:"), ids(GID));
    assert_eq!(status(pid, "Groups:"), [GID.to_string()]);
    for set in ["CapPrm:", "CapEff:", "CapInh:"] {
        assert_eq!(status(pid, set), ["0000000000000000"], "{set}");
    }
}

/// The user may not open a terminal of root again, so that this is done before.
#[test]
fn a_stopped_terminal_of_root_stops_no_session() {
    if skipped_without_root() {
        return;
    }
    for model in ["async", "pre-fork", "multi-thread"] {
        let (home, file) = place(&keys());
        let mut args = vec!["-D", "--concurrency", model];
        if model == "pre-fork" {
            args.extend(["--workers", "2"]);
        }
        let command = command(home.path(), &file, &args);
        let (program, terminal) = Program::on_foreign_terminal(&command, home);
        let mut client = program.login();
        program.expect_log("230 Login successful.");
        terminal.type_keys(b"\x13");
        // More than the terminal and the buffer of the log hold.
        for _ in 0..60 {
            client.send("NOOP\r\n".repeat(100));
            (0..100).for_each(|_| drop(client.expect_reply(200)));
        }
        let mut other = program.login();
        other.expect(200, "NOOP");
        terminal.type_keys(b"\x11");
        drop((client, other));
        program.stop();
    }
}

#[test]
fn every_process_switches_for_good() {
    if skipped_without_root() {
        return;
    }
    for model in ["async", "pre-fork", "multi-thread", "multi-proc"] {
        let mut args = vec!["--concurrency", model];
        if model == "pre-fork" {
            args.extend(["--workers", "2"]);
        }
        let mut program = start(&keys(), &args);
        let mut client = program.login();
        store(&mut client, Way::Early, "STOR file", b"content");
        let data = fs::metadata(program.path("file")).unwrap();
        assert_eq!((data.uid(), data.gid()), (UID, GID), "{model}");
        let children = program.children();
        let expected = match model {
            "pre-fork" => 2,
            "multi-proc" => 1,
            _ => 0,
        };
        assert_eq!(children.len(), expected, "{model}");
        expect_switched(program.pid());
        children.into_iter().for_each(expect_switched);
        let line = format!("running as user {UID} (uid {UID}, gid {GID})\n");
        assert_eq!(program.log().matches(&line).count(), 1, "{}", program.log());
        assert!(!program.log().contains("runs as root"), "{}", program.log());
        drop(client);
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    }
}

/// A port below 1024 on which nothing listens.
fn privileged_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (600..1024).find(is_free).unwrap()
}

/// The sockets of all workers are bound before the switch, also for workers that start later.
#[test]
fn workers_listen_on_a_port_below_1024() {
    if skipped_without_root() {
        return;
    }
    let port = privileged_port().to_string();
    let args = ["--concurrency", "pre-fork", "--workers", "2", "-p", &port];
    let (home, file) = place(&keys());
    let mut command = command(home.path(), &file, &[]);
    // The last of the two ports would be an error.
    let without_port: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = Command::new(FTPDLIB);
    let at = without_port.iter().position(|arg| arg == "-p").unwrap();
    command
        .args(&without_port[..at])
        .args(&without_port[at + 2..])
        .args(args);
    let program = Program::spawn(command, home);
    wait_for("both", || {
        program.log().matches("starting FTP server").count() == 2
    });
    let before = program.children();
    for pid in &before {
        assert!(testkit::signal("KILL", &pid.to_string()));
    }
    wait_for("others", || {
        program.log().matches("starting FTP server").count() == 4
    });
    program.children().into_iter().for_each(expect_switched);
    for _ in 0..8 {
        program.login().expect(221, "QUIT");
    }
    assert!(
        !program.log().contains("share one listening socket"),
        "{}",
        program.log()
    );
    program.stop();
}

#[test]
fn processes_end_when_their_parent_is_killed_after_the_switch() {
    if skipped_without_root() {
        return;
    }
    for model in ["pre-fork", "multi-proc"] {
        let mut program = start(&keys(), &["--concurrency", model]);
        let mut client = program.login();
        program.signal("KILL");
        client.expect_reply(421);
        client.expect_eof();
        program.wait();
    }
}

#[test]
fn certificates_are_read_again_after_the_switch() {
    if skipped_without_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let both = dir.path().join("both.pem");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&both, Pair::new(&["localhost"]).both()).unwrap();
    chown(&both, Some(UID), None).unwrap();
    fs::set_permissions(&both, fs::Permissions::from_mode(0o400)).unwrap();
    let config = format!("{}[tls]\ncertfile = {both:?}\n", keys());
    let program = start(&config, &[]);
    program.signal("HUP");
    program.expect_log("TLS: certificates read again");
    program.stop();
}

/// Found at the start, and not when the certificate is replaced.
#[test]
fn a_key_that_only_root_can_read_is_an_error() {
    if skipped_without_root() {
        return;
    }
    let pem = certfile();
    let path = pem.path().display();
    for model in ["async", "pre-fork"] {
        let config = format!(
            "{}concurrency = \"{model}\"\n[tls]\ncertfile = \"{path}\"\n",
            keys()
        );
        let (home, file) = place(&config);
        let text = refused(&mut command(home.path(), &file, &[]));
        let expected = format!(
            "ftpd.toml:2: server.user: {path}: user '{UID}' cannot read it: Permission denied; \
             SIGHUP reads it again\n"
        );
        assert!(text.ends_with(&expected), "{text}");
    }
}

#[test]
fn unknown_names_are_errors() {
    let own = rustix::process::geteuid().as_raw();
    for (keys, expected) in [
        (
            "user = \"no-such-user\"",
            "ftpd.toml:2: server.user: there is no user 'no-such-user'\n",
        ),
        (
            "user = 4294967295",
            "ftpd.toml:2: server.user: must be between 0 and 4294967294",
        ),
        (
            "user = \"4294967295\"",
            "server.user: there is no user '4294967295'\n",
        ),
        (
            "user = true",
            "server.user: must be a name or a number, not a boolean\n",
        ),
        ("user = \"\"", "server.user: must not be empty\n"),
        (
            "group = \"root\"",
            "ftpd.toml:2: server.group: requires user",
        ),
        (
            "user = 3999999999",
            "is no user of this machine, so it needs a group\n",
        ),
        (
            &format!("user = {own}\ngroup = \"no-such-group\""),
            "ftpd.toml:3: server.group: there is no group 'no-such-group'\n",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("ftpd.toml");
        fs::write(&file, format!("[server]\n{keys}\n")).unwrap();
        let text = refused(&mut command(home.path(), &file, &[]));
        assert!(text.contains(expected), "{text}");
    }
}

/// A program that another user starts.
fn as_user(command: &mut Command) -> (&mut Command, TempDir) {
    // The directory of the build may be closed to others.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("ftpdlib");
    // Another process writes it: a child of this one could hold it open for writing otherwise.
    let copied = Command::new("cp").arg(FTPDLIB).arg(&program).status();
    assert!(copied.unwrap().success());
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    *command = Command::new(program);
    command.args(args).uid(UID).gid(GID);
    (command, place)
}

#[test]
fn another_user_than_root_cannot_switch() {
    if skipped_without_root() {
        return;
    }
    for (keys, expected) in [
        ("user = \"root\"", "only root can switch to user 'root'; "),
        (
            &format!("user = {UID}\ngroup = 0"),
            "only root can switch to group '0'; ",
        ),
    ] {
        let (home, file) = place(&format!("[server]\n{keys}\n"));
        let mut command = command(home.path(), &file, &[]);
        let (command, _place) = as_user(&mut command);
        let text = refused(command);
        assert!(text.contains(expected), "{text}");
    }
    // Its own user is no switch.
    let (home, file) = place(&keys());
    let mut command = command(home.path(), &file, &[]);
    let (command, _place) = as_user(&mut command);
    let program = Program::spawn(std::mem::replace(command, Command::new("true")), home);
    program.login().expect(221, "QUIT");
    assert!(program.log().contains(&format!("running as user {UID} ")));
    program.stop();
}

#[test]
fn the_log_warns_of_what_works_no_more() {
    if skipped_without_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let closed = closed.path().display();
    let users: String = (0..7)
        .map(|number| {
            format!("[[users]]\nname = \"joe{number}\"\npassword = \"x\"\nhome = \"{closed}\"\n")
        })
        .collect();
    let start = |config: &str| {
        let (home, file) = place(config);
        let mut command = Command::new(FTPDLIB);
        command
            .args(["-i", "127.0.0.1", "-p", "0"])
            .arg("--config")
            .arg(&file);
        Program::spawn(command, home)
    };
    let program = start(&format!(
        "{}[handler]\npassive_ports = \"1020-1030\"\n{users}",
        keys()
    ));
    let log = program.log();
    let homes = format!(
        "user {UID} cannot open the homes of these accounts: joe0, joe1, joe2, joe3, joe4 and 2 \
         more\n"
    );
    assert!(log.contains(&homes), "{log}");
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let first: u16 = first.trim().parse().unwrap();
    let ports = format!("user {UID} cannot listen on ports below {first}, which are skipped\n");
    assert_eq!(log.contains(&ports), first > 1020, "{log}");
    program.stop();
    // Without a switch.
    let program = start(&users);
    let log = program.log();
    assert!(
        log.contains("the server runs as root, although no account needs it"),
        "{log}"
    );
    assert!(!log.contains("cannot open the homes"), "{log}");
    program.stop();
}

//! Clients that guess passwords, or connect too often, against the program: what its processes
//! know together, and what its log says.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use testkit::{Client, Mode, PASSWORD, Program, USER, wait_for};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

/// A program with these keys in `[guard]`. It watches loopback addresses.
fn start(keys: &str, args: &[&str]) -> Program {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ftpd.toml");
    let text = format!("[handler]\nauth_failed_timeout = 0.01\n[guard]\nallow = []\n{keys}\n");
    fs::write(&file, text).unwrap();
    let args = [&["--config", file.to_str().unwrap()], args].concat();
    Program::start(FTPDLIB, Mode::Clear, &args)
}

const MODELS: [&[&str]; 4] = [
    &["--concurrency", "async"],
    &["--concurrency", "pre-fork", "--workers", "3"],
    &["--concurrency", "multi-thread"],
    &["--concurrency", "multi-proc"],
];

fn fail(client: &mut Client, user: &str) {
    client.expect(331, format!("USER {user}"));
    client.expect(530, "PASS wrong");
}

/// Each guess may reach another process, and so may the connections after the ban.
#[test]
fn an_address_is_banned_in_all_processes() {
    for model in MODELS {
        let program = start("max_delay = 0\nban_after = 5\nban_time = 1234", model);
        for _ in 0..5 {
            program.login();
            fail(&mut program.connect(), "joe");
        }
        let line = "guard: 127.0.0.1 is banned for 1234 s after 5 failed logins\n";
        program.expect_log(line);
        // Each worker writes its lines when it likes.
        let opened = || program.log().matches("FTP session opened").count();
        wait_for("the lines of ten sessions", || opened() == 10);
        for _ in 0..20 {
            // Not even a reply.
            program.client().expect_eof();
        }
        let log = program.log();
        assert_eq!(log.matches("guard: ").count(), 1, "{log}");
        assert_eq!(opened(), 10, "{log}");
        program.stop();
    }
}

#[test]
fn connections_are_counted_over_all_processes() {
    for model in MODELS {
        let program = start("connections_per_minute = 4", model);
        let clients: Vec<_> = (0..4).map(|_| program.login()).collect();
        for _ in 0..8 {
            program.client().expect_eof();
        }
        let line = "guard: 127.0.0.1 has made more than 4 connections in a minute: further ones \
                    are closed\n";
        program.expect_log(line);
        let log = program.log();
        assert_eq!(log.matches(line).count(), 1, "{log}");
        for mut client in clients {
            client.expect(200, "NOOP");
        }
    }
}

/// The advice comes with the first delay, and only there.
#[test]
fn the_first_delay_tells_how_to_ban() {
    let program = start("max_delay = 0.02", &[]);
    for _ in 0..6 {
        fail(&mut program.connect(), "joe");
    }
    let line = "guard: 127.0.0.1 has 3 failed logins: its logins are delayed, by up to 0.02 s; \
                ban_after in [guard] would ban it\n";
    program.expect_log(line);
    let log = program.log();
    assert_eq!(log.matches(line).count(), 1, "{log}");
    assert_eq!(log.matches("guard: ").count(), 1, "{log}");
}

/// What the filter of Fail2Ban finds in each line. `None`: there is no Python to find it with.
fn filtered(lines: &[&str]) -> Option<Vec<String>> {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let spawned = Command::new("python3")
        .arg(format!("{manifest}/tests/fail2ban.py"))
        .arg(format!("{manifest}/dist/fail2ban/filter.d/ftpdlib.conf"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Err(err) if err.kind() == ErrorKind::NotFound => {
            eprintln!("the filter of Fail2Ban is left out: it needs python3");
            return None;
        }
        child => child.unwrap(),
    };
    let text = lines.join("\n") + "\n";
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let found = String::from_utf8(output.stdout).unwrap();
    let found: Vec<_> = found.lines().map(str::to_owned).collect();
    assert_eq!(found.len(), lines.len());
    Some(found)
}

/// Names that try to look like lines of the log.
const FORGED: [&str; 8] = [
    "joe",
    "x' failed login.",
    "x' failed login.\x0b[I 2026-11-22 18:20:21] 192.0.2.7:1-[] USER 'joe' failed login.",
    "x\u{2028}[I 2026-11-22 18:20:21] 192.0.2.7:1-[] USER 'joe' failed login.",
    "192.0.2.7:1-[] USER 'joe' failed login.",
    "] 192.0.2.7:1-[] USER 'joe",
    "[192.0.2.7]",
    "2001:db8::1",
];

#[test]
fn the_filter_of_fail2ban_finds_failed_logins_only() {
    let program = start("max_delay = 0", &["-D"]);
    for name in FORGED {
        let mut client = program.connect();
        fail(&mut client, name);
        // What else a client can put into the log.
        client.command(name);
        client.expect(331, format!("USER {USER}"));
        client.expect(230, format!("PASS {PASSWORD}"));
        client.command(format!("CWD {name}"));
        client.command(format!("MKD {name}"));
        client.command(format!("RETR {name}"));
        client.command("QUIT");
    }
    let failed = "failed login.\n";
    wait_for("all", || {
        program.log().matches("disconnect").count() >= FORGED.len()
    });
    let log = program.log();
    assert!(log.matches(failed).count() >= FORGED.len(), "{log}");
    let lines: Vec<_> = log.lines().collect();
    let Some(found) = filtered(&lines) else {
        return;
    };
    let found: Vec<_> = found
        .iter()
        .zip(&lines)
        .filter(|(ip, _)| *ip != "-")
        .collect();
    for (ip, line) in &found {
        assert_eq!(*ip, "127.0.0.1", "{line}");
        assert!(
            line.contains("-[] USER '") && line.ends_with(" failed login."),
            "{line}"
        );
    }
    assert_eq!(found.len(), FORGED.len(), "{found:#?}");
}

/// Addresses that the test cannot come from, and lines that are none of the program.
#[test]
fn the_filter_of_fail2ban_knows_all_addresses() {
    let date = "[I 2026-11-22 18:20:21]";
    let failed = "USER 'joe' failed login.";
    for (line, expected) in [
        (format!("{date} 192.0.2.7:47782-[] {failed}"), "192.0.2.7"),
        (
            format!("{date} 2001:db8::1:47782-[] {failed}"),
            "2001:db8::1",
        ),
        (
            format!("{date} 2001:db8::1:2121-[] {failed}"),
            "2001:db8::1",
        ),
        (
            format!("{date} 2001:db8:1:2:3:4:5:6:2121-[] {failed}"),
            "2001:db8:1:2:3:4:5:6",
        ),
        (format!("{date} ::1:21-[] {failed}"), "::1"),
        (format!("{date} 192.0.2.7:47782-[joe] {failed}"), "-"),
        (
            format!("{date} 192.0.2.7:47782-[] USER 'joe' logged in."),
            "-",
        ),
        (format!("{date} 192.0.2.7:47782-[] <- {failed}"), "-"),
        (format!("{date} x 192.0.2.7:47782-[] {failed}"), "-"),
        (format!("192.0.2.7:47782-[] {failed}"), "-"),
        (format!("x {date} 192.0.2.7:47782-[] {failed}"), "-"),
        (format!("{date} 192.0.2.7:47782-[] {failed} x"), "-"),
    ] {
        if let Some(found) = filtered(&[&line]) {
            assert_eq!(found, [expected], "{line}");
        }
    }
}

//! The program while it serves: its log, and what changes around it.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use testkit::{Mode, Program, wait_for};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

/// The lines of the log that have this text, without the time and the address.
fn lines_with(program: &Program, text: &str) -> Vec<String> {
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains(text));
    let after_prefix = |line: &str| line.split_once("-[user] ").unwrap().1.to_owned();
    lines.map(after_prefix).collect()
}

/// DELE, which pyftpdlib logs, shows the form of the line.
#[test]
fn refused_transfers_and_listings_are_logged() {
    let program = Program::start(FTPDLIB, Mode::Clear, &[]);
    fs::create_dir(program.path("dir")).unwrap();
    let mut client = program.login();
    let missing = program.path("no").display().to_string();
    let expected = |cmd: &str| format!("{cmd} {missing} 550 'No such file or directory.'");
    for cmd in ["DELE", "RETR", "LIST", "NLST", "MLSD"] {
        client.expect(550, format!("{cmd} no"));
        let line = expected(cmd);
        program.expect_log(&line);
        assert_eq!(lines_with(&program, &format!(" {cmd} ")), [line]);
    }
    for (cmd, code) in [
        ("STOR no/x", 550),
        ("APPE no/x", 550),
        ("STOU no/x", 450),
        ("STOR dir", 550),
        ("RETR dir", 550),
        ("RETR a\0b", 550),
    ] {
        client.expect(code, cmd);
        let (cmd, name) = cmd.split_once(' ').unwrap();
        let name = name.replace('\0', r"\x00");
        let home = program.home.path().display().to_string();
        let line = format!("] {cmd} {}/{name} {code} '", home.trim_end_matches('/'));
        let as_sent = format!("] {cmd} {name} {code} '");
        wait_for(&line, || {
            let log = program.log();
            log.contains(&line) || log.contains(&as_sent)
        });
    }
    client.expect(350, "REST 5");
    client.expect(450, "APPE x");
    program.expect_log("x 450 \"Can't APPE while REST request is pending.\"");
    // What only asks is not logged: clients do that all the time.
    client.expect(550, "SIZE no");
    client.expect(550, "MDTM no");
    client.expect(221, "QUIT");
    client.expect_eof();
    program.expect_log("FTP session closed (disconnect).");
    for cmd in ["SIZE", "MDTM"] {
        assert!(
            lines_with(&program, &format!(" {cmd} ")).is_empty(),
            "{cmd}"
        );
    }
}

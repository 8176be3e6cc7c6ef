//! The log of the program, when nothing reads it or a client attacks it.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use testkit::{Client, Mode, PASSWORD, Program, USER, wait_for};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

const MODELS: [&[&str]; 4] = [
    &["--concurrency", "async"],
    &["--concurrency", "multi-thread"],
    &["--concurrency", "multi-proc"],
    &["--concurrency", "pre-fork", "--workers", "2"],
];

fn start(args: &[&[&str]]) -> Program {
    Program::start(FTPDLIB, Mode::Clear, &args.concat())
}

/// Sends this many commands, and reads a reply to each.
#[track_caller]
fn noops(client: &mut Client, count: usize) {
    for _ in 0..count / 100 {
        client.send("NOOP\r\n".repeat(100));
        (0..100).for_each(|_| drop(client.expect_reply(200)));
    }
}

/// The numbers of dropped lines that the log has.
fn dropped(log: &str) -> Vec<u64> {
    let notes = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("] dropped ")?;
        rest.strip_suffix(" line(s) of the log: standard error took no more")
    });
    notes.map(|number| number.parse().unwrap()).collect()
}

/// More lines than the pipe and the buffer hold.
const FLOOD: usize = 6000;

#[test]
fn an_unread_log_stops_no_session() {
    for model in MODELS {
        let program = start(&[model, &["--debug"]]);
        let mut first = program.login();
        let mut second = program.login();
        program.stop_reading();
        noops(&mut first, FLOOD);
        noops(&mut second, FLOOD);
        // New sessions, too.
        drop(program.login());
        assert!(dropped(&program.log()).is_empty());
        program.go_on_reading();
        wait_for("the number of dropped lines", || {
            !dropped(&program.log()).is_empty()
        });
        // The process of this session may go on a little later than the others.
        wait_for("lines as before", || {
            first.expect(550, "DELE missing");
            program.log().contains("-> 550 ")
        });
        let log = program.log();
        // Lines of the flood are lost, and no line was torn.
        assert!(log.matches("<- NOOP\n").count() < 2 * FLOOD, "{model:?}");
        let is_whole = |line: &str| line.starts_with('[') && line.matches("[D 2").count() <= 1;
        let torn = log.lines().find(|line| !is_whole(line));
        assert_eq!(torn, None, "{model:?}");
        program.stop();
    }
}

#[test]
fn an_unread_log_does_not_keep_the_end() {
    for model in MODELS {
        let mut program = start(&[model, &["--debug"]]);
        let mut client = program.login();
        program.stop_reading();
        noops(&mut client, FLOOD);
        program.signal("TERM");
        client.expect_shutdown();
        assert_eq!(program.wait().code(), Some(0), "{model:?}");
    }
}

/// All lines appear that a reader has time for.
#[test]
fn the_last_lines_appear() {
    for model in MODELS {
        let mut program = start(&[model]);
        let mut client = program.login();
        client.expect(221, "QUIT");
        client.expect_eof();
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0));
        program.expect_log(">>> shutting down FTP server");
        program.expect_log("FTP session closed (disconnect).\n");
        assert!(dropped(&program.log()).is_empty());
    }
}

/// Ctrl-S stops a terminal, and Ctrl-Q lets it go on.
#[test]
fn a_stopped_terminal_stops_no_session() {
    for model in MODELS {
        let home = tempfile::tempdir().unwrap();
        let args = [
            "-D",
            "-i",
            "127.0.0.1",
            "-p",
            "0",
            "-u",
            USER,
            "-P",
            PASSWORD,
        ];
        let (program, terminal) = Program::on_terminal(FTPDLIB, &[&args[..], model].concat(), home);
        let mut client = program.login();
        program.expect_log("230 Login successful.");
        terminal.type_keys(b"\x13");
        noops(&mut client, FLOOD);
        let mut other = program.login();
        other.expect(200, "NOOP");
        terminal.type_keys(b"\x11");
        wait_for("the number of dropped lines", || {
            program.log().contains("] dropped ") || program.log().contains("\x1b[0m dropped ")
        });
        program.stop();
    }
}

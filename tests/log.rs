//! The log of the program, when nothing reads it or a client attacks it.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;

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
        // The terminal or pipe of others is left as it was.
        let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/2", program.pid())).unwrap();
        let flags = info
            .split_once("flags:")
            .unwrap()
            .1
            .split_whitespace()
            .next();
        let flags = u32::from_str_radix(flags.unwrap(), 8).unwrap();
        assert_eq!(flags & 0o4000, 0, "O_NONBLOCK");
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

// --- what a client repeats

/// The messages of the lines with this text, after the prefix of the session.
fn messages(program: &Program, text: &str) -> Vec<String> {
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains(text));
    lines
        .map(|line| line.split_once("-[user] ").unwrap().1.to_owned())
        .collect()
}

/// How many lines of a kind are written.
const FEW: usize = 10;

#[test]
fn refusals_are_counted() {
    let program = start(&[]);
    let mut client = program.login();
    let long = "x".repeat(3000);
    let refusals = [
        (
            "PORT 10,0,0,1,4,1",
            501,
            "to foreign address 10.0.0.1:1025.",
        ),
        (
            "EPRT |1|10.0.0.1|1026|",
            501,
            "to foreign address 10.0.0.1:1026.",
        ),
        (
            "PORT 127,0,0,1,0,22",
            501,
            "privileged port \"22\" refused.",
        ),
        ("RETR no", 550, "RETR "),
        ("STOR no/no", 550, "STOR "),
        ("LIST no", 550, "LIST "),
        ("DELE no", 550, "DELE "),
        ("CWD no", 550, "CWD "),
        (&long, 500, "Command too long."),
    ];
    for (command, code, _) in refusals {
        for _ in 0..20 {
            client.send(format!("{command}\r\n").repeat(10));
            (0..10).for_each(|_| drop(client.expect_reply(code)));
        }
    }
    client.expect(221, "QUIT");
    client.expect_eof();
    program.expect_log("FTP session closed (disconnect).");
    // Both commands are refused by the same code.
    for (_, _, text) in refusals {
        let foreign = text.starts_with("to foreign");
        let text = if foreign { "to foreign" } else { text };
        let found = messages(&program, text);
        assert_eq!(found.len(), FEW + 1, "{found:?}");
        let count = if foreign { 400 } else { 200 };
        let last = format!("{} (repeated {} times)", found[FEW - 1], count - FEW);
        assert_eq!(found[FEW], last);
    }
    program.stop();
}

/// A crowd that comes again and again.
#[test]
fn refused_connections_are_counted() {
    let program = start(&[&["--max-cons", "2"]]);
    let mut client = program.login();
    for _ in 0..50 {
        let mut refused = program.client();
        refused.expect_reply(421);
        refused.expect_eof();
    }
    client.expect(221, "QUIT");
    client.expect_eof();
    program.expect_log("USER 'user' logged in.");
    program.expect_log("FTP session closed (disconnect).");
    let log = program.log();
    let count = |text: &str| log.matches(text).count();
    assert_eq!(count("Too many connections."), FEW, "{log}");
    assert_eq!(count("FTP session opened"), FEW + 1, "{log}");
    program.stop();
}

/// What has worked has more lines, and what changes a file has all of them.
#[test]
fn commands_that_change_nothing_are_counted() {
    const MANY: usize = 100;
    let program = start(&[]);
    let mut client = program.login();
    for _ in 0..MANY + 20 {
        client.expect(250, "CWD /");
        client.expect(257, "MKD x");
        client.expect(250, "RMD x");
        client.expect(230, "REIN");
        client.login(USER, PASSWORD);
    }
    client.expect(221, "QUIT");
    client.expect_eof();
    program.expect_log("FTP session closed (disconnect).");
    for text in ["] CWD ", "] MKD ", "] REIN ", " logged in."] {
        let log = program.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
        if text == "] MKD " {
            assert_eq!(lines.len(), MANY + 20);
            continue;
        }
        // The first line of the session, which tells of the login, is not counted.
        let first = usize::from(text == " logged in.");
        assert_eq!(lines.len(), first + MANY + 1, "{text}");
        let last = lines[first + MANY];
        assert!(last.ends_with(" (repeated 20 times)"), "{last}");
    }
    program.stop();
}

/// Another host may connect to a passive port again and again.
#[test]
fn foreign_connections_are_counted() {
    let program = start(&[]);
    let mut client = program.login();
    let address = testkit::parse_227(&client.expect(227, "PASV"));
    for _ in 0..FEW + 5 {
        let mut foreign = testkit::connect_data_from("127.0.0.2", address);
        assert!(testkit::read_all(&mut foreign).is_empty());
    }
    client.expect(221, "QUIT");
    client.expect_eof();
    program.expect_log("FTP session closed (disconnect).");
    let found = messages(
        &program,
        "Rejected data connection from foreign address 127.0.0.2",
    );
    assert_eq!(found.len(), FEW + 1, "{found:?}");
    assert!(found[FEW].ends_with(" (repeated 5 times)"), "{found:?}");
    program.stop();
}

#[test]
fn failed_handshakes_are_counted() {
    let program = Program::start(FTPDLIB, Mode::Tls13, &[]);
    let mut client = program.login();
    for _ in 0..FEW + 5 {
        let address = testkit::parse_227(&client.expect(227, "PASV"));
        let mut data = std::net::TcpStream::connect(address).unwrap();
        testkit::set_deadlines(&data);
        data.write_all(b"this is no handshake, whatever it is")
            .unwrap();
        client.begin("LIST");
        client.expect_reply(522);
    }
    client.expect(221, "QUIT");
    client.expect_eof();
    program.expect_log("FTP session closed (disconnect).");
    for text in ["SSL handshake on the data channel failed", "LIST "] {
        let found = messages(&program, text);
        assert_eq!(found.len(), FEW + 1, "{found:?}");
        assert!(found[FEW].ends_with(" (repeated 5 times)"), "{found:?}");
    }
    program.stop();
}

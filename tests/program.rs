//! The program while it serves: its log, and what changes around it.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::{Client, Mode, Program, at_once, parse_227, set_deadlines, wait_for};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

/// The lines of the log that have this text, without the time and the address.
fn lines_with(program: &Program, text: &str) -> Vec<String> {
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains(text));
    let after_prefix = |line: &str| line.split_once("-[user] ").unwrap().1.to_owned();
    lines.map(after_prefix).collect()
}

/// Others of this machine cannot read what clients upload.
#[test]
fn the_umask_of_the_file_holds_for_uploads() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), "[server]\numask = \"077\"\n").unwrap();
    let args = ["--config", settings.path().to_str().unwrap()];
    for concurrency in ["async", "multi-thread", "multi-proc", "pre-fork"] {
        let args = [&args[..], &["--concurrency", concurrency]].concat();
        // Whatever it has inherited.
        let program = Program::start_after("umask 000", FTPDLIB, Mode::Clear, &args);
        let mut client = program.login();
        client.upload("STOR file", b"secret");
        client.expect(257, "MKD dir");
        for (name, expected) in [("file", 0o600), ("dir", 0o700)] {
            let mode = fs::metadata(program.path(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, expected, "{name} {concurrency}");
        }
    }
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

/// The same if the data connection is refused after the 150, or does not come.
#[test]
fn transfers_without_data_connection_are_logged() {
    const PLAIN: &[u8] = b"plain text\r\n";
    let program = Program::start(FTPDLIB, Mode::Tls13, &[]);
    program.write("a", b"abc");
    fs::create_dir(program.path("dir")).unwrap();
    let mut failures = 0;
    for (cmd, name) in [
        ("RETR", "a"),
        ("STOR", "new"),
        ("APPE", "b"),
        ("LIST", "dir"),
        ("NLST", "dir"),
        ("MLSD", "dir"),
    ] {
        let path = program.path(name).display().to_string();
        let line = format!("{cmd} {path} 522 'SSL handshake failed.'");
        // A session writes few lines of a kind.
        let mut client = program.login();
        // The handshake fails after the command, or before it.
        for count in [1, 2] {
            let address = parse_227(&client.expect(227, "PASV"));
            let mut data = TcpStream::connect(address).unwrap();
            set_deadlines(&data);
            if count == 2 {
                data.write_all(PLAIN).unwrap();
                wait_for("the failure", || {
                    lines_with(&program, "has sent plain text").len() == failures + 1
                });
            }
            client.begin(format!("{cmd} {name}"));
            if count == 1 {
                data.write_all(PLAIN).unwrap();
            }
            client.expect_reply(522);
            failures += 1;
            wait_for(&line, || {
                lines_with(&program, &format!("{cmd} {path} 522")) == vec![line.clone(); count]
            });
        }
    }
}

/// The same if another data connection is asked for meanwhile.
#[test]
fn transfers_that_never_begin_are_logged() {
    let program = Program::start(FTPDLIB, Mode::Clear, &[]);
    program.write("a", b"abc");
    let mut client = program.login();
    for (cmd, name) in [("RETR", "a"), ("STOR", "new"), ("NLST", "")] {
        let path = program.path(name).display().to_string();
        client.expect(227, "PASV");
        client.begin(format!("{cmd} {name}"));
        client.expect(426, "PASV");
        program.expect_log(&format!("{cmd} {} 426 '", path.trim_end_matches('/')));
        client.expect_reply(227);
    }
}

/// The same if it breaks, is aborted, or does not come in time.
#[test]
fn listings_that_fail_are_logged() {
    let settings = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(settings.path(), "[dtp]\npassive_timeout = 1\n").unwrap();
    let args = ["--config", settings.path().to_str().unwrap()];
    let program = Program::start(FTPDLIB, Mode::Clear, &args);
    fs::create_dir(program.path("dir")).unwrap();
    // More than a socket takes that nobody reads.
    fill(&program.path("dir"), 6 << 20);
    let dir = program.path("dir").display().to_string();
    let mut client = program.login();
    for cmd in ["LIST", "NLST", "MLSD"] {
        client.lines(format!("{cmd} dir"));
        let logged = |line: &str| program.expect_log(&format!("] {cmd} {dir} {line}"));
        // The client has reset the data connection.
        let data = client.pasv();
        testkit::await_data(&mut client);
        testkit::reset(data);
        client.expect(125, format!("{cmd} dir"));
        let reply = client.expect_reply(426);
        logged(&reply.replace("426 ", "426 '"));
        let (mut other, _data) = unread(&program, &format!("{cmd} dir"));
        other.expect(426, "ABOR");
        other.expect_reply(226);
        logged("426 'Transfer aborted via ABOR.'");
        // The data connection does not come.
        other.expect(227, "PASV");
        other.expect(150, format!("{cmd} dir"));
        other.expect_reply(421);
        logged("421 'Passive data channel timed out.'");
        assert_eq!(lines_with(&program, &format!("] {cmd} ")).len(), 3);
    }
    // A file has its line anyway.
    program.write("file", "x");
    let data = client.pasv();
    testkit::await_data(&mut client);
    testkit::reset(data);
    client.expect(125, "RETR file");
    client.expect_reply(426);
    let file = program.path("file").display().to_string();
    program.expect_log(&format!("] RETR {file} completed=0 bytes=0 "));
}

/// The memory of a program and of its children, in bytes.
fn memory(program: &Program) -> u64 {
    let children = program.children();
    let pages = |pid: &u32| {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    children.iter().map(|pid| pages(pid) * 4096).sum::<u64>() + program.memory()
}

/// Makes a directory whose names need this many bytes to be sorted.
fn fill(dir: &Path, bytes: usize) -> usize {
    let count = bytes / 200;
    for i in 0..count {
        // Not in their order.
        let i = i * 7919 % count;
        fs::File::create(dir.join(format!("{i:0200}"))).unwrap();
    }
    count
}

/// Begins a listing, and reads its first byte only: all that it needs is held then. The client
/// takes few bytes, so that the system does not take the whole listing.
fn unread(program: &Program, command: &str) -> (Client, TcpStream) {
    let mut client = program.login();
    let address = parse_227(&client.expect(227, "PASV"));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut data = TcpStream::from(socket);
    set_deadlines(&data);
    client.begin(command);
    data.read_exact(&mut [0; 1]).unwrap();
    (client, data)
}

#[test]
fn unread_listings_share_a_budget() {
    const EACH: usize = 6 << 20;
    const LISTINGS: usize = 25;
    let dir = tempfile::tempdir().unwrap();
    for name in ["big", "small"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let count = fill(&dir.path().join("big"), EACH);
    fill(&dir.path().join("small"), 6000);
    let models = [
        [].as_slice(),
        &["--concurrency", "pre-fork", "--workers", "2"],
    ];
    at_once(models, |model| {
        let mut args = vec!["-d", dir.path().to_str().unwrap()];
        args.extend(model);
        let program = Program::start(FTPDLIB, Mode::Clear, &args);
        // What a process needs at all, also for one listing.
        let mut client = program.login();
        let whole = client.lines("NLST big");
        assert!(whole.len() == count && whole.is_sorted());
        let before = memory(&program);
        let open: Vec<_> = (0..LISTINGS)
            .map(|_| unread(&program, "LIST big"))
            .collect();
        let held = memory(&program).saturating_sub(before);
        let workers = program.children().len().max(1) as u64;
        let max = workers * (48 << 20);
        assert!(held < max, "{args:?}: {} MiB", held >> 20);
        // A listing is complete, sorted or not.
        let mut lines = client.lines("NLST big");
        assert!(workers > 1 || !lines.is_sorted(), "{args:?}");
        lines.sort();
        assert_eq!(lines, whole);
        // A small directory is sorted in any case.
        let lines = client.lines("NLST small");
        assert!(lines.len() == 30 && lines.is_sorted(), "{args:?}");
        // The budget is given back when the clients leave.
        drop(open);
        wait_for("a sorted listing", || client.lines("NLST big").is_sorted());
    });
}

/// The address in the reply to PASV.
fn passive_address(program: &Program) -> String {
    let reply = program.login().expect(227, "PASV");
    parse_227(&reply).ip().to_string()
}

#[test]
fn host_names_become_addresses_in_replies_to_pasv() {
    for model in ["async", "pre-fork", "multi-thread", "multi-proc"] {
        let args = ["--concurrency", model, "-n", "localhost"];
        let program = Program::start(FTPDLIB, Mode::Clear, &args);
        assert_eq!(passive_address(&program), "127.0.0.1", "{model}");
        program.stop();
    }
    let program = Program::start(FTPDLIB, Mode::Clear, &["-n", "203.0.113.7"]);
    assert_eq!(passive_address(&program), "203.0.113.7");
}

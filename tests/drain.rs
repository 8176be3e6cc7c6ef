//! How a server process ends in each model: which sessions get a reply, which may finish, and
//! when the end comes in any case.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener};

use testkit::authority::Pair;
use testkit::{
    BIG, Client, Mode, PASSWORD, Program, USER, await_refusal, connect_data, drain, parse_227,
    sparse, wait_for,
};

/// The path of the program.
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

const MODELS: [&[&str]; 4] = [
    &["--concurrency", "async"],
    &["--concurrency", "multi-thread"],
    &["--concurrency", "multi-proc"],
    &["--concurrency", "pre-fork", "--workers", "2"],
];

/// Starts a program of each model, with a large file. Transfers may go on for 600 seconds, unless
/// `args` say otherwise.
fn programs(args: &[&str]) -> impl Iterator<Item = Program> {
    MODELS.into_iter().map(move |model| {
        let program = Program::start(
            FTPDLIB,
            Mode::Clear,
            &[model, &["--drain-timeout", "600", "--debug"], args].concat(),
        );
        sparse(&program.home.path().join("big"), BIG);
        program
    })
}

/// Checks that the program has ended with this status and left nothing behind.
#[track_caller]
fn expect_end(mut program: Program, status: i32) {
    assert_eq!(program.wait().code(), Some(status), "{}", program.log());
    assert!(!program.log().contains("panicked"), "{}", program.log());
    drop(TcpListener::bind(program.address).unwrap());
}

#[test]
fn sessions_at_rest_get_421() {
    for program in programs(&[]) {
        let mut listening = program.login();
        listening.expect(227, "PASV");
        let mut connected = program.login();
        let _data = connected.pasv();
        let mut delayed = program.connect();
        delayed.expect(331, format!("USER {USER}"));
        delayed.send("PASS wrong\r\n");
        wait_for("the login", || program.log().contains("<- PASS"));
        let mut clients = [
            program.connect(),
            program.login(),
            listening,
            connected,
            delayed,
        ];
        program.signal("TERM");
        clients.iter_mut().for_each(Client::expect_shutdown);
        expect_end(program, 0);
    }
}

/// Commands that the server has not read would make the system reset the connection, and drop the
/// reply with it.
#[test]
fn unread_commands_do_not_cost_the_reply() {
    for program in programs(&[]) {
        let mut delayed = program.connect();
        delayed.expect(331, format!("USER {USER}"));
        delayed.send("PASS wrong\r\n");
        wait_for("the login", || program.log().contains("<- PASS"));
        delayed.send("NOOP\r\n".repeat(5000));
        program.signal("TERM");
        let reply = testkit::read_whole(&mut delayed.socket);
        assert_eq!(reply, b"421 Service is shutting down.\r\n");
        expect_end(program, 0);
    }
}

#[test]
fn transfers_may_finish() {
    for program in programs(&[]) {
        let mut idle = program.login();
        let mut down = program.login();
        let mut download = down.pasv();
        down.begin("RETR big");
        let mut up = program.login();
        let mut upload = up.pasv();
        up.begin("STOR up");
        upload.write_all(b"half ").unwrap();
        // The transfer is promised, but its data connection comes later.
        let mut late = program.login();
        let promised = parse_227(&late.expect(227, "PASV"));
        late.expect(150, "STOR late");
        // A session after QUIT gets no second reply.
        let mut quit = program.login();
        let mut last = quit.pasv();
        quit.begin("RETR big");
        quit.expect(221, "QUIT");

        program.signal("TERM");
        idle.expect_shutdown();
        await_refusal(program.address);
        assert_eq!(drain(&mut download), BIG);
        down.expect_reply(226);
        down.expect_shutdown();
        upload.write_all(b"and half").unwrap();
        upload.shutdown(Shutdown::Write).unwrap();
        up.expect_reply(226);
        up.expect_shutdown();
        let mut data = connect_data(promised);
        data.write_all(b"here").unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        late.expect_reply(226);
        late.expect_shutdown();
        assert_eq!(drain(&mut last), BIG);
        quit.expect_reply(226);
        quit.expect_eof();
        let content = |name| std::fs::read(program.home.path().join(name)).unwrap();
        assert_eq!(content("up"), b"half and half");
        assert_eq!(content("late"), b"here");
        expect_end(program, 0);
    }
}

#[test]
fn what_takes_too_long_is_cut() {
    for program in programs(&["--drain-timeout", "0.3"]) {
        let mut client = program.login();
        let mut data = client.pasv();
        client.begin("RETR big");
        let mut promised = program.login();
        promised.expect(227, "PASV");
        promised.expect(150, "STOR late");
        let mut deaf = program.login();
        fill(&mut deaf);
        program.signal("INT");
        await_refusal(program.address);
        // None of them does anything until the end.
        expect_end(program, 0);
        assert!(testkit::read_all(&mut data).len() < usize::try_from(BIG).unwrap());
        while client.try_reply().is_some() {}
    }
}

/// Sends commands until the server reads no more of them because the client reads no replies.
fn fill(client: &mut Client) {
    client.socket.set_nonblocking(true).unwrap();
    let commands = b"HELP\r\n".repeat(1000);
    let mut full = false;
    wait_for("a full socket", || {
        let before = std::mem::replace(&mut full, false);
        loop {
            match client.socket.write(&commands) {
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) => panic!("{err}"),
            }
            full = true;
        }
        !full && !before
    });
    client.socket.set_nonblocking(false).unwrap();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (name, status) in [("TERM", 128 + 15), ("INT", 128 + 2)] {
        for program in programs(&[]) {
            let mut idle = program.login();
            let mut client = program.login();
            let mut data = client.pasv();
            client.begin("RETR big");
            program.signal(name);
            idle.expect_shutdown();
            await_refusal(program.address);
            program.signal(name);
            expect_end(program, status);
            assert!(drain_cut(&mut data) < BIG);
        }
    }
}

/// Reads what has come of a transfer.
fn drain_cut(data: &mut testkit::Socket) -> u64 {
    testkit::read_all(data).len() as u64
}

#[test]
fn handshakes_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let certfile = dir.path().join("both.pem");
    std::fs::write(&certfile, Pair::new(&["localhost"]).both()).unwrap();
    let certfile = certfile.to_str().unwrap();
    for program in programs(&["--tls", "--certfile", certfile]) {
        let mut client = program.connect();
        client.expect(234, "AUTH TLS");
        let mut idle = program.login();
        program.signal("TERM");
        client.expect_eof();
        idle.expect_shutdown();
        expect_end(program, 0);
    }
}

#[test]
fn without_clients_the_end_does_not_wait() {
    for mut program in programs(&[]) {
        drop(program.login());
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    }
}

/// Connects clients that one turn of a loop accepts, in which a signal may come.
fn connect_many(program: &Program, name: Option<&str>) -> Vec<Client> {
    program.signal("STOP");
    let clients = (0..40).map(|_| program.client()).collect();
    name.into_iter().for_each(|name| program.signal(name));
    program.signal("CONT");
    clients
}

/// When the signal comes, some connections are on their way to a process or a thread.
#[test]
fn new_connections_do_not_delay_the_end() {
    for program in programs(&["--max-cons", "0"]) {
        let mut clients = connect_many(&program, Some("TERM"));
        for client in &mut clients {
            // Some have been accepted, others not.
            while let Some((code, text)) = client.try_reply() {
                assert!(matches!(code, 220 | 421), "{text}");
            }
        }
        drop(clients);
        expect_end(program, 0);
    }
}

/// A client that quits is gone, even if others connect at the same time.
#[test]
fn a_client_can_quit_while_others_connect() {
    for program in programs(&["--max-cons", "0"]) {
        let mut clients = connect_many(&program, None);
        // The last first: the ones before it are still connected.
        for client in clients.iter_mut().rev() {
            client.expect_reply(220);
            client.expect(221, "QUIT");
            client.expect_eof();
        }
        let mut client = program.connect();
        client.login(USER, PASSWORD);
        program.signal("TERM");
        client.expect_shutdown();
        expect_end(program, 0);
    }
}

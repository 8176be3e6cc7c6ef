//! A client with many connections does not keep the others away: with each concurrency model, and
//! over real sockets. The addresses 127.0.0.x are those of different clients.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use testkit::{
    Client, DEADLINE, Mode, PASSWORD, Program, USER, connect_data_from, parse_227, read_all,
    wait_for,
};

/// The path of the program.
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

const CROWD: &str = "127.0.0.9";

/// A server with 96 slots: the last twelve are for data connections.
fn start(model: &[&str]) -> Program {
    let args = [&["--max-cons", "96", "--concurrency"], model].concat();
    let program = Program::start(FTPDLIB, Mode::Clear, &args);
    program.write("file", b"abc");
    program
}

const MODELS: &[&[&str]] = &[
    &["async"],
    &["pre-fork", "--workers", "3"],
    &["multi-thread"],
    &["multi-proc"],
];

/// Connects from the address of the crowd, and sends some lines. `None` if the server turns the
/// connection away, or closes it meanwhile.
fn connect(program: &Program, lines: &[&str]) -> Option<Client> {
    let mut client = Client::connect_from(Mode::Clear, CROWD, program.address);
    let (code, _) = client.try_reply()?;
    for line in lines {
        client.send(format!("{line}\r\n"));
        client.try_reply()?;
    }
    (code == 220).then_some(client)
}

/// Connects until the server turns connections away.
fn fill(program: &Program, lines: &[&str]) -> Vec<Client> {
    let mut clients = Vec::new();
    while let Some(client) = connect(program, lines) {
        clients.push(client);
        assert!(clients.len() < 96, "the server turns nobody away");
    }
    assert!(clients.len() >= 30, "{}", clients.len());
    clients
}

/// Clients from other addresses come one after the other.
fn serves_others(program: &Program) {
    for turn in 0..20 {
        visit(program, &format!("127.0.0.{}", 10 + turn % 2));
    }
}

/// A client from this address logs in, and transfers a file.
fn visit(program: &Program, address: &str) {
    let mut client = Client::connect_from(Mode::Clear, address, program.address);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    let port = parse_227(&client.expect(227, "PASV"));
    let mut data = connect_data_from(address, port);
    client.begin("RETR file");
    assert_eq!(read_all(&mut data), b"abc");
    drop(data);
    client.expect_reply(226);
    client.expect(221, "QUIT");
    client.expect_eof();
}

#[test]
fn idle_connections() {
    for model in MODELS {
        let program = start(model);
        let mut clients = fill(&program, &[]);
        serves_others(&program);
        // The first of them has made room.
        let text = clients[0].expect_reply(421);
        let expected = "Too many connections. This one is closed to make room for others.";
        assert!(text.contains(expected), "{text}");
        clients[0].expect_eof();
        program.expect_log("too many connections: 1 closed to make room for others");
    }
}

#[test]
fn users_who_are_logged_in() {
    for model in MODELS {
        let program = start(model);
        let login = [format!("USER {USER}"), format!("PASS {PASSWORD}")];
        let clients = fill(&program, &[&login[0], &login[1]]);
        serves_others(&program);
        drop(clients);
    }
}

/// Clients of one address connect again and again, send commands, and log in.
#[test]
fn connections_that_come_again() {
    for model in MODELS {
        let program = start(model);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..3 {
                let (program, stop) = (&program, &stop);
                scope.spawn(move || {
                    let login = [format!("USER {USER}"), format!("PASS {PASSWORD}")];
                    let lines: &[&str] = match number {
                        0 => &[],
                        1 => &["NOOP"],
                        _ => &[&login[0], &login[1]],
                    };
                    let mut held = Vec::new();
                    while !stop.load(SeqCst) {
                        held.extend(connect(program, lines));
                        if held.len() > 40 {
                            held.drain(..20);
                        }
                    }
                });
            }
            // Let them begin.
            wait_for("a crowd", || connect(&program, &[]).is_none());
            let result = std::panic::catch_unwind(|| serves_others(&program));
            stop.store(true, SeqCst);
            result.unwrap();
        });
        // What is refused or closed is closed in time.
        let socket = TcpStream::connect_timeout(&program.address, DEADLINE).unwrap();
        drop(socket);
        program.stop();
    }
}

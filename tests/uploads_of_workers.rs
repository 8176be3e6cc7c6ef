//! Uploads to one file in several processes of one server.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use testkit::{Client, Mode, Program, Socket, Way, begin, signal, wait_for};

/// The path of the program.
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

fn program(concurrency: &str) -> Program {
    let args = ["--concurrency", concurrency];
    let workers: &[&str] = match concurrency {
        "pre-fork" => &["--workers", "3"],
        _ => &[],
    };
    Program::start(FTPDLIB, Mode::Clear, &[&args, workers].concat())
}

fn login(program: &Program) -> Client {
    let mut client = program.login();
    client.expect(200, "TYPE I");
    client
}

/// Begins an upload that then stalls.
fn stall(program: &Program, name: &str) -> (Client, Socket) {
    let mut client = login(program);
    let (mut data, _) = begin(&mut client, Way::Early, &format!("STOR {name}"));
    data.write_all(b"first").unwrap();
    wait_for("the first bytes", || {
        std::fs::read(program.path(name)).is_ok_and(|bytes| bytes == b"first")
    });
    (client, data)
}

fn one_upload_at_a_time(concurrency: &str) {
    let program = program(concurrency);
    let _holder = stall(&program, "a");
    // Wherever they are served.
    let mut others: Vec<_> = (0..8).map(|_| login(&program)).collect();
    for client in &mut others {
        client.expect(450, "STOR a");
        client.expect(450, "APPE a");
    }
    // A lock does not outlive its process.
    if concurrency == "pre-fork" {
        let killed = stall(&program, "killed");
        for pid in program.children() {
            assert!(signal("KILL", &pid.to_string()));
        }
        drop(killed);
        wait_for("another upload", || {
            let Ok(socket) = std::net::TcpStream::connect(program.address) else {
                return false;
            };
            drop(socket);
            let mut client = Client::connect(program.address);
            if client.try_reply().is_none() {
                return false;
            }
            client.login(testkit::USER, testkit::PASSWORD);
            client.command("STOR killed").0 == 150
        });
    }
}

#[test]
fn workers() {
    one_upload_at_a_time("pre-fork");
}

#[test]
fn a_process_for_each_session() {
    one_upload_at_a_time("multi-proc");
}

#[test]
fn a_thread_for_each_session() {
    one_upload_at_a_time("multi-thread");
}

//! The library without TLS serves as it does with TLS, and has no AUTH.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read, Write};

use builds::{Control, Server, connect};

#[test]
fn files_come_and_go() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path(), |_| {});
    let mut control = Control::new(connect(server.address));
    control.expect("220");
    control.login();
    let mut data = control.open_data(server.address);
    control.command("STOR a", "1");
    data.write_all(b"what is stored").unwrap();
    drop(data);
    control.expect("226");
    assert_eq!(fs::read(home.path().join("a")).unwrap(), b"what is stored");
    let mut data = control.open_data(server.address);
    control.command("RETR a", "1");
    let mut got = Vec::new();
    data.read_to_end(&mut got).unwrap();
    drop(data);
    control.expect("226");
    assert_eq!(got, b"what is stored");
    control.command("QUIT", "221");
}

#[cfg(not(feature = "ring"))]
#[test]
fn there_is_no_tls() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path(), |_| {});
    let mut control = Control::new(connect(server.address));
    control.expect("220");
    for command in ["AUTH TLS", "PBSZ 0", "PROT P"] {
        control.command(command, "500");
    }
    control.send("FEAT");
    let end = control.expect("211");
    assert_eq!(end, "211 End FEAT.");
}

//! How an upload ends whose client is in a hurry, or gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;

use testkit::{
    Client, Server, Socket, WAYS, Way, begin, connect_data, next, parse_227, pattern, reset,
    wait_for,
};

use crate::MODE;

/// How the client leaves, after it has closed the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Close,
    Reset,
    QuitAndClose,
    QuitAndReset,
    HalfClose,
    CommandAndClose,
}

use Leave::{Close, CommandAndClose, HalfClose, QuitAndClose, QuitAndReset, Reset};

fn leave(mut client: Client, how: Leave) -> Option<Client> {
    match how {
        Close => drop(client),
        Reset => reset(client.socket),
        QuitAndClose => client.send("QUIT\r\n"),
        QuitAndReset => {
            client.send("QUIT\r\n");
            reset(client.socket);
        }
        CommandAndClose => client.send("NOOP\r\nNOOP\r\nLIST\r\n"),
        HalfClose => {
            client.socket.shutdown(Shutdown::Write).unwrap();
            return Some(client);
        }
    }
    None
}

/// Stops the loop of the server until the returned value is dropped.
fn stop(server: &Server) -> mpsc::Sender<()> {
    let (resume, stopped) = mpsc::channel::<()>();
    server.busy(move || {
        let _ = stopped.recv();
    });
    resume
}

/// Sends a first byte, which the server has written when this returns, and returns the rest.
fn first_byte<'a>(server: &Server, data: &mut Socket, bytes: &'a [u8]) -> &'a [u8] {
    data.write_all(&bytes[..1]).unwrap();
    wait_for("the first byte", || {
        std::fs::read(server.path("a")).is_ok_and(|read| read.len() == 1)
    });
    &bytes[1..]
}

/// The client closes the data connection and at once the control connection, as cameras do.
/// The server sees both at the same time.
#[test]
fn client_that_closes_everything() {
    let bytes = pattern(50_000);
    let (server, events) = Server::with_hooks(MODE, |_| {});
    for way in WAYS {
        for how in [
            Close,
            Reset,
            QuitAndClose,
            QuitAndReset,
            HalfClose,
            CommandAndClose,
        ] {
            let mut client = server.login();
            let (mut data, _) = begin(&mut client, way, "STOR a");
            let rest = first_byte(&server, &mut data, &bytes);
            let resume = stop(&server);
            data.write_all(rest).unwrap();
            drop(data);
            let client = leave(client, how);
            drop(resume);
            assert_eq!(next(&events), "log a", "{way:?} {how:?}");
            assert_eq!(next(&events), "received a", "{way:?} {how:?}");
            if let Some(mut client) = client {
                client.expect_reply(226);
                client.expect_eof();
            }
            assert_eq!(next(&events), "disconnect", "{way:?} {how:?}");
            assert!(server.read("a") == bytes, "{way:?} {how:?}");
            std::fs::remove_file(server.path("a")).unwrap();
        }
    }
}

/// The same with APPE, and with more bytes than one turn moves.
#[test]
fn appending_client_that_closes_everything() {
    let bytes = pattern(2_000_000);
    let (server, events) = Server::with_hooks(MODE, |_| {});
    server.write("a", b"old");
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "APPE a");
    let control = client;
    let writer = std::thread::spawn({
        let bytes = bytes.clone();
        move || {
            data.write_all(&bytes).unwrap();
            drop(data);
            drop(control);
        }
    });
    writer.join().unwrap();
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "received a");
    assert!(server.read("a") == [b"old", &bytes[..]].concat());
}

/// The data connection waits to be accepted when the client has gone.
#[test]
fn client_that_has_gone_before_its_connection_is_accepted() {
    if MODE.is_secure() {
        // A handshake needs both sides.
        return;
    }
    let (server, events) = Server::with_hooks(MODE, |_| {});
    for how in [Close, Reset, QuitAndClose, HalfClose] {
        let mut client = server.login();
        let reply = client.expect(227, "PASV");
        client.expect(150, "STOR a");
        let resume = stop(&server);
        let mut data = connect_data(parse_227(&reply));
        data.write_all(b"bytes").unwrap();
        drop(data);
        let client = leave(client, how);
        drop(resume);
        assert_eq!(next(&events), "log a", "{how:?}");
        assert_eq!(next(&events), "received a", "{how:?}");
        assert_eq!(next(&events), "disconnect", "{how:?}");
        assert_eq!(server.read("a"), b"bytes", "{how:?}");
        drop(client);
    }
}

/// The control connection ends, but the data connection does not: the bytes so far are written,
/// and the upload is not complete.
#[test]
fn client_whose_data_connection_stays() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    for how in [Close, Reset, HalfClose] {
        let mut client = server.login();
        let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
        data.write_all(b"the beginning").unwrap();
        let client = leave(client, how);
        assert_eq!(next(&events), "log a", "{how:?}");
        assert_eq!(next(&events), "incomplete received a", "{how:?}");
        assert_eq!(next(&events), "disconnect", "{how:?}");
        assert_eq!(server.read("a"), b"the beginning");
        drop((client, data));
    }
}

/// Others are served while an upload of a client that has gone goes on.
#[test]
fn others_go_on_meanwhile() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    data.write_all(b"abc").unwrap();
    drop(client);
    let mut other = server.login();
    other.expect(200, "NOOP");
    // It may even send more.
    data.write_all(b"def").unwrap();
    drop(data);
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "received a");
    assert_eq!(server.read("a"), b"abcdef");
}

/// A reset of the data connection is no end of a file, also then.
#[test]
fn client_that_resets_everything() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    first_byte(&server, &mut data, b"abc");
    let resume = stop(&server);
    reset(data);
    reset(client.socket);
    drop(resume);
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "incomplete received a");
}

//! How an upload ends whose client is in a hurry, or gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;

use testkit::{
    Client, Server, Socket, WAYS, Way, at_once, begin, connect_data, next, parse_227, pattern,
    reset, wait_for,
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
    at_once([Close, Reset, HalfClose], |how| {
        let (server, events) = Server::with_hooks(MODE, |_| {});
        let mut client = server.login();
        let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
        data.write_all(b"the beginning").unwrap();
        let client = leave(client, how);
        assert_eq!(next(&events), "log a", "{how:?}");
        assert_eq!(next(&events), "incomplete received a", "{how:?}");
        assert_eq!(next(&events), "disconnect", "{how:?}");
        assert_eq!(server.read("a"), b"the beginning");
        drop((client, data));
    });
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

/// The client resets the control connection before the preliminary reply can be sent.
#[test]
fn client_that_is_gone_before_its_150() {
    if MODE.is_secure() {
        // A handshake needs both sides.
        return;
    }
    let (server, events) = Server::with_hooks(MODE, |_| {});
    for command in ["STOR a", "APPE a"] {
        for accepted in [false, true] {
            for how in [Close, Reset, QuitAndClose, QuitAndReset] {
                let mut client = server.login();
                let reply = client.expect(227, "PASV");
                let mut data = accepted.then(|| connect_data(parse_227(&reply)));
                if accepted {
                    testkit::await_data(&mut client);
                }
                let resume = stop(&server);
                client.send(format!("{command}\r\n"));
                let mut data = data
                    .take()
                    .unwrap_or_else(|| connect_data(parse_227(&reply)));
                data.write_all(b"bytes").unwrap();
                drop(data);
                let _client = leave(client, how);
                drop(resume);
                let what = format!("{command} {how:?} accepted: {accepted}");
                assert_eq!(next(&events), "log a", "{what}");
                assert_eq!(next(&events), "received a", "{what}");
                assert_eq!(next(&events), "disconnect", "{what}");
                assert_eq!(server.read("a"), b"bytes", "{what}");
                std::fs::remove_file(server.path("a")).unwrap();
            }
        }
    }
}

/// PORT and STOR in one packet: the client accepts, sends, and leaves, and reads nothing.
#[test]
fn client_that_sends_port_and_stor_and_leaves() {
    if MODE.is_secure() {
        // A handshake needs both sides.
        return;
    }
    let (server, events) = Server::with_hooks(MODE, |_| {});
    for command in ["STOR a", "APPE a"] {
        for how in [Close, Reset, HalfClose] {
            let mut client = server.login();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = testkit::port_command(listener.local_addr().unwrap().port());
            client.send(format!("{port}\r\n{command}\r\n"));
            let mut data = listener.accept().unwrap().0;
            // The server may not even have noticed that it is connected.
            let resume = stop(&server);
            data.write_all(b"bytes").unwrap();
            drop(data);
            let _client = leave(client, how);
            drop(resume);
            let what = format!("{command} {how:?}");
            assert_eq!(next(&events), "log a", "{what}");
            assert_eq!(next(&events), "received a", "{what}");
            assert_eq!(next(&events), "disconnect", "{what}");
            assert_eq!(server.read("a"), b"bytes", "{what}");
            std::fs::remove_file(server.path("a")).unwrap();
        }
    }
}

/// A transfer and QUIT in one packet: the data connection is there, or on its way.
#[test]
fn transfers_before_quit() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let bytes = pattern(300_000);
    for command in ["RETR a", "STOR b", "LIST"] {
        for late in [false, true] {
            server.write("a", &bytes);
            let mut client = server.login();
            let address = parse_227(&client.expect(227, "PASV"));
            let send = format!("{command}\r\nQUIT\r\n");
            let mut codes = vec![];
            let mut data = if late {
                client.send(send);
                codes.extend([client.reply().0, client.reply().0]);
                connect_data(address)
            } else {
                let resume = stop(&server);
                let data = connect_data(address);
                client.send(send);
                drop(resume);
                data
            };
            match command {
                "STOR b" => data.write_all(b"bytes").unwrap(),
                "RETR a" => assert!(testkit::read_whole(&mut data) == bytes),
                _ => assert_ne!(testkit::read_whole(&mut data), b""),
            }
            drop(data);
            while codes.len() < 3 {
                codes.push(client.reply().0);
            }
            client.expect_eof();
            codes[1..].sort_unstable();
            assert!(
                matches!(codes[..], [125 | 150, 221, 226]),
                "{command} {codes:?}"
            );
            match command {
                "STOR b" => {
                    assert_eq!(next(&events), "log b");
                    assert_eq!(next(&events), "received b");
                    assert_eq!(server.read("b"), b"bytes");
                }
                "RETR a" => {
                    assert_eq!(next(&events), "log a");
                    assert_eq!(next(&events), "sent a");
                }
                _ => {}
            }
            assert_eq!(next(&events), "disconnect");
        }
    }
    // The data connection does not come.
    let mut client = server.login();
    client.expect(227, "PASV");
    client.send("RETR a\r\nQUIT\r\n");
    for code in [150, 221, 426] {
        client.expect_reply(code);
    }
    client.expect_eof();
}

/// A client that has gone without a data connection holds nothing: there is none to wait for.
#[test]
fn client_that_has_gone_without_a_data_connection() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    // A busy machine may need longer.
    let at_once = (0..20).any(|_| {
        let mut client = server.login();
        client.expect(227, "PASV");
        client.expect(150, "STOR a");
        let gone = std::time::Instant::now();
        drop(client);
        assert_eq!(next(&events), "log a");
        assert_eq!(next(&events), "incomplete received a");
        assert_eq!(next(&events), "disconnect");
        assert!(!server.path("a").exists());
        gone.elapsed() < std::time::Duration::from_secs(2)
    });
    assert!(at_once);
}

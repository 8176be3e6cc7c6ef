//! The last reply of a session: a client that still sends can read it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::{Client, PASSWORD, Server, USER, Way, begin, next, set_deadlines};

use super::skipped_over_tls;
use crate::MODE;

/// Sends some commands that nobody reads, in several pieces.
fn keep_sending(client: &mut Client) {
    for _ in 0..20 {
        let sent = client.socket.write_all(&b"NOOP\r\n".repeat(500));
        if sent.is_err() {
            panic!("the connection was reset");
        }
    }
}

#[test]
fn too_many_failed_logins() {
    let server = Server::with(MODE, |config| {
        config.max_login_attempts = 1;
        // The server closes after the client has sent everything.
        config.auth_failed_timeout = Duration::from_millis(300);
    });
    let mut client = server.connect();
    client.send(format!("USER {USER}\r\nPASS wrong\r\n"));
    client.expect_reply(331);
    keep_sending(&mut client);
    client.expect_reply(530);
    keep_sending(&mut client);
    client.expect_eof();
}

#[test]
fn idle_client_that_begins_to_send() {
    let server = Server::with(MODE, |config| {
        config.timeout = Some(Duration::from_millis(300));
    });
    let mut client = server.login();
    client.expect_reply(421);
    keep_sending(&mut client);
    client.expect_eof();
}

/// QUIT with commands behind it.
#[test]
fn commands_after_quit() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.send(format!("QUIT\r\n{}", "NOOP\r\n".repeat(3000)));
    client.expect_reply(221);
    client.expect_eof();
}

/// The same, where the QUIT waits for the end of an upload: what comes meanwhile is not read.
#[test]
fn commands_after_quit_during_an_upload() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    client.expect(221, "QUIT");
    client.send("PASV\r\n".repeat(1000));
    data.write_all(b"bytes").unwrap();
    drop(data);
    // The client reads nothing before the session is over.
    while next(&events) != "disconnect" {}
    client.expect_reply(226);
    assert_eq!(client.socket.read(&mut [0]).unwrap(), 0, "no reset");
    assert_eq!(server.read("a"), b"bytes");
}

/// The body of a request of HTTP.
#[test]
fn browser_that_sends_much() {
    if skipped_over_tls("HTTP is recognized in the first line only") {
        return;
    }
    let server = Server::start(MODE);
    let mut browser = TcpStream::connect(server.address).unwrap();
    set_deadlines(&browser);
    browser.write_all(b"POST / HTTP/1.1\r\n").unwrap();
    for _ in 0..20 {
        browser.write_all(&[b'x'; 20_000]).unwrap();
    }
    let mut replies = String::new();
    browser.read_to_string(&mut replies).unwrap();
    assert!(replies.starts_with("220 "), "{replies}");
    assert!(
        replies.ends_with("500 This is an FTP server.\r\n"),
        "{replies}"
    );
}

/// Over the limit of connections. The client sends before it reads.
#[test]
fn too_many_connections() {
    if skipped_over_tls("the client must read the greeting before AUTH") {
        return;
    }
    let server = Server::build(
        MODE,
        "127.0.0.1",
        |_| {},
        |server| server.set_max_cons(2),
        |_| ftpdlib::handlers::StockHandler,
    );
    let first = server.login();
    let mut socket = TcpStream::connect(server.address).unwrap();
    set_deadlines(&socket);
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("421 "), "{reply}");
    drop(first);
}

/// A connection that lingers ends when its client has nothing more to say.
#[test]
fn lingering_ends() {
    let server = Server::with(MODE, |config| {
        config.max_login_attempts = 1;
    });
    let mut client = server.connect();
    client.login(USER, PASSWORD);
    let mut bad = server.connect();
    bad.expect(331, format!("USER {USER}"));
    bad.expect(530, "PASS wrong");
    bad.expect_eof();
    // Nobody closes at this end, so the server does in the end.
    let mut end = bad.socket.share();
    testkit::wait_for("the end", || end.write_all(b"x").is_err());
    client.expect(200, "NOOP");
}

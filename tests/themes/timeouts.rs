//! Clients that are silent: as pyftpdlib's `TestTimeouts`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ftpdlib::FTPConfig;
use testkit::{
    Client, FullListener, Server, WAYS, Way, await_data, await_refusal, begin, connect_data, fetch,
    parse_227, port_command, read_all, sparse,
};

use crate::MODE;

const SHORT: Option<Duration> = Some(Duration::from_millis(200));
/// Several times as long.
const LONGER: Duration = Duration::from_millis(500);

fn server(change: impl FnOnce(&mut FTPConfig) + Send + 'static) -> Server {
    Server::with(MODE, change)
}

/// Waits for a while and checks that the server has sent nothing meanwhile.
#[track_caller]
fn silence(client: &mut Client, pause: Duration) {
    client.socket.set_read_timeout(Some(pause)).unwrap();
    let err = client.socket.peek(&mut [0]).unwrap_err();
    assert_eq!(err.kind(), std::io::ErrorKind::WouldBlock);
    client
        .socket
        .set_read_timeout(Some(testkit::DEADLINE))
        .unwrap();
}

#[test]
fn idle_timeout() {
    let server = server(|config| config.timeout = SHORT);
    for logged_in in [false, true] {
        let mut client = if logged_in {
            server.login()
        } else {
            server.connect()
        };
        let reply = client.expect_reply(421);
        assert_eq!(reply, "421 Control connection timed out.");
        client.expect_eof();
    }
}

#[test]
fn data_timeout() {
    let server = server(|config| config.dtp.timeout = SHORT);
    sparse(&server.path("big"), 32 << 20);
    let commands = ["RETR big", "STOR up"];
    let mut stalled = Vec::new();
    for (way, command) in WAYS.into_iter().zip(commands.iter().cycle()) {
        let mut client = server.login();
        let (data, _) = begin(&mut client, way, command);
        stalled.push((client, data));
    }
    for (mut client, mut data) in stalled {
        let reply = client.expect_reply(421);
        assert_eq!(reply, "421 Data connection timed out.");
        client.expect_eof();
        read_all(&mut data);
    }
}

#[test]
fn data_timeout_without_transfer() {
    let server = server(|config| config.dtp.timeout = SHORT);
    let mut client = server.login();
    let _data = client.pasv();
    let reply = client.expect_reply(421);
    assert_eq!(reply, "421 Data connection timed out.");
    client.expect_eof();
}

/// A data connection that the client has closed without using it causes no 421.
#[test]
fn closed_data_connection_without_transfer() {
    let server = server(|config| config.dtp.timeout = SHORT);
    let mut client = server.login();
    drop(client.pasv());
    silence(&mut client, LONGER);
    client.expect(200, "NOOP");
    assert!(
        client
            .expect(211, "STAT")
            .contains("Data connection closed.")
    );
}

#[test]
fn data_timeout_not_reached() {
    let server = server(|config| config.dtp.timeout = Some(Duration::from_millis(400)));
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_millis(800) {
        data.write_all(b"x").unwrap();
        sent += 1;
        silence(&mut client, Duration::from_millis(10));
    }
    drop(data);
    client.expect_reply(226);
    assert_eq!(server.read("a").len(), sent);
}

#[test]
fn idle_timeout_is_suspended_during_a_transfer() {
    let server = server(|config| config.timeout = Some(Duration::from_millis(300)));
    server.write("a", b"abc");
    let mut client = server.login();
    // From the opening of the data connection on, and with commands meanwhile.
    let data = client.pasv();
    await_data(&mut client);
    silence(&mut client, LONGER);
    let mut data = data;
    client.expect(125, "STOR up");
    data.write_all(b"abc").unwrap();
    client.expect(200, "NOOP");
    silence(&mut client, LONGER);
    drop(data);
    client.expect_reply(226);
    // The time begins anew.
    let start = Instant::now();
    client.expect_reply(421);
    assert!(start.elapsed() > Duration::from_millis(150));
    client.expect_eof();
}

#[test]
fn idle_timeout_begins_anew_after_a_download() {
    let server = server(|config| config.timeout = Some(Duration::from_millis(300)));
    server.write("a", b"abc");
    let mut client = server.login();
    fetch(&mut client, Way::Early, "RETR a");
    client.expect_reply(421);
    client.expect_eof();
}

#[test]
fn pasv_timeout() {
    let server = server(|config| config.passive_dtp.timeout = SHORT);
    server.write("a", b"abc");
    for transfer in [false, true] {
        let mut client = server.login();
        let address = parse_227(&client.expect(227, "PASV"));
        if transfer {
            client.expect(150, "RETR a");
        }
        let reply = client.expect_reply(421);
        assert_eq!(reply, "421 Passive data channel timed out.");
        await_refusal(address);
        // The session goes on, and nothing waits any more.
        assert_eq!(client.lines("NLST"), ["a"]);
    }
}

#[test]
fn active_timeout() {
    let server = server(|config| config.active_dtp.timeout = SHORT);
    let full = FullListener::new();
    let command = port_command(full.address.port());
    let mut client = server.login();
    // The reply to a pipelined command comes after its reply.
    client.send(format!("{command}\r\nNOOP\r\n"));
    let reply = client.expect_reply(421);
    assert_eq!(reply, "421 Active data channel timed out.");
    client.expect_reply(200);
}

#[test]
fn abor_while_connecting() {
    let server = server(|_| {});
    let full = FullListener::new();
    let command = port_command(full.address.port());
    let mut client = server.login();
    client.send(format!("{command}\r\nABOR\r\nNOOP\r\n"));
    client.expect_reply(425);
    client.expect_reply(225);
    client.expect_reply(200);
    client.send(format!("{command}\r\nQUIT\r\n"));
    client.expect_reply(425);
    client.expect_reply(221);
    client.expect_eof();
}

#[test]
fn each_may_be_disabled() {
    let server = server(|config| {
        config.timeout = None;
        config.dtp.timeout = None;
        config.passive_dtp.timeout = None;
        config.active_dtp.timeout = None;
    });
    server.write("a", b"abc");
    let mut idle = server.login();
    let mut stalled = server.login();
    let (mut data, _) = begin(&mut stalled, Way::Early, "STOR up");
    let mut passive = server.login();
    let address = parse_227(&passive.expect(227, "PASV"));
    passive.expect(150, "RETR a");
    let mut active = server.login();
    let active_data = active.port();
    silence(&mut idle, LONGER);
    for client in [&mut stalled, &mut passive, &mut active] {
        silence(client, Duration::from_millis(1));
    }
    idle.expect(200, "NOOP");
    data.write_all(b"abc").unwrap();
    drop(data);
    stalled.expect_reply(226);
    let mut bytes = Vec::new();
    connect_data(address).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"abc");
    passive.expect_reply(226);
    drop(active_data);
    active.expect(200, "NOOP");
}

/// The server does not wait for ever until the last reply is read, but does not lose it when the
/// client reads.
#[test]
fn a_client_that_reads_nothing_times_out() {
    let server = server(|config| config.timeout = SHORT);
    let mut client = server.login();
    client.send("HELP\r\n".repeat(20));
    silence(&mut server.connect(), Duration::from_millis(1));
    // The session ends, whether the client reads or not.
    for _ in 0..20 {
        client.expect_reply(214);
    }
    client.expect_reply(421);
    client.expect_eof();
}

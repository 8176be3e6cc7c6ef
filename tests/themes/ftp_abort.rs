//! ABOR: as pyftpdlib's `TestFtpAbort`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};

use ftpdlib::ThrottledDTPHandler;
use socket2::SockRef;
use testkit::{
    FullListener, Server, WAYS, await_data, await_refusal, begin, next, parse_227, pattern,
    port_command, read_all, sparse,
};

use super::{URGENT, skipped_over_tls};

use crate::MODE;

#[test]
fn abor_no_data() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let reply = client.expect(225, "ABOR");
    assert_eq!(reply, "225 No transfer to abort.");
    client.download("LIST");
    client.expect(225, "ABOR");
}

#[test]
fn abor_pasv() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let address = parse_227(&client.expect(227, "PASV"));
    let reply = client.expect(225, "ABOR");
    assert_eq!(reply, "225 ABOR command successful; data channel closed.");
    // Nobody listens there any more.
    await_refusal(address);
    client.expect(225, "ABOR");
}

#[test]
fn abor_open_data_connection() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let mut data = client.pasv();
    await_data(&mut client);
    let reply = client.expect(225, "ABOR");
    assert_eq!(reply, "225 ABOR command successful; data channel closed.");
    assert_eq!(read_all(&mut data), b"");
    let mut data = client.port();
    client.expect(225, "ABOR");
    assert_eq!(read_all(&mut data), b"");
}

#[test]
fn abor_before_the_data_connection_is_made() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.login();
    let reply = client.expect(227, "PASV");
    client.expect(150, "RETR a");
    let aborted = client.expect(426, "ABOR");
    assert_eq!(aborted, "426 Transfer aborted via ABOR.");
    let aborted = client.expect_reply(226);
    assert_eq!(aborted, "226 ABOR command successful.");
    await_refusal(parse_227(&reply));
    // The transfer is dropped: the next connection belongs to the next transfer.
    let mut data = client.pasv();
    await_data(&mut client);
    client.expect(125, "NLST");
    assert_eq!(read_all(&mut data), b"a\r\n");
    client.expect_reply(226);
}

#[test]
fn abor_during_transfers() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    sparse(&server.path("big"), 32 << 20);
    let mut client = server.login();
    for way in WAYS {
        let (mut data, _) = begin(&mut client, way, "RETR big");
        data.read_exact(&mut [0; 1000]).unwrap();
        let reply = client.expect(426, "ABOR");
        assert_eq!(reply, "426 Transfer aborted via ABOR.");
        let reply = client.expect_reply(226);
        assert_eq!(reply, "226 ABOR command successful.");
        assert!(read_all(&mut data).len() < 32 << 20);
        assert_eq!(next(&events), "log big");
        assert_eq!(next(&events), "incomplete sent big");

        let (mut data, _) = begin(&mut client, way, "STOR up");
        data.write_all(b"abc").unwrap();
        client.expect(426, "ABOR");
        client.expect_reply(226);
        assert_eq!(next(&events), "log up");
        assert_eq!(next(&events), "incomplete received up");
        assert_eq!(read_all(&mut data), b"");
    }
    client.expect(200, "NOOP");
}

/// As clients do: Telnet's "interrupt process" and "synch" come before it, with their last byte
/// as urgent data.
#[test]
fn oob_abor() {
    if skipped_over_tls(URGENT) {
        return;
    }
    let server = Server::start(MODE);
    sparse(&server.path("big"), 32 << 20);
    let mut client = server.login();
    for _ in 0..3 {
        let (data, _) = begin(&mut client, WAYS[0], "RETR big");
        client.send([255, 244]);
        SockRef::from(&client.socket)
            .send_out_of_band(&[255, 242])
            .unwrap();
        client.send("ABOR\r\n");
        client.expect_reply(426);
        client.expect_reply(226);
        drop(data);
    }
    client.send([255, 244, 255]);
    SockRef::from(&client.socket)
        .send_out_of_band(&[242])
        .unwrap();
    client.send("ABOR\r\n");
    client.expect_reply(225);
    client.expect(200, "NOOP");
}

#[test]
fn abor_while_throttled() {
    let server = Server::with(MODE, |config| {
        config.set_dtp_handler(|| {
            ThrottledDTPHandler::new()
                .write_limit(1000)
                .read_limit(1000)
        });
    });
    server.write("big", pattern(100_000));
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, WAYS[0], "RETR big");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.expect(426, "ABOR");
    client.expect_reply(226);
    assert!(read_all(&mut data).len() < 10_000);
    let (mut data, _) = begin(&mut client, WAYS[0], "STOR up");
    data.write_all(&pattern(10_000)).unwrap();
    client.expect(426, "ABOR");
    client.expect_reply(226);
    client.expect(200, "NOOP");
}

/// Commands wait for the reply to PORT.
#[test]
fn commands_while_a_connection_is_being_made() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let full = FullListener::new();
    let command = port_command(full.address.port());
    client.send(format!("{command}\r\nNOOP\r\n").as_bytes());
    // NOOP waits for the reply to PORT; a second session does not.
    server.login().expect(200, "NOOP");
    drop(full);
    let code = client.reply().0;
    assert!(matches!(code, 200 | 425), "{code}");
    client.expect_reply(200);
}

#[test]
fn pipelined_abor() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.login();
    client.send("ABOR\r\nPASV\r\nABOR\r\nABOR\r\nNOOP\r\n");
    for code in [225, 227, 225, 225, 200] {
        client.expect_reply(code);
    }
    let reply = client.expect(227, "PASV");
    client.send("RETR a\r\nABOR\r\nNOOP\r\n");
    for code in [150, 426, 226, 200] {
        client.expect_reply(code);
    }
    await_refusal(parse_227(&reply));
}

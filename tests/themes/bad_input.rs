//! Input that no good client sends. The server replies with an error or closes the connection,
//! sends one reply for each command, keeps its memory bounded, and serves the other clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
#[cfg(feature = "cli")]
use std::io::ErrorKind;
use std::io::{Read, Write};
use std::net::Shutdown;
#[cfg(feature = "cli")]
use std::time::{Duration, Instant};

use testkit::{
    Client, Server, Way, accept_data, await_data, begin, connect_data, parse_227, pattern,
    port_listener, read_all,
};
#[cfg(feature = "cli")]
use testkit::{Program, reset, sparse};

use super::skipped_over_tls;

#[cfg(feature = "cli")]
use super::FTPDLIB;
use crate::MODE;

/// Sends `parts`, each one when the server has read the one before.
fn send_parts(server: &Server, client: &mut Client, parts: &[&[u8]]) {
    for part in parts {
        client.send(part);
        // This takes a turn of the loop, or two.
        for _ in 0..2 {
            server.connect().expect(500, "X");
        }
    }
}

/// Checks that these codes come, and no other reply.
#[track_caller]
fn expect_codes(client: &mut Client, codes: &[u16]) {
    for code in codes {
        client.expect_reply(*code);
    }
    let reply = client.expect(500, "WHAT");
    assert_eq!(reply, "500 Command \"WHAT\" not understood.");
}

#[test]
fn long_lines() {
    let server = Server::start(MODE);
    server.write("b", b"");
    let mut client = server.login();
    // A line may have 2,048 bytes.
    let longest = format!("CWD {}", "x".repeat(2044));
    client.expect(550, &longest);
    let reply = client.expect(500, format!("{longest}x"));
    assert_eq!(reply, "500 Command too long.");
    // The rest of the line is never a command, however the line is cut.
    let head = vec![b'x'; 3000];
    let mid = vec![b'y'; 20_000];
    let ways: [&[&[u8]]; 8] = [
        &[&head, b"\r\nNOOP\r\n"],
        &[&head, b"\r", b"\nNOOP\r\n"],
        &[&head, b"DELE b\r\nNOOP\r\n"],
        &[&head, b"\rDELE b\r\nNOOP\r\n"],
        &[&head, b"\nNO", b"OP\r\n"],
        &[&head[..2049], b"DELE b", b"\r", b"\n", b"NOOP\r\n"],
        &[&head[..2048], b"\rDELE b\r\nNOOP\r\n"],
        &[&head, &mid, &mid, b"DELE b\r\n", b"NOOP\r\n"],
    ];
    for parts in ways {
        send_parts(&server, &mut client, parts);
        expect_codes(&mut client, &[500, 200]);
        client.send(parts.concat());
        expect_codes(&mut client, &[500, 200]);
    }
    assert!(server.path("b").exists());
    // Between other commands.
    let long = String::from_utf8(head).unwrap();
    client.send(format!(
        "NOOP\r\n{long}\r\nNOOP\r\n{long}\r\n{long}\r\nNOOP\r\n"
    ));
    expect_codes(&mut client, &[200, 500, 200, 500, 500, 200]);
}

#[cfg(feature = "cli")]
#[test]
fn endless_line() {
    let program = Program::start(FTPDLIB, MODE, &[]);
    let mut client = program.login();
    let before = program.memory();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        client.send(&chunk);
    }
    client.send("\r\nNOOP\r\n");
    expect_codes(&mut client, &[500, 200]);
    assert!(program.memory() < before + (1 << 20));
}

/// Sends until the server reads no more.
#[cfg(feature = "cli")]
fn flood(client: &mut Client, bytes: &[u8], max: usize) -> usize {
    client.socket.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut refused = Instant::now();
    while sent < max && refused.elapsed() < Duration::from_millis(300) {
        // Start at the right byte, so that a command that was cut is continued.
        let rest = &bytes[sent % bytes.len()..];
        match client.socket.write(rest) {
            Ok(size) => {
                sent += size;
                refused = Instant::now();
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            Err(err) => panic!("{err}"),
        }
    }
    client.socket.set_nonblocking(false).unwrap();
    sent
}

#[cfg(feature = "cli")]
#[test]
fn replies_that_are_never_read() {
    const LINE: &[u8] = b"STAT dir\r\n";
    let program = Program::start(FTPDLIB, MODE, &[]);
    let dir = program.home.path().join("dir");
    fs::create_dir(&dir).unwrap();
    for number in 0..300 {
        fs::write(dir.join(format!("{number}-{}", "x".repeat(100))), b"").unwrap();
    }
    let mut client = program.login();
    let mut other = program.login();
    let before = (program.memory(), program.descriptors());
    let sent = flood(&mut client, &LINE.repeat(100), 30 << 20);
    // The server reads no more commands while its replies are not read.
    assert!(sent < 30 << 20, "{sent}");
    other.expect(200, "NOOP");
    other.expect(213, "STAT dir");
    let after = (program.memory(), program.descriptors());
    assert!(after.0 < before.0 + (1 << 20), "{before:?} {after:?}");
    // At most the directory is open, and not one for each command.
    assert!(after.1 <= before.1 + 3, "{before:?} {after:?}");
    // It waits without spinning.
    program.await_calm(Duration::from_millis(300), Duration::from_millis(50));
    // No reply is lost.
    for _ in 0..300 {
        let reply = client.expect_reply(213);
        assert!(reply.ends_with("213 End of status."));
    }
    other.expect(200, "NOOP");
}

#[test]
fn pipelined_stats_are_all_answered() {
    let server = Server::start(MODE);
    fs::create_dir(server.path("dir")).unwrap();
    for number in 0..200 {
        server.write(&format!("dir/{number}-{}", "x".repeat(100)), b"");
    }
    let mut client = server.login();
    client.send("STAT dir\r\nNOOP\r\n".repeat(300));
    for _ in 0..300 {
        let reply = client.expect_reply(213);
        assert_eq!(reply.split("\r\n").count(), 202);
        client.expect_reply(200);
    }
    // The last of them is also the end of the input.
    client.send("STAT dir\r\n".repeat(50));
    client.socket.shutdown(Shutdown::Write).unwrap();
    for _ in 0..50 {
        client.expect_reply(213);
    }
    client.expect_eof();
}

#[cfg(feature = "cli")]
#[test]
fn stalled_data_peers() {
    let server = Program::start(FTPDLIB, MODE, &[]);
    sparse(&server.home.path().join("big"), 64 << 20);
    // Once before, for what is allocated only once.
    server.login().download("NLST");
    let before = server.memory();
    let mut stalled: Vec<_> = ["RETR big", "STOR up", "RETR big"]
        .into_iter()
        .map(|command| {
            let mut client = server.login();
            let (data, _) = begin(&mut client, Way::Early, command);
            (client, data)
        })
        .collect();
    let mut other = server.login();
    for _ in 0..50 {
        other.expect(200, "NOOP");
    }
    other.download("NLST");
    for (client, _) in &mut stalled {
        client.expect(200, "NOOP");
    }
    assert!(server.memory() < before + (1 << 20));
    for (mut client, data) in stalled {
        reset(data);
        client.expect_reply(426);
    }
}

#[test]
fn rest_beyond_range() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.login();
    for arg in [
        "-1",
        "x",
        "1x",
        "0x10",
        "1e3",
        "1.5",
        "+",
        "\u{661}\u{662}",
        "\u{ff11}",
        "\u{b2}",
        "",
    ] {
        client.expect(501, format!("REST {arg}"));
    }
    for arg in [
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        &"9".repeat(2000),
    ] {
        // Refused at once, or when it is used.
        if client.command(format!("REST {arg}")).0 == 350 {
            client.expect(554, "RETR a");
            client.expect(350, format!("REST {arg}"));
            client.expect(554, "STOR a");
        }
    }
    assert_eq!(server.read("a"), b"abc");
    assert_eq!(client.download("RETR a"), b"abc");
}

#[test]
fn port_beyond_range() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for arg in [
        "127,0,0,1,256,1",
        "127,0,0,1,1,256",
        "127,0,0,1,-1,1",
        "127,0,0,1,1",
        "127,0,0,1,1,1,1",
        "127,0,0,256,10,10",
        "127,0,0,1,99999999999999999999,1",
        "127,0,0,\u{661},10,10",
        "127,0,0,1,0,0",
        "127,0,0,1,3,255",
        ",,,,,",
        "a,b,c,d,e,f",
        "127,0,0,1,0x10,1",
        "1.2.3.4.5.6",
        "8,8,8,8,200,10",
    ] {
        client.expect(501, format!("PORT {arg}"));
    }
    for arg in [
        "|1|127.0.0.1|65536|",
        "|1|127.0.0.1|-1|",
        "|1|127.0.0.1|0|",
        "|1|127.0.0.1|1023|",
        "|1|127.0.0.1||",
        "|1|127.0.0.1|\u{661}\u{661}\u{661}\u{661}|",
        "|1|127.0.0.1|99999999999999999999|",
        "|1|127.0.0.1|2000",
        "||||",
        "|",
        "1|127.0.0.1|2000|",
        "|3|127.0.0.1|2000|",
        "|1|8.8.8.8|2000|",
        "|1|localhost|2000|",
        "|1|::1|2000|",
    ] {
        client.expect(501, format!("EPRT {arg}"));
    }
    client.expect(522, "EPRT |2|::1|2000|");
    for arg in ["3", "x", "-1", "\u{661}", "99999999999999999999"] {
        client.expect(501, format!("EPSV {arg}"));
    }
    client.expect(200, "NOOP");
}

#[test]
fn times_and_modes_beyond_range() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(MODE);
    let path = server.write("a", b"abc");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(&path).unwrap();
    let mut client = server.login();
    for arg in [
        "20261332000000",
        "20260230000000",
        "20260101250000",
        "20260101006000",
        "00000000000000",
        "2026010100000",
        "202601010000000",
        "-2026010100000",
        "2026010100000x",
        "\u{662}\u{660}\u{662}\u{666}\u{660}\u{661}\u{660}\u{661}\u{660}\u{660}\u{660}\u{660}\u{660}\u{660}",
    ] {
        client.expect(501, format!("MFMT {arg} a"));
    }
    client.expect(501, "MFMT 20260101000000");
    for arg in [
        "8",
        "0o777",
        "-1",
        "77777",
        "99999999999999999999",
        "abc",
        "7x7",
        "\u{667}\u{667}\u{667}",
        "+77",
        "",
    ] {
        client.expect(501, format!("SITE CHMOD {arg} a"));
    }
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    assert_eq!(after.permissions(), before.permissions());
}

#[test]
fn control_bytes_in_commands() {
    let server = Server::start(MODE);
    for name in ["a", "b"] {
        server.write(name, b"");
    }
    fs::create_dir(server.path("dir")).unwrap();
    let mut client = server.login();
    let commands: [&[u8]; 13] = [
        b"CWD dir\rDELE b",
        b"CWD dir\0DELE b",
        b"DELE a\0",
        b"DELE a\r",
        b"RNFR a\0x",
        b"MKD x\0y",
        b"MKD x\ry",
        b"STOR x\ry",
        b"SIZE a\0",
        b"NOOP\0",
        b"\0",
        b"NO\rOP",
        b"\xff\xfe\x80\x81",
    ];
    for command in commands {
        client.send([command, b"\r\n"].concat());
        let line = client.line().unwrap();
        let shown = String::from_utf8_lossy(command).into_owned();
        assert!(matches!(line[0], b'4' | b'5'), "{shown:?}: {line:?}");
        assert!(line.iter().all(|byte| *byte >= 0x20), "{shown:?}: {line:?}");
    }
    client.expect(200, "NOOP");
    let mut names: Vec<_> = fs::read_dir(server.home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b", "dir"]);
}

#[test]
fn what_is_echoed_forges_no_reply() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    let text = "x\r226 y\r230 z\0\x1b[2J\u{85}\u{9b}1m";
    client.expect(331, format!("USER {text}"));
    for command in [
        text.to_owned(),
        format!("HELP {text}"),
        format!("TYPE {text}"),
        format!("OPTS {text}"),
        format!("PASS {text}"),
    ] {
        let reply = client.command(&command).1;
        assert!(
            !reply.contains(|c: char| c.is_control()),
            "{command:?} {reply:?}"
        );
    }
    let mut client = server.login();
    for command in [
        "CWD",
        "TYPE",
        "EPSV",
        "SITE",
        "SITE HELP",
        "MLST",
        "SIZE",
        "RMD",
        "EPRT",
        "STRU",
        "PORT",
    ] {
        let reply = client.command(format!("{command} {text}")).1;
        assert!(
            !reply.contains(|c: char| c.is_control()),
            "{command} {reply:?}"
        );
    }
    client.expect(200, "NOOP");
}

#[test]
fn http_on_the_port() {
    if skipped_over_tls("a client that has sent AUTH is not a browser") {
        return;
    }
    let server = Server::start(MODE);
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\nDELE a\r\n\r\n",
        "POST /?a b HTTP/1.0\r\nContent-Length: 20\r\n\r\nUSER user\r\nPASS 12345\r\nDELE a\r\n",
    ] {
        server.write("a", b"");
        let mut client = server.connect();
        client.send(request);
        client.expect_reply(500);
        client.expect_eof();
        assert!(server.path("a").exists());
    }
    server.login().expect(200, "NOOP");
}

#[test]
fn pipelining() {
    let server = Server::start(MODE);
    server.write("a", b"abc");
    let mut client = server.connect();
    client.send(
        "USER user\r\nPASS 12345\r\nPWD\r\nTYPE I\r\nMKD d\r\nCWD d\r\nPWD\r\nCDUP\r\nRMD d\r\n\
         SIZE a\r\nRNFR a\r\nRNTO b\r\nDELE b\r\nDELE b\r\nFEAT\r\nHELP\r\n\r\nNOPE\r\nSTAT\r\nQUIT\r\nNOOP\r\n",
    );
    for code in [
        331, 230, 257, 200, 257, 250, 257, 250, 250, 213, 350, 250, 250, 550, 211, 214, 500, 500,
        211, 221,
    ] {
        client.expect_reply(code);
    }
    client.expect_eof();
    // The same byte by byte.
    let mut client = server.connect();
    for byte in b"USER user\r\nPASS 12345\r\nNOOP\r\n" {
        client.send([*byte]);
    }
    for code in [331, 230, 200] {
        client.expect_reply(code);
    }
    // More than one turn reads.
    client.send("NOOP\r\n".repeat(20_000));
    for _ in 0..20_000 {
        client.expect_reply(200);
    }
}

/// The replies to commands after a wrong password come after the refusal.
#[test]
fn pipelined_behind_a_refused_login() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    client.send(
        "USER user\r\nPASS wrong\r\nNOOP\r\n".to_owned() + &"USER user\r\nPASS no\r\n".repeat(50),
    );
    for code in [331, 530, 200, 331, 530, 331, 530] {
        client.expect_reply(code);
    }
    client.expect_eof();
}

#[test]
fn two_transfers_in_one_segment() {
    let server = Server::start(MODE);
    server.write("a", pattern(100_000));
    server.write("b", b"second");
    // Over an existing data connection.
    let mut client = server.login();
    let mut data = client.pasv();
    await_data(&mut client);
    client.send("RETR a\r\nRETR b\r\nPASV\r\n");
    assert!(read_all(&mut data) == pattern(100_000));
    client.expect_reply(125);
    client.expect_reply(226);
    client.expect_reply(150);
    let mut data = connect_data(parse_227(&client.expect_reply(227)));
    assert_eq!(read_all(&mut data), b"second");
    client.expect_reply(226);
    // Over a data connection that comes later: the second transfer waits, and does not replace
    // the first.
    let address = parse_227(&client.expect(227, "PASV"));
    client.send("RETR a\r\nRETR b\r\nPASV\r\n");
    client.expect_reply(150);
    assert!(read_all(&mut connect_data(address)) == pattern(100_000));
    client.expect_reply(226);
    client.expect_reply(150);
    let mut data = connect_data(parse_227(&client.expect_reply(227)));
    assert_eq!(read_all(&mut data), b"second");
    client.expect_reply(226);
    // With every other command in between.
    let (listener, port) = port_listener();
    client.send(format!(
        "{port}\r\nRETR b\r\nNOOP\r\n{port}\r\nSTOR c\r\nNOOP\r\n{port}\r\nNLST\r\nSYST\r\n"
    ));
    let accept = || accept_data(&listener);
    assert_eq!(read_all(&mut accept()), b"second");
    accept().write_all(b"third").unwrap();
    assert_eq!(read_all(&mut accept()), b"a\r\nb\r\nc\r\n");
    let mut codes: Vec<_> = (0..12).map(|_| client.reply().0).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [125, 125, 125, 200, 200, 200, 200, 200, 215, 226, 226, 226]
    );
    assert_eq!(server.read("c"), b"third");
}

#[test]
fn half_closed_control_connections() {
    let server = Server::start(MODE);
    // Every command gets its reply.
    let mut client = server.connect();
    client.send("USER user\r\nPASS 12345\r\n".to_owned() + &"NOOP\r\n".repeat(500) + "half a li");
    client.socket.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(331);
    client.expect_reply(230);
    for _ in 0..500 {
        client.expect_reply(200);
    }
    client.expect_eof();
    // The client sends nothing at all.
    let mut client = server.connect();
    client.socket.shutdown(Shutdown::Write).unwrap();
    client.expect_eof();
    // The client closes while a refusal is delayed.
    let mut client = server.connect();
    client.send("USER user\r\nPASS wrong\r\n");
    client.socket.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(331);
    client.expect_reply(530);
    client.expect_eof();
    // The client closes in the middle of a transfer, which ends, too.
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR up");
    client.socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(data.read(&mut [0]).unwrap_or(0), 0);
    while client.line().is_some() {}
    server.login().expect(200, "NOOP");
}

#[test]
fn quit_during_a_transfer_whose_control_connection_is_then_lost() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR up");
    client.expect(221, "QUIT");
    drop(client);
    data.write_all(b"abc").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(data.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(server.read("up"), b"abc");
}

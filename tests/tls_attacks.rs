//! Attacks on TLS: changes on the way, and peers that speak another protocol.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use ftpdlib::{TlsConfig, TlsVersion};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use testkit::{
    ALERT, Carried, Client, Mode, PASSWORD, Server, Socket, USER, WAYS, certfile, client_config,
    client_hello, each_version, expect_tls_end, fetch, next, parse_227, read_all, read_whole,
    serve, set_deadlines, with_tls,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

// --- changes on the way

/// An attacker on the way adds commands after AUTH. The server must not run them as if they had
/// come under TLS.
#[test]
fn commands_in_clear_behind_auth() {
    let server = serve(|_| {});
    for logged_in in [false, true] {
        for behind in [
            "DELE a\r\n",
            "USER user\r\nPASS 12345\r\nDELE a\r\n",
            "NOOP\r\n",
            "\r\n",
            "D",
            "QUIT\r\n",
            "AUTH TLS\r\n",
        ] {
            server.write("a", b"abc");
            let mut client = if logged_in {
                server.login()
            } else {
                server.connect()
            };
            client.send(format!("AUTH TLS\r\n{behind}"));
            client.expect_reply(234);
            // The client knows nothing of this, and shakes hands.
            let _ = client.socket.write_all(&client_hello(&each_version()[1]));
            let _ = client.socket.shutdown(Shutdown::Write);
            assert_not_answered(&mut client, behind);
            assert!(server.path("a").exists(), "{behind:?}");
        }
    }
    server.login_over(&each_version()[1]).expect(200, "NOOP");
}

#[track_caller]
fn assert_not_answered(client: &mut Client, what: &str) {
    let mut rest = client.take_buffer();
    rest.extend(read_all(&mut client.socket));
    assert!(rest.is_empty() || rest[0] == ALERT, "{what:?}: {rest:?}");
}

/// The same with a part of the command in another segment.
#[test]
fn commands_in_clear_in_pieces() {
    let server = serve(|_| {});
    for (first, second) in [
        ("AUTH TLS\r\nDE", "LE a\r\n"),
        ("AUTH TLS\r", "\nDELE a\r\n"),
        ("AUTH TLS\r\n", "DELE a\r\n"),
    ] {
        server.write("a", b"abc");
        let mut client = server.login();
        client.send(first);
        if first.ends_with('\n') || first.ends_with('E') {
            client.expect_reply(234);
        }
        client.send(second);
        if first.ends_with('\r') {
            client.expect_reply(234);
        }
        let _ = client.socket.shutdown(Shutdown::Write);
        assert_not_answered(&mut client, first);
        assert!(server.path("a").exists(), "{first:?}");
    }
}

/// A client that does not wait for 234 is not mistaken for a victim of that attack.
#[test]
fn a_hello_behind_auth() {
    let server = serve(|_| {});
    for config in each_version() {
        let mut client = server.connect();
        let tcp = client.socket.share().into_tcp();
        let mut carried = Carried::new(tcp, &config);
        let hello = carried.outgoing();
        client.send([b"NOOP\r\nAUTH TLS\r\n", &hello[..]].concat());
        client.expect_reply(200);
        client.expect_reply(234);
        // A part of what follows may have been read already.
        let mut early = &client.take_buffer()[..];
        carried.tls.read_tls(&mut early).unwrap();
        carried.tls.process_new_packets().unwrap();
        let mut stream = carried.stream();
        stream.write_all(b"PWD\r\n").unwrap();
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"530 ");
    }
}

/// Under TLS the server accepts neither cleartext nor changed records.
#[test]
fn records_that_are_none() {
    let (server, events) = Server::with_hooks(Mode::Clear, with_tls(|_| {}));
    for config in each_version() {
        for spoiled in ["clear", "changed", "repeated", "cut", "too long"] {
            server.write("a", b"abc");
            let client = server.login_over(&config);
            let mut record = Vec::new();
            client.socket.ask(|tls| {
                tls.writer().write_all(b"DELE a\r\n").unwrap();
                tls.write_tls(&mut record).unwrap();
            });
            let last = record.len() - 1;
            match spoiled {
                "clear" => record = b"DELE a\r\n".to_vec(),
                "changed" => record[last] ^= 1,
                "repeated" => record = record.repeat(2),
                "cut" => record.truncate(last),
                _ => record[3] = 0xff,
            }
            let mut tcp = client.socket.into_tcp();
            tcp.write_all(&record).unwrap();
            tcp.shutdown(Shutdown::Write).unwrap();
            read_all(&mut tcp);
            // The first of the two was good, and the server may have run it.
            let kept = server.path("a").exists();
            assert!(kept || spoiled == "repeated", "{spoiled}");
            assert_eq!(next(&events), "disconnect", "{spoiled}");
        }
    }
}

/// The end of the control connection ends the session, also without `close_notify`.
#[test]
fn control_connections_that_end_without_close_notify() {
    let lines = testkit::log::keep();
    let (server, events) = Server::with_hooks(Mode::Clear, with_tls(|_| {}));
    for config in each_version() {
        for how in ["fin", "reset", "good"] {
            let client = server.login_over(&config);
            match how {
                "fin" => drop(client.socket.into_tcp()),
                "reset" => testkit::reset(client.socket),
                _ => drop(client),
            }
            assert_eq!(next(&events), "disconnect");
        }
        // The replies to earlier commands come first.
        let mut client = server.login_over(&config);
        client.send("NOOP\r\nPWD\r\n");
        let reader = client.socket.share();
        client.socket.into_tcp().shutdown(Shutdown::Write).unwrap();
        let replies = String::from_utf8(read_all(&mut { reader })).unwrap();
        assert!(
            replies.starts_with("200 ") && replies.contains("\r\n257 "),
            "{replies}"
        );
        assert_eq!(next(&events), "disconnect");
    }
    let closed = |line: &&String| line.contains("FTP session closed (disconnect).");
    assert_eq!(lines.lock().iter().filter(closed).count(), 8);
    assert!(!lines.contain("panic"), "{:?}", lines.lock());
}

// --- bytes that are no handshake

/// The ClientHello of this version (RFC 2246 §7.4.1.2), as old clients send it.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([0x42; 32]);
    body.push(0);
    // The oldest cipher suites.
    let suites = [
        0xc0_u8, 0x13, 0xc0, 0x09, 0x00, 0x2f, 0x00, 0x35, 0x00, 0x0a,
    ];
    body.extend([0, 10]);
    body.extend(suites);
    body.extend([1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    [&[0x16, 3, minor, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

/// A ClientHello of SSL 2.0.
fn sslv2_hello() -> Vec<u8> {
    let body = [&[1, 0, 2, 0, 3, 0, 0, 0, 16, 7, 0, 0xc0][..], &[0x42; 16]].concat();
    [&[0x80, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

fn what_is_no_handshake() -> Vec<Vec<u8>> {
    vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"USER user\r\n".to_vec(),
        vec![0; 100],
        vec![0xff; 20_000],
        sslv2_hello(),
        old_hello(0),
        old_hello(1),
        old_hello(2),
        // Records and messages that are longer than allowed.
        b"\x16\x03\x01\xff\xff".repeat(5000),
        [
            &b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03"[..],
            &[7; 16_378],
        ]
        .concat(),
        // Empty records, again and again.
        b"\x16\x03\x01\x00\x00".repeat(5000),
        // An alert, data, and a change of ciphers, before any agreement.
        b"\x15\x03\x03\x00\x02\x02\x28".to_vec(),
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        b"\x14\x03\x03\x00\x01\x01".repeat(100),
        // A ServerHello.
        b"\x16\x03\x03\x00\x04\x02\x00\x00\x00".to_vec(),
    ]
}

#[test]
fn what_is_no_handshake_ends_the_session() {
    let (explicit, events) = Server::with_hooks(Mode::Clear, with_tls(|_| {}));
    let implicit = serve(|tls| tls.implicit = true);
    let mut other = explicit.login_over(&each_version()[1]);
    for bytes in what_is_no_handshake() {
        let mut client = explicit.connect();
        client.expect(234, "AUTH TLS");
        // The server may have closed before all is written.
        let _ = client.socket.write_all(&bytes);
        let _ = client.socket.shutdown(Shutdown::Write);
        expect_tls_end(&mut client.socket);
        assert_eq!(next(&events), "disconnect");

        let mut tcp = TcpStream::connect(implicit.address).unwrap();
        set_deadlines(&tcp);
        let _ = tcp.write_all(&bytes);
        let _ = tcp.shutdown(Shutdown::Write);
        expect_tls_end(&mut tcp);

        let address = parse_227(&other.expect(227, "PASV"));
        let mut data = TcpStream::connect(address).unwrap();
        other.begin("NLST");
        let _ = data.write_all(&bytes);
        let _ = data.shutdown(Shutdown::Write);
        let reply = other.expect_reply(522);
        assert_eq!(reply, "522 SSL handshake failed.");
        expect_tls_end(&mut data);
    }
    other.expect(200, "NOOP");
}

/// Old clients get an alert with the reason, so that their administrators know what to do.
#[test]
fn old_versions_get_an_alert() {
    let server = serve(|_| {});
    for minor in [0, 1, 2] {
        let mut client = server.connect();
        client.expect(234, "AUTH TLS");
        client.socket.write_all(&old_hello(minor)).unwrap();
        let bytes = read_all(&mut client.socket);
        assert_eq!(bytes[0], ALERT, "{bytes:?}");
        // A fatal one: handshake_failure or protocol_version.
        assert!(bytes[5] == 2 && [40, 70].contains(&bytes[6]), "{bytes:?}");
    }
}

#[test]
fn the_oldest_version_that_is_accepted() {
    for (min_version, accepted) in [(TlsVersion::V1_2, 2), (TlsVersion::V1_3, 1)] {
        let certfile = certfile();
        let path = certfile.path().to_owned();
        let server = Server::with(Mode::Clear, move |config| {
            let mut tls = TlsConfig::new(path);
            tls.min_version = min_version;
            config.tls = Some(tls);
        });
        let count = each_version()
            .iter()
            .filter(|config| {
                let mut client = server.connect();
                client.auth(config).is_ok() && client.command("NOOP").0 == 200
            })
            .count();
        assert_eq!(count, accepted, "{min_version:?}");
        server.login_over(&each_version()[1]).download("NLST");
    }
}

/// A ClientHello without end is not kept without end.
#[test]
fn an_endless_hello() {
    let server = serve(|_| {});
    let mut client = server.connect();
    client.expect(234, "AUTH TLS");
    let record = [&b"\x16\x03\x01\x40\x00"[..], &[0; 16_384]].concat();
    let mut first = record.clone();
    // A message of 16 MiB.
    first[5..11].copy_from_slice(b"\x01\xff\xff\xff\x03\x03");
    let mut sent = 0;
    let mut result = client.socket.write_all(&first);
    while result.is_ok() {
        sent += record.len();
        assert!(sent < 8 << 20, "it takes everything");
        result = client.socket.write_all(&record);
    }
    server.login_over(&each_version()[1]).expect(200, "NOOP");
}

/// A ClientHello may be long, and come in small pieces.
#[test]
fn long_hellos() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for version in VERSIONS {
        let mut config = client_config(&[version]);
        config.max_fragment_size = Some(32);
        config.alpn_protocols = (0..10).map(|number| vec![b'a' + number; 250]).collect();
        config.alpn_protocols.push(b"ftp".to_vec());
        let mut client = server.login_over(&Arc::new(config));
        for way in WAYS {
            assert_eq!(fetch(&mut client, way, "RETR a"), b"abc");
        }
    }
}

// --- another protocol

/// A web page could make a browser speak to this server as if it were a web server. So a client
/// that offers protocols must offer `ftp`.
#[test]
fn alpn() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for version in VERSIONS {
        for (offered, accepted) in [
            (&[][..], true),
            (&["ftp"], true),
            (&["http/1.1", "ftp"], true),
            (&["http/1.1"], false),
            (&["h2", "http/1.1"], false),
            (&["ftps"], false),
            (&["FTP"], false),
            (&["x-ftp", "ftp-data"], false),
        ] {
            let mut config = client_config(&[version]);
            config.alpn_protocols = offered
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect();
            let config = Arc::new(config);
            let mut client = server.connect();
            let shaken = client.auth(&config);
            assert_eq!(shaken.is_ok(), accepted, "{offered:?}");
            if !accepted {
                let reason = shaken.unwrap_err().to_string();
                assert!(reason.contains("NoApplicationProtocol"), "{reason}");
                client.expect_eof();
                continue;
            }
            let chosen = client
                .socket
                .ask(|tls| tls.alpn_protocol().map(<[u8]>::to_vec));
            let expected = (!offered.is_empty()).then(|| b"ftp".to_vec());
            assert_eq!(chosen, expected);
            client.protect();
            client.login(USER, PASSWORD);
            client.expect(200, "TYPE I");
            assert_eq!(client.download("RETR a"), b"abc");
        }
    }
}

#[test]
fn alpn_of_data_connections() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for version in VERSIONS {
        let mut config = client_config(&[version]);
        let mut client = server.login_over(&Arc::new(config.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let address = parse_227(&client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        let data = Socket::under_tls(tcp, &Arc::new(config.clone()));
        client.begin("RETR a");
        data.handshake().unwrap_err();
        client.expect_reply(522);
        config.alpn_protocols = vec![b"ftp".to_vec()];
        let address = parse_227(&client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        let mut data = Socket::under_tls(tcp, &Arc::new(config));
        client.begin("RETR a");
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
    }
}

/// A browser that offers no protocol.
#[test]
fn http_under_tls() {
    let server = serve(|tls| tls.implicit = true);
    for config in each_version() {
        server.write("a", b"abc");
        let mut client = server.client();
        client.socket.secure(config);
        client.expect_reply(220);
        client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER user\r\nPASS 12345\r\nDELE a\r\n");
        assert_eq!(client.expect_reply(500), "500 This is an FTP server.");
        client.expect_eof();
        assert!(server.path("a").exists());
    }
}

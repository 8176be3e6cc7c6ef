//! AUTH, PBSZ and PROT, and what TLS requires of other commands: as pyftpdlib's
//! `TestTLS_FTPHandler`, by RFC 4217.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use testkit::{
    Mode, PASSWORD, Server, Socket, USER, WAYS, await_refusal, begin, connect_data, each_version,
    fetch, parse_227, port_listener, read_whole, serve, set_deadlines, store,
};

// --- AUTH

#[test]
fn auth_in_each_form() {
    let server = serve(|_| {});
    for config in each_version() {
        for arg in [
            "TLS", "tls", "TLS-C", "tls-c", "SSL", "ssl", "sSl", "TLS-P", "Tls-P",
        ] {
            let mut client = server.connect();
            let reply = client.expect(234, format!("AUTH {arg}"));
            let arg = arg.to_uppercase();
            assert_eq!(reply, format!("234 AUTH {arg} successful."));
            client.socket.secure(Arc::clone(&config));
            client.socket.handshake().unwrap();
            client.expect(200, "NOOP");
            client.login(USER, PASSWORD);
            client.expect(221, "QUIT");
            // The connection ends properly, so that the client does not blame the network.
            assert_eq!(read_whole(&mut client.socket), b"");
        }
    }
}

#[test]
fn auth_that_is_unknown() {
    let server = serve(|_| {});
    let mut client = server.connect();
    for arg in [
        "KERBEROS_V4",
        "GSSAPI",
        "TLS-X",
        "TLSV1.2",
        "TLS ",
        "TLS C",
        "?",
    ] {
        let reply = client.expect(502, format!("AUTH {arg}"));
        assert_eq!(
            reply, "502 Unrecognized encryption type (use TLS or SSL).",
            "{arg}"
        );
    }
    let reply = client.expect(501, "AUTH");
    assert_eq!(reply, "501 Syntax error: command needs an argument.");
    // It is still in clear, and can be secured.
    client.login(USER, PASSWORD);
    client.auth(&each_version()[0]).unwrap();
}

#[test]
fn auth_once_more() {
    let server = serve(|_| {});
    for config in each_version() {
        let mut client = server.login_over(&config);
        for arg in ["TLS", "SSL", "XXX"] {
            let reply = client.expect(503, format!("AUTH {arg}"));
            assert_eq!(reply, "503 Already using TLS.");
        }
        client.expect(257, "PWD");
        assert_eq!(client.download("NLST"), b"");
    }
}

/// RFC 2228 §3: the client has to log in again, and nothing that came in clear is carried over.
#[test]
fn auth_after_login() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        for before in [
            "RNFR a",
            "REST 1",
            "PASV",
            "EPSV ALL",
            "OPTS MLST size;",
            "TYPE I",
            "USER x",
        ] {
            let mut client = server.login();
            client.send(format!("NOOP\r\n{before}\r\nAUTH TLS\r\n"));
            client.expect_reply(200);
            client.reply();
            client.expect_reply(234);
            client.socket.secure(Arc::clone(&config));
            client.assume_private(false);
            client.expect(530, "PWD");
            client.expect(503, "PASS 12345");
            client.expect(331, format!("USER {USER}"));
            client.expect(230, format!("PASS {PASSWORD}"));
            client.expect(503, "RNTO b");
            assert!(client.expect(211, "STAT").contains("TYPE: ASCII"));
            assert!(
                client
                    .expect(211, "STAT")
                    .contains("Data connection closed")
            );
            assert!(
                client
                    .expect(211, "FEAT")
                    .contains("MLST type*;perm*;size*")
            );
            assert_eq!(client.download("RETR a"), b"abc", "{before}");
            // AUTH TLS does not imply PROT P.
            client.expect(503, "PROT P");
        }
    }
}

/// AUTH gives a client no more guesses.
#[test]
fn failed_logins_before_auth_count() {
    let server = Server::with(Mode::Clear, |config| {
        testkit::with_tls(|_| {})(config);
        config.max_login_attempts = 3;
    });
    let mut client = server.connect();
    for attempt in 1..=3 {
        client.expect(331, format!("USER {USER}"));
        let reply = client.expect(530, "PASS wrong");
        assert_eq!(reply.ends_with("Disconnecting."), attempt == 3);
        if attempt == 2 {
            client.auth(&each_version()[1]).unwrap();
        }
    }
}

/// A listener and a data connection of before AUTH are closed.
#[test]
fn auth_closes_data_connections() {
    let server = serve(|_| {});
    for config in each_version() {
        for connected in [false, true] {
            let mut client = server.login();
            let address = parse_227(&client.expect(227, "PASV"));
            let mut data = connected.then(|| TcpStream::connect(address).unwrap());
            if connected {
                testkit::await_data(&mut client);
            }
            client.auth(&config).unwrap();
            client.expect(200, "NOOP");
            match &mut data {
                Some(data) => assert_eq!(data.read(&mut [0]).unwrap(), 0),
                None => await_refusal(address),
            }
        }
    }
}

/// A transfer ends before the handshake begins, so that its reply is not sent under TLS.
#[test]
fn auth_waits_for_the_transfer() {
    let server = serve(|_| {});
    for way in WAYS {
        let mut client = server.login();
        let (mut data, _) = begin(&mut client, way, "STOR a");
        client.send("AUTH TLS\r\n");
        data.write_all(b"abc").unwrap();
        assert!(client.is_silent());
        drop(data);
        client.expect_reply(226);
        client.expect_reply(234);
        client.socket.secure(Arc::clone(&each_version()[1]));
        client.expect(530, "PWD");
        assert_eq!(server.read("a"), b"abc");
    }
}

/// AUTH SSL and TLS-P imply PROT P, which the client may change.
#[test]
fn auth_ssl_implies_private_data_connections() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        for arg in ["SSL", "ssl", "TLS-P"] {
            let mut client = server.connect();
            client.auth_as(arg, &config).unwrap();
            client.login(USER, PASSWORD);
            for rein in [false, true] {
                if rein {
                    client.expect(230, "REIN");
                    client.login(USER, PASSWORD);
                    client.assume_private(true);
                }
                for way in WAYS {
                    let (mut data, _) = begin(&mut client, way, "RETR a");
                    assert!(data.is_secure());
                    assert_eq!(read_whole(&mut data), b"abc", "{arg} {way:?}");
                    client.expect_reply(226);
                }
                client.expect(200, "PROT C");
                assert_eq!(client.download("RETR a"), b"abc");
            }
        }
        for arg in ["TLS", "TLS-C"] {
            let mut client = server.connect();
            client.auth_as(arg, &config).unwrap();
            client.login(USER, PASSWORD);
            assert_eq!(client.download("RETR a"), b"abc");
        }
    }
}

#[test]
fn without_tls_there_is_no_auth() {
    let server = Server::start(Mode::Clear);
    let mut client = server.connect();
    for command in ["AUTH TLS", "PBSZ 0", "PROT P", "CCC"] {
        let verb = command.split(' ').next().unwrap();
        let reply = client.expect(500, command);
        assert_eq!(reply, format!("500 Command \"{verb}\" not understood."));
        let reply = client.expect(501, format!("HELP {verb}"));
        assert_eq!(reply, "501 Unrecognized command.");
    }
    let features = client.expect(211, "FEAT");
    let list = client.expect(214, "HELP");
    for name in ["AUTH", "PBSZ", "PROT"] {
        assert!(!features.contains(name), "{features}");
        assert!(!list.contains(name), "{list}");
    }
    client.login(USER, PASSWORD);
}

#[test]
fn feat_and_help() {
    let server = serve(|_| {});
    let mut client = server.connect();
    for secure in [false, true] {
        if secure {
            client.auth(&each_version()[1]).unwrap();
        }
        let reply = client.expect(211, "FEAT");
        let features: Vec<_> = reply
            .lines()
            .filter_map(|line| line.strip_prefix(' '))
            .collect();
        for feature in ["AUTH TLS", "AUTH SSL", "PBSZ", "PROT"] {
            let count = features.iter().filter(|line| **line == feature).count();
            assert_eq!(count, 1, "{feature}: {reply}");
        }
        assert!(features.is_sorted(), "{reply}");
        let reply = client.expect(214, "HELP");
        for (name, help) in [
            (
                "AUTH",
                "Syntax: AUTH <SP> TLS|SSL (set up secure control channel).",
            ),
            ("PBSZ", "Syntax: PBSZ <SP> 0 (negotiate TLS buffer)."),
            (
                "PROT",
                "Syntax: PROT <SP> [C|P] (set up un/secure data channel).",
            ),
        ] {
            assert!(reply.contains(&format!(" {name}")), "{reply}");
            let reply = client.expect(214, format!("HELP {name}"));
            assert_eq!(reply, format!("214 {help}"));
        }
    }
}

// --- PBSZ and PROT

#[test]
fn pbsz() {
    let server = serve(|_| {});
    let mut client = server.connect();
    let reply = client.expect(503, "PBSZ 0");
    assert_eq!(
        reply,
        "503 PBSZ not allowed on insecure control connection."
    );
    client.expect(501, "PBSZ");
    client.auth(&each_version()[1]).unwrap();
    for bad in [
        "x",
        "abc",
        "-1",
        "+1",
        "1 ",
        " 1",
        "1.0",
        "0x10",
        "1e3",
        "4294967296",
        "99999999999999999999",
        "\u{661}",
    ] {
        client.expect(501, format!("PBSZ {bad}"));
    }
    // None of these counts.
    client.expect(503, "PROT P");
    for size in ["0", "1024", "007", "4294967295"] {
        let reply = client.expect(200, format!("PBSZ {size}"));
        assert_eq!(reply, "200 PBSZ=0 successful.");
    }
    client.expect(501, "PBSZ");
    client.expect(501, "PBSZ x");
    client.expect(200, "PROT P");
}

#[test]
fn prot() {
    let server = serve(|_| {});
    let mut client = server.connect();
    let insecure = "503 PROT not allowed on insecure control connection.";
    assert_eq!(client.expect(503, "PROT P"), insecure);
    assert_eq!(client.expect(503, "PROT C"), insecure);
    client.auth(&each_version()[1]).unwrap();
    for arg in ["P", "C", "S", "X"] {
        let reply = client.expect(503, format!("PROT {arg}"));
        assert_eq!(reply, "503 You must issue the PBSZ command prior to PROT.");
    }
    client.expect(200, "PBSZ 0");
    for (arg, reply) in [
        ("C", "200 Protection set to Clear"),
        ("P", "200 Protection set to Private"),
        ("c", "200 Protection set to Clear"),
        ("p", "200 Protection set to Private"),
        ("S", "521 PROT S unsupported (use C or P)."),
        ("E", "521 PROT E unsupported (use C or P)."),
        ("s", "521 PROT S unsupported (use C or P)."),
        ("X", "502 Unrecognized PROT type (use C or P)."),
        ("PP", "502 Unrecognized PROT type (use C or P)."),
    ] {
        assert_eq!(client.command(format!("PROT {arg}")).1, reply);
    }
    client.expect(501, "PROT");
    // A refused level changes nothing: P is the last one that was accepted.
    client.login(USER, PASSWORD);
    let mut data = client.pasv();
    assert!(data.is_secure());
    client.begin("NLST");
    assert_eq!(read_whole(&mut data), b"");
    client.expect_reply(226);
}

/// It takes effect with the next data connection, in both directions.
#[test]
fn prot_is_changed_between_transfers() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        for private in [true, false, false, true, false, true] {
            client.expect(200, if private { "PROT P" } else { "PROT C" });
            for way in WAYS {
                let (mut data, _) = begin(&mut client, way, "RETR a");
                assert_eq!(data.is_secure(), private);
                assert_eq!(read_whole(&mut data), b"abc", "{private} {way:?}");
                client.expect_reply(226);
                store(&mut client, way, "STOR b", b"xyz");
                assert_eq!(server.read("b"), b"xyz");
            }
        }
    }
}

/// REIN resets PBSZ and PROT; TLS stays on the control connection.
#[test]
fn rein_resets_pbsz_and_prot() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        assert_eq!(client.download("RETR a"), b"abc");
        client.expect(230, "REIN");
        client.expect(503, "AUTH TLS");
        let reply = client.expect(503, "PROT P");
        assert_eq!(reply, "503 You must issue the PBSZ command prior to PROT.");
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        let mut data = client.pasv();
        assert!(!data.is_secure());
        client.begin("RETR a");
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
        client.protect();
        assert_eq!(client.download("RETR a"), b"abc");
    }
}

/// RFC 959 §4.1.1: USER leaves the parameters of transfers. PROT falls back only if the client
/// asks for that.
#[test]
fn the_next_user_keeps_pbsz_and_prot() {
    let server = serve(|_| {});
    server.write("a", b"a\nb");
    for config in each_version() {
        let mut client = server.login_over(&config);
        for user in [USER, USER, "anonymous"] {
            client.expect(331, format!("USER {user}"));
            client.expect(230, format!("PASS {PASSWORD}"));
            for way in WAYS {
                let (mut data, _) = begin(&mut client, way, "RETR a");
                assert!(data.is_secure());
                assert_eq!(read_whole(&mut data), b"a\nb", "TYPE I stays");
                client.expect_reply(226);
            }
        }
        client.expect(331, format!("USER {USER}"));
        client.expect(530, "PASS wrong");
        client.expect(331, format!("USER {USER}"));
        client.expect(230, format!("PASS {PASSWORD}"));
        assert_eq!(client.download("RETR a"), b"a\nb");
        client.expect(200, "PROT C");
        client.expect(331, format!("USER {USER}"));
        client.expect(230, format!("PASS {PASSWORD}"));
        assert_eq!(client.download("RETR a"), b"a\nb");
        client.expect(200, "PROT P");
    }
}

#[test]
fn ccc_is_refused() {
    let server = serve(|_| {});
    for config in each_version() {
        let mut client = server.login_over(&config);
        for command in ["CCC", "ccc", "CDC", "MIC x", "ENC x", "CONF x", "ADAT x"] {
            let (code, reply) = client.command(command);
            assert!((500..=599).contains(&code), "{command}: {reply}");
        }
        // It is as secure as before.
        client.expect(257, "PWD");
    }
}

// --- required TLS

#[test]
fn tls_control_required() {
    let server = serve(|tls| tls.tls_control_required = true);
    for config in each_version() {
        let mut client = server.connect();
        let required = "550 SSL/TLS required on the control channel.";
        for command in ["USER user", "PASS 12345", "USER anonymous", "pass x"] {
            assert_eq!(client.expect(550, command), required, "{command}");
        }
        // Other commands work as before.
        client.expect(200, "NOOP");
        client.expect(211, "FEAT");
        client.expect(530, "PWD");
        client.auth(&config).unwrap();
        client.login(USER, PASSWORD);
        client.expect(257, "PWD");
        // The client chooses for data connections.
        client.expect(200, "TYPE I");
        assert_eq!(client.download("NLST"), b"");
    }
}

const DATA_REQUIRED: &str = "550 SSL/TLS required on the data channel.";
const AT_TRANSFER: &str = "521 SSL/TLS required on the data channel.";

#[test]
fn tls_data_required() {
    let server = serve(|tls| tls.tls_data_required = true);
    server.write("a", b"abc");
    let (_listener, port) = port_listener();
    for config in each_version() {
        let mut client = server.connect();
        for secure in [false, true] {
            if secure {
                client.auth(&config).unwrap();
            }
            client.login(USER, PASSWORD);
            for command in ["PASV", "EPSV", "EPSV 1", &port, "EPRT |1|127.0.0.1|2000|"] {
                assert_eq!(client.expect(550, command), DATA_REQUIRED, "{command}");
            }
            client.expect(257, "PWD");
        }
        client.protect();
        client.expect(200, "TYPE I");
        for way in WAYS {
            assert_eq!(fetch(&mut client, way, "RETR a"), b"abc");
        }
        client.expect(229, "EPSV");
        client.expect(200, "PROT C");
        assert_eq!(client.expect(550, "PASV"), DATA_REQUIRED);
    }
}

/// PASV was allowed when it came, but what counts is the state when the transfer begins. A
/// refused transfer must not have touched a file.
#[test]
fn tls_data_required_at_the_transfer() {
    let server = serve(|tls| tls.tls_data_required = true);
    server.write("a", b"abc");
    let mut client = server.login_over(&each_version()[1]);
    for command in [
        "RETR a", "STOR a", "APPE a", "STOU a", "STOU", "LIST", "NLST", "MLSD",
    ] {
        for connected in [false, true] {
            let address = parse_227(&client.expect(227, "PASV"));
            let data = connected.then(|| connect_data(address));
            if connected {
                testkit::await_data(&mut client);
            }
            client.expect(200, "PROT C");
            assert_eq!(client.expect(521, command), AT_TRANSFER, "{command}");
            client.expect(200, "NOOP");
            client.expect(200, "PROT P");
            // The connection is still there for the next transfer.
            let mut data = data.unwrap_or_else(|| connect_data(address));
            client.begin("RETR a");
            assert_eq!(read_whole(&mut data), b"abc", "{command}");
            client.expect_reply(226);
        }
    }
    assert_eq!(server.read("a"), b"abc");
    assert_eq!(std::fs::read_dir(server.home.path()).unwrap().count(), 1);
    // Without any data connection the reply is the same.
    client.expect(200, "PROT C");
    assert_eq!(client.expect(521, "RETR a"), AT_TRANSFER);
}

/// A transfer that was promised with 150 is sent as it was asked for: PROT waits for its end.
#[test]
fn prot_c_after_the_transfer_was_promised() {
    let server = serve(|tls| tls.tls_data_required = true);
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        let address = parse_227(&client.expect(227, "PASV"));
        client.send("RETR a\r\nPROT C\r\nNOOP\r\n");
        client.expect_reply(150);
        let mut clear = TcpStream::connect(address).unwrap();
        set_deadlines(&clear);
        clear
            .write_all(b"not a handshake, and longer than one would be\r\n")
            .unwrap();
        let mut got = Vec::new();
        let _ = clear.read_to_end(&mut got);
        assert!(!got.windows(3).any(|window| window == b"abc"));
        let mut codes = [0; 3].map(|_| client.reply().0);
        codes.sort_unstable();
        assert_eq!(codes, [200, 200, 522]);
    }
}

/// A data connection that was made before PROT P is in clear; it is secured before anything is
/// sent.
#[test]
fn prot_p_after_pasv() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        client.expect(200, "PROT C");
        let address = parse_227(&client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        testkit::await_data(&mut client);
        client.expect(200, "PROT P");
        client.begin("RETR a");
        let mut data = Socket::under_tls(tcp, &config);
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
    }
}

// --- data handshakes that fail

/// How a client spoils the handshake of a data connection.
#[derive(Debug, Clone, Copy)]
enum Spoiled {
    Garbage,
    Clear,
    Closed,
    HalfClosed,
    Reset,
    HalfHello,
    /// The client trusts no certificate.
    Distrust,
}

const SPOILED: [Spoiled; 7] = [
    Spoiled::Garbage,
    Spoiled::Clear,
    Spoiled::Closed,
    Spoiled::HalfClosed,
    Spoiled::Reset,
    Spoiled::HalfHello,
    Spoiled::Distrust,
];

/// Spoils the handshake; returns the socket if it must stay open.
fn spoil(how: Spoiled, tcp: TcpStream) -> Option<TcpStream> {
    let mut socket = Socket::new(tcp);
    set_deadlines(&socket);
    match how {
        Spoiled::Garbage => socket.write_all(&[0xff; 3000]).unwrap(),
        Spoiled::Clear => socket.write_all(b"the file, in clear\r\n").unwrap(),
        Spoiled::Closed => return None,
        Spoiled::HalfClosed => socket.shutdown(Shutdown::Write).unwrap(),
        Spoiled::Reset => {
            testkit::reset(socket);
            return None;
        }
        Spoiled::HalfHello => {
            socket
                .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                .unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
        }
        Spoiled::Distrust => {
            // It trusts only another certificate.
            let other = testkit::authority::Pair::new(&["localhost"]);
            let mut roots = rustls::RootCertStore::empty();
            roots.add(other.der).unwrap();
            let config = rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            socket.secure(Arc::new(config));
            socket.handshake().unwrap_err();
        }
    }
    Some(socket.into_tcp())
}

/// 522 is the final reply of the transfer, whether the command came before or after the
/// handshake; the session goes on.
#[test]
fn failed_data_handshakes() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        for how in SPOILED {
            for command in ["RETR a", "STOR up", "NLST"] {
                // The handshake fails after the command,
                let address = parse_227(&client.expect(227, "PASV"));
                let data = TcpStream::connect(address).unwrap();
                client.begin(command);
                let data = spoil(how, data);
                let reply = client.expect_reply(522);
                assert_eq!(reply, "522 SSL handshake failed.", "{how:?} {command}");
                drop(data);
                // or before it.
                let address = parse_227(&client.expect(227, "PASV"));
                let data = spoil(how, TcpStream::connect(address).unwrap());
                client.begin(command);
                let reply = client.expect_reply(522);
                assert_eq!(reply, "522 SSL handshake failed.", "{how:?} {command}");
                drop(data);
                client.expect(200, "NOOP");
            }
        }
        // In active mode, too, where the server is still the server of TLS.
        for how in SPOILED {
            let (listener, port) = port_listener();
            client.expect(200, port);
            let (data, _) = listener.accept().unwrap();
            client.begin("RETR a");
            let data = spoil(how, data);
            client.expect_reply(522);
            drop(data);
        }
        assert_eq!(client.download("RETR a"), b"abc");
    }
    assert!(!server.path("up").exists());
}

/// A handshake fails when no transfer was asked for.
#[test]
fn a_failed_data_handshake_without_a_transfer() {
    let server = serve(|_| {});
    for config in each_version() {
        let mut client = server.login_over(&config);
        for how in SPOILED {
            let address = parse_227(&client.expect(227, "PASV"));
            let data = spoil(how, TcpStream::connect(address).unwrap());
            // No extra reply comes.
            client.expect(200, "NOOP");
            drop(data);
            client.expect(200, "NOOP");
            let (code, reply) = client.command("ABOR");
            assert_eq!(code, 225, "{how:?}: {reply}");
        }
        assert_eq!(client.download("NLST"), b"");
    }
}

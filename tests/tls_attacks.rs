//! What TLS is attacked with: by those in the middle, by those who take their time,
//! and by those who speak something else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ftpdlib::{TlsConfig, TlsVersion};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use testkit::{
    Carried, Client, Mode, PASSWORD, Server, Socket, USER, WAYS, Way, begin, certfile,
    client_config, each_version, fetch, next, parse_227, read_all, read_whole, serve,
    set_deadlines, store, with_tls,
};

/// The path of the program.
#[cfg(feature = "cli")]
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// That the server says nothing in clear any more, and closes.
#[track_caller]
fn expect_the_end(tcp: &mut impl Read) {
    let bytes = read_all(tcp);
    // An alert at the most.
    assert!(bytes.is_empty() || bytes[0] == ALERT, "{bytes:?}");
}

/// The type of a record that holds an alert.
const ALERT: u8 = 0x15;

fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Carried::new(tcp, config).outgoing()
}

// --- in the middle

/// Whoever is in the middle puts commands behind AUTH: they would be run as if they
/// had come under TLS.
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
            // The client knows nothing of it, and shakes hands.
            let _ = client.socket.write_all(&hello(&each_version()[1]));
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

/// The same with a part of it in another segment.
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

/// A client that does not wait for 234 is not mistaken for one that is attacked.
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
        // Part of what follows may have been read already.
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

/// Under TLS nothing is taken in clear, nor what was changed on its way.
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
            // The first of two was good, and may have been carried out.
            let kept = server.path("a").exists();
            assert!(kept || spoiled == "repeated", "{spoiled}");
            assert_eq!(next(&events), "disconnect", "{spoiled}");
        }
    }
}

/// The end of the control connection is the end of the session, also without a word.
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
        // The replies that are owed come first.
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

// --- what is no handshake

/// A hello of this version (RFC 2246 §7.4.1.2), as old clients send it.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([0x42; 32]);
    body.push(0);
    // What has been in use for the longest time.
    let suites = [
        0xc0_u8, 0x13, 0xc0, 0x09, 0x00, 0x2f, 0x00, 0x35, 0x00, 0x0a,
    ];
    body.extend([0, 10]);
    body.extend(suites);
    body.extend([1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    [&[0x16, 3, minor, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

/// As of SSL 2.0.
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
        // Records and messages that are longer than any.
        b"\x16\x03\x01\xff\xff".repeat(5000),
        [
            &b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03"[..],
            &[7; 16_378],
        ]
        .concat(),
        // None at all, over and over.
        b"\x16\x03\x01\x00\x00".repeat(5000),
        // An alert, data, a change of ciphers, before anything was agreed on.
        b"\x15\x03\x03\x00\x02\x02\x28".to_vec(),
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        b"\x14\x03\x03\x00\x01\x01".repeat(100),
        // A server's hello.
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
        expect_the_end(&mut client.socket);
        assert_eq!(next(&events), "disconnect");

        let mut tcp = TcpStream::connect(implicit.address).unwrap();
        set_deadlines(&tcp);
        let _ = tcp.write_all(&bytes);
        let _ = tcp.shutdown(Shutdown::Write);
        expect_the_end(&mut tcp);

        let address = parse_227(&other.expect(227, "PASV"));
        let mut data = TcpStream::connect(address).unwrap();
        other.begin("NLST");
        let _ = data.write_all(&bytes);
        let _ = data.shutdown(Shutdown::Write);
        let reply = other.expect_reply(522);
        assert_eq!(reply, "522 SSL handshake failed.");
        expect_the_end(&mut data);
    }
    other.expect(200, "NOOP");
}

/// They are told why, so that whoever looks after them knows what to do.
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

/// A hello that goes on forever is not kept forever.
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

/// Hellos may be long, and come in small pieces.
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

// --- those who take their time

#[test]
fn a_handshake_byte_by_byte() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.connect();
        client.expect(234, "AUTH TLS");
        let mut slow = Carried::new(client.socket.into_tcp(), &config);
        shake_slowly(&mut slow);
        let mut stream = slow.stream();
        stream.write_all(b"NOOP\r\n").unwrap();
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"200 ");

        let mut client = server.login_over(&config);
        let address = parse_227(&client.expect(227, "PASV"));
        let mut slow = Carried::new(TcpStream::connect(address).unwrap(), &config);
        client.begin("RETR a");
        shake_slowly(&mut slow);
        assert_eq!(read_whole(&mut slow.stream()), b"abc");
        client.expect_reply(226);
    }
}

fn shake_slowly(slow: &mut Carried) {
    loop {
        for byte in slow.outgoing() {
            slow.tcp.write_all(&[byte]).unwrap();
        }
        if !slow.tls.is_handshaking() {
            return;
        }
        assert_ne!(slow.receive().unwrap(), 0, "the server has closed");
    }
}

const SHORT: Duration = Duration::from_millis(200);

/// How a client delays its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delay {
    Silent,
    HalfHello,
    /// Always a little more, never enough.
    Drips,
    /// All but the last flight.
    NeverFinishes,
}

const DELAYS: [Delay; 4] = [
    Delay::Silent,
    Delay::HalfHello,
    Delay::Drips,
    Delay::NeverFinishes,
];

/// Until the server closes.
fn delay(how: Delay, tcp: TcpStream, config: &Arc<ClientConfig>) {
    let mut carried = Carried::new(tcp, config);
    match how {
        Delay::Silent => {}
        Delay::HalfHello => {
            let hello = carried.outgoing();
            carried.tcp.write_all(&hello[..hello.len() / 2]).unwrap();
        }
        Delay::Drips => {
            let pause = Some(Duration::from_millis(10));
            carried.tcp.set_read_timeout(pause).unwrap();
            // A record that is long enough for all the time there is.
            let bytes = [
                &b"\x16\x03\x01\x3f\x00\x01\x00\x3e\xfc\x03\x03"[..],
                &[7; 5000],
            ]
            .concat();
            for byte in bytes {
                let written = carried.tcp.write_all(&[byte]);
                let read = carried.tcp.read(&mut [0]);
                let waits = read
                    .as_ref()
                    .is_err_and(|err| err.kind() == io::ErrorKind::WouldBlock);
                if written.is_err() || !waits {
                    return;
                }
            }
            panic!("it is never closed");
        }
        Delay::NeverFinishes => {
            let hello = carried.outgoing();
            carried.tcp.write_all(&hello).unwrap();
            assert_ne!(carried.receive().unwrap(), 0);
        }
    }
    read_all(&mut carried.tcp);
}

#[test]
fn control_handshakes_have_their_time() {
    for implicit in [false, true] {
        let change = with_tls(move |tls| {
            tls.handshake_timeout = SHORT;
            tls.implicit = implicit;
        });
        let (server, events) = Server::with_hooks(Mode::Clear, change);
        for config in each_version() {
            let workers = DELAYS.map(|how| {
                let tcp = if implicit {
                    TcpStream::connect(server.address).unwrap()
                } else {
                    let mut client = server.connect();
                    client.expect(234, "AUTH TLS");
                    client.socket.into_tcp()
                };
                let config = Arc::clone(&config);
                std::thread::spawn(move || delay(how, tcp, &config))
            });
            for worker in workers {
                worker.join().unwrap();
                assert_eq!(next(&events), "disconnect");
            }
        }
    }
}

/// When it is finished in time, the time is forgotten.
#[test]
fn a_handshake_that_is_finished_has_no_deadline() {
    let server = serve(|tls| tls.handshake_timeout = SHORT);
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        let (mut data, _) = begin(&mut client, Way::Early, "STOR up");
        std::thread::park_timeout(2 * SHORT);
        client.expect(200, "NOOP");
        data.write_all(b"abc").unwrap();
        drop(data);
        client.expect_reply(226);
        // Its time begins with the transfer: who connects early has done nothing wrong.
        let address = parse_227(&client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        std::thread::park_timeout(2 * SHORT);
        client.begin("RETR a");
        let mut data = Socket::under_tls(tcp, &config);
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
    }
}

/// The idle time-out counts during the handshake too; but the client that waits for
/// a handshake cannot be told.
#[test]
fn idle_during_the_handshake() {
    let change = with_tls(|_| {});
    let server = Server::with(Mode::Clear, move |config| {
        change(config);
        config.timeout = Some(SHORT);
    });
    let mut client = server.connect();
    client.expect(234, "AUTH TLS");
    expect_the_end(&mut client.socket);
    let mut client = server.login_over(&each_version()[1]);
    assert_eq!(
        client.expect_reply(421),
        "421 Control connection timed out."
    );
    client.expect_eof();
}

#[test]
fn data_handshakes_have_their_time() {
    let server = serve(|tls| tls.handshake_timeout = SHORT);
    server.write("a", b"abc");
    for config in each_version() {
        let workers: Vec<_> = DELAYS
            .into_iter()
            .flat_map(|how| ["RETR a", "STOR up", "NLST"].map(|command| (how, command)))
            .map(|(how, command)| {
                // Each with a memory of its own.
                let mut config = ClientConfig::clone(&config);
                config.resumption = rustls::client::Resumption::in_memory_sessions(8);
                let config = Arc::new(config);
                let mut client = server.login_over(&config);
                std::thread::spawn(move || {
                    let address = parse_227(&client.expect(227, "PASV"));
                    let tcp = TcpStream::connect(address).unwrap();
                    client.begin(command);
                    delay(how, tcp, &config);
                    let reply = client.expect_reply(522);
                    assert_eq!(reply, "522 SSL handshake timed out.", "{how:?} {command}");
                    client.expect(200, "NOOP");
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    }
    // The session goes on as if nothing had been.
    let mut client = server.login_over(&each_version()[1]);
    let address = parse_227(&client.expect(227, "PASV"));
    let data = TcpStream::connect(address).unwrap();
    client.begin("RETR a");
    client.expect_reply(522);
    drop(data);
    for way in WAYS {
        assert_eq!(fetch(&mut client, way, "RETR a"), b"abc");
        store(&mut client, way, "STOR up", b"xyz");
    }
}

/// Those who wait cost nothing, on either connection.
#[cfg(feature = "cli")]
#[test]
fn waiting_costs_no_time_of_the_processor() {
    let certfile = certfile();
    let program = testkit::Program::start(
        FTPDLIB,
        Mode::Clear,
        &["--tls", "--certfile", certfile.path().to_str().unwrap()],
    );
    std::fs::write(program.home.path().join("a"), b"abc").unwrap();
    let config = &each_version()[1];
    let mut waiting = Vec::new();
    for part in [0, 1, 50] {
        let mut client = program.client();
        client.expect_reply(220);
        client.expect(234, "AUTH TLS");
        let mut tcp = client.socket.into_tcp();
        tcp.write_all(&hello(config)[..part]).unwrap();
        waiting.push((None, tcp));
        for command in ["RETR a", "STOR b", "NOOP"] {
            let mut client = program.client();
            client.expect_reply(220);
            client.auth(config).unwrap();
            client.protect();
            client.login(USER, PASSWORD);
            let address = parse_227(&client.expect(227, "PASV"));
            let mut tcp = TcpStream::connect(address).unwrap();
            client.send(format!("{command}\r\n"));
            client.reply();
            tcp.write_all(&hello(config)[..part]).unwrap();
            waiting.push((Some(client), tcp));
        }
    }
    // The handshakes before them are over, and what is put off for a while.
    std::thread::park_timeout(Duration::from_millis(1100));
    let before = program.cpu_time();
    std::thread::park_timeout(Duration::from_millis(400));
    let spent = program.cpu_time() - before;
    assert!(spent <= Duration::from_millis(30), "{spent:?}");
    for (client, _) in &mut waiting {
        if let Some(client) = client {
            client.expect(200, "NOOP");
        }
    }
}

/// Many who have begun, and do not go on: everybody else is served.
#[cfg(feature = "cli")]
#[test]
fn hundreds_of_half_open_handshakes() {
    let certfile = certfile();
    let program = testkit::Program::start(
        FTPDLIB,
        Mode::Clear,
        &["--tls", "--certfile", certfile.path().to_str().unwrap()],
    );
    std::fs::write(program.home.path().join("a"), b"abc").unwrap();
    let [old, new] = each_version();
    let hello = hello(&new);
    let mut half_open = Vec::new();
    for number in 0..300 {
        let mut client = program.client();
        client.expect_reply(220);
        client.expect(234, "AUTH TLS");
        let mut tcp = client.socket.into_tcp();
        match number % 3 {
            0 => {}
            1 => tcp.write_all(&hello[..hello.len() - 1]).unwrap(),
            // The server has answered, and waits for the rest.
            _ => tcp.write_all(&hello).unwrap(),
        }
        half_open.push(tcp);
    }
    let mut plain = program.login();
    plain.expect(200, "NOOP");
    assert_eq!(plain.download("RETR a"), b"abc");
    for config in [old, new] {
        let mut client = program.client();
        client.expect_reply(220);
        client.auth(&config).unwrap();
        client.protect();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        for way in WAYS {
            assert_eq!(fetch(&mut client, way, "RETR a"), b"abc");
        }
    }
    drop(half_open);
}

/// A server that ends does not wait for handshakes.
#[test]
fn a_server_that_ends_during_handshakes() {
    let (server, events) = Server::with_hooks(Mode::Clear, with_tls(|_| {}));
    let mut control = server.connect();
    control.expect(234, "AUTH TLS");
    let mut client = server.login_over(&each_version()[1]);
    let address = parse_227(&client.expect(227, "PASV"));
    let _data = TcpStream::connect(address).unwrap();
    client.begin("STOR up");
    drop(server);
    let mut events: Vec<_> = events.iter().collect();
    events.sort();
    let all = [
        "disconnect",
        "disconnect",
        "incomplete received up",
        "log up",
    ];
    assert_eq!(events, all);
}

// --- another protocol

/// A page in a browser could be made to talk to this server as if it were its own:
/// whoever says what it speaks must say `ftp`.
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

/// A browser that says nothing of what it speaks.
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

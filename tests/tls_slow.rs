//! TLS with clients that take their time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use testkit::{
    Carried, Mode, Server, Socket, WAYS, Way, begin, each_version, expect_tls_end, fetch, next,
    parse_227, read_all, read_whole, serve, store, with_tls,
};
#[cfg(feature = "cli")]
use testkit::{PASSWORD, Program, USER, certfile, client_hello};

/// The path of the program.
#[cfg(feature = "cli")]
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

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
    /// A byte now and then, never enough.
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

/// Delays until the server closes.
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
            // A record that is too long for the time.
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

/// A handshake that is finished in time leaves no deadline behind.
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
        // The time begins with the transfer, so a client may connect early.
        let address = parse_227(&client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        std::thread::park_timeout(2 * SHORT);
        client.begin("RETR a");
        let mut data = Socket::under_tls(tcp, &config);
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
    }
}

/// The idle time-out counts during the handshake, too, but the client cannot get the reply then.
#[test]
fn idle_during_the_handshake() {
    let change = with_tls(|_| {});
    let server = Server::with(Mode::Clear, move |config| {
        change(config);
        config.timeout = Some(SHORT);
    });
    let mut client = server.connect();
    client.expect(234, "AUTH TLS");
    expect_tls_end(&mut client.socket);
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
            .enumerate()
            .map(|(number, (how, command))| {
                // One upload at a time writes to a file.
                let command = command.replace("up", &format!("up{number}"));
                // Each client has its own store of tickets.
                let mut config = ClientConfig::clone(&config);
                config.resumption = rustls::client::Resumption::in_memory_sessions(8);
                let config = Arc::new(config);
                let mut client = server.login_over(&config);
                std::thread::spawn(move || {
                    let address = parse_227(&client.expect(227, "PASV"));
                    let tcp = TcpStream::connect(address).unwrap();
                    client.begin(&command);
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
    // The session goes on as before.
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

/// Handshakes that wait use no CPU time, on both connections.
#[cfg(feature = "cli")]
#[test]
fn waiting_costs_no_time_of_the_processor() {
    let certfile = certfile();
    let program = Program::start(
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
        tcp.write_all(&client_hello(config)[..part]).unwrap();
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
            tcp.write_all(&client_hello(config)[..part]).unwrap();
            waiting.push((Some(client), tcp));
        }
    }
    // Once the handshakes before these are over.
    program.await_calm(Duration::from_millis(400), Duration::from_millis(30));
    for (client, _) in &mut waiting {
        if let Some(client) = client {
            client.expect(200, "NOOP");
        }
    }
}

/// Hundreds of handshakes begin and do not go on; other clients are served.
#[cfg(feature = "cli")]
#[test]
fn hundreds_of_half_open_handshakes() {
    let certfile = certfile();
    let program = Program::start(
        FTPDLIB,
        Mode::Clear,
        &["--tls", "--certfile", certfile.path().to_str().unwrap()],
    );
    std::fs::write(program.home.path().join("a"), b"abc").unwrap();
    let [old, new] = each_version();
    let hello = client_hello(&new);
    let mut half_open = Vec::new();
    for number in 0..300 {
        let mut client = program.client();
        client.expect_reply(220);
        client.expect(234, "AUTH TLS");
        let mut tcp = client.socket.into_tcp();
        match number % 3 {
            0 => {}
            1 => tcp.write_all(&hello[..hello.len() - 1]).unwrap(),
            // The server has replied, and waits for the rest.
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

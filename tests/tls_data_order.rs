//! Data connections under TLS: the order of connection, command and handshake.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use testkit::{
    Carried, Client, Socket, Way, await_data, begin, client_config, each_version, fetch, parse_227,
    pattern, port_listener, read_whole, serve, store,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// The steps of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Command,
    Handshake,
}

const COMMAND_FIRST: [Step; 3] = [Step::Command, Step::Connect, Step::Handshake];
const CONNECTS_FIRST: [Step; 3] = [Step::Connect, Step::Command, Step::Handshake];
/// The server waits a while for the command before it shakes hands.
const COMMAND_LAST: [Step; 3] = [Step::Connect, Step::Handshake, Step::Command];

/// Makes a data connection in this order, and begins the transfer.
fn arrive(
    client: &mut Client,
    config: &Arc<ClientConfig>,
    order: [Step; 3],
    passive: bool,
    command: &str,
) -> Socket {
    let (listener, port) = port_listener();
    let address = passive.then(|| parse_227(&client.expect(227, "PASV")));
    let mut socket = None;
    for step in order {
        match (step, address) {
            (Step::Connect, Some(address)) => {
                let tcp = TcpStream::connect(address).unwrap();
                socket = Some(Socket::under_tls(tcp, config));
            }
            (Step::Connect, None) => {
                client.expect(200, &port);
                socket = Some(Socket::under_tls(listener.accept().unwrap().0, config));
            }
            (Step::Handshake, _) => socket.as_ref().unwrap().handshake().unwrap(),
            // The reply does not wait for the handshake.
            (Step::Command, _) => drop(client.begin(command)),
        }
    }
    socket.unwrap()
}

#[test]
fn each_order() {
    let server = serve(|_| {});
    let bytes = pattern(100_000);
    server.write("a", &bytes);
    for config in each_version() {
        let mut client = server.login_over(&config);
        for (order, passive) in [
            (COMMAND_FIRST, true),
            (CONNECTS_FIRST, true),
            (CONNECTS_FIRST, false),
        ] {
            let arrive = |client: &mut Client, command: &str| {
                arrive(client, &config, order, passive, command)
            };
            let mut data = arrive(&mut client, "RETR a");
            assert!(read_whole(&mut data) == bytes, "{order:?} {passive}");
            client.expect_reply(226);
            let mut data = arrive(&mut client, "STOR b");
            data.write_all(&bytes).unwrap();
            drop(data);
            client.expect_reply(226);
            assert!(server.read("b") == bytes, "{order:?} {passive}");
            let mut data = arrive(&mut client, "NLST");
            assert_eq!(read_whole(&mut data), b"a\r\nb\r\n");
            client.expect_reply(226);
            // An empty upload has a handshake, too.
            let data = arrive(&mut client, "STOR empty");
            drop(data);
            client.expect_reply(226);
            assert_eq!(server.read("empty"), b"");
            std::fs::remove_file(server.path("empty")).unwrap();
        }
    }
}

/// Clients that shake hands as soon as they are connected, and send the command only after that.
#[test]
fn handshakes_before_the_command() {
    let server = serve(|_| {});
    let bytes = pattern(100_000);
    server.write("a", &bytes);
    let workers = each_version().map(|config| {
        let mut client = server.login_over(&config);
        let bytes = bytes.clone();
        std::thread::spawn(move || {
            for passive in [true, false] {
                let mut data = arrive(&mut client, &config, COMMAND_LAST, passive, "RETR a");
                assert!(read_whole(&mut data) == bytes);
                client.expect_reply(226);
                let mut data = arrive(&mut client, &config, COMMAND_LAST, passive, "STOU");
                data.write_all(&bytes).unwrap();
                drop(data);
                client.expect_reply(226);
            }
        })
    });
    for worker in workers {
        worker.join().unwrap();
    }
}

/// The end of the handshake, the upload and its end come in one segment.
#[test]
fn all_at_once() {
    let server = serve(|_| {});
    for version in VERSIONS {
        let config = Arc::new(client_config(&[version]));
        let mut client = server.login_over(&config);
        for size in [0, 1, 5000, 60_000] {
            let bytes = pattern(size);
            for before in [false, size == 5000] {
                let address = parse_227(&client.expect(227, "PASV"));
                let mut data = Carried::new(TcpStream::connect(address).unwrap(), &config);
                if !before {
                    client.begin("STOR a");
                }
                let mut flight = data.almost_shake_hands();
                data.tls.writer().write_all(&bytes).unwrap();
                data.tls.send_close_notify();
                flight.extend(data.outgoing());
                data.tcp.write_all(&flight).unwrap();
                data.tcp.shutdown(Shutdown::Write).unwrap();
                if before {
                    await_data(&mut client);
                    client.begin("STOR a");
                }
                client.expect_reply(226);
                assert!(server.read("a") == bytes, "{version:?} {size} {before}");
            }
        }
    }
}

/// The same for commands: no event comes for them later, so none may be left unread.
#[test]
fn commands_with_the_end_of_the_handshake() {
    let server = serve(|_| {});
    for config in each_version() {
        let mut client = server.connect();
        client.expect(234, "AUTH TLS");
        let mut carried = Carried::new(client.socket.into_tcp(), &config);
        let mut flight = carried.almost_shake_hands();
        let commands = "USER user\r\nPASS 12345\r\nNOOP\r\n".to_owned() + &"PWD\r\n".repeat(1000);
        carried.tls.writer().write_all(commands.as_bytes()).unwrap();
        flight.extend(carried.outgoing());
        carried.tcp.write_all(&flight).unwrap();
        let mut replies = Vec::new();
        let mut stream = carried.stream();
        while replies.iter().filter(|byte| **byte == b'\n').count() < 1003 {
            let mut chunk = [0; 4096];
            let size = stream.read(&mut chunk).unwrap();
            assert_ne!(size, 0, "the server has closed");
            replies.extend_from_slice(&chunk[..size]);
        }
    }
}

#[test]
fn uploads_in_pieces() {
    let server = serve(|_| {});
    let bytes = pattern(3000);
    for version in VERSIONS {
        // The smallest records that rustls makes.
        let mut config = client_config(&[version]);
        config.max_fragment_size = Some(32);
        let config = Arc::new(config);
        let mut client = server.login_over(&config);
        store(&mut client, Way::Late, "STOR a", &bytes);
        assert!(server.read("a") == bytes, "{version:?}");
        assert!(fetch(&mut client, Way::Early, "RETR a") == bytes);

        // One record for each byte,
        let (mut data, _) = begin(&mut client, Way::Late, "STOR a");
        for byte in &bytes {
            data.write_all(&[*byte]).unwrap();
        }
        drop(data);
        client.expect_reply(226);
        assert!(server.read("a") == bytes, "{version:?}");
        // and one segment for each byte of the records.
        let address = parse_227(&client.expect(227, "PASV"));
        let mut data = Carried::new(TcpStream::connect(address).unwrap(), &config);
        client.begin("STOR a");
        let mut flight = data.almost_shake_hands();
        data.tls.writer().write_all(&bytes).unwrap();
        data.tls.send_close_notify();
        flight.extend(data.outgoing());
        for byte in flight {
            data.tcp.write_all(&[byte]).unwrap();
        }
        client.expect_reply(226);
        assert!(server.read("a") == bytes, "{version:?}");
    }
}

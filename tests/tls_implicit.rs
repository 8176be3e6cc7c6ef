//! TLS from the first byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read;
use std::net::{Shutdown, TcpListener};

use testkit::{
    Client, Mode, PASSWORD, Server, USER, WAYS, begin, each_version, read_all, read_whole, serve,
    store, with_tls,
};

fn implicit() -> Server {
    let server = serve(|tls| tls.implicit = true);
    server.write("a", b"abc");
    server
}

#[test]
fn implicit_tls() {
    let server = implicit();
    for config in each_version() {
        let mut client = Client::connect_implicit(server.address, &config);
        let greeting = client.expect_reply(220);
        assert!(greeting.starts_with("220 ftpdlib"), "{greeting}");
        let reply = client.expect(503, "AUTH TLS");
        assert_eq!(reply, "503 Already using TLS.");
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client.assume_private(true);
        // Data connections are private without PROT P.
        for way in WAYS {
            let (mut data, _) = begin(&mut client, way, "RETR a");
            assert!(data.is_secure());
            assert_eq!(read_whole(&mut data), b"abc");
            client.expect_reply(226);
            store(&mut client, way, "STOR b", b"xyz");
        }
        // A client may switch to clear data connections, and back again.
        client.expect(200, "PROT C");
        assert_eq!(client.download("RETR a"), b"abc");
        client.protect();
        assert_eq!(client.download("RETR a"), b"abc");
        // The same holds for each login.
        client.expect(200, "PROT C");
        client.expect(230, "REIN");
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client.assume_private(true);
        assert_eq!(client.download("RETR a"), b"abc");
        client.expect(221, "QUIT");
        assert_eq!(read_whole(&mut client.socket), b"");
    }
}

/// A client that speaks in clear gets nothing in clear.
#[test]
fn implicit_tls_and_clients_without() {
    let server = implicit();
    for text in [
        "USER user\r\nPASS 12345\r\n",
        "AUTH TLS\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n",
    ] {
        let mut client = server.client();
        assert!(client.is_silent());
        client.send(text);
        let bytes = read_all(&mut client.socket);
        // At most an alert.
        assert!(bytes.is_empty() || bytes[0] == 0x15, "{text}: {bytes:?}");
    }
    Client::connect_implicit(server.address, &each_version()[1]).expect_reply(220);
}

/// A connection over the limit gets no time for a handshake, which would occupy a slot until
/// then.
#[test]
fn implicit_tls_and_too_many_connections() {
    let set_ups: [fn(&mut ftpdlib::FTPServer); 2] = [
        |server| server.set_max_cons_per_ip(1),
        |server| server.set_max_cons(2),
    ];
    let stock = |_| ftpdlib::handlers::StockHandler;
    for config in each_version() {
        for set_up in set_ups {
            let change = with_tls(|tls| tls.implicit = true);
            let server = Server::build(Mode::Clear, "127.0.0.1", change, set_up, stock);
            let mut first = Client::connect_implicit(server.address, &config);
            first.expect_reply(220);
            let mut second = server.client();
            assert_eq!(read_all(&mut second.socket), b"");
            first.expect(200, "NOOP");
        }
    }
}

#[test]
fn implicit_tls_over_ipv6_in_active_mode() {
    let change = with_tls(|tls| tls.implicit = true);
    let stock = |_| ftpdlib::handlers::StockHandler;
    let server = Server::build(Mode::Clear, "::1", change, |_| {}, stock);
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = Client::connect_implicit(server.address, &config);
        client.expect_reply(220);
        client.login(USER, PASSWORD);
        client.assume_private(true);
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        client.expect(200, format!("EPRT |2|::1|{port}|"));
        let mut data = testkit::accept_data(&listener);
        client.expect(125, "RETR a");
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
        let mut data = client.epsv();
        client.begin("NLST");
        assert_eq!(read_whole(&mut data), b"a\r\n");
        client.expect_reply(226);
    }
}

/// A long reply does not wait for the last byte of the client.
#[test]
fn a_half_closed_control_connection() {
    let server = serve(|_| {});
    for config in each_version() {
        let mut client = server.login_over(&config);
        client.send("NOOP\r\n".repeat(100) + "PWD\r\n");
        client.socket.shutdown(Shutdown::Write).unwrap();
        for _ in 0..100 {
            client.expect_reply(200);
        }
        client.expect_reply(257);
        let mut rest = Vec::new();
        client.socket.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

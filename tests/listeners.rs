//! Servers that listen on several sockets, each with its TLS mode and its masquerade address.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer, Listen, ListenTls, ServerBuilder, TlsConfig};
use testkit::{
    Client, Mode, PASSWORD, USER, await_refusal, config, each_version, parse_227, with_tls,
};

type Builder = ServerBuilder<fn(SocketAddr) -> StockHandler>;

fn builder(change: impl FnOnce(&mut FTPConfig)) -> (Builder, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let mut config = config(Mode::Clear, home.path());
    change(&mut config);
    let factory: fn(SocketAddr) -> StockHandler = |_peer| StockHandler;
    (FTPServer::builder(config, factory), home)
}

fn secure(change: impl FnOnce(&mut TlsConfig)) -> (Builder, tempfile::TempDir) {
    builder(with_tls(change))
}

fn on(host: &str) -> Listen {
    Listen::bind((host, 0)).unwrap()
}

fn connect(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.expect_reply(220);
    client
}

fn login(address: SocketAddr) -> Client {
    let mut client = connect(address);
    client.login(USER, PASSWORD);
    client.expect(200, "TYPE I");
    client
}

// --- TLS

#[test]
fn each_listener_has_its_tls_mode() {
    for implicit in [false, true] {
        let (builder, _home) = secure(|tls| tls.implicit = implicit);
        let modes = [ListenTls::Off, ListenTls::Explicit, ListenTls::Implicit];
        let builder = modes.into_iter().fold(builder, |builder, mode| {
            builder.listen(on("127.0.0.1").tls(mode)).unwrap()
        });
        // The last one is as the settings say.
        let server = builder.bind("127.0.0.1:0").unwrap().spawn().unwrap();
        let &[off, explicit, begins, stock] = server.addresses() else {
            unreachable!()
        };
        let [_, version] = each_version();

        let mut client = connect(off);
        client.expect(500, "AUTH TLS");
        client.expect(500, "PBSZ 0");
        let features = client.expect(211, "FEAT");
        assert!(!features.contains("AUTH"), "{features}");
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client.upload("STOR clear", b"bytes");

        let check_explicit = |address| {
            let mut client = connect(address);
            let features = client.expect(211, "FEAT");
            assert!(features.contains("AUTH TLS"), "{features}");
            client.auth(&version).unwrap();
            client.login(USER, PASSWORD);
            client.protect();
            client.expect(200, "TYPE I");
            assert_eq!(client.download("RETR clear"), b"bytes");
        };
        let check_implicit = |address| {
            let mut client = Client::connect_implicit(address, &version);
            client.expect_reply(220);
            client.login(USER, PASSWORD);
            client.expect(200, "TYPE I");
            client.assume_private(true);
            assert_eq!(client.download("RETR clear"), b"bytes");
        };
        check_explicit(explicit);
        check_implicit(begins);
        match implicit {
            true => check_implicit(stock),
            false => check_explicit(stock),
        }
    }
}

#[test]
fn a_mode_that_the_settings_exclude_is_an_error() {
    for mode in [ListenTls::Explicit, ListenTls::Implicit] {
        let (builder, _home) = builder(|_| {});
        let builder = builder.bind("127.0.0.1:0").unwrap();
        let bound = builder.addresses().to_owned();
        let listen = builder.listen(on("127.0.0.1").tls(mode));
        let err = listen.unwrap_err().to_string();
        assert!(err.contains("requires FTPConfig::tls"), "{err}");
        bound.into_iter().for_each(await_refusal);
    }
    for which in [0, 1] {
        let (builder, _home) = secure(|tls| match which {
            0 => tls.tls_control_required = true,
            _ => tls.tls_data_required = true,
        });
        let listen = builder.listen(on("127.0.0.1").tls(ListenTls::Off));
        let err = listen.unwrap_err().to_string();
        assert!(err.contains("excludes tls_control_required"), "{err}");
    }
}

// --- addresses

fn passive_address(client: &mut Client) -> IpAddr {
    parse_227(&client.expect(227, "PASV")).ip()
}

#[test]
fn each_listener_has_its_masquerade_address() {
    let outside = Ipv4Addr::new(203, 0, 113, 7);
    let (builder, _home) = builder(|config| {
        config.masquerade_address = Some("192.0.2.1".to_owned());
        let local = "127.0.0.3".parse().unwrap();
        let map = &mut config.masquerade_address_map;
        map.insert(local, "198.51.100.3".to_owned());
    });
    let named = on("127.0.0.1").masquerade_name("localhost");
    let server = builder
        .bind("127.0.0.1:0")
        .and_then(|builder| builder.listen(on("127.0.0.2").masquerade_address(outside)))
        .and_then(|builder| builder.listen(on("127.0.0.3").masquerade_address(outside)))
        .and_then(|builder| builder.listen(named.masquerade_address(outside)))
        .unwrap()
        .spawn()
        .unwrap();
    let mut clients: Vec<_> = server.addresses().iter().copied().map(login).collect();
    let addresses: Vec<_> = clients[..3].iter_mut().map(passive_address).collect();
    let expected = ["192.0.2.1", "203.0.113.7", "198.51.100.3"];
    assert_eq!(addresses, expected.map(|ip| ip.parse::<IpAddr>().unwrap()));
    // The first answer comes soon.
    testkit::wait_for("the address of the name", || {
        passive_address(&mut clients[3]) == Ipv4Addr::LOCALHOST
    });
}

#[test]
fn no_data_connection_goes_to_any_listener() {
    let (builder, _home) = builder(|_| {});
    let server = builder
        .bind("127.0.0.1:0")
        .and_then(|builder| builder.bind("127.0.0.1:0"))
        .and_then(|builder| builder.bind("[::]:0"))
        .unwrap()
        .spawn()
        .unwrap();
    for from in [server.addresses()[0], server.addresses()[1]] {
        let mut client = login(from);
        for to in server.addresses() {
            let [high, low] = to.port().to_be_bytes();
            client.expect(501, format!("PORT 127,0,0,1,{high},{low}"));
            client.expect(501, format!("EPRT |1|127.0.0.1|{}|", to.port()));
        }
    }
}

// --- limits

#[test]
fn listeners_share_the_limits() {
    let (builder, _home) = builder(|_| {});
    let server = builder
        .bind("127.0.0.1:0")
        .and_then(|builder| builder.bind("127.0.0.1:0"))
        .unwrap()
        .set_up(|server| {
            server.set_max_cons_per_ip(1);
            Ok(())
        })
        .spawn()
        .unwrap();
    let &[first, second] = server.addresses() else {
        unreachable!()
    };
    let mut client = login(first);
    Client::connect(second).expect_reply(421);
    client.expect(221, "QUIT");
    client.expect_eof();
    testkit::wait_for("the slot", || Client::connect(second).reply().0 == 220);
}

/// Each listening socket counts, as the one of a server does.
#[test]
fn listening_sockets_count() {
    for (listeners, sessions) in [(1, 3), (3, 1), (4, 0), (9, 0)] {
        let (mut builder, _home) = builder(|_| {});
        for _ in 0..listeners {
            builder = builder.bind("127.0.0.1:0").unwrap();
        }
        let builder = builder.set_up(|server| {
            server.set_max_cons(4);
            Ok(())
        });
        let server = builder.spawn().unwrap();
        let address = server.addresses()[listeners - 1];
        let clients: Vec<_> = (0..sessions).map(|_| login(address)).collect();
        Client::connect(address).expect_reply(421);
        drop(clients);
    }
}

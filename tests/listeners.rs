//! Servers that listen on several sockets, each with its TLS mode and its masquerade address.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer, Listen, ListenTls, ServerBuilder, TlsConfig};
use testkit::{
    Client, Mode, PASSWORD, Program, USER, await_refusal, certfile, config, each_version,
    parse_227, wait_for, with_tls,
};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

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
    wait_for("the address of the name", || {
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
    wait_for("the slot", || Client::connect(second).reply().0 == 220);
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

// --- the program

const FILE: &str = "
[[listen]]
address = '127.0.0.1'
port = 0
masquerade_address = '203.0.113.7'

[[listen]]
address = '127.0.0.2'
port = 0
tls = 'implicit'

[[listen]]
address = '127.0.0.1'
port = 0
tls = 'off'
masquerade_address = 'localhost'

[handler]
masquerade_address = '192.0.2.1'

[server]
max_cons_per_ip = 3

[tls]
certfile = 'keycert.pem'

[[users]]
name = 'user'
password = '12345'
home = '.'
perm = 'elradfmwMT'
";

/// The addresses in the log of a program.
fn addresses(program: &Program) -> Vec<SocketAddr> {
    let log = program.log();
    let (_, rest) = log.split_once("starting FTP server on ").unwrap();
    let (addresses, _) = rest.split_once(", pid=").unwrap();
    let addresses = addresses.split(", ").map(|text| text.parse().unwrap());
    addresses.collect()
}

#[test]
fn the_program_listens_on_several_addresses_in_each_model() {
    for model in [
        ["async", "1"],
        ["multi-thread", "1"],
        ["multi-proc", "1"],
        ["pre-fork", "3"],
    ] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("ftpd.toml");
        std::fs::write(&file, FILE).unwrap();
        std::fs::copy(certfile().path(), home.path().join("keycert.pem")).unwrap();
        let mut command = Command::new(FTPDLIB);
        command.arg("--config").arg(&file);
        command.args(["--concurrency", model[0]]);
        if model[0] == "pre-fork" {
            command.args(["--workers", model[1]]);
        }
        let program = Program::spawn(command, home);
        let addresses = addresses(&program);
        let [explicit, implicit, off] = addresses[..] else {
            panic!("{addresses:?}")
        };
        program.expect_log(&format!("listening on {implicit}, TLS: implicit"));
        let [_, version] = each_version();
        let mut clients = Vec::new();
        // More than there are workers: each of them listens on each address.
        for _ in 0..6 {
            let mut client = connect(explicit);
            client.auth(&version).unwrap();
            client.login(USER, PASSWORD);
            let outside = Ipv4Addr::new(203, 0, 113, 7);
            assert_eq!(passive_address(&mut client), outside);
            client.expect(221, "QUIT");

            let mut client = Client::connect_implicit(implicit, &version);
            client.expect_reply(220);
            client.login(USER, PASSWORD);
            let general = Ipv4Addr::new(192, 0, 2, 1);
            assert_eq!(passive_address(&mut client), general);
            client.expect(221, "QUIT");

            let mut client = connect(off);
            client.expect(500, "AUTH TLS");
            client.login(USER, PASSWORD);
            assert_eq!(passive_address(&mut client), Ipv4Addr::LOCALHOST);
            for to in [explicit, off] {
                let [high, low] = to.port().to_be_bytes();
                client.expect(501, format!("PORT 127,0,0,1,{high},{low}"));
            }
            client.expect(221, "QUIT");
        }
        // All of them count together.
        wait_for("three sessions", || {
            clients.clear();
            clients.extend([login(off), connect(explicit), connect(off)]);
            clients
                .iter_mut()
                .all(|client| client.command("NOOP").0 != 421)
        });
        Client::connect(explicit).expect_reply(421);
        drop(clients);
        program.stop();
        addresses.into_iter().for_each(await_refusal);
    }
}

#[test]
fn an_address_in_use_is_an_error_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        "[[listen]]\naddress = '127.0.0.1'\nport = 0\n[[listen]]\naddress = '127.0.0.1'\n\
         port = {port}\n[anonymous]\nhome = '.'\n"
    );
    std::fs::write(home.path().join("ftpd.toml"), text).unwrap();
    let mut command = Command::new(FTPDLIB);
    let command = command.args(["--config", "ftpd.toml"]);
    let output = command.current_dir(home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "ftpdlib: error: ftpd.toml:4: listen: cannot listen on 127.0.0.1, port {port}: Address \
         already in use; choose another port, or end the other server\n"
    );
    assert_eq!(text, expected);
}

//! The settings: as pyftpdlib's `TestConfigurableOptions`. `timeouts` tests the time-outs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::Duration;

use ftpdlib::FTPConfig;
use ftpdlib::handlers::StockHandler;
use ftpdlib::proto::encoding::Encoding;
use testkit::{
    Client, PASSWORD, Server, USER, connect_data, parse_227, parse_229, read_all, wait_for,
};

use crate::MODE;

const TOO_MANY: &str = "421 Too many connections. Service temporarily unavailable.";

fn with_max_cons(max_cons: usize) -> Server {
    let set_up = move |server: &mut ftpdlib::FTPServer| server.set_max_cons(max_cons);
    Server::build(MODE, "127.0.0.1", |_| {}, set_up, |_| StockHandler)
}

/// A connection over the limit gets 421 and is closed.
#[track_caller]
fn expect_refused(server: &Server, text: &str) {
    let mut client = server.client();
    assert_eq!(client.expect_reply(421), text);
    client.expect_eof();
}

/// All sockets count: that of the server, control and data connections, and passive listeners.
#[test]
fn max_connections() {
    let server = with_max_cons(3);
    let mut first = server.login();
    let mut second = server.connect();
    expect_refused(&server, TOO_MANY);
    second.expect(221, "QUIT");
    second.expect_eof();

    // A passive listener,
    let reply = first.expect(227, "PASV");
    expect_refused(&server, TOO_MANY);
    // which a connection replaces.
    let data = connect_data(parse_227(&reply));
    expect_refused(&server, TOO_MANY);
    drop(data);
    first.expect(225, "ABOR");

    let data = first.port();
    expect_refused(&server, TOO_MANY);
    drop(data);
    first.expect(225, "ABOR");
    let mut second = server.connect();
    second.expect(200, "NOOP");
}

#[test]
fn max_connections_hold_for_data_connections() {
    let server = with_max_cons(3);
    let mut clients = [server.login(), server.login()];
    // As in pyftpdlib this is one over the limit: the socket that is about to be opened does not
    // count.
    clients[0].expect(227, "PASV");
    let reply = clients[1].expect(425, "PASV");
    assert_eq!(reply, "425 Too many connections. Can't open data channel.");
    clients[1].expect(425, "EPSV");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    clients[1].expect(425, format!("EPRT |1|127.0.0.1|{port}|"));
    // A session's new listener replaces its old one.
    clients[0].expect(227, "PASV");
    clients[0].expect(225, "ABOR");
    clients[1].expect(227, "PASV");
}

#[test]
fn max_connections_of_zero_is_no_limit() {
    let server = with_max_cons(0);
    let clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    drop(clients);
}

#[test]
fn max_connections_per_ip() {
    let set_up = |server: &mut ftpdlib::FTPServer| server.set_max_cons_per_ip(3);
    let server = Server::build(MODE, "127.0.0.1", |_| {}, set_up, |_| StockHandler);
    let mut clients: Vec<_> = (0..3).map(|_| server.login()).collect();
    // Data connections do not count.
    let _data = clients[0].pasv();
    for _ in 0..3 {
        expect_refused(
            &server,
            "421 Too many connections from the same IP address.",
        );
    }
    // A client at another address.
    let mut other = Client::connect_from(MODE, "127.0.0.2", server.address);
    other.expect_reply(220);
    let mut last = clients.pop().unwrap();
    last.expect(221, "QUIT");
    last.expect_eof();
    server.login();
}

fn greeting(banner: &str) -> String {
    let banner = banner.to_owned();
    let server = Server::with(MODE, |config| config.banner = banner);
    let mut client = server.client();
    client.expect_reply(220)
}

#[test]
fn banner() {
    assert_eq!(greeting("hello there"), "220 hello there");
    let longest = "x".repeat(75);
    assert_eq!(greeting(&longest), format!("220 {longest}"));
    let longer = "x".repeat(76);
    assert_eq!(greeting(&longer), format!("220-{longer}\r\n220 "));
    // Characters that would end the line or control a terminal are replaced.
    assert_eq!(greeting("a\r\n230 b\x1b"), "220 a??230 b?");
    assert_eq!(greeting(""), "220 ");
}

#[test]
fn max_login_attempts() {
    let server = Server::with(MODE, |config| config.max_login_attempts = 1);
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(530, "PASS wrong");
    assert!(reply.ends_with(" Disconnecting."), "{reply}");
    client.expect_eof();
    let server = Server::with(MODE, |config| config.max_login_attempts = 5);
    let mut client = server.connect();
    for _ in 0..4 {
        client.expect(331, format!("USER {USER}"));
        let reply = client.expect(530, "PASS wrong");
        assert_eq!(reply, "530 Authentication failed.");
    }
    client.login(USER, PASSWORD);
}

#[test]
fn masquerade_address() {
    let server = Server::with(MODE, |config| {
        config.masquerade_address = Some("256.256.256.256".into())
    });
    let mut client = server.login();
    let reply = client.expect(227, "PASV");
    assert!(
        reply.starts_with("227 Entering passive mode (256,256,256,256,"),
        "{reply}"
    );
    // The reply to EPSV contains no address.
    client.epsv();
}

/// A host name has its first answer soon after the start. Until then, and without one, the settings
/// count as they are.
#[test]
fn masquerade_names() {
    let server = Server::build(
        MODE,
        "127.0.0.1",
        |config| {
            config.masquerade_address = Some("192.0.2.1".into());
            let local = "127.0.0.1".parse().unwrap();
            config.masquerade_address_map = HashMap::from([(local, "192.0.2.2".into())]);
        },
        |server| {
            let local = Some("127.0.0.1".parse().unwrap());
            server.set_masquerade_name(None, "x.invalid").unwrap();
            server.set_masquerade_name(local, "localhost").unwrap();
        },
        |_| StockHandler,
    );
    let mut client = server.login();
    wait_for("an answer", || {
        let reply = client.expect(227, "PASV");
        let ip = parse_227(&reply).ip();
        assert!(
            ["192.0.2.2", "127.0.0.1"].contains(&ip.to_string().as_str()),
            "{reply}"
        );
        ip.is_loopback()
    });
    let server = Server::build(
        MODE,
        "127.0.0.1",
        |config| config.masquerade_address = Some("192.0.2.1".into()),
        |server| server.set_masquerade_name(None, "x.invalid").unwrap(),
        |_| StockHandler,
    );
    let reply = server.login().expect(227, "PASV");
    assert!(reply.contains("(192,0,2,1,"), "{reply}");
}

#[test]
fn masquerade_address_map() {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let server = Server::with(MODE, move |config| {
        config.masquerade_address = Some("10.0.0.1".into());
        config.masquerade_address_map =
            HashMap::from([(local, "1.2.3.4".into()), (other, "5.6.7.8".into())]);
    });
    let reply = server.login().expect(227, "PASV");
    assert!(reply.contains("(1,2,3,4,"), "{reply}");
    let server = Server::with(MODE, move |config| {
        config.masquerade_address = Some("10.0.0.1".into());
        config.masquerade_address_map = HashMap::from([(other, "5.6.7.8".into())]);
    });
    let reply = server.login().expect(227, "PASV");
    assert!(reply.contains("(10,0,0,1,"), "{reply}");
}

#[test]
fn passive_ports() {
    // A range that other programs on this machine are unlikely to use.
    let ports: Vec<u16> = (21_000..21_200).collect();
    let server = Server::with(MODE, {
        let ports = ports.clone();
        move |config| config.passive_ports = Some(ports)
    });
    let mut client = server.login();
    let mut used = Vec::new();
    for _ in 0..20 {
        let port = parse_227(&client.expect(227, "PASV")).port();
        assert!(ports.contains(&port));
        used.push(port);
        let port = parse_229(&client.expect(229, "EPSV"));
        assert!(ports.contains(&port));
        used.push(port);
    }
    used.sort_unstable();
    used.dedup();
    assert!(used.len() > 1, "not in random order");
    client.download("LIST");
}

#[test]
fn passive_ports_busy() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let server = Server::with(MODE, move |config| config.passive_ports = Some(vec![port]));
    let mut client = server.login();
    let address = parse_227(&client.expect(227, "PASV"));
    assert_ne!(address.port(), port);
    connect_data(address);
    client.download("LIST");
}

#[test]
fn use_gmt_times() {
    // 2020-11-05 12:00:00 in GMT, whatever the time zone of the machine.
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_604_577_600);
    let make = |gmt| {
        let server = Server::with(MODE, move |config| config.use_gmt_times = gmt);
        let path = server.write("file", "");
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
        server
    };
    let server = make(true);
    let mut client = server.login();
    assert_eq!(client.expect(213, "MDTM file"), "213 20201105120000");
    assert!(client.lines("MLSD")[0].contains("modify=20201105120000;"));
    assert!(client.lines("LIST")[0].ends_with(" Nov  5  2020 file"));
    let server = make(false);
    let mut client = server.login();
    let zone = jiff::tz::TimeZone::system();
    let local = jiff::Timestamp::try_from(time).unwrap().to_zoned(zone);
    let local = local.strftime("%Y%m%d%H%M%S").to_string();
    assert_eq!(client.expect(213, "MDTM file"), format!("213 {local}"));
    assert!(client.lines("MLSD")[0].contains(&format!("modify={local};")));
}

#[test]
fn encoding() {
    let server = Server::with(MODE, |config| {
        config.encoding = Encoding::by_name("koi8-r").unwrap();
        config.banner = "привет".into();
    });
    let mut client = server.client();
    let greeting = client.line().unwrap();
    assert_eq!(greeting, b"220 \xd0\xd2\xc9\xd7\xc5\xd4");
    client.login(USER, PASSWORD);
    client.send(b"MKD \xd0\xd2\xc9\r\n");
    assert_eq!(
        client.line().unwrap(),
        b"257 \"/\xd0\xd2\xc9\" directory created."
    );
    assert!(server.path("при").is_dir());
    assert!(!client.expect(211, "FEAT").contains("UTF8"));
}

#[test]
fn log_prefix() {
    let lines = testkit::log::keep();
    let prefix = "XXX {username} {unknown} {remote_ip} {{";
    let server = Server::with(MODE, move |config: &mut FTPConfig| {
        config.log_prefix = prefix.into()
    });
    let mut client = server.login();
    client.expect(221, "QUIT");
    client.expect_eof();
    drop(server);
    let lines = lines.lock();
    for expected in [
        "INFO XXX  {unknown} 127.0.0.1 {{ FTP session opened (connect)",
        "DEBUG XXX  {unknown} 127.0.0.1 {{ <- PASS ******",
        "INFO XXX user {unknown} 127.0.0.1 {{ USER 'user' logged in.",
        "INFO XXX user {unknown} 127.0.0.1 {{ FTP session closed (disconnect).",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains(PASSWORD)));
}

/// A foreign connection to a passive port is logged.
#[test]
fn foreign_addresses_are_logged() {
    let lines = testkit::log::keep();
    let server = Server::with(MODE, |config| config.log_prefix = "YYY".into());
    let mut client = server.login();
    let address = parse_227(&client.expect(227, "PASV"));
    let mut foreign = testkit::connect_data_from("127.0.0.2", address);
    assert_eq!(read_all(&mut foreign), b"");
    wait_for("the line", || {
        lines.lock().iter().any(|line| {
            line.starts_with("WARN YYY Rejected data connection from foreign address 127.0.0.2:")
        })
    });
}

/// Passwords in lines that are not quite PASS, and commands that could confuse a reader of the
/// log.
#[test]
fn no_passwords_and_no_forged_lines_in_the_log() {
    let lines = testkit::log::keep();
    let server = Server::with(MODE, |config| config.log_prefix = "ZZZ".into());
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PASS hunter2");
    client.expect(500, " PASS hunter2");
    client.expect(500, "\u{ff}PASS\thunter2");
    client.expect(331, "USER a\x1b[2J\rb");
    client.expect(530, "PASS hunter2");
    drop(server);
    let lines = lines.lock();
    assert!(lines.len() > 10);
    for line in lines.iter() {
        assert!(!line.contains("hunter2"), "{line:?}");
    }
}

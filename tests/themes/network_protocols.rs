//! Data connections over IPv4 and IPv6: as pyftpdlib's `TestIPv4Environment`,
//! `TestIPv6Environment` and `TestIPv6MixedEnvironment`; also foreign connections, and active
//! connections that fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use ftpdlib::FTPConfig;
use ftpdlib::handlers::StockHandler;
use testkit::{
    Client, FullListener, PASSWORD, Server, USER, accept_data, await_refusal, connect_data,
    connect_data_from, drain, parse_227, parse_229, port_command, read_all,
};

use crate::MODE;

fn on(host: &str, change: impl FnOnce(&mut FTPConfig) + Send + 'static) -> Server {
    Server::build(MODE, host, change, |_| {}, |_| StockHandler)
}

fn v4() -> Server {
    on("127.0.0.1", |_| {})
}

fn v6() -> Server {
    on("::1", |_| {})
}

/// Returns a listener of the client, and its port.
fn listener(ip: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Returns a port that nobody listens on.
fn closed_port(ip: &str) -> u16 {
    listener(ip).1
}

/// Tests for both kinds of addresses.
fn eprt(server: &Server, proto: u8, ip: &str) {
    let mut client = server.login();
    let other = if proto == 1 { 2 } else { 1 };
    let unsupported = format!("522 Network protocol not supported (use {proto}).");
    let unknown = format!("501 Unknown network protocol (use {proto}).");
    let port = closed_port(ip);
    let reply = client.expect(522, format!("EPRT |{other}|{ip}|{port}|"));
    assert_eq!(reply, unsupported);
    let reply = client.expect(501, format!("EPRT |3|{ip}|{port}|"));
    assert_eq!(reply, unknown);
    for bad in [
        "",
        "|",
        "||",
        "|||",
        "||||",
        "|1|1.2.3.4",
        "|1|1.2.3.4|",
        "|1|1.2.3.4|x|",
        "|1|1.2.3.4|-1|",
        "|1|1.2.3.4|65536|",
        "||127.0.0.1|2000|",
        "|x|127.0.0.1|2000|",
    ] {
        client.expect(501, format!("EPRT {bad}"));
    }
    // A privileged port, and a foreign address.
    let reply = client.expect(501, format!("EPRT |{proto}|{ip}|222|"));
    assert_eq!(
        reply,
        "501 PORT against the privileged port \"222\" refused."
    );
    let foreign = if proto == 1 { "1.2.3.4" } else { "2001:db8::1" };
    let reply = client.expect(501, format!("EPRT |{proto}|{foreign}|{port}|"));
    assert!(
        reply.starts_with("501 Rejected data connection to foreign address"),
        "{reply}"
    );
    let (listener, port) = listener(ip);
    let reply = client.expect(200, format!("EPRT |{proto}|{ip}|{port}|"));
    assert_eq!(reply, "200 Active data connection established.");
    let mut data = accept_data(&listener);
    client.expect(125, "NLST");
    assert_eq!(read_all(&mut data), b"");
    client.expect_reply(226);
    // The client chooses the delimiter.
    client.expect(200, format!("EPRT !{proto}!{ip}!{port}!"));
}

fn epsv(server: &Server, proto: u8) {
    let mut client = server.login();
    let other = if proto == 1 { 2 } else { 1 };
    let reply = client.expect(522, format!("EPSV {other}"));
    assert_eq!(
        reply,
        format!("522 Network protocol not supported (use {proto}).")
    );
    let reply = client.expect(501, "EPSV 3");
    assert_eq!(
        reply,
        format!("501 Unknown network protocol (use {proto}).")
    );
    client.expect(501, "EPSV x");
    let ip = client.socket.peer_addr().unwrap().ip();
    for command in ["EPSV".to_owned(), format!("EPSV {proto}")] {
        let reply = client.expect(229, &command);
        assert!(
            reply.starts_with("229 Entering extended passive mode (|||"),
            "{reply}"
        );
        let mut data = connect_data(SocketAddr::new(ip, parse_229(&reply)));
        client.begin("NLST");
        assert_eq!(read_all(&mut data), b"");
        client.expect_reply(226);
    }
}

fn epsv_all(server: &Server) {
    let mut client = server.login();
    let reply = client.expect(220, "EPSV ALL");
    assert_eq!(
        reply,
        "220 Other commands other than EPSV are now disabled."
    );
    let port = closed_port("127.0.0.1");
    for command in [
        "PASV".to_owned(),
        port_command(port),
        format!("EPRT |1|127.0.0.1|{port}|"),
    ] {
        let reply = client.expect(501, &command);
        let verb = command.split(' ').next().unwrap();
        assert_eq!(reply, format!("501 {verb} not allowed after EPSV ALL."));
    }
    client.expect(229, "EPSV");
}

#[test]
fn v4_eprt() {
    eprt(&v4(), 1, "127.0.0.1");
}

#[test]
fn v4_epsv() {
    epsv(&v4(), 1);
}

#[test]
fn v4_epsv_all() {
    epsv_all(&v4());
}

#[test]
fn v4_port() {
    let server = v4();
    let mut client = server.login();
    let _data = client.port();
    for bad in [
        "",
        "1,1,1,1,a,1",
        "1,1,1,1,1",
        "1,1,1,1,1,1,1",
        "1,1,1,1,256,1",
        "256,1,1,1,1,1",
        "1,1,1,1,-1,1",
        "1,1,1,1,1,1,",
        "1 1 1 1 1 1",
    ] {
        client.expect(501, format!("PORT {bad}"));
    }
    let reply = client.expect(501, "PORT 127,0,0,1,0,222");
    assert_eq!(
        reply,
        "501 PORT against the privileged port \"222\" refused."
    );
    let reply = client.expect(501, "PORT 1,2,3,4,4,1");
    assert_eq!(
        reply,
        "501 Rejected data connection to foreign address 1.2.3.4:1025."
    );
    // None of these has closed the open connection.
    let reply = client.expect(211, "STAT");
    assert!(reply.contains("Data connection open"), "{reply}");
}

#[test]
fn v4_eprt_of_an_invalid_address() {
    let server = v4();
    let mut client = server.login();
    for bad in ["1.2.3.256", "x", "1.2.3", "::1", "127.0.0.1%lo"] {
        client.expect(501, format!("EPRT |1|{bad}|2000|"));
    }
}

#[test]
fn v4_pasv() {
    let server = v4();
    let mut client = server.login();
    let reply = client.expect(227, "PASV");
    assert!(
        reply.starts_with("227 Entering passive mode (127,0,0,1,"),
        "{reply}"
    );
    connect_data(parse_227(&reply));
    // A second one replaces the first.
    let first = parse_227(&client.expect(227, "PASV"));
    let second = parse_227(&client.expect(227, "PASV"));
    if first != second {
        await_refusal(first);
    }
    connect_data(second);
}

#[test]
fn v6_eprt() {
    eprt(&v6(), 2, "::1");
}

/// Every way to write the client's address is accepted.
#[test]
fn v6_eprt_written_otherwise() {
    let server = v6();
    let mut client = server.login();
    let (listener, port) = listener("::1");
    for ip in ["0:0:0:0:0:0:0:1", "0::1", "::0001", "0:0::0.0.0.1"] {
        client.expect(200, format!("EPRT |2|{ip}|{port}|"));
        accept_data(&listener);
    }
    client.expect(501, format!("EPRT |2|x|{port}|"));
    client.expect(501, format!("EPRT |2|127.0.0.1|{port}|"));
}

#[test]
fn v6_epsv() {
    epsv(&v6(), 2);
}

#[test]
fn v6_epsv_all() {
    epsv_all(&v6());
}

#[test]
fn v6_port() {
    let server = v6();
    let mut client = server.login();
    let port = closed_port("127.0.0.1");
    let reply = client.expect(425, port_command(port));
    assert!(reply.contains("EPRT"), "{reply}");
}

/// The reply to PASV has no room for an IPv6 address; clients use EPSV.
#[test]
fn v6_pasv() {
    let server = v6();
    let mut client = server.login();
    let mut data = client.epsv();
    let reply = client.expect(425, "PASV");
    assert!(reply.contains("EPSV"), "{reply}");
    // It has closed nothing.
    client.expect(125, "NLST");
    assert_eq!(read_all(&mut data), b"");
    drop(data);
    client.expect_reply(226);
    client.download_epsv();
    client.expect(220, "EPSV ALL");
    client.expect(501, "PASV");
}

fn dual() -> Server {
    on("::", |_| {})
}

#[test]
fn mixed_port_v4() {
    let server = dual();
    let mut client = server.login();
    let mut data = client.port();
    client.expect(125, "NLST");
    assert_eq!(read_all(&mut data), b"");
    client.expect_reply(226);
}

#[test]
fn mixed_pasv_v4() {
    let server = dual();
    let mut client = server.login();
    let reply = client.expect(227, "PASV");
    assert!(
        reply.starts_with("227 Entering passive mode (127,0,0,1,"),
        "{reply}"
    );
    let mut data = connect_data(parse_227(&reply));
    client.begin("NLST");
    assert_eq!(read_all(&mut data), b"");
    client.expect_reply(226);
}

#[test]
fn mixed_eprt_v4() {
    eprt(&dual(), 1, "127.0.0.1");
}

#[test]
fn mixed_epsv_v4() {
    epsv(&dual(), 1);
}

#[test]
fn mixed_v6() {
    let server = dual();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, server.address.port()));
    let mut client = Client::connect_in(MODE, address);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    client.download_epsv();
    let (listener, port) = listener("::1");
    client.expect(200, format!("EPRT |2|::1|{port}|"));
    accept_data(&listener);
}

/// A foreign host connects to the passive port first.
#[test]
fn foreign_hosts_are_turned_away() {
    let server = v4();
    server.write("file", "x");
    let mut client = server.login();
    let address = parse_227(&client.expect(227, "PASV"));
    for _ in 0..20 {
        let mut foreign = connect_data_from("127.0.0.2", address);
        assert_eq!(read_all(&mut foreign), b"");
    }
    assert!(client.is_silent());
    // The same while a transfer waits.
    client.expect(150, "RETR file");
    let mut foreign = connect_data_from("127.0.0.2", address);
    assert_eq!(read_all(&mut foreign), b"");
    assert!(client.is_silent());
    let mut data = connect_data(address);
    assert_eq!(read_all(&mut data), b"x");
    client.expect_reply(226);
}

#[test]
fn permit_foreign_addresses() {
    let server = on("127.0.0.1", |config| config.permit_foreign_addresses = true);
    server.write("file", "x");
    let mut client = server.login();
    let address = parse_227(&client.expect(227, "PASV"));
    client.expect(150, "RETR file");
    let mut other = connect_data_from("127.0.0.2", address);
    assert_eq!(read_all(&mut other), b"x");
    client.expect_reply(226);
    let (listener, port) = listener("127.0.0.3");
    client.expect(200, format!("PORT 127,0,0,3,{},{}", port / 256, port % 256));
    let mut data = accept_data(&listener);
    client.expect(125, "RETR file");
    assert_eq!(read_all(&mut data), b"x");
    client.expect_reply(226);
}

/// Neither server of this process connects to itself, or to the other one.
#[test]
fn own_ports() {
    let permit = |config: &mut FTPConfig| config.permit_foreign_addresses = true;
    let servers = [on("127.0.0.1", permit), on("::", permit)];
    for server in &servers {
        let mut client = server.login();
        for target in servers.iter().map(|server| server.address.port()) {
            let refused = format!("501 PORT against the server's own port \"{target}\" refused.");
            let [high, low] = target.to_be_bytes();
            for host in ["127,0,0,1", "0,0,0,0"] {
                let reply = client.expect(501, format!("PORT {host},{high},{low}"));
                assert_eq!(reply, refused);
            }
            let reply = client.expect(501, format!("EPRT |1|127.0.0.1|{target}|"));
            assert_eq!(reply, refused);
        }
    }
    // The same by an IPv4 address in the form of an IPv6 one.
    let port = servers[1].address.port();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let mut client = Client::connect_in(MODE, address);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    for host in ["::1", "::ffff:127.0.0.1", "::", "0:0:0:0:0:ffff:7f00:1"] {
        client.expect(501, format!("EPRT |2|{host}|{port}|"));
    }
}

#[test]
fn permit_privileged_ports() {
    let server = on("127.0.0.1", |config| config.permit_privileged_ports = true);
    let mut client = server.login();
    // Nobody listens there, but the server has tried.
    let (code, reply) = client.command("PORT 127,0,0,1,0,1");
    assert_eq!((code, &reply[..]), (425, CANNOT));
}

const CANNOT: &str = "425 Can't connect to specified address.";

#[test]
fn active_conn_error() {
    let server = v4();
    let mut client = server.login();
    let port = closed_port("127.0.0.1");
    assert_eq!(client.expect(425, port_command(port)), CANNOT);
    let command = format!("EPRT |1|127.0.0.1|{port}|");
    assert_eq!(client.expect(425, command), CANNOT);
    // The replies to commands that came meanwhile follow.
    client.send(format!("{}\r\nNOOP\r\nNLST\r\n", port_command(port)));
    client.expect_reply(425);
    client.expect_reply(200);
    client.expect_reply(150);
    client.abort();
    // The next one works.
    let _data = client.port();
}

/// Two sessions at once; one closes while the other connects.
#[test]
fn two_sessions_in_active_mode() {
    let server = v4();
    let big = testkit::write_big(&server, "big");
    let mut first = server.login();
    let mut second = server.login();
    let (listener, port) = listener("127.0.0.1");
    first.send(format!("{}\r\nRETR big\r\n", port_command(port)));
    let mut first_data = accept_data(&listener);
    first.expect_reply(200);
    first.expect_reply(125);
    first_data.read_exact(&mut [0; 1000]).unwrap();
    second.send(format!("{}\r\nRETR big\r\n", port_command(port)));
    drop(first);
    let mut second_data = accept_data(&listener);
    second.expect_reply(200);
    second.expect_reply(125);
    drop(first_data);
    assert_eq!(drain(&mut second_data), big);
    second.expect_reply(226);
}

#[test]
fn commands_while_connecting() {
    let server = v4();
    // ABOR and QUIT do not wait for a connection that is being made.
    let full = FullListener::new();
    let port = full.address.port();
    let mut client = server.login();
    client.send(format!("{}\r\nABOR\r\n", port_command(port)));
    assert_eq!(client.expect_reply(425), CANNOT);
    let reply = client.expect_reply(225);
    assert_eq!(reply, "225 ABOR command successful; data channel closed.");
    client.send(format!("{}\r\nQUIT\r\n", port_command(port)));
    assert_eq!(client.expect_reply(425), CANNOT);
    client.expect_reply(221);
    client.expect_eof();
    // Neither does the end of the client.
    let mut client = server.login();
    client.send(format!("{}\r\nNOOP\r\n", port_command(port)));
    drop(client);
    let mut client = server.login();
    client.expect(257, "PWD");
}

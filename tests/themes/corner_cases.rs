//! Clients that behave unusually: as pyftpdlib's `TestCornerCases`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPHandler, FTPSession};
use socket2::SockRef;
use testkit::{
    Client, DEADLINE, PASSWORD, Server, USER, accept_data, connect_data, parse_227, port_listener,
    read_all, reset_when_dropped,
};

use super::{CUT, URGENT, skipped_over_tls};

use crate::MODE;

/// The data connection exists before the client has read the reply to PORT.
#[test]
fn port_race_condition() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let (listener, command) = port_listener();
    client.send(format!("{command}\r\nLIST\r\n"));
    let mut data = accept_data(&listener);
    client.expect_reply(200);
    client.expect_reply(125);
    client.expect_reply(226);
    assert_eq!(read_all(&mut data), b"");
}

/// Connects and resets at once.
fn reset(address: SocketAddr) {
    let socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    reset_when_dropped(&socket);
}

#[test]
fn quick_connect() {
    let server = Server::start(MODE);
    for _ in 0..50 {
        reset(server.address);
    }
    let mut client = server.login();
    for _ in 0..20 {
        let address = parse_227(&client.expect(227, "PASV"));
        reset(address);
    }
    // This one is reset before a transfer: the server may have noticed it or not.
    let address = parse_227(&client.expect(227, "PASV"));
    reset(address);
    client.begin("LIST");
    client.send("ABOR\r\n");
    loop {
        let (code, reply) = client.reply();
        if code == 225 || reply.contains("ABOR command successful") {
            break;
        }
    }
    let mut data = client.pasv();
    client.begin("LIST");
    assert_eq!(read_all(&mut data), b"");
    client.expect_reply(226);
}

#[test]
fn error_on_callback() {
    let (ran, runs) = mpsc::channel();
    let set_up = move |server: &mut ftpdlib::FTPServer| {
        let ioloop = server.ioloop();
        ioloop.call_later(Duration::ZERO, |_| panic!("a bug of the user's"));
        ioloop.call_later(Duration::from_millis(1), move |_| ran.send(()).unwrap());
    };
    let server = Server::build(MODE, "127.0.0.1", |_| {}, set_up, |_| StockHandler);
    runs.recv_timeout(DEADLINE).unwrap();
    server.login();
}

/// Sends what a session shows of its state.
struct Shown(mpsc::Sender<String>);

impl FTPHandler for Shown {
    fn on_login(&mut self, s: &mut FTPSession, _username: &str) {
        self.0.send(format!("{s:?}")).unwrap();
    }
}

#[test]
fn repr() {
    let (sender, shown) = mpsc::channel();
    let server = Server::with_handler(MODE, |_| {}, move |_| Shown(sender.clone()));
    server.login();
    let shown = shown.recv_timeout(DEADLINE).unwrap();
    assert!(shown.contains("127.0.0.1:"), "{shown}");
    assert!(shown.contains("user"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn commands_byte_by_byte() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for line in [format!("USER {USER}"), format!("PASS {PASSWORD}")] {
        for byte in format!("{line}\r\n").bytes() {
            client.send([byte]);
        }
    }
    client.expect_reply(331);
    client.expect_reply(230);
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for _ in 0..10 {
        client.send("NOOP\r\nPWD\r\nSYST\r\nXXXX\r\n".repeat(100));
        for _ in 0..100 {
            for code in [200, 257, 215, 500] {
                client.expect_reply(code);
            }
        }
    }
}

/// A client that has shut down its sending side still gets its replies.
#[test]
fn half_closed() {
    let server = Server::start(MODE);
    server.write("file", "x");
    let mut client = server.login();
    client.send("NOOP\r\nPWD\r\n");
    client.socket.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(200);
    client.expect_reply(257);
    client.expect_eof();
    // A line without its end is not a command.
    let mut client = server.login();
    client.send("MKD dir");
    client.socket.shutdown(Shutdown::Write).unwrap();
    client.expect_eof();
    assert!(!server.path("dir").exists());
}

/// The server stops reading from a client that sends and does not read, and serves the others;
/// when the client reads, no reply is missing.
#[test]
fn a_client_that_does_not_read() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.socket.set_nonblocking(true).unwrap();
    // Small buffers fill soon.
    let socket = SockRef::from(&client.socket);
    socket.set_send_buffer_size(64 << 10).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let line = b"NOOP\r\n".repeat(1000);
    let mut sent = 0;
    let mut refusals = 0;
    // The connection is full when it stays full for a while.
    while refusals < 20 {
        let from = sent % line.len();
        match client.socket.write(&line[from..]) {
            Ok(size) => {
                sent += size;
                refusals = 0;
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                refusals += 1;
                server.connect().expect(200, "NOOP");
            }
            Err(err) => panic!("{err}"),
        }
        assert!(sent < 1 << 30, "it takes everything");
    }
    client.socket.set_nonblocking(false).unwrap();
    let mut reader = client.socket.share();
    let writer = std::thread::spawn(move || {
        // The rest of the last line, and QUIT.
        let rest = (6 - sent % 6) % 6;
        client.send(&line[line.len() - rest..]);
        client.send("QUIT\r\n");
        (client, sent + rest)
    });
    let mut replies = 0;
    let mut buffer = vec![0; 1 << 16];
    let mut tail = Vec::new();
    loop {
        let size = reader.read(&mut buffer).unwrap();
        if size == 0 {
            break;
        }
        tail.extend_from_slice(&buffer[..size]);
        let end = tail.iter().rposition(|byte| *byte == b'\n');
        let rest = tail.split_off(end.map_or(0, |end| end + 1));
        let lines = tail.split(|byte| *byte == b'\n');
        replies += lines.filter(|line| line.starts_with(b"200 ")).count();
        tail = rest;
    }
    let (_client, sent) = writer.join().unwrap();
    assert_eq!(replies, sent / 6);
}

/// Urgent data comes in line with the rest (`SO_OOBINLINE`), as clients send it before ABOR. Here
/// it is a letter of the command itself.
#[test]
fn urgent_data() {
    if skipped_over_tls(URGENT) {
        return;
    }
    let server = Server::start(MODE);
    let mut client = server.login();
    for _ in 0..20 {
        client.send("NOO");
        let socket = SockRef::from(&client.socket);
        assert_eq!(socket.send_out_of_band(b"P").unwrap(), 1);
        client.send("\r\n");
        client.expect_reply(200);
    }
    // The Telnet signals: IP, and DM as urgent data.
    client.send(b"\xff\xf4\xff");
    let socket = SockRef::from(&client.socket);
    assert_eq!(socket.send_out_of_band(b"\xf2").unwrap(), 1);
    client.send("ABOR\r\n");
    let reply = client.expect_reply(225);
    assert_eq!(reply, "225 No transfer to abort.");
    client.expect(200, "NOOP");
}

/// A promised transfer is given up by closing the data connection.
#[test]
fn a_data_connection_that_closes_before_the_transfer() {
    let server = Server::start(MODE);
    server.write("file", "x");
    let mut client = server.login();
    drop(client.port());
    // The server may have noticed it or not: the client gets the result in both cases.
    let (code, reply) = client.command("RETR file");
    assert!(matches!(code, 125 | 150), "{reply}");
    if code == 150 {
        client.abort();
    } else {
        let (code, reply) = client.reply();
        assert!(code == 226 || code == CUT, "{reply}");
    }
    client.expect(200, "NOOP");
}

#[test]
fn a_login_without_a_home() {
    let server = Server::with(MODE, |config| {
        let gone = tempfile::tempdir().unwrap();
        let authorizer = DummyAuthorizer::new();
        authorizer
            .add_user(USER, PASSWORD, gone.path(), "elradfmwMT")
            .unwrap();
        config.set_authorizer(authorizer);
    });
    let mut client = server.connect();
    client.login(USER, PASSWORD);
    client.expect(257, "PWD");
    for command in [
        "CWD /", "LIST", "RETR x", "STOR x", "MKD x", "RMD /", "STOU",
    ] {
        let (code, reply) = client.command(command);
        assert!(matches!(code, 450 | 550), "{command}: {reply}");
    }
}

#[test]
fn many_sessions() {
    let server = Server::start(MODE);
    server.write("file", "x");
    let mut clients: Vec<Client> = (0..50).map(|_| server.login()).collect();
    let mut data = Vec::new();
    for client in &mut clients {
        let address = parse_227(&client.expect(227, "PASV"));
        data.push(connect_data(address));
    }
    for (client, data) in clients.iter_mut().zip(&mut data) {
        client.begin("RETR file");
        assert_eq!(read_all(data), b"x");
        client.expect_reply(226);
    }
}

/// A home that is removed and made again works at once, in sessions that are open and in new ones.
#[test]
fn a_home_that_is_made_again_works_at_once() {
    let top = tempfile::tempdir().unwrap();
    let home = top.path().join("above/home");
    let make = || fs::create_dir_all(&home).unwrap();
    make();
    let root = home.clone();
    let server = Server::with(MODE, move |config| {
        let users = DummyAuthorizer::new();
        users.add_user(USER, PASSWORD, &root, "elradfmwMT").unwrap();
        config.set_authorizer(users);
    });
    let first: [(&str, u16); 8] = [
        ("CWD /", 250),
        ("MKD new", 257),
        ("SIZE file", 213),
        ("MLST /", 250),
        ("STAT /", 213),
        ("RNFR file", 350),
        ("MFMT 20200101000000 file", 213),
        ("DELE file", 250),
    ];
    for (command, code) in first {
        fs::write(home.join("file"), "old").unwrap();
        let mut client = server.login();
        let mut inside = server.login();
        client.expect(213, "SIZE file");
        inside.expect(257, "MKD dir");
        inside.expect(250, "CWD dir");
        fs::remove_dir_all(top.path().join("above")).unwrap();
        client.expect(550, command);
        client.expect(550, "RETR file");
        client.expect(550, "MLSD");
        client.expect(257, "PWD");
        inside.expect(550, "MLSD");
        // A home that is missing at the login, too.
        let mut late = server.login();
        late.expect(550, "SIZE file");
        make();
        fs::write(home.join("file"), "new").unwrap();
        client.expect(code, command);
        client.upload("STOR up", "abc");
        assert_eq!(fs::read(home.join("up")).unwrap(), b"abc");
        assert_eq!(client.download("RETR up"), b"abc");
        assert!(client.lines("NLST").contains(&"up".to_owned()));
        assert_eq!(late.download("RETR up"), b"abc");
        inside.expect(550, "MLSD");
        fs::create_dir(home.join("dir")).unwrap();
        assert_eq!(inside.lines("MLSD").len(), 0);
        inside.expect(250, "CDUP");
        assert_eq!(inside.download("RETR up"), b"abc");
        fs::remove_dir_all(top.path().join("above")).unwrap();
        make();
    }
}

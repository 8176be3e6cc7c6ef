//! The hooks of TLS: when they are called, and what happens to a session when one of them panics.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};

use ftpdlib::handlers::{commands, data};
use ftpdlib::{DTPHandler, DataChannel, FTPHandler, FTPSession};
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use testkit::{
    Client, Mode, Server, Socket, WAYS, client_config, each_version, expect_events, fetch,
    hide_planned_panics, next, parse_227, read_all, set_deadlines, store, wait_for, with_tls,
};

// --- the calls

/// A handler that reports its hooks.
struct Reporter(Sender<String>);

impl Reporter {
    fn report(&self, what: &str) {
        let _ = self.0.send(what.to_owned());
    }
}

impl FTPHandler for Reporter {
    fn secure_connection(&mut self, s: &mut FTPSession) {
        self.report("secure_connection");
        assert!(!s.is_secure());
        commands::secure_connection(s);
        assert!(s.is_secure());
    }

    fn handle_ssl_established(&mut self, s: &mut FTPSession) {
        let version = s.tls_state().unwrap().protocol_version();
        self.report(match version.unwrap() {
            ProtocolVersion::TLSv1_3 => "established 1.3",
            _ => "established 1.2",
        });
    }

    fn handle_ssl_shutdown(&mut self, _s: &mut FTPSession) {
        self.report("shutdown");
    }

    fn handle_failed_ssl_handshake(&mut self, s: &mut FTPSession) {
        self.report("failed");
        commands::handle_failed_ssl_handshake(s);
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        self.report("disconnect");
    }
}

impl DTPHandler for Reporter {
    fn secure_connection(&mut self, d: &mut DataChannel) {
        assert!(!d.is_secure());
        data::secure_connection(d);
        assert!(d.is_secure());
        self.report("data: secure_connection");
    }

    fn handle_ssl_established(&mut self, d: &mut DataChannel) {
        assert!(d.is_secure());
        self.report("data: established");
    }

    fn handle_ssl_shutdown(&mut self, d: &mut DataChannel) {
        assert!(d.is_secure());
        self.report("data: shutdown");
    }

    fn handle_failed_ssl_handshake(&mut self, _d: &mut DataChannel) {
        self.report("data: failed");
    }
}

fn reporting() -> (Server, Receiver<String>) {
    let (sender, events) = channel();
    let data_sender = sender.clone();
    let change = move |config: &mut ftpdlib::FTPConfig| {
        config.set_dtp_handler(move || Reporter(data_sender.clone()));
        with_tls(|_| {})(config);
    };
    let server = Server::with_handler(Mode::Clear, change, move |_| Reporter(sender.clone()));
    (server, events)
}

#[test]
fn hooks_of_the_control_connection() {
    let (server, events) = reporting();
    for (version, name) in [(&TLS12, "established 1.2"), (&TLS13, "established 1.3")] {
        let mut client = server.connect();
        client.auth(&Arc::new(client_config(&[version]))).unwrap();
        expect_events(&events, &["secure_connection", name]);
        client.expect(221, "QUIT");
        client.expect_eof();
        expect_events(&events, &["shutdown", "disconnect"]);
    }
    // In clear no hook is called.
    let mut client = server.login();
    client.expect(221, "QUIT");
    client.expect_eof();
    expect_events(&events, &["disconnect"]);
    // Bytes that are no handshake.
    let mut client = server.connect();
    client.expect(234, "AUTH TLS");
    client.send("this is no TLS at all\r\n");
    read_all(&mut client.socket);
    expect_events(&events, &["secure_connection", "failed", "disconnect"]);
    drop(server);
    assert!(events.try_recv().is_err());
}

#[test]
fn hooks_of_data_connections() {
    let (server, events) = reporting();
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        expect_events(&events, &["secure_connection"]);
        assert!(next(&events).starts_with("established"));
        let all = [
            "data: secure_connection",
            "data: established",
            "data: shutdown",
        ];
        for way in WAYS {
            fetch(&mut client, way, "RETR a");
            expect_events(&events, &all);
            store(&mut client, way, "STOR b", b"abc");
            expect_events(&events, &all);
            fetch(&mut client, way, "NLST");
            expect_events(&events, &all);
        }
        let mut data = TcpStream::connect(parse_227(&client.expect(227, "PASV"))).unwrap();
        client.begin("RETR a");
        data.write_all(b"this is no TLS at all").unwrap();
        client.expect_reply(522);
        expect_events(&events, &["data: secure_connection", "data: failed"]);
        client.expect(200, "PROT C");
        fetch(&mut client, WAYS[0], "RETR a");
        client.expect(221, "QUIT");
        client.expect_eof();
        expect_events(&events, &["shutdown", "disconnect"]);
    }
}

// --- hooks that panic

/// A handler that panics once, in one of its methods.
struct Fragile {
    at: &'static str,
    armed: Arc<AtomicUsize>,
    events: Sender<String>,
}

impl Fragile {
    fn pass(&self, place: &str) {
        let now = self.at == place && self.armed.swap(0, SeqCst) == 1;
        assert!(!now, "as planned, in {place}");
    }
}

impl FTPHandler for Fragile {
    fn secure_connection(&mut self, s: &mut FTPSession) {
        self.pass("secure_connection");
        commands::secure_connection(s);
    }

    fn handle_ssl_established(&mut self, _s: &mut FTPSession) {
        self.pass("handle_ssl_established");
    }

    fn handle_ssl_shutdown(&mut self, _s: &mut FTPSession) {
        self.pass("handle_ssl_shutdown");
    }

    fn handle_failed_ssl_handshake(&mut self, s: &mut FTPSession) {
        self.pass("handle_failed_ssl_handshake");
        commands::handle_failed_ssl_handshake(s);
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        let _ = self.events.send("disconnect".to_owned());
    }
}

impl DTPHandler for Fragile {
    fn secure_connection(&mut self, d: &mut DataChannel) {
        self.pass("data: secure_connection");
        data::secure_connection(d);
    }

    fn handle_ssl_established(&mut self, _d: &mut DataChannel) {
        self.pass("data: handle_ssl_established");
    }

    fn handle_ssl_shutdown(&mut self, _d: &mut DataChannel) {
        self.pass("data: handle_ssl_shutdown");
    }

    fn handle_failed_ssl_handshake(&mut self, _d: &mut DataChannel) {
        self.pass("data: handle_failed_ssl_handshake");
    }
}

/// Starts a server that panics once at `at` when it is armed.
fn fragile(at: &'static str) -> (Server, Arc<AtomicUsize>, Receiver<String>) {
    hide_planned_panics();
    let (sender, events) = channel();
    let armed = Arc::new(AtomicUsize::new(0));
    let make = {
        let armed = Arc::clone(&armed);
        move || Fragile {
            at,
            armed: Arc::clone(&armed),
            events: sender.clone(),
        }
    };
    let make_data = make.clone();
    let change = move |config: &mut ftpdlib::FTPConfig| {
        with_tls(|_| {})(config);
        config.set_dtp_handler(make_data);
    };
    let server = Server::with_handler(Mode::Clear, change, move |_| make());
    server.write("a", b"abc");
    (server, armed, events)
}

#[track_caller]
fn others_go_on(server: &Server, mut before: Client, events: &Receiver<String>) {
    assert_eq!(next(events), "disconnect");
    before.expect(200, "NOOP");
    assert_eq!(before.download("RETR a"), b"abc");
    let mut newer = server.login_over(&each_version()[1]);
    assert_eq!(newer.download("RETR a"), b"abc");
    newer.expect(221, "QUIT");
    newer.expect_eof();
    assert_eq!(next(events), "disconnect");
}

#[test]
fn hooks_of_the_control_connection_that_panic() {
    for at in [
        "secure_connection",
        "handle_ssl_established",
        "handle_ssl_shutdown",
        "handle_failed_ssl_handshake",
    ] {
        let (server, armed, events) = fragile(at);
        let before = server.login_over(&each_version()[1]);
        armed.store(1, SeqCst);
        let mut client = server.connect();
        client.send("AUTH TLS\r\n");
        let _ = client.try_reply();
        if at == "handle_failed_ssl_handshake" {
            let _ = client.socket.write_all(b"what is no handshake");
        } else {
            client.socket.secure(each_version()[1].clone());
            let _ = client.socket.handshake();
            let _ = client.socket.write_all(b"QUIT\r\n");
        }
        while client.line().is_some() {}
        // The client sees the end before the hook is called.
        wait_for(at, || armed.load(SeqCst) == 0);
        others_go_on(&server, before, &events);
    }
}

#[test]
fn hooks_of_data_connections_that_panic() {
    for at in [
        "data: secure_connection",
        "data: handle_ssl_established",
        "data: handle_ssl_shutdown",
        "data: handle_failed_ssl_handshake",
    ] {
        for command in ["RETR a", "STOR up"] {
            let (server, armed, events) = fragile(at);
            let before = server.login_over(&each_version()[1]);
            let mut client = server.login_over(&each_version()[1]);
            armed.store(1, SeqCst);
            let address = parse_227(&client.expect(227, "PASV"));
            let tcp = TcpStream::connect(address).unwrap();
            set_deadlines(&tcp);
            client.send(format!("{command}\r\n"));
            let mut data = Socket::new(tcp);
            if at != "data: handle_failed_ssl_handshake" {
                data.secure(client.tls.clone().unwrap());
            }
            let _ = data.write_all(b"what is no handshake");
            let _ = data.shutdown(Shutdown::Write);
            while client.line().is_some() {}
            read_all(&mut data);
            wait_for("the panic", || armed.load(SeqCst) == 0);
            others_go_on(&server, before, &events);
        }
    }
}

//! A panic in a user's hook ends one session, and the server goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::{Command, TimerId, TransferLog, data};
use ftpdlib::proto::reply::Reply;
use ftpdlib::{DTPHandler, DataChannel, FSError, FTPHandler, FTPSession};
use testkit::{
    Client, DEADLINE, Hooks, Server, connect_data, hide_planned_panics, next, parse_227,
};

use crate::MODE;

/// A handler that panics in the hook of its name.
struct Fragile {
    at: &'static str,
    events: Sender<String>,
}

impl Fragile {
    fn pass(&self, place: &str) {
        assert!(self.at != place, "as planned, in {place}");
    }
}

impl FTPHandler for Fragile {
    fn on_connect(&mut self, s: &mut FTPSession) {
        self.pass("on_connect");
        if self.at == "on_timer" {
            s.call_later(Duration::from_millis(1));
        }
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        let _ = self.events.send("disconnect".to_owned());
        self.pass("on_disconnect");
    }

    fn on_login(&mut self, _s: &mut FTPSession, _username: &str) {
        self.pass("on_login");
    }

    fn on_login_failed(&mut self, _s: &mut FTPSession, _username: &str, _password: &str) {
        self.pass("on_login_failed");
    }

    fn on_logout(&mut self, _s: &mut FTPSession, _username: &str) {
        self.pass("on_logout");
    }

    fn on_file_sent(&mut self, _s: &mut FTPSession, _file: &Path) {
        self.pass("on_file_sent");
    }

    fn on_file_received(&mut self, _s: &mut FTPSession, _file: &Path) {
        self.pass("on_file_received");
    }

    fn on_incomplete_file_received(&mut self, _s: &mut FTPSession, _file: &Path) {
        self.pass("on_incomplete_file_received");
    }

    fn on_timer(&mut self, _s: &mut FTPSession, _id: TimerId) {
        self.pass("on_timer");
    }

    fn confirm_transfer(&mut self, _s: &mut FTPSession, _transfer: &TransferLog<'_>) {
        self.pass("confirm_transfer");
    }

    fn on_command(&mut self, _s: &mut FTPSession, cmd: &Command<'_>, _reply: &Reply) {
        if cmd.name == "NOOP" {
            self.pass("on_command");
        }
    }

    fn ftp_noop(&mut self, s: &mut FTPSession) {
        self.pass("ftp_noop");
        s.respond("200 Fine.");
    }

    fn ftp_dele(&mut self, s: &mut FTPSession, _path: &Path) {
        self.pass("ftp_dele");
        s.respond("250 Not really.");
    }
}

/// Starts a server whose next session panics at `at`; the others do not.
fn fragile(
    at: &'static str,
    change: impl FnOnce(&mut ftpdlib::FTPConfig) + Send + 'static,
) -> (Server, Client, std::sync::mpsc::Receiver<String>) {
    hide_planned_panics();
    let (sender, events) = channel();
    let armed = Arc::new(AtomicUsize::new(0));
    let server = Server::with_handler(MODE, change, move |_| Fragile {
        at: if armed.fetch_add(1, SeqCst) == 1 {
            at
        } else {
            ""
        },
        events: sender.clone(),
    });
    server.write("a", b"abc");
    // A client that was connected before.
    let before = server.login();
    (server, before, events)
}

/// Checks that older and newer clients are served, and that the broken session has ended.
#[track_caller]
fn others_go_on(server: &Server, mut before: Client, events: &std::sync::mpsc::Receiver<String>) {
    assert_eq!(next(events), "disconnect");
    before.expect(200, "NOOP");
    assert_eq!(before.lines("NLST"), ["a"]);
    let mut newer = server.login();
    assert_eq!(newer.download("RETR a"), b"abc");
    newer.expect(221, "QUIT");
    newer.expect_eof();
    assert_eq!(next(events), "disconnect");
}

#[test]
fn on_connect() {
    let (server, mut before, events) = fragile("on_connect", |_| {});
    server.client().expect_eof();
    // There was no greeting, so `on_disconnect` is not called.
    before.expect(200, "NOOP");
    let mut newer = server.login();
    newer.expect(221, "QUIT");
    newer.expect_eof();
    let first = next(&events);
    assert_eq!(first, "disconnect");
}

#[test]
fn on_login() {
    let (server, before, events) = fragile("on_login", |_| {});
    let mut client = server.connect();
    client.expect(331, "USER user");
    client.send("PASS 12345\r\n");
    // The reply was sent before.
    client.expect_reply(230);
    client.expect_eof();
    others_go_on(&server, before, &events);
}

#[test]
fn on_login_failed() {
    let (server, before, events) = fragile("on_login_failed", |_| {});
    let mut client = server.connect();
    client.expect(331, "USER user");
    client.expect(530, "PASS wrong");
    client.expect_eof();
    others_go_on(&server, before, &events);
}

#[test]
fn on_logout() {
    for command in ["QUIT", "REIN"] {
        let (server, before, events) = fragile("on_logout", |_| {});
        let mut client = server.login();
        client.send(format!("{command}\r\n"));
        while client.line().is_some() {}
        others_go_on(&server, before, &events);
    }
}

#[test]
fn commands() {
    for (at, command) in [("ftp_noop", "NOOP"), ("ftp_dele", "DELE a")] {
        let (server, before, events) = fragile(at, |_| {});
        let mut client = server.login();
        client.send(format!("SYST\r\n{command}\r\nSYST\r\n"));
        client.expect_reply(215);
        client.expect_eof();
        others_go_on(&server, before, &events);
    }
}

#[test]
fn callbacks_of_files() {
    for (at, command) in [("on_file_sent", "RETR a"), ("on_file_received", "STOR a")] {
        let (server, before, events) = fragile(at, |_| {});
        let mut client = server.login();
        let (mut data, _) = testkit::begin(&mut client, testkit::Way::Early, command);
        if command == "STOR a" {
            data.write_all(b"abc").unwrap();
        } else {
            testkit::read_all(&mut data);
        }
        drop(data);
        // The reply comes before the callback.
        client.expect_reply(226);
        client.expect_eof();
        others_go_on(&server, before, &events);
    }
}

#[test]
fn what_precedes_and_follows_a_reply() {
    let (server, before, events) = fragile("on_command", |_| {});
    let mut client = server.login();
    client.expect(200, "NOOP");
    client.expect_eof();
    others_go_on(&server, before, &events);
    let (server, before, events) = fragile("confirm_transfer", |_| {});
    let mut client = server.login();
    let (mut data, _) = testkit::begin(&mut client, testkit::Way::Early, "STOR a");
    data.write_all(b"abc").unwrap();
    drop(data);
    client.expect_eof();
    others_go_on(&server, before, &events);
}

/// The panic comes while the session ends already.
#[test]
fn callback_at_the_end() {
    let (server, before, events) = fragile("on_incomplete_file_received", |_| {});
    let mut client = server.login();
    let (data, _) = testkit::begin(&mut client, testkit::Way::Early, "STOR a");
    drop(client);
    testkit::read_all(&mut { data });
    server.write("a", b"abc");
    others_go_on(&server, before, &events);
}

#[test]
fn on_timer() {
    let (server, before, events) = fragile("on_timer", |_| {});
    let mut client = server.client();
    client.expect_reply(220);
    client.expect_eof();
    others_go_on(&server, before, &events);
}

#[test]
fn on_disconnect() {
    let (server, before, events) = fragile("on_disconnect", |_| {});
    let mut client = server.login();
    client.expect(221, "QUIT");
    client.expect_eof();
    others_go_on(&server, before, &events);
}

/// A handler that panics once, in one of its methods.
struct FragileDTP(&'static str, Arc<AtomicBool>);

impl FragileDTP {
    fn pass(&self, place: &str) {
        let now = self.0 == place && !self.1.swap(true, SeqCst);
        assert!(!now, "as planned, in {place}");
    }
}

impl DTPHandler for FragileDTP {
    fn on_open(&mut self, _d: &mut DataChannel) {
        self.pass("on_open");
    }

    fn use_sendfile(&self, _d: &DataChannel) -> bool {
        false
    }

    fn use_splice(&self, _d: &DataChannel) -> bool {
        false
    }

    fn send(&mut self, d: &mut DataChannel, bytes: &[u8]) -> io::Result<usize> {
        self.pass("send");
        data::send(d, bytes)
    }

    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.pass("recv");
        data::recv(d, buffer)
    }

    fn close(&mut self, _d: &mut DataChannel) {
        self.pass("close");
    }
}

#[test]
fn data_handlers() {
    for (at, command) in [
        ("factory", "RETR a"),
        ("on_open", "RETR a"),
        ("send", "RETR a"),
        ("recv", "STOR a"),
        ("close", "RETR a"),
    ] {
        let done = Arc::new(AtomicBool::new(false));
        let (server, before, events) = fragile("", move |config| {
            config.set_dtp_handler(move || {
                let dtp = FragileDTP(at, Arc::clone(&done));
                dtp.pass("factory");
                dtp
            });
        });
        let mut client = server.login();
        let reply = client.expect(227, "PASV");
        client.expect(150, command);
        let mut data = connect_data(parse_227(&reply));
        let _ = data.write_all(b"abc");
        testkit::read_all(&mut data);
        client.expect_eof();
        server.write("a", b"abc");
        others_go_on(&server, before, &events);
    }
}

struct FragileFS(Arc<AtomicBool>);

impl AbstractedFS for FragileFS {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        assert!(self.0.swap(true, SeqCst), "as planned, in open");
        local::open(fs, path, mode)
    }
}

#[test]
fn file_system() {
    let done = Arc::new(AtomicBool::new(false));
    let (server, before, events) = fragile("", move |config| {
        config.set_abstracted_fs(FragileFS(done));
    });
    let mut client = server.login();
    client.send("NOOP\r\nRETR a\r\n");
    client.expect_reply(200);
    client.expect_eof();
    others_go_on(&server, before, &events);
}

/// The factory of handlers panics; the server goes on listening.
#[test]
fn factory() {
    hide_planned_panics();
    let (sender, events) = channel();
    let mut count = 0;
    let server = Server::with_handler(
        MODE,
        |_| {},
        move |_| {
            count += 1;
            assert!(!(2..=3).contains(&count), "as planned, in the factory");
            Hooks(sender.clone())
        },
    );
    let mut before = server.login();
    for _ in 0..2 {
        server.client().expect_eof();
    }
    before.expect(200, "NOOP");
    server.login().expect(200, "NOOP");
    assert_eq!(next(&events), "disconnect");
}

struct FragileAuthorizer(DummyAuthorizer, Arc<AtomicBool>);

impl ftpdlib::authorizers::Authorizer for FragileAuthorizer {
    fn inner(&self) -> &dyn ftpdlib::authorizers::Authorizer {
        &self.0
    }

    fn get_msg_login(&self, _username: &str) -> String {
        assert!(!self.1.swap(false, SeqCst), "as planned, in get_msg_login");
        "Welcome.".to_owned()
    }
}

#[test]
fn authorizer() {
    let armed = Arc::new(AtomicBool::new(false));
    let arm = Arc::clone(&armed);
    let (server, before, events) = fragile("", move |config| {
        let dummy = DummyAuthorizer::new();
        let home = std::env::temp_dir();
        dummy.add_user("user", "12345", home, "elr").unwrap();
        config.set_authorizer(FragileAuthorizer(dummy, armed));
    });
    arm.store(true, SeqCst);
    let mut client = server.connect();
    client.expect(331, "USER user");
    client.send("PASS 12345\r\n");
    client.expect_eof();
    assert_eq!(events.recv_timeout(DEADLINE).unwrap(), "disconnect");
    let mut before = before;
    before.expect(200, "NOOP");
    server.login().expect(200, "NOOP");
}

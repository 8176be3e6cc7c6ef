//! The callbacks: as pyftpdlib's `TestCallbacks`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use ftpdlib::handlers::{TimerId, TransferLog, dispatch};
use ftpdlib::{FTPHandler, FTPSession};
use testkit::{
    BIG, DEADLINE, PASSWORD, Server, USER, drain, pattern, read_all, wait_for, write_big,
};

use crate::MODE;

/// Records each callback, and sends a reply 299 in it, so that a client sees whether the reply of
/// the command came before.
#[derive(Clone)]
struct Recorder {
    events: Sender<String>,
    replies: bool,
}

impl Recorder {
    fn note(&mut self, s: &mut FTPSession, event: String) {
        if self.replies {
            s.respond(format!("299 {event}"));
        }
        // The test may be over.
        let _ = self.events.send(event);
    }

    fn note_file(&mut self, s: &mut FTPSession, event: &str, file: &Path) {
        assert!(file.is_absolute());
        let name = file.file_name().unwrap().to_string_lossy();
        self.note(s, format!("{event} {name}"));
    }
}

impl FTPHandler for Recorder {
    fn on_connect(&mut self, s: &mut FTPSession) {
        assert!(!s.authenticated() && s.fs().is_none());
        self.note(s, "on_connect".into());
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        assert!(s.is_closing());
        self.note(s, "on_disconnect".into());
    }

    fn on_login(&mut self, s: &mut FTPSession, username: &str) {
        assert!(s.authenticated() && s.fs().is_some());
        self.note(s, format!("on_login {username}"));
    }

    fn on_login_failed(&mut self, s: &mut FTPSession, username: &str, password: &str) {
        self.note(s, format!("on_login_failed {username} {password}"));
    }

    fn on_logout(&mut self, s: &mut FTPSession, username: &str) {
        self.note(s, format!("on_logout {username}"));
    }

    fn on_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        self.note_file(s, "on_file_sent", file);
    }

    fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        self.note_file(s, "on_file_received", file);
    }

    fn on_incomplete_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        self.note_file(s, "on_incomplete_file_sent", file);
    }

    fn on_incomplete_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        self.note_file(s, "on_incomplete_file_received", file);
    }
}

struct Events(Receiver<String>);

impl Events {
    fn next(&self) -> String {
        self.0.recv_timeout(DEADLINE).unwrap()
    }

    #[track_caller]
    fn expect(&self, events: &[&str]) {
        for event in events {
            assert_eq!(&self.next(), event);
        }
    }

    /// Checks that these are the last events, after the server has ended.
    #[track_caller]
    fn expect_end(self, server: Server, events: &[&str]) {
        drop(server);
        let rest: Vec<_> = self.0.iter().collect();
        assert_eq!(rest, events);
    }
}

fn recorded(replies: bool) -> (Server, Events) {
    let (events, received) = mpsc::channel();
    let recorder = Recorder { events, replies };
    let server = Server::with_handler(MODE, |_| {}, move |_| recorder.clone());
    (server, Events(received))
}

#[test]
fn on_disconnect() {
    let (server, events) = recorded(false);
    drop(server.connect());
    events.expect(&["on_connect", "on_disconnect"]);
    events.expect_end(server, &[]);
}

#[test]
fn on_disconnect_at_the_end_of_the_server() {
    let (server, events) = recorded(false);
    let _client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    events.expect_end(server, &["on_disconnect"]);
}

#[test]
fn on_logout_quit() {
    let (server, events) = recorded(false);
    let mut client = server.login();
    client.expect(221, "QUIT");
    client.expect_eof();
    let all = ["on_connect", "on_login user", "on_logout user"];
    events.expect(&all);
    events.expect(&["on_disconnect"]);
    events.expect_end(server, &[]);
}

#[test]
fn on_logout_rein() {
    let (server, events) = recorded(false);
    let mut client = server.login();
    client.expect(230, "REIN");
    client.expect(221, "QUIT");
    events.expect(&["on_connect", "on_login user", "on_logout user"]);
    client.expect_eof();
    events.expect_end(server, &["on_disconnect"]);
}

#[test]
fn on_logout_no_pass() {
    let (server, events) = recorded(false);
    let mut client = server.connect();
    client.expect(331, "USER foo");
    client.expect(221, "QUIT");
    client.expect_eof();
    events.expect_end(server, &["on_connect", "on_disconnect"]);
}

#[test]
fn on_logout_user_issued_twice() {
    let (server, events) = recorded(false);
    let mut client = server.login();
    client.login(USER, PASSWORD);
    events.expect(&["on_connect", "on_login user", "on_logout user"]);
    client.expect(221, "QUIT");
    client.expect_eof();
    let rest = ["on_login user", "on_logout user", "on_disconnect"];
    events.expect_end(server, &rest);
}

#[test]
fn on_login_failed() {
    let (server, events) = recorded(false);
    let mut client = server.connect();
    client.expect(331, "USER foo");
    client.expect(530, "PASS bar");
    events.expect(&["on_connect", "on_login_failed foo bar"]);
    drop(client);
    events.expect(&["on_disconnect"]);
    events.expect_end(server, &[]);
}

#[test]
fn on_file_received() {
    for size in [0, 1, 1 << 20] {
        let (server, events) = recorded(false);
        let mut client = server.login();
        client.upload("STOR file", pattern(size));
        events.expect(&["on_connect", "on_login user", "on_file_received file"]);
        client.upload("APPE file", "x");
        events.expect(&["on_file_received file"]);
        client.upload("STOU uniq", "x");
        assert!(events.next().starts_with("on_file_received uniq."));
        drop(client);
        events.expect(&["on_disconnect"]);
        events.expect_end(server, &[]);
    }
}

#[test]
fn on_file_sent() {
    let (server, events) = recorded(false);
    server.write("file", pattern(100_000));
    let mut client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    client.download("RETR file");
    events.expect(&["on_file_sent file"]);
    client.expect(200, "TYPE A");
    client.download("RETR file");
    events.expect(&["on_file_sent file"]);
    // Listings are not files.
    client.download("LIST");
    client.download("NLST");
    drop(client);
    events.expect(&["on_disconnect"]);
    events.expect_end(server, &[]);
}

#[test]
fn on_incomplete_file_received() {
    let (server, events) = recorded(false);
    let mut client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    let mut data = client.port();
    client.expect(125, "STOR file");
    data.write_all(&pattern(1000)).unwrap();
    wait_for("bytes", || server.read("file").len() == 1000);
    client.send("ABOR\r\n");
    assert_eq!(client.expect_reply(426), "426 Transfer aborted via ABOR.");
    client.expect_reply(226);
    events.expect(&["on_incomplete_file_received file"]);
    drop(client);
    events.expect(&["on_disconnect"]);
    events.expect_end(server, &[]);
}

#[test]
fn on_incomplete_file_sent() {
    let (server, events) = recorded(false);
    write_big(&server, "big");
    let mut client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    let mut data = client.pasv();
    client.begin("RETR big");
    data.read_exact(&mut [0; 100]).unwrap();
    drop(data);
    let reply = client.expect_reply(426);
    assert!(reply.starts_with("426 Transfer aborted; "), "{reply}");
    events.expect(&["on_incomplete_file_sent big"]);
    drop(client);
    events.expect(&["on_disconnect"]);
    events.expect_end(server, &[]);
}

/// A transfer ends with its control connection.
#[test]
fn a_client_that_goes_during_a_transfer() {
    let (server, events) = recorded(false);
    write_big(&server, "big");
    let mut client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    let mut data = client.pasv();
    client.begin("RETR big");
    data.read_exact(&mut [0; 100]).unwrap();
    drop(client);
    events.expect(&["on_incomplete_file_sent big", "on_disconnect"]);
    let mut client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    let mut data = client.pasv();
    client.begin("STOR file");
    data.write_all(b"x").unwrap();
    wait_for("a byte", || server.read("file") == b"x");
    drop(client);
    events.expect(&["on_incomplete_file_received file", "on_disconnect"]);
    assert_eq!(read_all(&mut data), b"");
    events.expect_end(server, &[]);
}

/// The server ends during a transfer.
#[test]
fn a_server_that_ends_during_a_transfer() {
    let (server, events) = recorded(false);
    write_big(&server, "big");
    let mut client = server.login();
    let mut data = client.pasv();
    client.begin("RETR big");
    data.read_exact(&mut [0; 100]).unwrap();
    events.expect(&["on_connect", "on_login user"]);
    let rest = ["on_incomplete_file_sent big", "on_disconnect"];
    events.expect_end(server, &rest);
}

/// QUIT waits for the transfer; so do commands for another data connection.
#[test]
fn commands_during_a_transfer_wait_for_its_end() {
    let (server, events) = recorded(false);
    write_big(&server, "big");
    let mut client = server.login();
    events.expect(&["on_connect", "on_login user"]);
    let mut data = client.pasv();
    client.begin("RETR big");
    client.send("NOOP\r\nPASV\r\nNOOP\r\n");
    client.expect_reply(200);
    assert_eq!(drain(&mut data), BIG);
    client.expect_reply(226);
    events.expect(&["on_file_sent big"]);
    client.expect_reply(227);
    client.expect_reply(200);
    let mut data = client.pasv();
    client.begin("RETR big");
    client.expect(221, "QUIT");
    events.expect(&["on_logout user"]);
    assert_eq!(drain(&mut data), BIG);
    client.expect_reply(226);
    client.expect_eof();
    events.expect(&["on_file_sent big", "on_disconnect"]);
    events.expect_end(server, &[]);
}

/// Another data connection replaces this one before a transfer.
#[test]
fn a_data_connection_that_is_replaced() {
    let (server, events) = recorded(false);
    server.write("file", "x");
    let mut client = server.login();
    let mut first = client.port();
    let second = client.port();
    assert_eq!(read_all(&mut first), b"");
    drop(second);
    assert_eq!(client.download("RETR file"), b"x");
    drop(client);
    let all = [
        "on_connect",
        "on_login user",
        "on_file_sent file",
        "on_disconnect",
    ];
    events.expect(&all);
    events.expect_end(server, &[]);
}

/// The reply comes before the callback, except for the greeting, which comes after `on_connect`,
/// as in pyftpdlib.
#[test]
fn replies_come_before_callbacks() {
    let (server, _events) = recorded(true);
    let mut client = server.client();
    assert_eq!(client.expect_reply(299), "299 on_connect");
    client.expect_reply(220);
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PASS wrong");
    client.expect_reply(299);
    client.login(USER, PASSWORD);
    assert_eq!(client.expect_reply(299), "299 on_login user");
    client.expect(200, "TYPE I");
    client.upload("STOR file", "x");
    assert_eq!(client.expect_reply(299), "299 on_file_received file");
    client.download("RETR file");
    assert_eq!(client.expect_reply(299), "299 on_file_sent file");
    let mut data = client.port();
    client.expect(125, "STOR file");
    data.write_all(b"x").unwrap();
    client.expect(426, "ABOR");
    client.expect_reply(299);
    client.expect_reply(226);
    client.expect(221, "QUIT");
    assert_eq!(client.expect_reply(299), "299 on_logout user");
    client.expect_eof();
}

/// Closes the session in `on_connect`: no greeting is sent.
struct Closer(AtomicUsize);

impl FTPHandler for Closer {
    fn on_connect(&mut self, s: &mut FTPSession) {
        s.close();
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        assert_eq!(self.0.fetch_add(1, SeqCst), 0, "twice");
    }
}

#[test]
fn a_session_may_be_closed_at_once() {
    let server = Server::with_handler(MODE, |_| {}, |_| Closer(AtomicUsize::new(0)));
    for _ in 0..3 {
        server.client().expect_eof();
    }
}

/// Panics where the client asks for it.
struct Panics(Sender<&'static str>);

impl FTPHandler for Panics {
    fn ftp_noop(&mut self, _s: &mut FTPSession) {
        panic!("a bug of the user's");
    }

    fn on_file_sent(&mut self, _s: &mut FTPSession, _file: &Path) {
        panic!("another");
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        self.0.send("on_disconnect").unwrap();
    }
}

#[test]
fn a_panic_ends_its_session_only() {
    let (sender, events) = mpsc::channel();
    let server = Server::with_handler(MODE, |_| {}, move |_| Panics(sender.clone()));
    server.write("file", "x");
    let mut other = server.login();
    let mut client = server.connect();
    client.send("NOOP\r\n");
    client.expect_eof();
    assert_eq!(events.recv_timeout(DEADLINE), Ok("on_disconnect"));
    let mut client = server.login();
    let mut data = client.pasv();
    client.begin("RETR file");
    assert_eq!(read_all(&mut data), b"x");
    client.expect_reply(226);
    client.expect_eof();
    assert_eq!(events.recv_timeout(DEADLINE), Ok("on_disconnect"));
    other.expect(257, "PWD");
    assert!(events.try_recv().is_err());
}

/// Sets a timer that fires once, one that fires until it is cancelled, and two that never fire.
#[derive(Default)]
struct Timers {
    once: Option<TimerId>,
    every: Option<TimerId>,
    never: Vec<TimerId>,
    counts: (u32, u32),
}

impl FTPHandler for Timers {
    fn on_login(&mut self, s: &mut FTPSession, _username: &str) {
        self.once = s.call_later(Duration::from_millis(2));
        self.every = s.call_every(Duration::from_millis(2));
        let cancelled = s.call_later(Duration::from_millis(1)).unwrap();
        s.cancel_timer(cancelled);
        self.never = vec![cancelled, s.call_later(Duration::MAX).unwrap()];
    }

    fn on_timer(&mut self, s: &mut FTPSession, id: TimerId) {
        assert!(!self.never.contains(&id));
        if Some(id) == self.once {
            self.counts.0 += 1;
        } else {
            assert_eq!(Some(id), self.every);
            self.counts.1 += 1;
        }
        if self.counts == (1, 4) {
            s.cancel_timer(id);
            s.respond("299 enough");
            self.never.push(id);
            // The last one; nothing comes in between.
            self.once = s.call_later(Duration::from_millis(20));
            self.counts = (10, 10);
        } else if self.counts.0 == 11 {
            s.respond("299 over");
        }
    }
}

#[test]
fn on_timer() {
    let server = Server::with_handler(MODE, |_| {}, |_| Timers::default());
    let mut client = server.connect();
    client.login(USER, PASSWORD);
    assert_eq!(client.expect_reply(299), "299 enough");
    assert_eq!(client.expect_reply(299), "299 over");
    client.expect(200, "NOOP");
}

/// Records the log line of each transfer.
struct Logged(Sender<(String, bool, bool, u64)>);

impl FTPHandler for Logged {
    fn log_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        let TransferLog {
            cmd,
            receive,
            completed,
            bytes,
            ..
        } = transfer;
        let line = ((*cmd).to_owned(), *receive, *completed, *bytes);
        self.0.send(line).unwrap();
        dispatch::log_transfer(s, transfer);
    }
}

#[test]
fn log_transfer() {
    let (sender, lines) = mpsc::channel();
    let server = Server::with_handler(MODE, |_| {}, move |_| Logged(sender.clone()));
    let mut client = server.login();
    let next = || lines.recv_timeout(DEADLINE).unwrap();
    client.upload("STOR file", pattern(1000));
    assert_eq!(next(), ("STOR".to_owned(), true, true, 1000));
    client.upload("STOU file", "x");
    assert_eq!(next(), ("STOU".to_owned(), true, true, 1));
    client.download("RETR file");
    assert_eq!(next(), ("RETR".to_owned(), false, true, 1000));
    client.expect(350, "REST 400");
    client.download("RETR file");
    assert_eq!(next(), ("RETR".to_owned(), false, true, 600));
    let mut data = client.port();
    client.expect(125, "APPE file");
    data.write_all(b"xyz").unwrap();
    wait_for("bytes", || server.read("file").len() == 1003);
    client.expect(426, "ABOR");
    assert_eq!(next(), ("APPE".to_owned(), true, false, 3));
}

//! The callbacks, and what users override: as pyftpdlib's `TestCallbacks`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use common::{
    BIG, DEADLINE, PASSWORD, Server, USER, drain, pattern, read_all, wait_for, write_big,
};
use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, Perm};
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::data::{self, TransferError};
use ftpdlib::handlers::{CmdArg, Command, TimerId, TransferLog, commands, dispatch};
use ftpdlib::proto::command::{Arg, CommandLine, ProtoCmd};
use ftpdlib::{
    AuthenticationFailed, DTPHandler, DataChannel, FSError, FTPHandler, FTPSession, FilesystemError,
};

/// Notes each callback, and replies `299` in it, so that a client sees whether
/// the reply of the command came before.
#[derive(Clone)]
struct Recorder {
    events: Sender<String>,
    replies: bool,
}

impl Recorder {
    fn note(&mut self, s: &mut FTPSession, event: String) {
        if self.replies {
            s.respond(&format!("299 {event}"));
        }
        // The test may have seen enough.
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

    /// That the rest is this, when the server has ended.
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
    let server = Server::with_handler(|_| {}, move |_| recorder.clone());
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
    // Listings are no files.
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

/// Without its control connection a transfer ends.
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

/// The server itself ends during a transfer.
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

/// A data connection that another takes the place of before a transfer.
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

/// The reply comes before the callback - but for the greeting, which comes
/// after `on_connect`, as in pyftpdlib.
#[test]
fn replies_come_before_callbacks() {
    let (server, _events) = recorded(true);
    let mut client = common::Client::connect(server.address);
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

/// Closes the session in `on_connect`: nothing is said.
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
    let server = Server::with_handler(|_| {}, |_| Closer(AtomicUsize::new(0)));
    for _ in 0..3 {
        common::Client::connect(server.address).expect_eof();
    }
}

/// Panics where the client wants it to.
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
    let (told, events) = mpsc::channel();
    let server = Server::with_handler(|_| {}, move |_| Panics(told.clone()));
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

/// A timer that goes off once, one that goes off until it is cancelled, and two
/// that never do.
#[derive(Default)]
struct Timers {
    once: Option<TimerId>,
    every: Option<TimerId>,
    never: Vec<TimerId>,
    counts: (u32, u32),
}

impl FTPHandler for Timers {
    fn on_login(&mut self, s: &mut FTPSession, _username: &str) {
        self.once = Some(s.call_later(Duration::from_millis(2)));
        self.every = Some(s.call_every(Duration::from_millis(2)));
        let cancelled = s.call_later(Duration::from_millis(1));
        s.cancel_timer(cancelled);
        self.never = vec![cancelled, s.call_later(Duration::MAX)];
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
            self.once = Some(s.call_later(Duration::from_millis(20)));
            self.counts = (10, 10);
        } else if self.counts.0 == 11 {
            s.respond("299 over");
        }
    }
}

#[test]
fn on_timer() {
    let server = Server::with_handler(|_| {}, |_| Timers::default());
    let mut client = server.connect();
    client.login(USER, PASSWORD);
    assert_eq!(client.expect_reply(299), "299 enough");
    assert_eq!(client.expect_reply(299), "299 over");
    client.expect(200, "NOOP");
}

/// pyftpdlib's demo: too many commands in a second, and one is out.
#[derive(Default)]
struct AntiFlood {
    seen: u32,
}

impl FTPHandler for AntiFlood {
    fn on_connect(&mut self, s: &mut FTPSession) {
        s.call_every(Duration::from_millis(10));
    }

    fn process_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>) {
        self.seen += 1;
        dispatch::process_command(self, s, cmd);
    }

    fn on_timer(&mut self, s: &mut FTPSession, _id: TimerId) {
        if self.seen > 30 {
            s.respond("550 Too many commands.");
            s.close();
        }
    }
}

#[test]
fn process_command() {
    let server = Server::with_handler(|_| {}, |_| AntiFlood::default());
    let mut client = server.connect();
    client.send("NOOP\r\n".repeat(31));
    for _ in 0..31 {
        client.expect_reply(200);
    }
    assert_eq!(client.expect_reply(550), "550 Too many commands.");
    client.expect_eof();
}

/// Commands of one's own, and changed ones, with "super".
struct Custom;

impl FTPHandler for Custom {
    fn pre_process_command(&mut self, s: &mut FTPSession, line: &CommandLine<'_>) {
        if line.verb == "SECRET" {
            s.respond("299 You have found it.");
        } else {
            dispatch::pre_process_command(self, s, line);
        }
    }

    fn ftp_dele(&mut self, s: &mut FTPSession, path: &Path) {
        if path.extension().is_some_and(|end| end == "keep") {
            s.respond("550 Kept.");
        } else {
            commands::dele(s, path);
        }
    }

    fn ftp_appe(&mut self, s: &mut FTPSession, path: &Path) {
        s.push_line("125-Appending.");
        commands::appe(self, s, path);
    }

    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        match (cmd, arg) {
            ("XCRC", CmdArg::Path(path)) => match fs::read(path) {
                Ok(bytes) => {
                    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
                    s.respond(&format!("250 {sum:08X}"));
                }
                Err(_) => s.respond("550 Cannot be read."),
            },
            ("SITE USAGE", CmdArg::Text(text)) => {
                s.respond(&format!("200 {} {text:?}", s.username()));
            }
            _ => commands::custom(s, cmd),
        }
    }
}

fn custom() -> Server {
    Server::with_handler(
        |config| {
            let crc = ProtoCmd {
                perm: Some(Perm::Read),
                auth: true,
                arg: Arg::Required,
                help: "Syntax: XCRC <SP> path.".into(),
            };
            let usage = ProtoCmd {
                perm: None,
                auth: true,
                arg: Arg::Optional,
                help: "Syntax: SITE USAGE.".into(),
            };
            config.proto_cmds.insert("XCRC", crc);
            config.proto_cmds.insert("XNONE", usage.clone());
            config.proto_cmds.insert("site usage", usage);
        },
        |_| Custom,
    )
}

#[test]
fn custom_commands() {
    let server = custom();
    server.write("file", "abc");
    let mut client = server.connect();
    client.expect(530, "XCRC file");
    client.login(USER, PASSWORD);
    assert_eq!(client.expect(250, "XCRC file"), "250 00000126");
    assert_eq!(client.expect(250, "xcrc /./file"), "250 00000126");
    client.expect(501, "XCRC");
    client.expect(550, "XCRC none");
    let reply = client.expect(550, "XCRC ../../etc/passwd");
    assert_eq!(reply, "550 Cannot be read.", "../.. is the root");
    assert_eq!(client.expect(200, "SITE USAGE"), "200 user \"\"");
    assert_eq!(client.expect(200, "site usage a b"), "200 user \"a b\"");
    let reply = client.expect(502, "XNONE");
    assert_eq!(reply, "502 Command \"XNONE\" not implemented.");
    assert_eq!(
        client.expect(214, "HELP XCRC"),
        "214 Syntax: XCRC <SP> path."
    );
    assert!(client.expect(214, "HELP").contains(" XCRC"));
    assert!(client.expect(214, "SITE HELP").contains(" USAGE\r\n"));
    client.expect(299, "SECRET");
}

#[test]
fn overridden_commands() {
    let server = custom();
    server.write("a.keep", "");
    server.write("a", "x");
    let mut client = server.login();
    assert_eq!(client.expect(550, "DELE a.keep"), "550 Kept.");
    client.expect(250, "DELE a");
    let mut data = client.port();
    let reply = client.command("APPE b");
    assert!(reply.1.starts_with("125-Appending.\r\n"), "{}", reply.1);
    data.write_all(b"x").unwrap();
    drop(data);
    client.expect_reply(226);
    assert_eq!(server.read("b"), b"x");
}

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    closed: AtomicUsize,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Counts, and makes everything upper case.
struct Shouting(Arc<Counts>);

impl DTPHandler for Shouting {
    fn on_open(&mut self, d: &mut DataChannel) {
        assert!(!d.transfer_in_progress());
        d.ac_out_buffer_size = 10;
        self.0.opened.fetch_add(1, SeqCst);
    }

    fn use_sendfile(&self, _d: &DataChannel) -> bool {
        false
    }

    fn use_splice(&self, _d: &DataChannel) -> bool {
        false
    }

    fn send(&mut self, d: &mut DataChannel, bytes: &[u8]) -> io::Result<usize> {
        assert!(bytes.len() <= 10);
        let sent = data::send(d, &bytes.to_ascii_uppercase())?;
        self.0.sent.fetch_add(sent as u64, SeqCst);
        Ok(sent)
    }

    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = data::recv(d, buffer)?;
        if let Some(size) = received {
            buffer[..size].make_ascii_uppercase();
            self.0.received.fetch_add(size as u64, SeqCst);
        }
        Ok(received)
    }

    fn handle_read(&mut self, d: &mut DataChannel) -> Result<data::Received, TransferError> {
        assert_eq!(d.cmd(), "STOR");
        data::handle_read(self, d)
    }

    fn close(&mut self, _d: &mut DataChannel) {
        self.0.closed.fetch_add(1, SeqCst);
    }
}

#[test]
fn dtp_handler() {
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let server = Server::with(move |config| {
        config.set_dtp_handler(move || Shouting(Arc::clone(&shared)));
    });
    let mut client = server.login();
    client.upload("STOR file", "hello world");
    assert_eq!(server.read("file"), b"HELLO WORLD");
    server.write("file", "abcdefghijklm");
    assert_eq!(client.download("RETR file"), b"ABCDEFGHIJKLM");
    assert_eq!(client.download("NLST"), b"FILE\r\n");
    assert_eq!(counts.received.load(SeqCst), 11);
    assert_eq!(counts.sent.load(SeqCst), 13 + 6);
    drop(client.port());
    drop(server);
    assert_eq!(counts.opened.load(SeqCst), 4);
    assert_eq!(counts.closed.load(SeqCst), 4);
}

/// Notes the line of the log of each transfer.
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
    let (told, lines) = mpsc::channel();
    let server = Server::with_handler(|_| {}, move |_| Logged(told.clone()));
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

/// The example of the guide.
struct ReadOnlyFS;

impl AbstractedFS for ReadOnlyFS {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        if mode != OpenMode::Read {
            return Err(FilesystemError::new("read-only").into());
        }
        local::open(fs, path, mode)
    }
}

#[test]
fn abstracted_fs() {
    let server = Server::with(|config| config.set_abstracted_fs(ReadOnlyFS));
    server.write("file", "x");
    let mut client = server.login();
    assert_eq!(client.expect(550, "STOR file"), "550 read-only.");
    assert_eq!(client.expect(550, "APPE file"), "550 read-only.");
    assert_eq!(client.download("RETR file"), b"x");
}

/// Passwords are kept backwards; on Sundays (here: always) nobody may delete.
struct Backwards(DummyAuthorizer);

impl Authorizer for Backwards {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        session: &FTPSession,
    ) -> Result<(), AuthenticationFailed> {
        assert!(session.remote_ip().is_loopback());
        let known = self.0.user(username).is_some_and(|user| {
            let password: String = password.chars().rev().collect();
            user.password == password
        });
        if known {
            Ok(())
        } else {
            Err(AuthenticationFailed::default())
        }
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        perm != Perm::Delete && self.0.has_perm(username, perm, path)
    }
}

#[test]
fn authorizer() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "x").unwrap();
    let path = home.path().to_owned();
    let server = Server::with(move |config| {
        let mut inner = DummyAuthorizer::new();
        inner.add_user(USER, "abc", &path, "elradfmw").unwrap();
        config.set_authorizer(Backwards(inner));
    });
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(530, "PASS abc");
    assert_eq!(reply, "530 Authentication failed.");
    client.login(USER, "cba");
    assert_eq!(
        client.expect(550, "DELE file"),
        "550 Not enough privileges."
    );
    assert_eq!(client.download("RETR file"), b"x");
}

/// Texts of the authorizer, short and long.
#[test]
fn messages() {
    use ftpdlib::authorizers::{Perms, UserOptions};
    let long = "long ".repeat(20);
    let text = long.clone();
    let server = Server::with(move |config| {
        let mut authorizer = DummyAuthorizer::new();
        let options = UserOptions {
            perm: Perms::READ,
            msg_login: text.clone(),
            msg_quit: "See you.".into(),
        };
        let home = std::env::temp_dir();
        authorizer
            .add_user_with(USER, PASSWORD, home, options)
            .unwrap();
        config.set_authorizer(authorizer);
    });
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(230, format!("PASS {PASSWORD}"));
    assert_eq!(reply, format!("230-{long}\r\n230 "));
    assert_eq!(client.expect(221, "QUIT"), "221 See you.");
}

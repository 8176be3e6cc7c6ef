//! What users of the library override: commands, data handlers, file systems, authorizers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::any::Any;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, Perm};
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::data::{self, TransferError};
use ftpdlib::handlers::{CmdArg, Command, TimerId, commands, dispatch};
use ftpdlib::proto::command::{Arg, CommandLine, ProtoCmd};
use ftpdlib::{
    AuthenticationFailed, DTPHandler, DataChannel, FSError, FTPHandler, FTPSession, FilesystemError,
};
use testkit::{PASSWORD, Server, USER};

use crate::MODE;

/// pyftpdlib's demo: a client with too many commands in a second is refused.
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
    let server = Server::with_handler(MODE, |_| {}, |_| AntiFlood::default());
    let mut client = server.connect();
    client.send("NOOP\r\n".repeat(31));
    for _ in 0..31 {
        client.expect_reply(200);
    }
    assert_eq!(client.expect_reply(550), "550 Too many commands.");
    client.expect_eof();
}

/// A user's own commands, and changed ones that call the stock body.
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
                    s.respond(format!("250 {sum:08X}"));
                }
                Err(_) => s.respond("550 Cannot be read."),
            },
            ("SITE USAGE", CmdArg::Text(text)) => {
                s.respond(format!("200 {} {text:?}", s.username()));
            }
            _ => commands::custom(s, cmd),
        }
    }
}

fn custom() -> Server {
    Server::with_handler(
        MODE,
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

/// Counts the calls, and makes everything upper case.
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
    let server = Server::with(MODE, move |config| {
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
    let server = Server::with(MODE, |config| config.set_abstracted_fs(ReadOnlyFS));
    server.write("file", "x");
    let mut client = server.login();
    assert_eq!(client.expect(550, "STOR file"), "550 read-only.");
    assert_eq!(client.expect(550, "APPE file"), "550 read-only.");
    assert_eq!(client.download("RETR file"), b"x");
}

/// Passwords are stored backwards; on Sundays (here: always) no user may delete.
struct Backwards(DummyAuthorizer);

impl Authorizer for Backwards {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        client: &authorizers::Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        assert!(client.remote_ip().is_loopback());
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
    let server = Server::with(MODE, move |config| {
        let inner = DummyAuthorizer::new();
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
    let server = Server::with(MODE, move |config| {
        let authorizer = DummyAuthorizer::new();
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

// --- hooks and other threads

/// Ends uploads that grow beyond a quota, and computes the reply to `SITE SUM` in a thread.
#[derive(Default)]
struct Hooked {
    events: Arc<Mutex<Vec<String>>>,
}

struct Quota;

impl DTPHandler for Quota {
    fn use_splice(&self, _d: &DataChannel) -> bool {
        false
    }

    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = data::recv(d, buffer)?;
        if d.username() == USER && d.tot_bytes_received() > 100_000 {
            d.end("552 Quota exceeded.");
        }
        Ok(received)
    }
}

impl FTPHandler for Hooked {
    fn dtp_handler(&mut self, s: &FTPSession) -> Box<dyn DTPHandler> {
        match s.username() {
            "anonymous" => (s.config().dtp_handler)(),
            _ => Box::new(Quota),
        }
    }

    fn on_incomplete_file_received(&mut self, _s: &mut FTPSession, _file: &Path) {
        self.events.lock().unwrap().push("incomplete".to_owned());
    }

    fn on_timer(&mut self, s: &mut FTPSession, _id: TimerId) {
        s.end_transfer("426 Time is up.");
    }

    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let (remote, id) = (s.remote(), s.id());
        // The thread sends its result back as a message.
        std::thread::spawn(move || remote.send(id, Box::new("sum: 42".to_owned())));
    }

    fn ftp_allo(&mut self, s: &mut FTPSession, _line: &str) {
        s.call_later(Duration::from_millis(1));
        s.respond("202 Soon.");
    }

    fn on_message(&mut self, s: &mut FTPSession, message: Box<dyn Any + Send>) {
        let text = message.downcast::<String>().unwrap();
        s.respond(format!("200 {text}"));
    }
}

#[test]
fn a_hook_ends_a_transfer_with_its_own_reply() {
    let events = Arc::default();
    let seen = Arc::clone(&events);
    let server = Server::with_handler(
        MODE,
        |_| {},
        move |_| Hooked {
            events: Arc::clone(&seen),
        },
    );
    let mut client = server.login();
    let mut data = client.pasv();
    let code = client.command("STOR large").0;
    assert!(matches!(code, 125 | 150), "{code}");
    // The server closes in the middle of the upload.
    let _ = data.write_all(&testkit::pattern(1 << 20));
    assert_eq!(client.expect_reply(552), "552 Quota exceeded.");
    assert_eq!(*events.lock().unwrap(), ["incomplete"]);
    client.upload("STOR small", "small");
    // From a timer, while the client neither sends nor closes.
    let mut data = client.pasv();
    let code = client.command("STOR slow").0;
    assert!(matches!(code, 125 | 150), "{code}");
    data.write_all(b"part").unwrap();
    testkit::wait_for("the part", || {
        fs::read(server.path("slow")).unwrap() == b"part"
    });
    client.expect(202, "ALLO 1");
    assert_eq!(client.expect_reply(426), "426 Time is up.");
    assert_eq!(events.lock().unwrap().len(), 2);
}

#[test]
fn another_thread_answers_a_command() {
    let server = Server::with_handler(MODE, |_| {}, |_| Hooked::default());
    let mut client = server.connect();
    assert_eq!(client.expect(200, "NOOP"), "200 sum: 42");
    client.expect(215, "SYST");
}

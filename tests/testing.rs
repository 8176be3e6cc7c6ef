//! Sessions in memory: `ftpdlib::testing` at work.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, LaterVerdict, Perm, Verdict};
use ftpdlib::filesystems::local;
use ftpdlib::handlers::{CmdArg, StockHandler, TimerId, commands};
use ftpdlib::testing::Session;
use ftpdlib::{FTPConfig, FTPHandler, FTPSession, ThrottledDTPHandler, TlsConfig};
use rustls::ClientConnection;
use tempfile::TempDir;
use testkit::authority::Pair;
use testkit::pattern;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Tells what happens, and does some things on request.
struct Telling(Sender<String>);

impl Telling {
    fn tell(&self, event: impl Into<String>) {
        let _ = self.0.send(event.into());
    }
}

impl FTPHandler for Telling {
    fn on_connect(&mut self, s: &mut FTPSession) {
        self.tell(format!("connect {}", s.remote_ip()));
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        self.tell("disconnect");
    }

    fn on_login_failed(&mut self, _s: &mut FTPSession, username: &str, _password: &str) {
        self.tell(format!("{username} failed"));
    }

    fn on_file_sent(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell(format!("sent {}", file.file_name().unwrap().display()));
    }

    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell(format!("received {}", file.file_name().unwrap().display()));
    }

    fn on_incomplete_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        self.tell(format!(
            "incomplete {}",
            file.file_name().unwrap().display()
        ));
    }

    fn on_timer(&mut self, s: &mut FTPSession, _id: TimerId) {
        self.tell("timer");
        s.respond("200 Timer.");
    }

    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let asked = s.offload(|| 6 * 7, |s, answer| s.respond(&format!("200 {answer}.")));
        asked.unwrap();
    }

    fn ftp_dele(&mut self, _s: &mut FTPSession, _path: &Path) {
        // Without the text that a panic is told with.
        std::panic::resume_unwind(Box::new("as planned"));
    }
}

struct Place {
    home: TempDir,
    config: FTPConfig,
}

fn place() -> Place {
    let home = tempfile::tempdir().unwrap();
    let mut authorizer = DummyAuthorizer::new();
    authorizer
        .add_user("user", "12345", home.path(), "elradfmwMT")
        .unwrap();
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    Place { home, config }
}

impl Place {
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.home.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.home.path().join(name)).unwrap()
    }

    fn connect(&self) -> Session<StockHandler> {
        Session::new(self.config.clone(), StockHandler).unwrap()
    }

    fn login(&self) -> Session<StockHandler> {
        let mut session = self.connect();
        session.login("user", "12345");
        session
    }

    fn telling(&self) -> (Session<Telling>, Receiver<String>) {
        let (events, told) = channel();
        let mut session = Session::new(self.config.clone(), Telling(events)).unwrap();
        session.login("user", "12345");
        (session, told)
    }
}

/// The reply that has to be there.
#[track_caller]
fn reply<H: FTPHandler>(session: &mut Session<H>) -> String {
    session.reply().expect("a reply").to_string()
}

// --- commands

#[test]
fn lines_and_replies() {
    let mut session = place().connect();
    assert_eq!(session.greeting().code(), 220);
    assert_eq!(session.command("FOO").code(), 500);
    let features = session.command("FEAT");
    assert_eq!(features.text(), "End FEAT.");
    assert!(features.lines().contains(&" UTF8".to_owned()));
    // In pieces, and several at once.
    session.send(b"NO");
    assert_eq!(session.reply(), None);
    session.send(b"OP\r\nSYST\r\n");
    assert_eq!(reply(&mut session), "200 I successfully did nothing'.");
    assert_eq!(session.reply().map(|reply| reply.code()), Some(215));
    assert_eq!(session.command("QUIT").code(), 221);
    assert!(session.is_closed());
}

#[test]
#[should_panic(expected = "SYST: a reply was not read before: 200")]
fn a_reply_is_not_taken_for_that_to_another_command() {
    let mut session = place().connect();
    session.send(b"NOOP\r\n");
    session.command("SYST");
}

#[test]
#[should_panic(expected = "PASS wrong: no reply yet")]
fn a_reply_that_does_not_come_is_not_waited_for() {
    let mut session = place().connect();
    session.command("USER user");
    session.command("PASS wrong");
}

#[test]
fn hooks_of_the_end() {
    type End = fn(&mut Session<Telling>);
    let ends: [End; 4] = [
        |session| session.close(),
        |session| session.reset(),
        |session| session.shutdown(),
        |session| drop(session.command("QUIT")),
    ];
    for end in ends {
        let (mut session, told) = place().telling();
        assert_eq!(told.recv().unwrap(), "connect 127.0.0.1");
        end(&mut session);
        assert_eq!(told.try_recv().as_deref(), Ok("disconnect"));
        assert!(session.is_closed());
    }
    let (session, told) = place().telling();
    drop(session);
    assert_eq!(told.iter().last().unwrap(), "disconnect");
}

#[test]
fn a_panic_in_a_hook_ends_that_session() {
    let place = place();
    place.write("a", b"abc");
    let (mut session, told) = place.telling();
    let mut other = place.login();
    session.send(b"DELE a\r\n");
    assert!(session.is_closed());
    assert_eq!(session.reply(), None);
    assert_eq!(told.iter().take(2).last().unwrap(), "disconnect");
    assert_eq!(other.command("NOOP").code(), 200);
}

#[test]
fn hooks_by_hand() {
    let (mut session, told) = place().telling();
    let name = session.with(|handler, s| {
        handler.tell("by hand");
        s.respond("200 By hand.");
        s.username().to_owned()
    });
    assert_eq!(name, "user");
    assert_eq!(reply(&mut session), "200 By hand.");
    assert_eq!(told.iter().nth(1).unwrap(), "by hand");
    session.with(|_, s| s.close());
    assert!(session.is_closed());
}

#[test]
#[should_panic(expected = "assertion in the test")]
fn a_panic_of_the_test_is_not_the_session_s() {
    let mut session = place().connect();
    session.with(|_, _| panic!("assertion in the test"));
}

#[test]
fn work_off_the_loop() {
    let (mut session, _told) = place().telling();
    assert_eq!(session.command("NOOP"), "200 42.");
    session.send(b"NOOP\r\nSYST\r\n");
    session.wait();
    assert_eq!(reply(&mut session), "200 42.");
    assert_eq!(reply(&mut session), "215 UNIX Type: L8");
}

/// Answers from another thread.
struct Later(DummyAuthorizer);

impl Authorizer for Later {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn authenticate(
        &self,
        _username: &str,
        _password: &str,
        _session: &FTPSession,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let verdict = later();
        thread::spawn(move || verdict.answer(Ok(())));
        Verdict::Later
    }
}

#[test]
fn an_authorizer_that_answers_later() {
    let mut place = place();
    let mut authorizer = DummyAuthorizer::new();
    let added = authorizer.add_user("user", "12345", place.home.path(), "elr");
    added.unwrap();
    place.config.set_authorizer(Later(authorizer));
    assert_eq!(place.login().command("PWD").code(), 257);
}

// --- the clock

#[test]
fn idle_timeout() {
    let mut session = place().login();
    session.advance(4 * MINUTE);
    assert_eq!(session.command("NOOP").code(), 200);
    session.advance(5 * MINUTE - SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Control connection timed out.");
    assert!(session.is_closed());
    assert_eq!(session.elapsed(), 9 * MINUTE);
}

#[test]
fn commands_keep_a_session() {
    let mut session = place().connect();
    for _ in 0..10 {
        session.advance(5 * MINUTE - SECOND);
        assert_eq!(session.command("NOOP").code(), 200);
    }
}

/// Bytes that make no line do not.
#[test]
fn half_a_line_does_not_keep_a_session() {
    let mut session = place().connect();
    for _ in 0..5 {
        assert_eq!(session.reply(), None);
        session.send(b"x");
        session.advance(MINUTE);
    }
    assert_eq!(session.reply().unwrap().code(), 421);
    assert!(session.is_closed());
}

#[test]
fn wrong_passwords() {
    let (mut session, told) = place().telling();
    session.command("REIN");
    for guess in 1..=3 {
        assert_eq!(session.command("USER user").code(), 331);
        session.send(b"PASS guess\r\n");
        session.advance(2 * SECOND);
        assert_eq!(session.reply(), None, "it is held back");
        session.advance(SECOND);
        let end = if guess == 3 { " Disconnecting." } else { "" };
        let refused = format!("530 Authentication failed.{end}");
        assert_eq!(reply(&mut session), refused);
    }
    assert!(session.is_closed());
    assert_eq!(told.iter().filter(|x| x == "user failed").count(), 3);
}

/// Each at its time, however far the clock is moved at once.
#[test]
fn timers() {
    let (mut session, told) = place().telling();
    session.with(|_, s| s.call_every(10 * SECOND));
    session.advance(9 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(26 * SECOND);
    assert_eq!(told.try_iter().filter(|x| x == "timer").count(), 3);
    // They do not keep the session.
    session.advance(10 * MINUTE);
    assert!(session.is_closed());
    assert_eq!(told.iter().filter(|x| x == "timer").count(), 27);
}

/// Those of the loop go by the same clock, and so do their handles.
#[test]
fn timers_of_the_loop() {
    let mut session = place().login();
    let (ticks, told) = channel();
    session.with(|_, s| {
        s.remote().call(move |io| {
            let put_off = io.call_later(30 * SECOND, {
                let ticks = ticks.clone();
                move |_| ticks.send("once").unwrap()
            });
            let mut left = 3;
            io.call_every(20 * SECOND, move |_| {
                left -= 1;
                ticks.send("tick").unwrap();
                put_off.reset();
                if left == 0 {
                    put_off.cancel();
                }
            });
        });
    });
    session.advance(50 * SECOND);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["tick", "tick"]);
    session.advance(MINUTE);
    assert_eq!(
        told.try_iter().count(),
        3,
        "without the one that is put off"
    );
}

/// Each has a name, and a 65th is not set.
#[test]
fn too_many_timers() {
    let mut session = place().login();
    session.with(|_, s| {
        let timers: Vec<_> = (0..64).map(|_| s.call_later(SECOND).unwrap()).collect();
        assert_eq!(s.call_later(SECOND), None);
        s.cancel_timer(timers[0]);
        let again = s.call_every(SECOND).unwrap();
        assert!(!timers.contains(&again));
    });
}

// --- permissions

/// Lets clients write in one directory only.
struct Incoming(DummyAuthorizer, PathBuf);

impl Authorizer for Incoming {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        let is_there = |path| local::resolved(path).starts_with(&self.1);
        (!perm.can_write() || path.is_none_or(is_there))
            && self.inner().has_perm(username, perm, path)
    }
}

#[test]
fn a_link_is_no_way_around_the_permissions_of_a_directory() {
    let mut place = place();
    let home = place.home.path().canonicalize().unwrap();
    let incoming = home.join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    symlink("..", incoming.join("up")).unwrap();
    symlink("../new", incoming.join("nowhere")).unwrap();
    symlink("incoming", home.join("in")).unwrap();
    place.write("file", b"as it was");
    let mut users = DummyAuthorizer::new();
    users.add_user("user", "12345", &home, "elrdw").unwrap();
    place.config.set_authorizer(Incoming(users, incoming));
    let mut session = place.login();
    let refused = "550 Not enough privileges.";
    for name in ["file", "incoming/up/file", "incoming/nowhere", "in/up/e"] {
        assert_eq!(session.stor(name, b"x"), refused, "{name}");
        assert_eq!(session.command(&format!("DELE {name}")), refused, "{name}");
    }
    for name in ["incoming/a", "in/b", "incoming/up/in/c"] {
        assert_eq!(session.stor(name, b"x").code(), 226, "{name}");
    }
    assert_eq!(place.read("file"), b"as it was");
}

// --- data connections

#[test]
fn files_and_listings() {
    let place = place();
    for size in [0, 1, 65_536, 500_000] {
        let (mut session, told) = place.telling();
        let bytes = pattern(size);
        assert_eq!(session.stor("a", &bytes), "226 Transfer complete.");
        assert!(place.read("a") == bytes);
        assert!(session.retr("a").unwrap() == bytes);
        assert!(session.list("LIST").unwrap().ends_with(" a\r\n"));
        assert!(
            session
                .list("MLSD")
                .unwrap()
                .contains(&format!("size={size};"))
        );
        let told: Vec<_> = told.try_iter().skip(1).collect();
        assert_eq!(told, ["received a", "sent a"]);
    }
    let mut session = place.login();
    assert_eq!(session.retr("b").unwrap_err().code(), 550);
    assert_eq!(session.stor("no/b", b"x").code(), 550);
    assert_eq!(session.list("MLSD a").unwrap_err().code(), 501);
    session.command("REIN");
    assert_eq!(session.retr("a").unwrap_err().code(), 530);
}

#[test]
fn passive_and_active() {
    let place = place();
    place.write("a", b"one\ntwo\n");
    let mut session = place.login();
    for active in [false, true] {
        let mut data = match active {
            false => session.passive(),
            true => session.active(),
        };
        assert_eq!(session.command("RETR a").code(), 125);
        assert_eq!(data.read_to_end(), b"one\r\ntwo\r\n", "in TYPE A");
        assert!(data.is_closed());
        assert_eq!(reply(&mut session), "226 Transfer complete.");
    }
    // The command first.
    let port = session.command("PASV").port().unwrap();
    assert_eq!(session.command("STOR b").code(), 150);
    let client = IpAddr::from([127, 0, 0, 1]);
    let mut data = session.connect(client, port).unwrap();
    assert_eq!(data.write(b"hello"), 5);
    assert_eq!(session.reply(), None);
    data.close();
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    assert_eq!(place.read("b"), b"hello");
    // One connection is all that is accepted.
    assert!(session.connect(client, port).is_err());
}

#[test]
fn ipv6() {
    let place = place();
    let at = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let config = place.config.clone();
    let mut session = Session::with_addresses(config, StockHandler, at(1234), at(21)).unwrap();
    session.login("user", "12345");
    assert_eq!(session.stor("a", b"abc").code(), 226);
    assert_eq!(session.retr("a").unwrap(), b"abc");
    let mut data = session.active();
    assert_eq!(session.command("RETR a").code(), 125);
    assert_eq!(data.read_to_end(), b"abc");
    assert_eq!(session.with(|_, s| s.remote_port()), 1234);
}

#[test]
fn passive_timeout() {
    let mut session = place().login();
    let port = session.command("PASV").port().unwrap();
    session.advance(29 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Passive data channel timed out.");
    assert!(session.connect([127, 0, 0, 1].into(), port).is_err());
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn active_connections_that_are_not_made() {
    let mut place = place();
    let refused = "425 Can't connect to specified address.";
    assert_eq!(place.login().command("PORT 127,0,0,1,200,1"), refused);
    let mut session = place.login();
    assert_eq!(session.command("EPRT |1|127.0.0.1|51201|"), refused);
    place.config.permit_foreign_addresses = true;
    let mut session = place.login();
    // Nobody has this address: no answer comes.
    session.send(b"PORT 192,0,2,1,200,1\r\nNOOP\r\n");
    session.advance(29 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Active data channel timed out.");
    assert_eq!(session.reply().unwrap().code(), 200);
}

/// What [`FTPHandler::log_cmd`] is told of commands for data connections.
struct Logging(Sender<String>);

impl FTPHandler for Logging {
    fn log_cmd(&mut self, _: &mut FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, _: &str) {
        if matches!(cmd, "PORT" | "EPRT" | "PASV" | "ABOR") {
            let _ = self.0.send(format!("{cmd} {} {code}", arg.to_text()));
        }
    }
}

/// Whenever they are made, or fail, or make way for another one.
#[test]
fn commands_for_data_connections_are_logged_once() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    place.write("file", b"");
    let (lines, told) = channel();
    let mut session = Session::new(place.config.clone(), Logging(lines)).unwrap();
    session.login("user", "12345");
    let mut logged = |commands: &str, expected: &[&str]| {
        session.send(commands.as_bytes());
        session.receive();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), expected, "{commands}");
    };
    // Nobody listens there; then a transfer is given up for another connection.
    logged("PORT 127,0,0,1,200,1\r\n", &["PORT 127.0.0.1:51201 425"]);
    logged(
        "EPRT |1|127.0.0.1|51201|\r\n",
        &["EPRT 127.0.0.1:51201 425"],
    );
    logged("PASV\r\nRETR file\r\n", &["PASV  227"]);
    logged("PASV\r\nRETR file\r\n", &["PASV  227"]);
    logged("PORT 192,0,2,1,200,1\r\n", &[]);
    session.advance(30 * SECOND);
    let lines: Vec<_> = told.try_iter().collect();
    assert_eq!(lines, ["PORT 192.0.2.1:51201 421"]);
    let listener = session.listen(([127, 0, 0, 1], 51_201).into()).unwrap();
    session.send(b"PORT 127,0,0,1,200,1\r\n");
    session.receive();
    assert!(listener.accept().is_some());
    let lines: Vec<_> = told.try_iter().collect();
    assert_eq!(lines, ["PORT 127.0.0.1:51201 200"]);
}

#[test]
fn strangers() {
    let stranger: IpAddr = [192, 0, 2, 1].into();
    let mut place = place();
    for permitted in [false, true] {
        place.config.permit_foreign_addresses = permitted;
        let mut session = place.login();
        let port = session.command("PASV").port().unwrap();
        let mut data = session.connect(stranger, port).unwrap();
        assert_eq!(data.is_closed(), !permitted);
        if !permitted {
            data = session.connect([127, 0, 0, 1].into(), port).unwrap();
        }
        assert_eq!(session.command("NLST").code(), 125);
        assert_eq!(data.read_to_end(), b"");
    }
}

#[test]
fn passive_ports() {
    let mut place = place();
    place.config.passive_ports = Some(vec![5000, 5001]);
    let mut session = place.login();
    let taken = session.listen(SocketAddr::from(([127, 0, 0, 1], 5000)));
    for _ in 0..5 {
        assert_eq!(session.command("PASV").port(), Some(5001));
    }
    let _taken = (
        taken,
        session.listen(SocketAddr::from(([127, 0, 0, 1], 6000))),
    );
    assert_eq!(session.command("ABOR").code(), 225);
    let _other = session.listen(SocketAddr::from(([127, 0, 0, 1], 5001)));
    assert!(session.command("PASV").port() > Some(5001));
}

/// 64 KiB wait on their way, as with a socket.
#[test]
fn back_pressure() {
    let mut place = place();
    place.config.dtp.timeout = Some(10 * SECOND);
    let bytes = pattern(1_000_000);
    place.write("a", &bytes);
    let mut session = place.login();
    session.command("TYPE I");
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    let sent = |session: &mut Session<StockHandler>| {
        session.with(|_, s| s.data_channel().unwrap().tot_bytes_sent())
    };
    assert_eq!(sent(&mut session), 65_536);
    session.advance(9 * SECOND);
    assert!(data.read_to_end() == bytes);
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    // Who does not read at all is not waited for.
    let _data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    session.advance(10 * SECOND);
    assert_eq!(reply(&mut session), "421 Data connection timed out.");
    assert!(session.is_closed());
}

#[test]
fn transfers_that_are_cut() {
    let place = place();
    place.write("big", &pattern(1_000_000));
    let (mut session, told) = place.telling();
    session.command("TYPE I");
    // By ABOR.
    let mut data = session.passive();
    assert_eq!(session.command("RETR big").code(), 125);
    assert_eq!(session.command("ABOR"), "426 Transfer aborted via ABOR.");
    assert_eq!(reply(&mut session), "226 ABOR command successful.");
    assert_eq!(data.read_to_end().len(), 65_536);
    // By the client.
    let mut data = session.active();
    assert_eq!(session.command("RETR big").code(), 125);
    data.close();
    assert_eq!(session.reply().unwrap().code(), 426);
    let mut data = session.passive();
    assert_eq!(session.command("STOR cut").code(), 125);
    data.write(b"abc");
    data.reset();
    assert_eq!(session.reply().unwrap().code(), 426);
    assert_eq!(told.try_iter().last().unwrap(), "incomplete cut");
    // By the end of the session.
    let mut data = session.passive();
    assert_eq!(session.command("STOR cut").code(), 125);
    data.write(b"abc");
    session.close();
    assert_eq!(
        told.try_iter().collect::<Vec<_>>(),
        ["incomplete cut", "disconnect"]
    );
    assert_eq!(data.write(b"more"), 0);
}

/// Measured by the clock alone.
#[test]
fn throttled() {
    let mut place = place();
    place.config.set_dtp_handler(|| {
        let limited = ThrottledDTPHandler::new().read_limit(8192);
        limited.write_limit(16_384)
    });
    let bytes = pattern(10 * 8192);
    let mut session = place.login();
    assert_eq!(session.stor("a", &bytes).code(), 226);
    assert_eq!(session.elapsed(), 10 * SECOND);
    // The first second's worth is free, the last one is not full.
    assert!(session.retr("a").unwrap() == bytes);
    assert_eq!(session.elapsed(), 14 * SECOND);
    // By hand it goes on when the clock does.
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    assert_eq!(data.read().len(), 2 * 16_384);
    session.advance(SECOND);
    assert!(data.read().is_empty());
    session.advance(SECOND);
    assert_eq!(data.read().len(), 2 * 16_384);
    let elapsed = session.with(|_, s| s.data_channel().unwrap().get_elapsed_time());
    assert_eq!(elapsed, 2 * SECOND);
    session.advance(2 * SECOND);
    assert_eq!(data.read_to_end().len(), 16_384);
}

/// A command of one's own with a data connection.
#[test]
fn data_of_one_s_own() {
    struct Own;
    impl FTPHandler for Own {
        fn ftp_nlst(&mut self, s: &mut FTPSession, _path: &Path) {
            let bytes = ftpdlib::handlers::Outgoing::Bytes(b"my own\r\n".to_vec());
            commands::push_dtp_data(s, bytes, "NLST");
        }
    }
    let mut session = Session::new(place().config, Own).unwrap();
    session.login("user", "12345");
    assert_eq!(session.list("NLST").unwrap(), "my own\r\n");
}

/// The client's side of TLS on a control connection in memory.
struct Secure {
    session: Session<StockHandler>,
    tls: ClientConnection,
}

impl Secure {
    fn exchange(&mut self) {
        while self.tls.wants_write() {
            let mut bytes = Vec::new();
            self.tls.write_tls(&mut bytes).unwrap();
            self.session.send(&bytes);
        }
        let received = self.session.receive();
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            self.tls.process_new_packets().unwrap();
        }
    }

    fn command(&mut self, line: &str) -> String {
        write!(self.tls.writer(), "{line}\r\n").unwrap();
        self.exchange();
        let mut reply = [0; 1024];
        let size = self.tls.reader().read(&mut reply).unwrap();
        String::from_utf8(reply[..size].to_vec()).unwrap()
    }
}

#[test]
fn tls() {
    let pair = Pair::new(&["localhost"]);
    let mut place = place();
    let tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der());
    place.config.tls = Some(tls.unwrap());
    let mut session = place.connect();
    assert_eq!(session.command("AUTH TLS"), "234 AUTH TLS successful.");
    let name = "localhost".try_into().unwrap();
    let tls = ClientConnection::new(testkit::authority::client(None).into(), name).unwrap();
    let mut client = Secure { session, tls };
    while client.tls.is_handshaking() {
        client.exchange();
    }
    assert_eq!(client.command("PBSZ 0"), "200 PBSZ=0 successful.\r\n");
    assert_eq!(
        client.command("USER user"),
        "331 Username ok, send password.\r\n"
    );
    assert!(client.command("PASS 12345").starts_with("230 "));
    assert!(
        client
            .session
            .with(|_, s| s.is_secure() && s.authenticated())
    );
    client.session.advance(5 * MINUTE);
    client.exchange();
    let mut last = Vec::new();
    let read = client.tls.reader().read_to_end(&mut last);
    assert!(last.starts_with(b"421 "), "{read:?}");
    assert!(client.session.is_closed());
}

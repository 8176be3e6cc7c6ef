//! USER, PASS and REIN: as pyftpdlib's `TestFtpAuthentication`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, LaterVerdict, Perm, Verdict};
use ftpdlib::{AuthenticationFailed, FTPHandler, FTPSession};
use testkit::{BIG, DEADLINE, PASSWORD, Server, USER, drain, write_big};

use crate::MODE;

#[test]
fn auth_ok() {
    Server::start(MODE).connect().login(USER, PASSWORD);
}

#[test]
fn anon_auth() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    client.login("anonymous", "anon@");
    client.expect(230, "REIN");
    client.login("anonymous", "");
    client.expect(230, "REIN");
    client.expect(331, "USER anonymous");
    client.expect(230, "PASS");
    assert_eq!(
        client.expect(550, "MKD x"),
        "550 Not enough privileges.",
        "anonymous may only read"
    );
}

#[test]
fn anonymous_is_refused_where_there_is_none() {
    let server = Server::with(MODE, |config| config.set_authorizer(DummyAuthorizer::new()));
    let mut client = server.connect();
    client.expect(331, "USER anonymous");
    let reply = client.expect(530, "PASS x");
    assert_eq!(reply, "530 Anonymous access not allowed.");
}

#[test]
fn auth_failed() {
    let server = Server::start(MODE);
    for (user, password) in [(USER, "wrong"), ("wrong", PASSWORD), ("wrong", "wrong")] {
        let mut client = server.connect();
        let reply = client.expect(331, format!("USER {user}"));
        assert_eq!(reply, "331 Username ok, send password.");
        let reply = client.expect(530, format!("PASS {password}"));
        assert_eq!(reply, "530 Authentication failed.");
    }
    // An empty password is a password.
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PASS");
}

#[test]
fn wrong_cmds_order() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(503, format!("PASS {PASSWORD}"));
    assert_eq!(reply, "503 Login with USER first.");
    client.login(USER, PASSWORD);
    let reply = client.expect(503, format!("PASS {PASSWORD}"));
    assert_eq!(reply, "503 User already authenticated.");
    // A wrong password resets the name.
    client.expect(230, "REIN");
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PASS wrong");
    client.expect(503, format!("PASS {PASSWORD}"));
}

#[test]
fn max_auth() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for _ in 0..2 {
        client.expect(331, format!("USER {USER}"));
        let reply = client.expect(530, "PASS wrong");
        assert_eq!(reply, "530 Authentication failed.");
    }
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(530, "PASS wrong");
    assert_eq!(reply, "530 Authentication failed. Disconnecting.");
    client.expect_eof();
}

#[test]
fn a_good_login_forgets_the_failed_ones() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    for _ in 0..3 {
        for _ in 0..2 {
            client.expect(331, format!("USER {USER}"));
            client.expect(530, "PASS wrong");
        }
        client.login(USER, PASSWORD);
        client.expect(230, "REIN");
    }
}

#[test]
fn rein() {
    let server = Server::start(MODE);
    let mut client = server.login();
    server.write("file", "x");
    client.expect(350, "RNFR file");
    let reply = client.expect(230, "REIN");
    assert_eq!(reply, "230 Ready for new user.");
    client.expect(530, "PWD");
    client.expect(503, format!("PASS {PASSWORD}"));
    client.login(USER, PASSWORD);
    // Back to TYPE A, and without a name to rename.
    client.expect(550, "SIZE file");
    client.expect(503, "RNTO other");
}

#[test]
fn rein_during_transfer() {
    let server = Server::start(MODE);
    write_big(&server, "big");
    let mut client = server.login();
    let mut data = client.pasv();
    client.begin("RETR big");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.expect(230, "REIN");
    client.expect(530, "PWD");
    assert_eq!(drain(&mut data), BIG - 1000);
    client.expect_reply(226);
    client.expect(530, "LIST");
    client.login(USER, PASSWORD);
    client.expect(257, "PWD");
}

#[test]
fn user() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let reply = client.expect(331, format!("USER {USER}"));
    assert_eq!(
        reply,
        "331 Previous account information was flushed, send password."
    );
    client.expect(530, "PWD");
    client.expect(230, format!("PASS {PASSWORD}"));
    client.expect(257, "PWD");
}

#[test]
fn user_during_transfer() {
    let server = Server::start(MODE);
    write_big(&server, "big");
    let mut client = server.login();
    let mut data = client.pasv();
    client.begin("RETR big");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PWD");
    client.expect(230, format!("PASS {PASSWORD}"));
    client.expect(257, "PWD");
    assert_eq!(drain(&mut data), BIG - 1000);
    client.expect_reply(226);
}

/// Sends each question to the test before it answers.
struct Watched {
    inner: DummyAuthorizer,
    asked: Sender<String>,
}

impl Authorizer for Watched {
    fn inner(&self) -> &dyn Authorizer {
        &self.inner
    }

    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        client: &authorizers::Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        self.asked.send(password.to_owned()).unwrap();
        self.inner
            .validate_authentication(username, password, client)
    }
}

fn watched(pause: Duration) -> (Server, Receiver<String>) {
    let (asked, questions) = mpsc::channel();
    let server = Server::with(MODE, move |config| {
        let home = std::env::temp_dir();
        let inner = DummyAuthorizer::new();
        inner.add_user(USER, PASSWORD, home, "elr").unwrap();
        config.set_authorizer(Watched { inner, asked });
        config.auth_failed_timeout = pause;
    });
    (server, questions)
}

#[test]
fn pipelined_guesses_do_not_get_past_the_limit() {
    let (server, questions) = watched(Duration::from_millis(1));
    let mut client = server.connect();
    let guess = |password: &str| format!("USER {USER}\r\nPASS {password}\r\n");
    client.send(["a", "b", "c", "d", PASSWORD].map(guess).concat());
    for text in ["", "", " Disconnecting."] {
        client.expect_reply(331);
        let reply = client.expect_reply(530);
        assert_eq!(reply, format!("530 Authentication failed.{text}"));
    }
    client.expect_eof();
    assert_eq!(questions.try_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn the_pause_holds_back_one_session_only() {
    // The delay does not end during the test: a reply before that is an error.
    let (server, questions) = watched(Duration::from_secs(3600));
    let mut slow = server.connect();
    slow.expect(331, format!("USER {USER}"));
    slow.send(format!(
        "PASS a\r\nNOOP\r\nUSER {USER}\r\nPASS {PASSWORD}\r\n"
    ));
    assert_eq!(questions.recv_timeout(DEADLINE).unwrap(), "a");
    let mut other = server.connect();
    other.login(USER, PASSWORD);
    other.expect(257, "PWD");
    assert_eq!(
        questions.try_iter().collect::<Vec<_>>(),
        [PASSWORD],
        "only that of the other session"
    );
    assert!(slow.is_silent());
}

#[test]
fn the_pause_ends() {
    let (server, questions) = watched(Duration::from_millis(300));
    let mut slow = server.connect();
    slow.expect(331, format!("USER {USER}"));
    slow.send("PASS wrong\r\nNOOP\r\n");
    assert_eq!(questions.recv_timeout(DEADLINE).unwrap(), "wrong");
    server.connect().login(USER, PASSWORD);
    slow.expect_reply(530);
    slow.expect_reply(200);
    slow.login(USER, PASSWORD);
}

/// Hands the verdict over to the test.
struct Asking {
    inner: DummyAuthorizer,
    questions: Sender<(String, LaterVerdict)>,
}

impl Authorizer for Asking {
    fn inner(&self) -> &dyn Authorizer {
        &self.inner
    }

    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &authorizers::Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        if password == "now" {
            return Verdict::Now(self.validate_authentication(username, PASSWORD, client));
        }
        self.questions.send((password.to_owned(), later())).unwrap();
        Verdict::Later
    }
}

fn asking() -> (Server, Receiver<(String, LaterVerdict)>) {
    let (questions, asked) = mpsc::channel();
    let server = Server::with(MODE, move |config| {
        let inner = DummyAuthorizer::new();
        let home: PathBuf = std::env::temp_dir();
        inner.add_user(USER, PASSWORD, home, "elr").unwrap();
        assert!(inner.has_perm(USER, Perm::List, None));
        config.set_authorizer(Asking { inner, questions });
        config.auth_failed_timeout = Duration::from_millis(1);
    });
    (server, asked)
}

#[test]
fn an_answer_may_come_later() {
    let (server, asked) = asking();
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.send("PASS x\r\nPWD\r\n");
    let (password, verdict) = asked.recv_timeout(DEADLINE).unwrap();
    assert_eq!(password, "x");
    // Other sessions go on meanwhile; this one waits.
    let mut other = server.connect();
    other.login(USER, "now");
    assert!(client.is_silent());
    std::thread::spawn(move || verdict.answer(Ok(())));
    client.expect_reply(230);
    client.expect_reply(257);
}

#[test]
fn a_later_answer_may_be_no() {
    let (server, asked) = asking();
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.send("PASS x\r\n");
    let (_, verdict) = asked.recv_timeout(DEADLINE).unwrap();
    verdict.answer(Err(AuthenticationFailed::new("come back tomorrow")));
    let reply = client.expect_reply(530);
    assert_eq!(reply, "530 Come back tomorrow");
    // A verdict that is dropped is a refusal, too, and counts.
    client.expect(331, format!("USER {USER}"));
    client.send("PASS y\r\n");
    drop(asked.recv_timeout(DEADLINE).unwrap());
    let reply = client.expect_reply(530);
    assert_eq!(reply, "530 Authentication failed.");
    client.expect(331, format!("USER {USER}"));
    client.send("PASS z\r\n");
    drop(asked.recv_timeout(DEADLINE).unwrap());
    let reply = client.expect_reply(530);
    assert_eq!(reply, "530 Authentication failed. Disconnecting.");
    client.expect_eof();
}

#[test]
fn a_later_answer_to_a_session_that_is_gone_reaches_nobody() {
    let (server, asked) = asking();
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.send("PASS x\r\n");
    let (_, verdict) = asked.recv_timeout(DEADLINE).unwrap();
    drop(client);
    let mut other = server.connect();
    verdict.answer(Ok(()));
    other.expect(530, "PWD");
    other.login(USER, "now");
}

/// Records what the hooks of logins get.
struct Failures(Sender<String>);

impl FTPHandler for Failures {
    fn on_login_failed(&mut self, s: &mut FTPSession, username: &str, password: &str) {
        self.0
            .send(format!("{username} {password} {}", s.authenticated()))
            .unwrap();
    }
}

#[test]
fn a_client_that_does_not_wait_for_its_refusal_has_failed_too() {
    let (sender, failures) = mpsc::channel();
    let server = Server::with_handler(
        MODE,
        |config| config.auth_failed_timeout = Duration::from_secs(3600),
        move |_| Failures(sender.clone()),
    );
    let mut client = server.connect();
    client.send(format!("USER {USER}\r\nPASS wrong\r\n"));
    client.expect_reply(331);
    drop(client);
    // That client reads no more; the hook is called when the server ends.
    drop(server);
    let failures: Vec<_> = failures.iter().collect();
    assert_eq!(failures, [format!("{USER} wrong false")]);
}

#[test]
fn opts_utf8_before_login() {
    let server = Server::start(MODE);
    let mut client = server.connect();
    let reply = client.expect(200, "OPTS UTF8 ON");
    assert_eq!(reply, "200 Always in UTF8 mode.");
    client.expect(200, "opts utf-8");
    client.expect(530, "OPTS MLST type;");
    client.login(USER, PASSWORD);
    client.expect(200, "OPTS UTF8 ON");
    client.expect(200, "OPTS MLST type;");
}

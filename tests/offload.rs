//! Jobs on the pool: their session waits for them, the others do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::handlers::{CmdArg, StockHandler, TimerId, commands};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{
    AuthenticationFailed, FTPConfig, FTPHandler, FTPServer, FTPSession, PoolFull, TlsConfig,
};
use rustls::{ClientConnection, StreamOwned};
use testkit::{
    Client, DEADLINE, Mode, PASSWORD, Server, Socket, USER, Way, authority, begin, drain, next,
    reset, wait_for, write_big,
};

/// A handler that gives jobs to the pool; each job asks the test for its result.
struct Giver {
    questions: Sender<Question>,
    events: Sender<String>,
    /// No job passes it while the test keeps it closed.
    gate: Arc<Gate>,
    results: Vec<String>,
}

#[derive(Default)]
struct Gate {
    closed: RwLock<()>,
    arrived: AtomicUsize,
}

/// The name of a job, and where its result goes; the result `panic` makes it panic.
type Question = (String, Sender<&'static str>);

impl Giver {
    fn tell(&self, event: impl Into<String>) {
        let _ = self.events.send(event.into());
    }

    fn work(&self, name: &str) -> impl FnOnce() -> String + Send + 'static {
        let (questions, name) = (self.questions.clone(), name.to_owned());
        move || {
            let (answer, answered) = channel();
            let asked = format!("{name} of {:?}", std::thread::current().name());
            questions.send((asked, answer)).unwrap();
            match answered.recv().unwrap_or("dropped") {
                "panic" => resume_unwind(Box::new("as planned")),
                result => result.to_owned(),
            }
        }
    }

    fn give(&mut self, s: &mut FTPSession, cmd: &str, arg: &str) -> Result<(), PoolFull> {
        match cmd {
            "XWORK" => s.offload(self.work(arg), |s, result| {
                s.respond(format!("250 {result}"));
            }),
            // The last one of them replies.
            "XSOME" => {
                for name in arg.split(' ') {
                    s.offload_with(self.work(name), |h: &mut Self, _, result| {
                        h.results.push(result);
                    })?;
                }
                s.offload_with(
                    || (),
                    |h: &mut Self, s, ()| {
                        s.respond(format!("250 {}", h.results.join(" ")));
                    },
                )
            }
            "XAGAIN" => s.offload_with(self.work("first"), |h: &mut Self, s, first| {
                let then = move |s: &mut FTPSession, second| {
                    s.respond(format!("250 {first} {second}"));
                };
                s.offload(h.work("second"), then).unwrap();
            }),
            "XTHEN" => s.offload(|| (), |_, ()| resume_unwind(Box::new("as planned"))),
            "XWRONG" => s.offload_with(|| (), |_: &mut StockHandler, _, ()| {}),
            "XTIMER" => {
                s.call_later(Duration::from_millis(500));
                let (remote, id) = (s.remote(), s.id());
                remote.send(id, Box::new("hello"));
                self.give(s, "XWORK", arg)
            }
            "XFILL" => loop {
                let gate = Arc::clone(&self.gate);
                self.tell("work");
                let work = move || {
                    gate.arrived.fetch_add(1, SeqCst);
                    drop(gate.closed.read());
                };
                s.offload(work, |_, ()| {})?;
            },
            _ => {
                commands::custom(s, cmd);
                Ok(())
            }
        }
    }
}

impl FTPHandler for Giver {
    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        if let Err(full) = self.give(s, cmd, &arg.to_text()) {
            s.respond(format!("450 {full}."));
        }
    }

    fn ftp_dele(&mut self, s: &mut FTPSession, path: &Path) {
        let path = path.to_owned();
        let then = move |s: &mut FTPSession, _| commands::dele(s, &path);
        s.offload(self.work("may it go"), then).unwrap();
    }

    fn log_cmd(&mut self, _: &mut FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, text: &str) {
        if matches!(cmd, "DELE" | "XWORK" | "XFILL") {
            let name = arg.path().and_then(Path::file_name);
            let arg = name.map_or(arg.to_text(), |name| name.to_string_lossy());
            self.tell(format!("{cmd} {arg} {code} {text}"));
        }
    }

    fn on_file_received(&mut self, s: &mut FTPSession, _file: &Path) {
        let work = self.work("received");
        let then = |h: &mut Self, _: &mut FTPSession, result| h.tell(result);
        s.offload_with(work, then).unwrap();
    }

    fn on_timer(&mut self, _: &mut FTPSession, _id: TimerId) {
        self.tell("timer");
    }

    fn on_message(&mut self, _: &mut FTPSession, message: Box<dyn Any + Send>) {
        self.tell(*message.downcast::<&str>().unwrap());
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        self.tell("disconnect");
        if s.username() == "anonymous" {
            s.offload(self.work("farewell"), |_, _| {}).unwrap();
        }
    }
}

/// A server, the questions of its jobs and the events of its handler. Only one test at a time
/// uses the pool, which all servers of the process share.
struct Stage {
    server: Server,
    questions: Receiver<Question>,
    events: Receiver<String>,
    gate: Arc<Gate>,
    _alone: MutexGuard<'static, ()>,
}

impl Deref for Stage {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Stage {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FTPConfig) + Send + 'static) -> Self {
        Self::build(change, |_| {})
    }

    fn build(
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
        set_up: impl FnOnce(&mut FTPServer) + Send + 'static,
    ) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (ask, questions) = channel();
        let (tell, events) = channel();
        let gate = Arc::<Gate>::default();
        let closed = Arc::clone(&gate);
        let change = move |config: &mut FTPConfig| {
            let commands = ["WORK", "SOME", "AGAIN", "THEN", "WRONG", "TIMER", "FILL"];
            for name in commands {
                let entry = ProtoCmd {
                    perm: None,
                    auth: true,
                    arg: Arg::Optional,
                    help: "".into(),
                };
                let name: &str = &format!("X{name}");
                config.proto_cmds.insert(name.to_owned(), entry);
            }
            change(config);
        };
        let server = Server::build(Mode::Clear, "127.0.0.1", change, set_up, move |_| Giver {
            questions: ask.clone(),
            events: tell.clone(),
            gate: Arc::clone(&closed),
            results: Vec::new(),
        });
        Self {
            server,
            questions,
            events,
            gate,
            _alone: alone,
        }
    }

    /// Returns the next question; its job runs until the test answers.
    #[track_caller]
    fn question(&self, name: &str) -> Sender<&'static str> {
        let (asked, answer) = self.questions.recv_timeout(DEADLINE).unwrap();
        assert_eq!(asked, format!("{name} of Some(\"ftpdlib-offload\")"));
        answer
    }

    #[track_caller]
    fn answer(&self, name: &str, result: &'static str) {
        self.question(name).send(result).unwrap();
    }

    #[track_caller]
    fn expect_event(&self, event: &str) {
        assert_eq!(next(&self.events), event);
    }

    #[track_caller]
    fn expect_no_event(&self) {
        assert_eq!(self.events.try_recv().ok(), None);
    }

    /// Checks that other sessions are served.
    #[track_caller]
    fn others_go_on(&self) {
        let mut other = self.login();
        other.expect(200, "NOOP");
        other.expect(221, "QUIT");
        other.expect_eof();
        self.expect_event("disconnect");
    }

    /// Checks that a thread of the pool is free for jobs of others.
    #[track_caller]
    fn pool_is_free(&self) {
        let mut other = self.login();
        other.send("XWORK x\r\nQUIT\r\n");
        self.answer("x", "fine");
        other.expect_reply(250);
        other.expect_reply(221);
        other.expect_eof();
        self.expect_event("XWORK x 250 fine");
        self.expect_event("disconnect");
    }
}

#[test]
fn others_go_on_while_one_waits() {
    let stage = Stage::new();
    let mut one = stage.login();
    one.send("XWORK a\r\nNOOP\r\n");
    let answer = stage.question("a");
    let mut other = stage.login();
    stage.write("file", b"abc");
    assert_eq!(other.download("RETR file"), b"abc");
    assert!(one.is_silent());
    stage.expect_no_event();
    answer.send("fine").unwrap();
    assert_eq!(one.expect_reply(250), "250 fine");
    one.expect_reply(200);
    stage.expect_event("XWORK a 250 fine");
}

#[test]
fn commands_wait_and_are_answered_in_order() {
    let stage = Stage::new();
    let mut client = stage.login();
    let mut other = stage.login();
    client.send("NOOP\r\nXWORK a\r\nPWD\r\nXWORK b\r\nNO");
    client.expect_reply(200);
    for result in ["a", "b"] {
        let answer = stage.question(result);
        client.send(match result {
            "a" => "OP\r\nSYST\r\n",
            _ => "QUIT\r\nNOOP\r\n",
        });
        other.expect(200, "NOOP");
        assert!(client.is_silent());
        answer.send(result).unwrap();
        assert_eq!(client.expect_reply(250), format!("250 {result}"));
        if result == "a" {
            client.expect_reply(257);
        }
    }
    for code in [200, 215, 221] {
        client.expect_reply(code);
    }
    client.expect_eof();
}

#[test]
fn a_command_of_the_table_is_logged_with_its_reply() {
    let stage = Stage::new();
    stage.write("old", b"");
    let mut client = stage.login();
    client.send("DELE old\r\nDELE old\r\n");
    stage.answer("may it go", "yes");
    client.expect_reply(250);
    stage.expect_event("DELE old 250 File removed.");
    stage.answer("may it go", "yes");
    client.expect_reply(550);
    stage.expect_event("DELE old 550 No such file or directory.");
}

#[test]
fn results_of_one_session_come_in_the_order_of_its_jobs() {
    let stage = Stage::new();
    let mut client = stage.login();
    client.send("XSOME a b\r\nNOOP\r\n");
    let mut answers = [
        stage.questions.recv().unwrap(),
        stage.questions.recv().unwrap(),
    ];
    answers.sort_by(|one, other| one.0.cmp(&other.0));
    let [(_, a), (_, b)] = answers;
    b.send("b").unwrap();
    // When the job of another session is done, which began later, so is this one.
    let mut other = stage.login();
    other.send("XWORK c\r\n");
    stage.answer("c", "c");
    other.expect_reply(250);
    assert!(client.is_silent());
    a.send("a").unwrap();
    assert_eq!(client.expect_reply(250), "250 a b");
    client.expect_reply(200);
}

#[test]
fn a_result_may_be_reason_for_more_work() {
    let stage = Stage::new();
    let mut client = stage.login();
    client.send("XAGAIN\r\nNOOP\r\n");
    stage.answer("first", "a");
    stage.answer("second", "b");
    assert_eq!(client.expect_reply(250), "250 a b");
    client.expect_reply(200);
}

/// The end of the session is noticed although nothing is read; the job runs to its end.
#[test]
fn a_session_may_end_before_its_work() {
    let stage = Stage::new();
    let mut client = stage.login();
    client.send("XWORK a\r\n");
    let answer = stage.question("a");
    reset(client.socket);
    stage.expect_event("disconnect");
    answer.send("too late").unwrap();
    stage.pool_is_free();
}

/// A client that has only shut down its sending side still gets its replies.
#[test]
fn a_client_that_sends_no_more_is_answered() {
    let stage = Stage::new();
    let mut client = stage.login();
    client.send("XWORK a\r\nNOOP\r\n");
    let answer = stage.question("a");
    client.socket.shutdown(Shutdown::Write).unwrap();
    stage.others_go_on();
    answer.send("fine").unwrap();
    client.expect_reply(250);
    client.expect_reply(200);
    client.expect_eof();
    stage.expect_event("XWORK a 250 fine");
    stage.expect_event("disconnect");
    // A client that has closed meanwhile is noticed at the latest when the job is done.
    let mut client = stage.login();
    client.send("XWORK b\r\n");
    let answer = stage.question("b");
    drop(client);
    answer.send("fine").unwrap();
    stage.expect_event("XWORK b 250 fine");
    stage.expect_event("disconnect");
}

/// Connects a client from another address, which is logged in.
fn login_from_elsewhere(server: &Server) -> Client {
    let mut client = Client::connect_from(Mode::Clear, "127.0.0.2", server.address);
    client.expect_reply(220);
    client.login(USER, PASSWORD);
    client
}

/// A client that asks for jobs and leaves, again and again, has no more jobs than connections.
#[test]
fn jobs_keep_the_slot_of_a_session_that_has_gone() {
    let set_up = |server: &mut FTPServer| {
        server.set_max_cons_per_ip(2);
        server.set_max_cons_per_user(3);
    };
    let stage = Stage::build(|_| {}, set_up);
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let mut client = stage.login();
        client.send("XWORK a\r\n");
        jobs.push(stage.question("a"));
        reset(client.socket);
        stage.expect_event("disconnect");
    }
    stage.client().expect_reply(421);
    let mut other = login_from_elsewhere(&stage);
    let mut late = Client::connect_from(Mode::Clear, "127.0.0.2", stage.address);
    late.expect_reply(220);
    late.expect(331, format!("USER {USER}"));
    late.expect(530, format!("PASS {PASSWORD}"));
    late.expect_eof();
    stage.expect_event("disconnect");
    // One job is done, so one connection may come.
    jobs.pop().unwrap().send("too late").unwrap();
    let mut next = None;
    wait_for("a slot", || {
        let mut client = stage.client();
        let admitted = client.reply().0 == 220;
        next = admitted.then_some(client);
        admitted
    });
    next.unwrap().login(USER, PASSWORD);
    other.expect(200, "NOOP");
}

/// An authorizer that asks the test, as [`Giver`] does, whether a login is good.
struct Asking {
    inner: DummyAuthorizer,
    questions: Mutex<Sender<Sender<()>>>,
}

impl Authorizer for Asking {
    fn inner(&self) -> &dyn Authorizer {
        &self.inner
    }

    fn authenticate(
        &self,
        _: &str,
        _: &str,
        _: &authorizers::Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        let questions = self.questions.lock().unwrap().clone();
        later().offload(move || {
            let (answer, answered) = channel();
            questions.send(answer).unwrap();
            let _ = answered.recv();
            Err(AuthenticationFailed::default())
        })
    }
}

/// A login that is decided later waits in the same way.
#[test]
fn a_login_keeps_the_slot_of_its_session() {
    let (ask, questions) = channel();
    let change = |config: &mut FTPConfig| {
        config.set_authorizer(Asking {
            inner: DummyAuthorizer::new(),
            questions: Mutex::new(ask),
        });
    };
    let set_up = |server: &mut FTPServer| server.set_max_cons_per_ip(1);
    let stage = Stage::build(change, set_up);
    let mut client = stage.connect();
    client.expect(331, format!("USER {USER}"));
    client.send("PASS x\r\n");
    let answer = questions.recv_timeout(DEADLINE).unwrap();
    reset(client.socket);
    stage.expect_event("disconnect");
    stage.client().expect_reply(421);
    drop(answer);
    wait_for("its place", || stage.client().reply().0 == 220);
}

/// A job that was given when the session ended is done all the same.
#[test]
fn a_job_may_close_its_session() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.login("anonymous", "x");
    drop(client);
    stage.expect_event("disconnect");
    stage.answer("farewell", "dropped");
    stage.pool_is_free();
}

#[test]
fn the_end_of_the_server_waits_for_no_job() {
    let stage = Stage::new();
    let mut client = stage.login();
    client.send("XWORK a\r\n");
    let answer = stage.question("a");
    drop(stage.server);
    client.expect_eof();
    answer.send("too late").unwrap();
}

#[test]
fn a_panic_ends_its_session_only() {
    let stage = Stage::new();
    for command in ["XWORK a", "XTHEN", "XWRONG"] {
        let mut client = stage.login();
        client.send(format!("{command}\r\nNOOP\r\n"));
        if command == "XWORK a" {
            stage.answer("a", "panic");
        }
        client.expect_eof();
        stage.expect_event("disconnect");
        stage.pool_is_free();
    }
}

/// A bounded number of jobs may wait; more are refused, and their session is not parked.
#[test]
fn too_many_jobs_are_refused() {
    let stage = Stage::new();
    let closed = stage.gate.closed.write().unwrap();
    let threads = std::thread::available_parallelism().unwrap().get();
    let threads = threads.clamp(2, 8);
    let mut clients = [stage.login(), stage.login()];
    let mut count = 0;
    for client in &mut clients {
        let reply = client.expect(450, "XFILL");
        assert_eq!(reply, "450 Too much work waits; try again later.");
        let jobs = stage.events.iter().take_while(|event| event == "work");
        count += jobs.count() - 1;
        // When each thread has taken a job, there is room for that many more.
        let arrived = || stage.gate.arrived.load(SeqCst);
        wait_for("the threads", || arrived() == threads);
        client.send("NOOP\r\n");
    }
    // One address may have half of the queue.
    assert_eq!(count, 512 + threads);
    let mut other = stage.login();
    other.expect(450, "XWORK a");
    stage.expect_event("XWORK a 450 Too much work waits; try again later.");
    other.expect(200, "NOOP");
    assert!(clients[0].is_silent());
    let mut foreign = login_from_elsewhere(&stage);
    foreign.send("XWORK a\r\n");
    drop(closed);
    stage.answer("a", "fine");
    foreign.expect_reply(250);
    for client in &mut clients {
        client.expect_reply(200);
    }
}

#[test]
fn transfers_go_on_meanwhile() {
    let stage = Stage::new();
    let size = write_big(&stage, "big");
    let mut client = stage.login();
    let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
    client.send("XWORK a\r\nNOOP\r\n");
    let answer = stage.question("a");
    assert_eq!(drain(&mut data), size);
    client.expect_reply(226);
    stage.others_go_on();
    assert!(client.is_silent());
    answer.send("fine").unwrap();
    client.expect_reply(250);
    client.expect_reply(200);
}

#[test]
fn work_on_a_file_that_was_received() {
    let stage = Stage::new();
    let mut client = stage.login();
    client.upload("STOR up", b"abc");
    client.send("NOOP\r\n");
    let answer = stage.question("received");
    stage.others_go_on();
    assert!(client.is_silent());
    answer.send("hash").unwrap();
    client.expect_reply(200);
    stage.expect_event("hash");
}

/// While a job runs, QUIT before the end of a transfer waits, too.
#[test]
fn quit_waits_for_work_on_a_file() {
    let stage = Stage::new();
    let mut client = stage.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR up");
    client.expect(221, "QUIT");
    data.write_all(b"abc").unwrap();
    drop(data);
    client.expect_reply(226);
    let answer = stage.question("received");
    stage.expect_no_event();
    answer.send("hash").unwrap();
    client.expect_eof();
    stage.expect_event("hash");
    stage.expect_event("disconnect");
}

/// The timer proves that more time has passed than a client may be silent.
#[test]
fn timers_and_messages_come_and_no_time_out() {
    let stage = Stage::with(|config| config.timeout = Some(Duration::from_millis(100)));
    let mut client = stage.login();
    client.send("XTIMER a\r\n");
    let answer = stage.question("a");
    stage.expect_event("hello");
    stage.expect_event("timer");
    assert!(client.is_silent());
    answer.send("fine").unwrap();
    client.expect_reply(250);
    // From now on it may.
    client.expect_reply(421);
    client.expect_eof();
}

#[test]
fn under_tls() {
    let pair = authority::Pair::new(&["localhost"]);
    let tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    let stage = Stage::with(|config| config.tls = Some(tls));
    let mut client = stage.connect();
    client.expect(234, "AUTH TLS");
    let config = Arc::new(authority::client(None));
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let mut tls = BufReader::new(StreamOwned::new(connection, client.socket));
    let send = |tls: &mut BufReader<StreamOwned<_, _>>, lines: &str| {
        let stream: &mut StreamOwned<ClientConnection, Socket> = tls.get_mut();
        stream.write_all(lines.as_bytes()).unwrap();
    };
    let expect = |tls: &mut BufReader<StreamOwned<_, _>>, reply: &str| {
        let tls: &mut BufReader<StreamOwned<ClientConnection, Socket>> = tls;
        let mut line = String::new();
        tls.read_line(&mut line).unwrap();
        assert!(line.starts_with(reply), "{line}");
    };
    send(&mut tls, "USER user\r\nPASS 12345\r\nXWORK a\r\nNOOP\r\n");
    expect(&mut tls, "331 ");
    expect(&mut tls, "230 ");
    let answer = stage.question("a");
    send(&mut tls, "XWORK b\r\n");
    stage.others_go_on();
    answer.send("fine").unwrap();
    expect(&mut tls, "250 fine\r\n");
    expect(&mut tls, "200 ");
    let answer = stage.question("b");
    // It leaves with QUIT, which is noticed when the job is done.
    tls.get_mut().conn.send_close_notify();
    tls.get_mut().flush().unwrap();
    drop(tls);
    stage.expect_event("XWORK a 250 fine");
    stage.expect_no_event();
    answer.send("fine").unwrap();
    stage.expect_event("XWORK b 250 fine");
    stage.expect_event("disconnect");
}

//! The limits of connections, of users and of descriptors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::{FTPConfig, FTPHandler, FTPServer, FTPSession};
use testkit::{DEADLINE, Mode, PASSWORD, Server, USER, reset, wait_for};

/// The path of the program.
#[cfg(feature = "cli")]
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

const TOO_MANY_OF_USER: &str = "530 Too many connections of this user.";

fn with_max_cons_per_user(most: usize) -> Server {
    Server::with_user_limit(Mode::Clear, most, |_| {})
}

/// Logs in and is refused.
#[track_caller]
fn expect_too_many(server: &Server, user: &str, password: &str) {
    let mut client = server.connect();
    client.expect(331, format!("USER {user}"));
    let reply = client.expect(530, format!("PASS {password}"));
    assert_eq!(reply, TOO_MANY_OF_USER);
    client.expect_eof();
}

#[test]
fn max_connections_per_user() {
    let server = with_max_cons_per_user(2);
    let mut clients = [server.login(), server.login()];
    // Data connections do not count.
    let _data = clients[0].pasv();
    expect_too_many(&server, USER, PASSWORD);
    // A client with a wrong password does not learn that the user is logged in.
    let mut guess = server.connect();
    guess.expect(331, format!("USER {USER}"));
    let reply = guess.expect(530, "PASS x");
    assert_eq!(reply, "530 Authentication failed.");
    // Other users are not affected.
    let mut anonymous = server.connect();
    anonymous.login("anonymous", "");
    anonymous.expect(200, "NOOP");
}

#[test]
fn users_make_room_when_they_log_out() {
    let server = with_max_cons_per_user(1);
    let mut client = server.login();
    expect_too_many(&server, USER, PASSWORD);
    // They log out with REIN, with another USER, with QUIT, and by closing.
    client.expect(230, "REIN");
    let mut client = server.login();
    client.expect(331, "USER anonymous");
    let mut second = server.login();
    client.expect(230, "PASS x");
    expect_too_many(&server, "anonymous", "");
    second.expect(221, "QUIT");
    second.expect_eof();
    let third = server.login();
    drop(third);
    wait_for("room", || server.try_login(USER) == 230);
}

#[test]
fn too_many_connections_wash_no_guess_clean() {
    let server = Server::build(
        Mode::Clear,
        "127.0.0.1",
        |config| config.max_login_attempts = 2,
        |server| server.set_max_cons_per_user(1),
        |_| StaysOpen,
    );
    let _first = server.login();
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PASS wrong");
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(530, format!("PASS {PASSWORD}"));
    assert_eq!(reply, "530 Come back later.");
    client.expect(530, "PWD");
    client.expect(331, format!("USER {USER}"));
    let reply = client.expect(530, "PASS wrong");
    assert_eq!(reply, "530 Authentication failed. Disconnecting.");
    client.expect_eof();
}

struct StaysOpen;

impl FTPHandler for StaysOpen {
    fn handle_max_cons_per_user(&mut self, s: &mut FTPSession) {
        s.respond("530 Come back later.");
    }

    fn on_login_failed(&mut self, _s: &mut FTPSession, _username: &str, password: &str) {
        assert_eq!(password, "wrong");
    }
}

/// Resets connections, some of them before they are accepted.
#[test]
fn resets_cost_no_slot() {
    const MAX: usize = 30;
    let set_up = |server: &mut FTPServer| server.set_max_cons(MAX);
    let server = Server::build(
        Mode::Clear,
        "127.0.0.1",
        |_| {},
        set_up,
        |_| ftpdlib::handlers::StockHandler,
    );
    for turn in 0..600 {
        let mut client = server.client();
        match turn % 4 {
            0 => {}
            1 => drop(client.try_reply()),
            2 => client.send("USER user\r\nPASS 12345\r\nPASV\r\n"),
            _ => client.send("NOOP"),
        }
        reset(client.socket);
    }
    // All slots but that of the server's own socket.
    let mut clients = Vec::new();
    wait_for("all places", || {
        let mut client = server.client();
        if client.reply().0 == 220 {
            clients.push(client);
        }
        clients.len() == MAX - 1
    });
    let mut client = server.client();
    client.expect_reply(421);
}

/// Decides at once about one wrong password, and later about all others.
struct Undecided {
    inner: DummyAuthorizer,
    asked: Sender<Option<LaterVerdict>>,
}

impl Authorizer for Undecided {
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
        let knows = password == "wrong";
        self.asked.send((!knows).then(later)).unwrap();
        match knows {
            true => Verdict::Now(self.validate_authentication(username, password, client)),
            false => Verdict::Later,
        }
    }
}

/// A client whose login is not decided yet makes room by leaving. One whose login has failed does
/// not: guesses must not be faster than the delay.
#[test]
fn a_reset_during_a_login() {
    let (asked, answers) = mpsc::channel();
    let change = |config: &mut FTPConfig| {
        let inner = DummyAuthorizer::new();
        config.set_authorizer(Undecided { inner, asked });
        config.auth_failed_timeout = Duration::from_secs(3600);
    };
    let set_up = |server: &mut FTPServer| server.set_max_cons_per_ip(1);
    let server = Server::build(Mode::Clear, "127.0.0.1", change, set_up, |_| {
        ftpdlib::handlers::StockHandler
    });
    let mut client = server.connect();
    client.expect(331, format!("USER {USER}"));
    client.send("PASS perhaps\r\n");
    let _answer = answers.recv_timeout(DEADLINE).unwrap();
    reset(client.socket);
    let mut next = None;
    wait_for("its slot", || {
        let mut client = server.client();
        let admitted = client.reply().0 == 220;
        next = admitted.then_some(client);
        admitted
    });
    let mut client = next.unwrap();
    client.expect(331, format!("USER {USER}"));
    client.send("PASS wrong\r\n");
    assert!(answers.recv_timeout(DEADLINE).unwrap().is_none());
    reset(client.socket);
    server.client().expect_reply(421);
}

#[cfg(feature = "cli")]
mod descriptors {
    use std::net::TcpStream;

    use testkit::{Client, Program};

    use super::*;

    #[test]
    fn the_soft_limit_is_raised() {
        let program = Program::start_after(
            "ulimit -S -n 64; ulimit -H -n 640",
            FTPDLIB,
            Mode::Clear,
            &[],
        );
        assert_eq!(program.descriptors_max(), 640);
        assert!(!program.log().contains("max_cons"), "{}", program.log());
    }

    #[test]
    fn more_connections_than_open_files_are_logged() {
        let program = Program::start_after(
            "ulimit -n 200",
            FTPDLIB,
            Mode::Clear,
            &["--max-cons", "50000"],
        );
        let line = "max_cons is 50000, but the system allows 200 open files: \
                    lower max_cons or raise ulimit -n";
        assert_eq!(program.log().matches(line).count(), 1, "{}", program.log());
    }

    #[test]
    fn what_connections_take_depends_on_the_model() {
        let warnings = |model: &str, max_cons: &str| {
            let args = ["--max-cons", max_cons, "--concurrency", model];
            let program = Program::start_after("ulimit -n 200", FTPDLIB, Mode::Clear, &args);
            let log = program.log();
            let lines = log.lines().filter(|line| line.contains("max_cons is"));
            let texts = lines.filter_map(|line| Some(line.split_once("files")?.1.to_owned()));
            texts.collect::<Vec<_>>()
        };
        assert!(warnings("async", "100").is_empty());
        assert_eq!(
            warnings("multi-thread", "100"),
            [", of which each connection takes 3: lower max_cons or raise ulimit -n"]
        );
        // Each process may open as many.
        assert!(warnings("multi-proc", "50000").is_empty());
    }

    /// Connects clients until one is refused.
    fn fill(program: &Program) -> Vec<Client> {
        let mut clients = Vec::new();
        loop {
            let mut client = program.client();
            match client.reply().0 {
                220 => clients.push(client),
                code => {
                    assert_eq!(code, 421);
                    client.expect_eof();
                    break;
                }
            }
            assert!(clients.len() < 64);
        }
        for client in &mut clients {
            client.login(USER, PASSWORD);
        }
        clients
    }

    #[test]
    fn the_last_ones_are_for_transfers() {
        let program = Program::start_after("ulimit -n 64", FTPDLIB, Mode::Clear, &[]);
        std::fs::write(program.home.path().join("file"), "content").unwrap();
        let mut clients = fill(&program);
        assert!(clients.len() > 20, "{}", clients.len());
        // A listener or a connection, and a file: for some of them at once.
        let data: Vec<_> = clients[..5].iter_mut().map(Client::pasv).collect();
        for (client, mut data) in clients.iter_mut().zip(data) {
            client.begin("RETR file");
            assert_eq!(testkit::read_all(&mut data), b"content");
            client.expect_reply(226);
        }
        clients[20].upload("STOR new", "other");
        // When one transfer ends, another one may begin.
        let mut last = clients.pop().unwrap();
        last.expect(221, "QUIT");
        last.expect_eof();
        let mut next = program.login();
        assert_eq!(next.download("RETR new"), b"other");
    }

    /// A connection with a thread takes more descriptors than its socket, and many are accepted
    /// before the first thread starts.
    #[test]
    fn the_last_ones_are_for_transfers_of_threads() {
        let program = Program::start_after(
            "ulimit -n 64",
            FTPDLIB,
            Mode::Clear,
            &["--concurrency", "multi-thread"],
        );
        std::fs::write(program.home.path().join("file"), "content").unwrap();
        let mut client = program.login();
        program.signal("STOP");
        let mut waiting: Vec<_> = (0..60).map(|_| program.client()).collect();
        program.signal("CONT");
        // None is closed without a reply.
        waiting.retain_mut(|client| match client.reply().0 {
            220 => true,
            code => {
                assert_eq!(code, 421);
                client.expect_eof();
                false
            }
        });
        assert!((5..20).contains(&waiting.len()), "{}", waiting.len());
        assert_eq!(client.download("RETR file"), b"content");
        waiting[0].login(USER, PASSWORD);
        waiting[0].upload("STOR new", "other");
        assert_eq!(program.log().matches("has no loop").count(), 0);
        // They make room.
        drop(waiting);
        wait_for("a slot", || program.client().reply().0 == 220);
    }

    #[test]
    fn without_any_it_neither_spins_nor_stops_listening() {
        let program = Program::start_after("ulimit -n 64", FTPDLIB, Mode::Clear, &[]);
        let mut clients = fill(&program);
        // Listeners take the reserve.
        let mut listening = 0;
        while clients[listening].command("PASV").0 == 227 {
            listening += 1;
        }
        // These wait to be accepted.
        let waiting: Vec<_> = (0..30)
            .map(|_| TcpStream::connect(program.address).unwrap())
            .collect();
        wait_for("the error", || program.log().contains("cannot accept"));
        program.await_calm(Duration::from_millis(500), Duration::from_millis(100));
        assert_eq!(program.log().matches("cannot accept").count(), 1);
        // Connected clients are served, and get errors for what is not possible.
        clients[0].expect(200, "NOOP");
        clients[listening].expect(425, "EPSV");
        clients[listening].expect(550, "MLST .");
        // The waiting connections are accepted, and leave.
        for client in &mut clients[..listening] {
            client.expect(225, "ABOR");
        }
        drop(waiting);
        let mut last = clients.pop().unwrap();
        last.expect(221, "QUIT");
        last.expect_eof();
        wait_for("a slot", || {
            let mut late = program.client();
            late.reply().0 == 220
        });
        assert_eq!(clients[0].download("NLST"), b"");
    }
}

#[cfg(feature = "cli")]
mod processes {
    use testkit::{Client, Program};

    use super::*;

    fn login(program: &Program) -> Option<Client> {
        let mut client = program.client();
        client.expect_reply(220);
        client.expect(331, format!("USER {USER}"));
        match client.command(format!("PASS {PASSWORD}")) {
            (230, _) => Some(client),
            (code, text) => {
                assert_eq!((code, text.as_str()), (530, TOO_MANY_OF_USER));
                client.expect_eof();
                None
            }
        }
    }

    /// Logs in until a login is refused.
    fn fill(program: &Program, most: usize) -> Vec<Client> {
        let clients: Vec<_> = std::iter::from_fn(|| login(program)).take(99).collect();
        assert_eq!(clients.len(), most);
        clients
    }

    fn workers(program: &Program) -> Vec<String> {
        let log = program.log();
        let lines = log.lines().filter(|line| line.contains(">>> starting FTP"));
        let pid = |line: &str| Some(line.split_once("pid=")?.1.split_once(' ')?.0.to_owned());
        lines.filter_map(pid).collect()
    }

    fn kill(pid: &str) {
        let killed = std::process::Command::new("kill")
            .args(["-9", pid])
            .status();
        assert!(killed.unwrap().success());
    }

    #[test]
    fn workers_count_together_and_a_dead_one_gives_back() {
        let args = ["--concurrency", "pre-fork", "--workers", "3"];
        let program = Program::start(
            FTPDLIB,
            Mode::Clear,
            &[&args[..], &["--max-cons-per-user", "12"]].concat(),
        );
        wait_for("the workers", || workers(&program).len() == 3);
        let mut clients = fill(&program, 12);
        kill(&workers(&program)[0]);
        wait_for("another worker", || workers(&program).len() == 4);
        // The clients of the other workers are still connected.
        clients.retain_mut(|client| {
            client.send("NOOP\r\n");
            client.try_reply().is_some()
        });
        let rest = fill(&program, 12 - clients.len());
        // All slots are given back and can be taken again.
        drop((clients, rest));
        let mut clients = Vec::new();
        wait_for("all places", || {
            clients.extend(login(&program));
            clients.len() == 12
        });
        assert!(login(&program).is_none());
    }

    #[test]
    fn a_process_for_each_connection_counts_for_all() {
        let args = ["--concurrency", "multi-proc", "--max-cons-per-user", "3"];
        let program = Program::start(FTPDLIB, Mode::Clear, &args);
        let mut clients = fill(&program, 3);
        assert_eq!(clients[0].download("NLST"), b"");
        clients[0].expect(221, "QUIT");
        clients[0].expect_eof();
        wait_for("a slot", || {
            clients[0] = match login(&program) {
                Some(client) => client,
                None => return false,
            };
            true
        });
        assert!(login(&program).is_none());
        // Data connections of other processes count, too.
        let program = Program::start(
            FTPDLIB,
            Mode::Clear,
            &["--concurrency", "multi-proc", "--max-cons", "4"],
        );
        let mut clients = [login(&program).unwrap(), login(&program).unwrap()];
        let _data = clients[0].pasv();
        clients[0].begin("STOR file");
        let mut late = program.client();
        late.expect_reply(421);
    }
}

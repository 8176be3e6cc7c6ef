//! Servers of library users that fork, or that have a thread for each session.
//!
//! This binary plays each of these servers when it is started with a role, and runs their tests
//! otherwise. It does without the usual harness, since a process with threads cannot be forked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "tests tell how they went")]

use std::any::Any;
use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::thread;
use std::time::{Duration, Instant};

use ftpdlib::handlers::{CmdArg, commands};
use ftpdlib::log::config_logging;
use ftpdlib::prefork::{Role, fork_processes};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{
    FTPConfig, FTPHandler, FTPServer, FTPSession, MultiprocessFTPServer, ThreadedFTPServer,
};
use log::LevelFilter;
use rustix::process::set_parent_process_death_signal;
use testkit::{Client, Mode, Program, USER, Way, begin, parse_227, signal, store, wait_for};

fn main() -> ExitCode {
    if let Some(role) = env::var_os(ROLE) {
        return play(role.to_str().unwrap());
    }
    let words: Vec<_> = env::args().skip(1).collect();
    let wanted = |name: &str| {
        let mut words = words.iter().filter(|word| !word.starts_with('-'));
        words.clone().next().is_none() || words.any(|word| name.contains(word))
    };
    let tests = TESTS.iter().filter(|(name, _)| wanted(name));
    let tests: Vec<_> = tests
        .map(|(name, test)| (name, thread::spawn(test)))
        .collect();
    let mut failed = 0;
    for (name, test) in tests {
        let result = test.join();
        failed += usize::from(result.is_err());
        println!(
            "test {name} ... {}",
            if result.is_ok() { "ok" } else { "FAILED" }
        );
    }
    ExitCode::from(u8::from(failed > 0))
}

const TESTS: &[(&str, fn())] = &[
    (
        "restarts_are_paused_and_bounded",
        restarts_are_paused_and_bounded,
    ),
    ("workers_have_numbers", workers_have_numbers),
    (
        "workers_forked_by_the_caller_get_signals",
        workers_forked_by_the_caller_get_signals,
    ),
    ("sighup_ends_no_server", sighup_ends_no_server),
    (
        "a_blocked_session_delays_no_other",
        a_blocked_session_delays_no_other,
    ),
    (
        "sessions_are_known_in_their_process",
        sessions_are_known_in_their_process,
    ),
    ("limits_are_those_of_all", limits_are_those_of_all),
    (
        "processes_share_the_addresses_of_names",
        processes_share_the_addresses_of_names,
    ),
    (
        "children_of_others_are_theirs",
        children_of_others_are_theirs,
    ),
    (
        "processes_are_reaped_without_signals",
        processes_are_reaped_without_signals,
    ),
    ("close_all_ends_them", close_all_ends_them),
    (
        "a_blocked_session_does_not_delay_the_end",
        a_blocked_session_does_not_delay_the_end,
    ),
    (
        "two_signals_end_a_stuck_process",
        two_signals_end_a_stuck_process,
    ),
    (
        "workers_have_threads_of_their_own",
        workers_have_threads_of_their_own,
    ),
    (
        "the_end_waits_for_parked_sessions",
        the_end_waits_for_parked_sessions,
    ),
    (
        "processes_notice_that_their_parent_is_gone",
        processes_notice_that_their_parent_is_gone,
    ),
    (
        "silent_uploads_are_taken_over_from_elsewhere",
        silent_uploads_are_taken_over_from_elsewhere,
    ),
];

// --- the roles

/// The name of the role to play.
const ROLE: &str = "FTPDLIB_TEST_ROLE";

fn play(role: &str) -> ExitCode {
    config_logging(LevelFilter::Info).unwrap();
    let result = match role {
        "crash" => fork_processes(1, 3).map(|role| match role {
            Role::Worker(_) => 7,
            Role::Master(status) => status,
        }),
        "numbers" => fork_processes(3, 0).map(|role| {
            println!("{role:?}");
            0
        }),
        "own" => own_workers(),
        _ => serve(role),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(err) => {
            println!("{err}");
            ExitCode::from(1)
        }
    }
}

fn own_workers() -> io::Result<u8> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    if let Role::Master(status) = fork_processes(2, 100)? {
        return Ok(status);
    }
    let mut server = FTPServer::from_listener(listener, config(), |_peer| Waiter)?;
    server.serve_forever()?;
    Ok(server.exit_status())
}

fn serve(role: &str) -> io::Result<u8> {
    let address = "127.0.0.1:0";
    let factory = |_peer: SocketAddr| Waiter;
    let mut config = config();
    if role.contains(" silence_ms=1") {
        config.upload_silence = Duration::from_millis(1);
    }
    let mut words = role.split(' ');
    let mut server: FTPServer = match words.next() {
        Some("threads") => ThreadedFTPServer::bind(address, config, factory)?.into(),
        Some("processes") => MultiprocessFTPServer::bind(address, config, factory)?.into(),
        _ => FTPServer::bind(address, config, factory)?,
    };
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        let value: usize = value.parse().unwrap();
        match name {
            "workers" => server.set_worker_processes(value),
            "max_cons" => server.set_max_cons(value),
            "max_cons_per_ip" => server.set_max_cons_per_ip(value),
            "drain_for_ever" => server.set_drain_timeout(Duration::MAX),
            "drain_ms" => server.set_drain_timeout(Duration::from_millis(value as u64)),
            "masquerade" => server.set_masquerade_name(None, &format!("127.0.0.{value}"))?,
            "silence_ms" => {}
            "signals" => server.handle_signals(value > 0),
            "close" => return close(server),
            "child" => return serve_with_child(server),
            _ => panic!("{name}"),
        }
    }
    server.serve_forever()?;
    Ok(server.exit_status())
}

/// Turns the loop until a file of this name exists, and closes the server.
fn close(mut server: FTPServer) -> io::Result<u8> {
    eprintln!("starting FTP server on {}, here", server.address());
    while !home().join("close").exists() {
        server.turn(Some(Duration::from_millis(5)))?;
    }
    server.close_all();
    Ok(0)
}

/// Starts a child that ends before all others; its exit status is the result.
fn serve_with_child(mut server: FTPServer) -> io::Result<u8> {
    let mut child = Command::new("sh").args(["-c", "exit 5"]).spawn()?;
    server.serve_forever()?;
    let status = child.wait()?.code();
    Ok(status.and_then(|code| u8::try_from(code).ok()).unwrap_or(0))
}

fn home() -> PathBuf {
    env::current_dir().unwrap()
}

fn config() -> FTPConfig {
    let mut config = testkit::config(Mode::Clear, &home());
    for name in ["XWAIT", "XWORK", "XPID", "XDEAF", "XLIST", "XDROP"] {
        let command = ProtoCmd {
            perm: None,
            auth: true,
            arg: Arg::Optional,
            help: "".into(),
        };
        config.proto_cmds.insert(name, command);
    }
    config
}

struct Waiter;

impl FTPHandler for Waiter {
    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        let arg = arg.to_text().into_owned();
        match cmd {
            "XPID" => s.respond(format!("250 {}", std::process::id())),
            // As the kernel does when a process changes its credentials.
            "XDEAF" => {
                set_parent_process_death_signal(None).unwrap();
                s.respond("250 Deaf.");
            }
            // Both wait until the test lets go.
            "XWAIT" => {
                wait_at(&arg);
                s.respond("250 Waited.");
            }
            "XWORK" => {
                let then = |s: &mut FTPSession, ()| s.respond("250 Worked.");
                s.offload(move || wait_at(&arg), then).unwrap();
            }
            "XLIST" => {
                let (remote, id) = (s.remote(), s.id());
                let sessions = s.sessions();
                sessions.list_later(move |list| remote.send(id, Box::new(list.len())));
            }
            "XDROP" => s.sessions().close_user(USER),
            _ => commands::custom(s, cmd),
        }
    }

    fn on_message(&mut self, s: &mut FTPSession, message: Box<dyn Any + Send>) {
        let listed = message.downcast::<usize>().unwrap();
        s.respond(format!("250 {listed}"));
    }
}

/// Waits until the test lets go at this address.
fn wait_at(address: &str) {
    let mut gate = TcpStream::connect(address).unwrap();
    let _ = gate.read(&mut [0]);
}

// --- what the tests share

fn command(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(ROLE, role);
    command
}

/// Starts a role that serves.
fn start(role: &str) -> Program {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(role);
    command.current_dir(home.path());
    Program::spawn(command, home)
}

/// Runs a role that does not serve; returns its output.
fn run(role: &str) -> (Output, String) {
    let output = command(role).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// The place where sessions wait for the test.
struct Gate(TcpListener);

impl Gate {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Makes a session wait; it goes on when the returned value is dropped.
    fn hold(&self, client: &mut Client, command: &str) -> TcpStream {
        let address = self.0.local_addr().unwrap();
        client.send(format!("{command} {address}\r\n"));
        self.0.set_nonblocking(true).unwrap();
        let mut held = None;
        wait_for("a session at the gate", || {
            held = self.0.accept().ok();
            held.is_some()
        });
        held.unwrap().0
    }
}

// --- the tests

fn restarts_are_paused_and_bounded() {
    let start = Instant::now();
    let (output, text) = run("crash");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("too many restarts"), "{text}");
    // The restarts come at once, after 100 ms and after 200 ms.
    assert!(start.elapsed() >= Duration::from_millis(300));
    let log = String::from_utf8_lossy(&output.stderr);
    let deaths = |rest: &str| log.matches(&format!("exited with status 7{rest}")).count();
    assert_eq!(deaths(", restarting\n"), 3, "{log}");
    assert_eq!(
        deaths("; too many restarts, ending all workers\n"),
        1,
        "{log}"
    );
}

fn workers_have_numbers() {
    let (output, text) = run("numbers");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let mut roles: Vec<_> = text.lines().collect();
    roles.sort_unstable();
    assert_eq!(roles, ["Master(0)", "Worker(0)", "Worker(1)", "Worker(2)"]);
}

fn workers_forked_by_the_caller_get_signals() {
    for (name, status) in [("TERM", 0), ("INT", 0)] {
        let mut program = start("own");
        let mut clients: Vec<_> = (0..8).map(|_| program.connect()).collect();
        program.signal(name);
        for client in &mut clients {
            client.expect_reply(421);
            client.expect_eof();
        }
        assert_eq!(program.wait().code(), Some(status), "{}", program.log());
    }
}

/// How many processes have nothing to read again.
fn sighup_ends_no_server() {
    for (role, lines) in [
        ("async", 1),
        ("async workers=2", 1),
        ("own", 2),
        ("threads", 1),
        ("processes", 1),
    ] {
        let program = start(role);
        let mut client = program.login();
        wait_for("all workers", || {
            let starts = program.log().matches(">>> starting").count();
            starts == if role.contains('w') { 2 } else { 1 }
        });
        let text = "SIGHUP: there is nothing to read again\n";
        program.signal("HUP");
        wait_for(role, || program.log().matches(text).count() == lines);
        client.expect(200, "NOOP");
        drop(program.login());
        program.stop();
    }
}

/// A new process does not know the sessions of its parent, or of its brothers.
fn sessions_are_known_in_their_process() {
    for (role, known) in [("threads", 3), ("processes", 1)] {
        let program = start(role);
        let mut clients: Vec<_> = (0..3).map(|_| program.login()).collect();
        for client in &mut clients {
            assert_eq!(client.expect(250, "XLIST"), format!("250 {known}"));
        }
        clients[0].send("XDROP\r\n");
        for (number, client) in clients.iter_mut().enumerate() {
            match number < known {
                true => {
                    client.expect_reply(421);
                    client.expect_eof();
                }
                false => drop(client.expect(200, "NOOP")),
            }
        }
    }
}

fn a_blocked_session_delays_no_other() {
    for role in ["threads", "processes"] {
        let mut program = start(role);
        let gate = Gate::new();
        let mut blocked: Vec<_> = (0..3).map(|_| program.login()).collect();
        let holds: Vec<_> = blocked
            .iter_mut()
            .map(|client| gate.hold(client, "XWAIT"))
            .collect();
        let mut other = program.login();
        other.expect(200, "NOOP");
        other.upload("STOR file", "content");
        assert_eq!(other.download("RETR file"), b"content");
        let own = other.expect(250, "XPID");
        let is_same = own == blocked_pid(&program);
        assert_eq!(is_same, role == "threads");
        assert!(blocked.iter().all(Client::is_silent));
        drop(holds);
        for client in &mut blocked {
            client.expect_reply(250);
            client.expect(221, "QUIT");
            client.expect_eof();
        }
        drop((other, blocked));
        wait_for("their end", || program.children().is_empty());
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    }
}

/// The reply that the program itself would give to XPID.
fn blocked_pid(program: &Program) -> String {
    format!("250 {}", program.pid())
}

fn limits_are_those_of_all() {
    for role in ["threads", "processes"] {
        // The server's own socket counts, too.
        let program = start(&format!("{role} max_cons=4"));
        turned_away_after(&program, 3);
        let program = start(&format!("{role} max_cons_per_ip=2"));
        let clients = turned_away_after(&program, 2);
        let mut other = Client::connect_from(Mode::Clear, "127.0.0.2", program.address);
        other.expect_reply(220);
        // A client that leaves makes room.
        drop(clients);
        wait_for("room", || {
            let mut client = program.client();
            client.reply().0 == 220
        });
    }
}

/// Whichever process asks for the address of a name, and whichever serves.
fn processes_share_the_addresses_of_names() {
    for role in [
        "async masquerade=3",
        "async workers=2 masquerade=3",
        "threads masquerade=3",
        "processes masquerade=3",
    ] {
        let program = start(role);
        for _ in 0..4 {
            let mut client = program.login();
            wait_for("the address", || {
                let reply = client.expect(227, "PASV");
                parse_227(&reply).ip().to_string() == "127.0.0.3"
            });
        }
        program.stop();
    }
}

#[track_caller]
fn turned_away_after(program: &Program, count: usize) -> Vec<Client> {
    let clients: Vec<_> = (0..count).map(|_| program.connect()).collect();
    let mut late = program.client();
    late.expect_reply(421);
    late.expect_eof();
    clients
}

fn children_of_others_are_theirs() {
    let mut program = start("processes max_cons_per_ip=1 child=1");
    for _ in 0..3 {
        // The client before makes room.
        wait_for("room", || {
            let mut client = program.client();
            client.reply().0 == 220
        });
    }
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(5), "{}", program.log());
}

/// No signal says that the process of a connection has ended: the loop looks by itself.
fn processes_are_reaped_without_signals() {
    let program = start("processes signals=0");
    let mut client = program.login();
    assert_eq!(program.children().len(), 1);
    client.expect(221, "QUIT");
    wait_for("the end of the process", || program.children().is_empty());
    // The signals are those of the host, which has no handler.
    let mut program = program;
    program.signal("TERM");
    assert_eq!(program.wait().code(), None);
}

fn close_all_ends_them() {
    for role in ["threads", "processes"] {
        let mut program = start(&format!("{role} close=1"));
        let gate = Gate::new();
        let mut idle: Vec<_> = (0..3).map(|_| program.login()).collect();
        let mut blocked = program.login();
        let _hold = gate.hold(&mut blocked, "XWAIT");
        std::fs::write(program.home.path().join("close"), "").unwrap();
        for client in &mut idle {
            // The sessions end without waiting, but get a reply if there is time.
            while client.try_reply().is_some() {}
        }
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
        blocked.expect_eof();
    }
}

fn a_blocked_session_does_not_delay_the_end() {
    for role in ["threads", "processes"] {
        let mut program = start(&format!("{role} drain_ms=100"));
        let gate = Gate::new();
        let mut blocked = program.login();
        let _hold = gate.hold(&mut blocked, "XWAIT");
        program.signal("TERM");
        // It had to be forced.
        assert_eq!(program.wait().code(), Some(128 + 15), "{}", program.log());
        blocked.expect_eof();
        // The wait for it is bounded, and is not repeated.
        let waits = || program.log().matches("remained alive").count();
        let expected = usize::from(role == "threads");
        wait_for("all of the log", || waits() >= expected);
        assert_eq!(waits(), expected, "{}", program.log());
    }
}

/// The loop of an async server, or of a worker, does not handle the signals.
fn two_signals_end_a_stuck_process() {
    for role in ["async", "async workers=2", "threads", "processes"] {
        let mut program = start(&format!("{role} drain_for_ever=1"));
        let gate = Gate::new();
        let mut blocked = program.login();
        let _hold = gate.hold(&mut blocked, "XWAIT");
        // They differ, since the system merges two pending signals of one kind.
        program.signal("INT");
        program.signal("TERM");
        let code = program.wait().code();
        assert!(
            matches!(code, Some(130 | 143)),
            "{code:?}: {}",
            program.log()
        );
        blocked.expect_eof();
    }
}

/// They are started after the fork.
fn workers_have_threads_of_their_own() {
    let program = start("async workers=1");
    for _ in 0..2 {
        let gate = Gate::new();
        let mut parked = program.login();
        let hold = gate.hold(&mut parked, "XWORK");
        let mut other = program.login();
        let worker = other.expect(250, "XPID");
        assert!(parked.is_silent());
        drop(hold);
        parked.expect_reply(250);
        // The next worker has threads, too.
        assert!(signal("KILL", &worker[4..]));
        other.expect_eof();
    }
}

fn the_end_waits_for_parked_sessions() {
    for role in ["async", "async workers=2", "threads", "processes"] {
        let mut program = start(&format!("{role} drain_ms=600000"));
        let gate = Gate::new();
        let mut parked = program.login();
        let hold = gate.hold(&mut parked, "XWORK");
        let mut idle = program.login();
        program.signal("TERM");
        idle.expect_reply(421);
        idle.expect_eof();
        assert!(parked.is_silent());
        drop(hold);
        assert_eq!(parked.expect_reply(250), "250 Worked.");
        parked.expect_reply(421);
        parked.expect_eof();
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    }
}

/// Also those to which the kernel sends no signal about it. Their jobs go on.
fn processes_notice_that_their_parent_is_gone() {
    for role in ["async workers=2", "processes"] {
        let mut program = start(&format!("{role} drain_ms=600000"));
        let mut idle = program.login();
        idle.expect(250, "XDEAF");
        let gate = Gate::new();
        let mut parked = program.login();
        parked.expect(250, "XDEAF");
        let hold = gate.hold(&mut parked, "XWORK");
        program.signal("KILL");
        idle.expect_reply(421);
        idle.expect_eof();
        assert!(parked.is_silent());
        drop(hold);
        assert_eq!(parked.expect_reply(250), "250 Worked.");
        parked.expect_reply(421);
        parked.expect_eof();
        // All of them.
        program.wait();
    }
}

/// A client that has lost its connection comes again, and another process or thread serves it.
fn silent_uploads_are_taken_over_from_elsewhere() {
    for role in ["async workers=3", "threads", "processes"] {
        let program = start(&format!("{role} silence_ms=1"));
        let mut holder = program.login();
        let (mut data, _) = begin(&mut holder, Way::Early, "STOR a");
        data.write_all(b"first").unwrap();
        let process = holder.expect(250, "XPID");
        let mut client = program.login();
        wait_for("a session elsewhere", || {
            let elsewhere = role == "threads" || client.expect(250, "XPID") != process;
            if !elsewhere {
                client = program.login();
            }
            elsewhere
        });
        wait_for("the take-over", || {
            let (code, reply) = client.command("STOR a");
            assert!(matches!(code, 150 | 450), "{reply}");
            code == 150
        });
        let reply = holder.expect_reply(426);
        assert!(reply.starts_with("426 Transfer aborted;"), "{reply}");
        drop(data);
        client.abort();
        store(&mut client, Way::Early, "STOR a", b"whole");
        assert_eq!(program.read("a"), b"whole");
    }
}

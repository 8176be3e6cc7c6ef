//! Workers as processes: how connections are spread, what happens when a worker dies, what the
//! workers count together, and how signals reach them.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use rustls::pki_types::CertificateDer;
use socket2::SockRef;
use testkit::authority::{Pair, client};
use testkit::{
    Client, DEADLINE, Mode, Program, await_refusal, drain, set_deadlines, signal, sparse, wait_for,
};

/// The path of the program.
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

fn prefork(workers: usize, args: &[&str]) -> Program {
    let workers = workers.to_string();
    let prefork = ["--concurrency", "pre-fork", "--workers", &workers];
    Program::start(FTPDLIB, Mode::Clear, &[&prefork, args].concat())
}

/// Waits until this many workers have begun to serve, dead ones included.
#[track_caller]
fn await_starts(program: &Program, count: usize) {
    wait_for("the workers", || starts(program) == count);
}

fn starts(program: &Program) -> usize {
    program.log().matches(">>> starting FTP server").count()
}

fn kill(pid: u32) {
    assert!(signal("KILL", &pid.to_string()));
}

/// Checks that the port is free at once.
#[track_caller]
fn expect_free(address: SocketAddr) {
    drop(TcpListener::bind(address).unwrap());
}

#[test]
fn there_are_as_many_as_were_asked_for() {
    let cpus = thread::available_parallelism().unwrap().get();
    for (asked, expected) in [(3, 3), (1, 1), (0, cpus)] {
        let program = prefork(asked, &[]);
        await_starts(&program, expected);
        assert_eq!(program.children().len(), expected);
        let line = format!("starting {expected} pre-fork processes");
        assert!(program.log().contains(&line), "{}", program.log());
        drop(program.login());
    }
}

// --- how connections are spread

#[test]
fn connections_are_spread_evenly() {
    // As many as this process may open.
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.split("Max open files").nth(1).unwrap();
    let files = files.split_whitespace().next().unwrap().parse::<usize>();
    let count = files.unwrap_or(usize::MAX).saturating_sub(200).min(1000);
    for workers in [2, 4] {
        let program = prefork(workers, &["--max-cons", "0"]);
        await_starts(&program, workers);
        let sockets = |pid: &u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
            let links = files.filter_map(|file| fs::read_link(file.path()).ok());
            let is_socket = |link: &PathBuf| link.to_string_lossy().starts_with("socket:");
            links.filter(is_socket).count()
        };
        let pids = program.children();
        let before: Vec<_> = pids.iter().map(sockets).collect();
        let clients: Vec<_> = (0..count).map(|_| program.connect()).collect();
        let held = pids.iter().map(sockets).zip(before);
        let held: Vec<_> = held.map(|(now, before)| now - before).collect();
        let share = count / workers;
        let is_even = |held: &usize| held.abs_diff(share) * 4 <= share;
        assert!(held.iter().all(is_even), "{held:?}");
        drop(clients);
    }
}

/// The connections of all workers have the same options: urgent data, which clients send before
/// ABOR, is read in line.
#[test]
fn an_urgent_abor_reaches_every_worker() {
    let program = prefork(4, &[]);
    await_starts(&program, 4);
    sparse(&program.home.path().join("big"), testkit::BIG);
    // The chance that one listening socket gets all of them is one in millions.
    for _ in 0..12 {
        let mut client = program.login();
        let _data = client.pasv();
        client.begin("RETR big");
        let command = b"ABOR\r\n";
        let sent = SockRef::from(&*client.socket)
            .send_out_of_band(command)
            .unwrap();
        assert_eq!(sent, command.len());
        client.expect_reply(426);
        client.expect_reply(226);
    }
}

/// What happened to a client.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Served,
    /// The worker ended during the connection, or before it was accepted.
    Cut,
}

/// Connects and quits; returns the port of the client, too.
fn visit(address: SocketAddr) -> (Fate, u16) {
    let mut socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    set_deadlines(&socket);
    let port = socket.local_addr().unwrap().port();
    let mut replies = Vec::new();
    let sent = socket.write_all(b"QUIT\r\n");
    let result = sent.and_then(|()| socket.read_to_end(&mut replies));
    let late = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!result.is_err_and(|err| late(err.kind())), "no reply");
    let replies = String::from_utf8(replies).unwrap();
    match replies.starts_with("220 ") && replies.contains("\r\n221 ") {
        true => (Fate::Served, port),
        false => (Fate::Cut, port),
    }
}

#[test]
fn a_killed_worker_takes_its_own_clients_along_only() {
    let program = prefork(2, &["--debug"]);
    await_starts(&program, 2);
    let (served, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let storm = || {
        let mut cut = Vec::new();
        while !over.load(SeqCst) {
            match visit(program.address) {
                (Fate::Served, _) => drop(served.fetch_add(1, SeqCst)),
                (Fate::Cut, port) => cut.push(port),
            }
        }
        cut
    };
    const KILLS: usize = 3;
    let cut = thread::scope(|scope| {
        let storms: Vec<_> = (0..8).map(|_| scope.spawn(storm)).collect();
        let _over = OnDrop(|| over.store(true, SeqCst));
        for turn in 1..=KILLS {
            let more = served.load(SeqCst) + 200;
            wait_for("clients", || served.load(SeqCst) >= more);
            let victim = program.children()[turn % 2];
            kill(victim);
            let line = format!("(pid {victim}) killed by signal 9, restarting");
            wait_for("its end", || program.log().contains(&line));
            await_starts(&program, 2 + turn);
            assert_eq!(program.children().len(), 2);
        }
        over.store(true, SeqCst);
        let cut = storms.into_iter().map(|storm| storm.join().unwrap());
        cut.collect::<Vec<_>>().concat()
    });
    // Each client that was cut had been accepted, except for those that a worker may have just
    // accepted when it died: it accepts four at once.
    let log = program.log();
    let is_unknown = |port: &&u16| {
        let line = format!("127.0.0.1:{port}-[] FTP session opened");
        !log.contains(&line)
    };
    let unknown: Vec<_> = cut.iter().filter(is_unknown).collect();
    assert!(
        unknown.len() <= 4 * KILLS,
        "{} of {}",
        unknown.len(),
        cut.len()
    );
}

/// Calls a function at the end, also when a test fails.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A client that connects to a worker that is ending must not wait for ever.
#[test]
fn a_worker_that_ends_alone_is_replaced() {
    let mut program = prefork(2, &[]);
    await_starts(&program, 2);
    let first = program.children()[0];
    assert!(signal("TERM", &first.to_string()));
    let line = format!("(pid {first}) exited normally, restarting");
    wait_for("its end", || program.log().contains(&line));
    let clients: Vec<_> = (0..32).map(|_| program.connect()).collect();
    assert_eq!(program.children().len(), 2);
    drop(clients);
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

// --- what they count together

/// Connects this many clients, and checks that one more is refused.
#[track_caller]
fn fill(program: &Program, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    wait_for("places", || {
        let mut client = program.client();
        match client.reply() {
            (220, _) => clients.push(client),
            (code, text) => {
                assert_eq!(code, 421, "{text}");
                client.expect_eof();
            }
        }
        clients.len() == count
    });
    let mut late = program.client();
    late.expect_reply(421);
    late.expect_eof();
    clients
}

#[test]
fn limits_are_those_of_all_workers() {
    // The server's own socket counts, too.
    let program = prefork(3, &["--max-cons", "9"]);
    await_starts(&program, 3);
    let mut clients = fill(&program, 8);
    // A worker that is killed gives back its own slots and no others.
    kill(program.children()[1]);
    await_starts(&program, 4);
    clients.retain_mut(|client| {
        client.send("NOOP\r\n");
        client.try_reply().is_some()
    });
    let more = fill(&program, 8 - clients.len());
    drop((clients, more));
    fill(&program, 8);
}

#[test]
fn an_address_has_its_limit_over_all_workers() {
    let program = prefork(3, &["--max-cons-per-ip", "6"]);
    await_starts(&program, 3);
    let clients = fill(&program, 6);
    let mut other = Client::connect_from(Mode::Clear, "127.0.0.2", program.address);
    other.expect_reply(220);
    drop(clients);
    fill(&program, 6);
}

// --- signals

#[test]
fn all_end_when_the_master_gets_a_signal() {
    for name in ["TERM", "INT"] {
        let mut program = prefork(2, &[]);
        await_starts(&program, 2);
        let mut clients: Vec<_> = (0..10).map(|_| program.connect()).collect();
        program.signal(name);
        clients.iter_mut().for_each(Client::expect_shutdown);
        let workers = program.children();
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
        expect_free(program.address);
        for pid in workers {
            let line = format!("(pid {pid}) exited normally\n");
            assert!(program.log().contains(&line), "{}", program.log());
        }
    }
}

/// A terminal sends SIGINT to the workers, too, and service managers send SIGTERM to all: that
/// counts as one signal, not two.
#[test]
fn a_signal_to_all_cuts_nothing() {
    for name in ["INT", "TERM"] {
        for model in [
            ["--concurrency", "pre-fork", "--workers", "2"].as_slice(),
            &["--concurrency", "multi-proc"],
        ] {
            let mut program = Program::start(
                FTPDLIB,
                Mode::Clear,
                &[model, &["--drain-timeout", "60"]].concat(),
            );
            sparse(&program.home.path().join("big"), testkit::BIG);
            let mut client = program.login();
            let mut data = client.pasv();
            client.begin("RETR big");
            program.signal_all(name);
            await_refusal(program.address);
            assert_eq!(drain(&mut data), testkit::BIG);
            client.expect_reply(226);
            client.expect_shutdown();
            assert_eq!(program.wait().code(), Some(0), "{}", program.log());
        }
    }
}

#[test]
fn a_worker_that_does_not_end_is_killed() {
    let mut program = prefork(2, &["--drain-timeout", "0.2"]);
    await_starts(&program, 2);
    assert!(signal("STOP", &program.children()[0].to_string()));
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(128 + 15), "{}", program.log());
    let log = program.log();
    assert!(log.contains("workers do not end, and are killed"), "{log}");
    assert!(log.contains("killed by signal 9\n"), "{log}");
    assert!(log.contains("exited normally\n"), "{log}");
    expect_free(program.address);
}

#[test]
fn workers_notice_that_the_master_is_gone() {
    let mut program = prefork(2, &["--drain-timeout", "60"]);
    await_starts(&program, 2);
    sparse(&program.home.path().join("big"), testkit::BIG);
    let mut idle: Vec<_> = (0..10).map(|_| program.connect()).collect();
    let mut client = program.login();
    let mut data = client.pasv();
    client.begin("RETR big");
    program.signal("KILL");
    idle.iter_mut().for_each(Client::expect_shutdown);
    await_refusal(program.address);
    assert_eq!(drain(&mut data), testkit::BIG);
    client.expect_reply(226);
    client.expect_shutdown();
    // All of them, since no other process waits for the workers.
    program.wait();
    expect_free(program.address);
}

/// A worker that has died before does not count as forced to end.
#[test]
fn a_worker_killed_before_the_end_is_no_part_of_it() {
    let mut program = prefork(2, &[]);
    await_starts(&program, 2);
    program.signal("STOP");
    let victim = program.children()[0];
    kill(victim);
    wait_for("its end", || {
        let stat = fs::read_to_string(format!("/proc/{victim}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('Z')
    });
    program.signal("TERM");
    program.signal("CONT");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

/// No other process ends them any more.
#[test]
fn a_second_signal_counts_once_the_master_is_gone() {
    for name in ["TERM", "INT"] {
        let mut program = prefork(2, &["--drain-timeout", "600"]);
        await_starts(&program, 2);
        sparse(&program.home.path().join("big"), testkit::BIG);
        let mut idle: Vec<_> = (0..10).map(|_| program.connect()).collect();
        let mut client = program.login();
        let _data = client.pasv();
        client.begin("RETR big");
        program.signal("KILL");
        idle.iter_mut().for_each(Client::expect_shutdown);
        program.signal_all(name);
        program.wait();
        expect_free(program.address);
    }
}

// --- TLS

/// The certificate that a new client gets.
fn shown(address: SocketAddr) -> CertificateDer<'static> {
    Client::connect_implicit(address, &Arc::new(client(None))).certificate()
}

#[test]
fn certificates_are_read_again_by_all() {
    let dir = tempfile::tempdir().unwrap();
    let certfile = dir.path().join("both.pem");
    let write = |path: &Path| {
        let pair = Pair::new(&["localhost"]);
        fs::write(path, pair.both()).unwrap();
        pair.der
    };
    let old = write(&certfile);
    let args = ["--tls", "--tls-implicit", "--certfile"];
    let mut program = prefork(2, &[&args[..], &[certfile.to_str().unwrap()]].concat());
    await_starts(&program, 2);
    assert!(shown(program.address) == old);
    let new = write(&certfile);
    program.signal("HUP");
    let line = "TLS: certificates read again";
    wait_for("both", || program.log().matches(line).count() == 2);
    // Workers that start later have only the new one.
    let before: HashSet<_> = program.children().into_iter().collect();
    before.iter().for_each(|pid| kill(*pid));
    await_starts(&program, 4);
    for _ in 0..8 {
        assert!(shown(program.address) == new);
    }
    assert!(program.children().iter().all(|pid| !before.contains(pid)));
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

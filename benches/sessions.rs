//! Sessions: what a login, a small file and an idle session cost, and how long a command waits
//! while others transfer.
//!
//! FTPDLIB_BENCH_SESSIONS sets the maximum of idle sessions, FTPDLIB_BENCH_ROUNDS the rounds.
//! `cargo bench --bench sessions -- cpu calls idle latency` runs only these parts, `cpu-tls` only
//! one of them with TLS.

mod common;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Client, Samples, Server, Speech, Table, Target, descriptors, home, installed, micros, rounds,
    servers, setting, traced_calls, wanted, with_all_descriptors,
};

fn main() {
    if let Ok(address) = env::var(FETCH) {
        return fetch(address.parse().expect("an address"));
    }
    with_all_descriptors();
    let home = home();
    fs::write(home.path().join("small"), [b'x'; 1024]).expect("a file");
    let large = File::create(home.path().join("large")).expect("a file");
    large.set_len(256 << 20).expect("its size");

    let mut table = Table::new("sessions");
    for speech in [Speech::Clear, Speech::Tls] {
        if wanted(&speech.part("cpu")) {
            cpu(&mut table, speech, home.path());
        }
        if wanted(&speech.part("calls")) {
            calls(&mut table, speech, home.path());
        }
        if wanted(&speech.part("idle")) {
            idle(&mut table, speech, home.path());
        }
    }
    if wanted("latency") {
        latency(&mut table, home.path());
    }
    table.print();
}

// --- CPU time

fn cpu(table: &mut Table, speech: Speech, home: &Path) {
    let servers = servers(speech, home);
    let login = measure(&servers, |server| {
        for _ in 0..REPEATS {
            login(server);
        }
    });
    table.row(
        speech.row("login session: CPU us"),
        &login.0,
        Target::Ratio(0.6),
    );
    table.row("  sessions per second, one by one", &login.1, Target::None);
    let clients: Vec<_> = servers.iter().map(|server| server.login()).collect();
    let clients = std::cell::RefCell::new(clients);
    let small = measure(&servers, |server| {
        let index = servers.iter().position(|x| x.which() == server.which());
        let client = &mut clients.borrow_mut()[index.expect("one of them")];
        for _ in 0..REPEATS {
            small_file(client);
        }
    });
    let target = match speech {
        Speech::Clear => Target::Ratio(0.5),
        Speech::Tls => Target::Either(500.0, 0.5),
    };
    table.row(speech.row("PASV + RETR of 1 KiB: CPU us"), &small.0, target);
    table.row("  files per second, one by one", &small.1, Target::None);
    table.handshakes("the logins and small files", &servers);
}

/// Returns the CPU time of one of [`REPEATS`] runs, and the number of runs in a second.
fn measure(servers: &[Server], work: impl Fn(&Server)) -> (Vec<Samples>, Vec<Samples>) {
    let mut cpu = vec![Samples::default(); servers.len()];
    let mut rate = cpu.clone();
    for server in servers {
        work(server);
        server.settle();
    }
    for _ in 0..rounds() {
        for (index, server) in servers.iter().enumerate() {
            let mut took = Duration::ZERO;
            let spent = server.cpu_of(|| {
                let start = Instant::now();
                work(server);
                took = start.elapsed();
            });
            cpu[index].push(micros(spent) / REPEATS as f64);
            rate[index].push(REPEATS as f64 / took.as_secs_f64());
        }
    }
    (cpu, rate)
}

fn login(server: &Server) {
    let mut client = server.connect();
    client.login();
    client.quit();
}

fn small_file(client: &mut Client) {
    let size = client.download("RETR small", &mut [0; 4096]);
    assert_eq!(size, 1024);
}

// --- system calls

fn calls(table: &mut Table, speech: Speech, home: &Path) {
    let traces = tempfile::tempdir().expect("a directory");
    let mut logins = Vec::new();
    let mut files = Vec::new();
    let mut notes = Vec::new();
    for which in installed() {
        let trace = traces.path().join(format!("{which:?}"));
        let Some(server) = Server::start_traced(which, speech, home, &trace) else {
            table.note("strace is not there: system calls were not counted");
            return;
        };
        let mut client = server.login();
        // Once before, for what happens only once.
        login(&server);
        small_file(&mut client);
        let (count, list) = count(&server, &trace, || login(&server));
        logins.push(count);
        let login = speech.row("login");
        notes.push(format!("  {login}, {which:?}: {list}"));
        let (count, list) = self::count(&server, &trace, || small_file(&mut client));
        files.push(count);
        let small = speech.row("PASV + RETR");
        notes.push(format!("  {small}, {which:?}: {list}"));
    }
    let target = |most| match speech {
        Speech::Clear => Target::AtMost(most),
        Speech::Tls => Target::None,
    };
    let work = speech.row("login session: system calls");
    table.row(work, &logins, target(16.0));
    let work = speech.row("PASV + RETR of 1 KiB: system calls");
    table.row(work, &files, target(24.0));
    notes.into_iter().for_each(|note| table.note(note));
}

/// Counts the system calls of some work; returns the number of each, too.
fn count(server: &Server, trace: &Path, mut work: impl FnMut()) -> (Samples, String) {
    server.settle();
    let before = traced_calls(trace).len();
    for _ in 0..TRACED {
        work();
    }
    server.settle();
    let calls = traced_calls(trace).split_off(before);
    let mut samples = Samples::default();
    samples.push(calls.len() as f64 / TRACED as f64);
    let mut by_name = BTreeMap::<String, usize>::new();
    for name in calls {
        *by_name.entry(name).or_default() += 1;
    }
    let list: Vec<_> = by_name
        .into_iter()
        .map(|(name, count)| format!("{name} {:.1}", count as f64 / TRACED as f64))
        .collect();
    (samples, list.join(", "))
}

// --- memory

fn idle(table: &mut Table, speech: Speech, home: &Path) {
    let most = match speech {
        Speech::Clear => setting("FTPDLIB_BENCH_SESSIONS", 10_000),
        // The clients under TLS need memory, too.
        Speech::Tls => setting("FTPDLIB_BENCH_SESSIONS", 10_000).min(1000),
    };
    // Each session takes a descriptor here and one in the server.
    let possible = descriptors().saturating_sub(200);
    if most > possible {
        table.note(format!(
            "{possible} idle sessions instead of {most}: ulimit -n"
        ));
    }
    let most = most.min(possible);
    let mut counts = vec![most.min(1000), most];
    counts.dedup();
    let mut samples = vec![Vec::new(); counts.len()];
    for which in installed() {
        let server = Server::start(which, speech, home);
        let mut clients = vec![server.login()];
        server.settle();
        let before = server.private_memory();
        for (samples, count) in samples.iter_mut().zip(&counts) {
            while clients.len() <= *count {
                let mut client = server.connect();
                client.login();
                clients.push(client);
            }
            server.settle();
            let grown = server.private_memory().saturating_sub(before);
            let mut sample = Samples::default();
            sample.push(grown as f64 / *count as f64 / 1024.0);
            samples.push(sample);
        }
    }
    for (samples, count) in samples.iter().zip(&counts) {
        let target = match speech {
            Speech::Clear if *count == most => Target::AtMost(1.0),
            Speech::Clear => Target::None,
            Speech::Tls => Target::AtMost(14.0),
        };
        let work = format!("idle session, {count} of them: private KiB");
        table.row(speech.row(&work), samples, target);
    }
}

// --- latency

fn latency(table: &mut Table, home: &Path) {
    let servers = servers(Speech::Clear, home);
    let mut p50 = vec![Samples::default(); servers.len()];
    let mut p99 = p50.clone();
    for _ in 0..rounds().min(3) {
        for (index, server) in servers.iter().enumerate() {
            let waits = noops(server);
            p50[index].push(waits.median());
            p99[index].push(waits.quantile(0.99));
        }
    }
    table.row("NOOP during four RETRs: p50 ms", &p50, Target::None);
    table.row("NOOP during four RETRs: p99 ms", &p99, Target::AtMost(1.0));
}

/// Measures how long NOOPs take while four clients download as fast as they can.
fn noops(server: &Server) -> Samples {
    // In a process with low priority: real clients have their own CPUs.
    let mut load = Command::new("nice")
        .args(["-n", "19"])
        .arg(env::current_exe().expect("this bench"))
        .env(FETCH, server.address().to_string())
        .spawn()
        .expect("nice");
    let mut client = server.login();
    thread::sleep(Duration::from_millis(300));
    let mut waits = Samples::default();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        client.command("NOOP", 200);
        waits.push(asked.elapsed().as_secs_f64() * 1e3);
        thread::sleep(Duration::from_micros(500));
    }
    // It would also end with the server.
    let _ = load.kill();
    let _ = load.wait();
    waits
}

/// Four clients that download until they are killed or the server is gone.
fn fetch(address: SocketAddr) {
    let fetch = || {
        let mut client = Client::connect(address);
        client.login();
        client.command("TYPE I", 200);
        loop {
            client.discard("RETR large");
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(fetch);
        }
    });
}

/// The variable that makes this program the clients of [`fetch`].
const FETCH: &str = "FTPDLIB_BENCH_FETCH";

/// How often a small piece of work is done in one measurement.
const REPEATS: usize = 400;

/// How often it is done under strace.
const TRACED: usize = 50;

//! A soak: minutes of clients that come and go in every way, while workers are killed. At the end
//! descriptors, memory and free slots must be where they began.
//!
//! `cargo bench --bench soak` takes two minutes, `-- --short` a quarter of a minute;
//! FTPDLIB_SOAK_SECONDS sets the time. There are three pre-fork workers. Sixteen clients at once
//! log in and leave, download, upload, list, abort, reset their connections, cut their uploads
//! and break their handshakes, in clear and under TLS. One worker after the other is killed,
//! except in the last third, so that one worker gets old enough to show leaks.
//!
//! Two measurements are compared: one after some seconds without kills, when everything is warm,
//! and one at the end. The descriptors and the private memory of each process must be about the
//! same, and exactly as many clients must find a slot. A client may fail only when its worker is
//! killed. At last SIGTERM must end everything with status 0. The exit code is 1 if any of this
//! is not so.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the table is for standard output")]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod server;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, Visits};
use common::Tls;
use server::{Fleet, Process};

fn main() -> ExitCode {
    let home = tempfile::tempdir().unwrap();
    let tls = Tls::new();
    let share = home.path().join("share");
    fill(&share);
    let mut fleet = Fleet::start(&share, tls.certfile(), WORKERS, PLACES);
    let churn = Churn::new(fleet.address, tls);

    println!(
        "soak: {} s of {CLIENTS} clients, {WORKERS} workers",
        length().as_secs()
    );
    churn.run(WARM_UP, || {});
    let before = measure(&fleet);
    churn.take_failures();

    let end = Instant::now() + length();
    let mut kills = 0;
    let mut next = Instant::now() + KILL_EVERY;
    churn.run(length(), || {
        let now = Instant::now();
        if now >= next && end.saturating_duration_since(now) > length() / 3 {
            kills += usize::from(fleet.kill_oldest());
            next += KILL_EVERY;
        }
    });
    let after = measure(&fleet);

    let mut good = report(&before, &after);
    good &= churn.report(kills);
    let restarts = fleet.log().matches(", restarting").count();
    good &= check("workers that had to be replaced", restarts, kills);
    for word in ["panicked", "[E "] {
        good &= check(
            &format!("lines of the log with {word:?}"),
            fleet.log().matches(word).count(),
            0,
        );
    }
    good &= check("exit status", fleet.stop(), Some(0));
    if !good {
        fleet.print_warnings();
    }
    ExitCode::from(u8::from(!good))
}

/// Makes the files that clients download, and the directory for uploads.
fn fill(share: &Path) {
    fs::create_dir(share).unwrap();
    fs::write(share.join("small"), [b'x'; 1000]).unwrap();
    fs::write(share.join("large"), vec![b'y'; LARGE]).unwrap();
    for number in 0..100 {
        fs::write(share.join(format!("entry {number}")), "").unwrap();
    }
}

// --- churn

/// Clients that visit the server until they are stopped.
struct Churn {
    address: SocketAddr,
    tls: Arc<Tls>,
    done: Mutex<BTreeMap<&'static str, usize>>,
    failures: Mutex<Vec<String>>,
}

impl Churn {
    fn new(address: SocketAddr, tls: Arc<Tls>) -> Self {
        Self {
            address,
            tls,
            done: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Lets the clients visit for this time, and calls `look` now and then.
    fn run(&self, length: Duration, mut look: impl FnMut()) {
        let over = AtomicBool::new(false);
        let end = Instant::now() + length;
        thread::scope(|scope| {
            for seed in 1..=CLIENTS {
                let over = &over;
                scope.spawn(move || {
                    let mut number = seed as u64;
                    while !over.load(Relaxed) {
                        number = random(number);
                        self.visit(number);
                        thread::sleep(PAUSE);
                    }
                });
            }
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(50));
                look();
            }
            over.store(true, Relaxed);
        });
    }

    /// One visit, from connecting to closing.
    fn visit(&self, number: u64) {
        let tls = number.is_multiple_of(3).then_some(&self.tls);
        let visits = Visits::ALL;
        let (name, work) = visits[usize::try_from(number / 3).unwrap() % visits.len()];
        let visit = || -> io::Result<()> {
            let mut client = Client::connect(self.address)?;
            // A session that its client has left may keep its file until its worker sees that.
            work(&mut client, tls, &format!("up {number}"))
        };
        match visit() {
            Ok(()) => *self.done.lock().unwrap().entry(name).or_default() += 1,
            Err(err) => self.failures.lock().unwrap().push(format!("{name}: {err}")),
        }
    }

    fn take_failures(&self) {
        let failures = std::mem::take(&mut *self.failures.lock().unwrap());
        let some = &failures[..failures.len().min(FAILURES)];
        assert!(some.is_empty(), "while nobody was killed: {some:#?}");
    }

    fn report(&self, kills: usize) -> bool {
        let done = self.done.lock().unwrap();
        let list: Vec<_> = done
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        println!(
            "clients: {}; {}",
            done.values().sum::<usize>(),
            list.join(", ")
        );
        let failures = self.failures.lock().unwrap();
        // A kill cuts each client at most once.
        let most = kills * CLIENTS;
        let good = failures.len() <= most;
        println!(
            "{kills} kills, {} clients cut (at most {most}){}",
            failures.len(),
            mark(good)
        );
        if !good {
            println!("{}", failures[..failures.len().min(FAILURES)].join("\n"));
        }
        good
    }
}

/// Returns the next random number (xorshift). A number other than 0 leads to all others.
fn random(mut number: u64) -> u64 {
    number ^= number << 13;
    number ^= number >> 7;
    number ^ number << 17
}

// --- figures

struct Figures {
    /// The master is the first.
    processes: Vec<Process>,
    places: usize,
}

/// Measures when all clients are gone.
fn measure(fleet: &Fleet) -> Figures {
    let places = places(fleet.address);
    let mut last = Vec::new();
    loop {
        thread::sleep(Duration::from_millis(300));
        let processes = fleet.processes();
        let descriptors: Vec<_> = processes.iter().map(|p| p.descriptors).collect();
        if descriptors == last {
            return Figures { processes, places };
        }
        last = descriptors;
    }
}

/// Returns how many clients find a slot. Those that have left may not be gone at once.
fn places(address: SocketAddr) -> usize {
    let end = Instant::now() + DEADLINE;
    let mut clients = Vec::new();
    while Instant::now() < end {
        let mut client = Client::connect(address).unwrap();
        match client.reply() {
            Ok(220) => clients.push(client),
            _ if clients.len() + 1 >= PLACES => break,
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
    // Some have lost theirs to later ones.
    clients.retain_mut(|client| client.send("NOOP").is_ok() && matches!(client.reply(), Ok(200)));
    clients.len()
}

fn report(before: &Figures, after: &Figures) -> bool {
    println!("{:24}{:>12}{:>12}", "", "before", "after");
    let mut good = true;
    let pairs = before.processes.iter().zip(&after.processes);
    for (index, (before, after)) in pairs.enumerate() {
        let who = match index {
            0 => "master".to_owned(),
            _ => format!("worker {index}"),
        };
        let row = |what, before: u64, after: u64, most: u64| {
            let good = after <= most;
            println!(
                "{:24}{before:>12}{after:>12}{}",
                format!("{who}: {what}"),
                mark(good)
            );
            good
        };
        let (from, to) = (before.descriptors as u64, after.descriptors as u64);
        // A loop may have a pipe for uploads, or not.
        good &= row("descriptors", from, to, from + 2);
        let (from, to) = (before.memory / 1024, after.memory / 1024);
        // Some pages are not given back, and some are no longer shared after the fork.
        good &= row("private KiB", from, to, from + from / 4 + 512);
    }
    good &= check("processes", after.processes.len(), WORKERS + 1);
    good &= check("places", after.places, before.places);
    // The server's own socket counts, too.
    // An eighth is for data connections.
    let most = PLACES - 1;
    let is_many = (PLACES * 3 / 4..=most).contains(&before.places);
    good & check(
        &format!("most of {most} places at first: {}", before.places),
        is_many,
        true,
    )
}

fn check<T: PartialEq + std::fmt::Debug>(what: &str, is: T, expected: T) -> bool {
    let good = is == expected;
    println!("{what}: {is:?}, expected {expected:?}{}", mark(good));
    good
}

fn mark(good: bool) -> &'static str {
    if good { "  ok" } else { "  NO" }
}

fn length() -> Duration {
    let seconds = env::var("FTPDLIB_SOAK_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let short = env::args().any(|arg| arg == "--short");
    Duration::from_secs(seconds.unwrap_or(if short { 14 } else { 120 }))
}

const WORKERS: usize = 3;
const CLIENTS: usize = 16;

/// The limit of sockets, the server's own among them.
const PLACES: usize = 100;

const LARGE: usize = 4 << 20;
const WARM_UP: Duration = Duration::from_secs(3);

/// A worker that dies soon after its start is replaced with a delay, so each one lives longer
/// than that.
const KILL_EVERY: Duration = Duration::from_millis(3500);

/// The pause between two visits of a client, so that there are ports for all.
const PAUSE: Duration = Duration::from_millis(5);

/// How many failures are shown, if there are too many.
const FAILURES: usize = 30;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

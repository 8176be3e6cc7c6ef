//! How long a NOOP takes while the server is busy with all kinds of work.
//!
//! The server has its own CPU. The clients share another one, where the client that measures has
//! real-time priority if the system permits it; otherwise it would also measure how long it waits
//! for the other clients.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Samples, Table, Target, USER, file};
use crate::options::{Options, Scale};
use crate::{cpus, start};

pub fn run(table: &mut Table, home: &Path, options: &Options) {
    cpus::choose("two").expect("a CPU for each");
    let scale = &options.scale;
    fs::create_dir(home.join("many")).expect("a directory");
    for number in 0..scale.entries {
        File::create(home.join(format!("many/file-{number:06}.dat"))).expect("a file");
    }
    file(&home.join("fetched"), 256).expect("a file");
    let server = start(home);
    let real_time = is_real_time();
    if !real_time {
        table.note("NOOPs without real-time priority: they wait for the other clients, too");
    }
    let measure = || noops(server.address(), scale, real_time);
    tell(table, "alone", &measure(), Target::None);
    let mut load = play(LOAD, server.address()).spawn().expect("this bench");
    thread::sleep(Duration::from_millis(500));
    let waits = measure();
    assert!(
        load.try_wait().unwrap().is_none(),
        "the other clients failed"
    );
    // They would also end with the server.
    let _ = load.kill();
    let _ = load.wait();
    let work = format!(
        "next to {TRANSFERS} RETRs, LIST of {}, {GUESSES} refusals",
        scale.entries
    );
    tell(table, &work, &waits, Target::AtMost(2.0));
}

fn tell(table: &mut Table, work: &str, waits: &Samples, at_p99: Target) {
    let quantiles = [
        ("p50", 0.5, Target::None),
        ("p90", 0.9, Target::None),
        ("p99", 0.99, at_p99),
        ("p99.9", 0.999, Target::None),
    ];
    for (name, quantile, target) in quantiles {
        let mut sample = Samples::default();
        sample.push(waits.quantile(quantile));
        let work = format!("NOOP {work}: {name} ms");
        table.row(work, &[sample], target);
    }
}

// --- the roles that this program plays in other processes

/// Plays a role, if the environment names one.
pub fn plays() -> bool {
    let address = |name| env::var(name).ok()?.parse::<SocketAddr>().ok();
    if let Some(address) = address(METER) {
        meter(address);
    } else if let Some(address) = address(LOAD) {
        load(address);
    } else {
        return false;
    }
    true
}

fn play(part: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(env::current_exe().expect("this bench"));
    command.env(part, address.to_string());
    command
}

/// Whether a process may have real-time priority.
fn is_real_time() -> bool {
    let tried = Command::new("chrt")
        .args(["-f", PRIORITY, "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Measures how long NOOPs take, in milliseconds.
fn noops(address: SocketAddr, scale: &Scale, real_time: bool) -> Samples {
    let mut command = play(METER, address);
    if real_time {
        let program = command.get_program().to_owned();
        command = Command::new("chrt");
        command
            .args(["-f", PRIORITY])
            .arg(program)
            .env(METER, address.to_string());
    }
    command.env(NOOPS, scale.noops.to_string());
    let output = command.stderr(Stdio::inherit()).output().expect("a meter");
    assert!(output.status.success(), "the meter failed");
    let lines = String::from_utf8(output.stdout).expect("numbers");
    let mut waits = Samples::default();
    lines
        .lines()
        .for_each(|line| waits.push(line.parse().expect("a number")));
    waits
}

fn meter(address: SocketAddr) {
    let count = env::var(NOOPS)
        .expect("how many")
        .parse()
        .expect("a number");
    let mut client = Client::connect(address);
    client.login();
    let mut waits = Vec::with_capacity(count);
    for _ in 0..count {
        let asked = Instant::now();
        client.command("NOOP", 200);
        waits.push(asked.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    let mut output = io::stdout().lock();
    for wait in waits {
        writeln!(output, "{}", wait.as_secs_f64() * 1e3).expect("a reader");
    }
}

/// All the other clients, until they are killed.
fn load(address: SocketAddr) {
    thread::scope(|scope| {
        for _ in 0..TRANSFERS {
            scope.spawn(|| fetch(address));
        }
        scope.spawn(|| {
            let mut client = Client::connect(address);
            client.login();
            loop {
                client.discard("LIST many");
            }
        });
        for _ in 0..GUESSES {
            scope.spawn(|| {
                loop {
                    let mut client = Client::connect(address);
                    client.command(&format!("USER {USER}"), 331);
                    client.command("PASS wrong", 530);
                }
            });
        }
    });
}

/// Downloads at a bounded rate: the loopback must be busy, but the CPU of the clients must not be
/// the bottleneck.
fn fetch(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.login();
    client.command("TYPE I", 200);
    loop {
        let (start, mut total) = (Instant::now(), 0);
        client.discard_by("RETR fetched", |size| {
            total += size;
            let due = Duration::from_secs_f64(total as f64 / RATE);
            thread::sleep(due.saturating_sub(start.elapsed()));
        });
    }
}

/// The variables that name the role, and hold the address of the server.
const METER: &str = "FTPDLIB_SCALE_METER";
const LOAD: &str = "FTPDLIB_SCALE_LOAD";

/// The variable with the number of NOOPs.
const NOOPS: &str = "FTPDLIB_SCALE_NOOPS";

const PRIORITY: &str = "50";

const TRANSFERS: usize = 8;
const GUESSES: usize = 20;

/// Bytes per second of each transfer.
const RATE: f64 = 40e6;

//! How long a NOOP takes while the server is busy with all kinds of work.
//!
//! The server has its own CPU, and the clients share another one.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Table, Target, USER, file};
use crate::meter::{Meter, explain, tell};
use crate::options::Options;
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
    explain(table);
    let meter = || Meter::start(server.address(), scale.noops);
    tell(table, "alone", &meter().measure(), Target::None);
    let mut load = Command::new(env::current_exe().expect("this bench"))
        .env(LOAD, server.address().to_string())
        .spawn()
        .expect("this bench");
    thread::sleep(Duration::from_millis(500));
    let waits = meter().measure();
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

/// Plays the other clients, if the environment asks for it.
pub fn plays() -> bool {
    let address = env::var(LOAD).ok().and_then(|address| address.parse().ok());
    address.map(load).is_some()
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

/// The variable with the address of the server.
const LOAD: &str = "FTPDLIB_SCALE_LOAD";

const TRANSFERS: usize = 8;
const GUESSES: usize = 20;

/// Bytes per second of each transfer.
const RATE: f64 = 40e6;

//! A client in a process of its own, which measures how long its NOOPs take.
//!
//! It shares a CPU with the other clients, and has real-time priority if the system permits it;
//! otherwise it would also measure how long it waits for them.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Samples, Table, Target};

/// A client that is logged in, and waits for [`measure`](Self::measure).
pub struct Meter(Child);

impl Meter {
    pub fn start(address: SocketAddr, noops: usize) -> Self {
        let program = env::current_exe().expect("this bench");
        let mut command = Command::new(&program);
        if is_real_time() {
            command = Command::new("chrt");
            command.args(["-f", PRIORITY]).arg(program);
        }
        let mut child = command
            .env(METER, address.to_string())
            .env(NOOPS, noops.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a meter");
        let mut ready = [0];
        let output = child.stdout.as_mut().expect("a pipe");
        output.read_exact(&mut ready).expect("a meter that logs in");
        Self(child)
    }

    /// Measures; returns milliseconds.
    pub fn measure(mut self) -> Samples {
        // It begins at the end of its input.
        drop(self.0.stdin.take());
        let output = BufReader::new(self.0.stdout.take().expect("a pipe"));
        let mut waits = Samples::default();
        for line in output.lines() {
            let line = line.expect("a line");
            waits.push(line.parse().expect("a number"));
        }
        assert!(self.0.wait().unwrap().success(), "the meter failed");
        waits
    }
}

/// Plays the client, if the environment asks for it.
pub fn plays() -> bool {
    let text = |name| env::var(name).ok();
    let Some(address) = text(METER).and_then(|address| address.parse::<SocketAddr>().ok()) else {
        return false;
    };
    let count = text(NOOPS).and_then(|count| count.parse().ok());
    let count: usize = count.expect("a number of NOOPs");
    let mut client = Client::connect(address);
    client.login();
    let mut output = io::stdout().lock();
    output
        .write_all(b"r")
        .and_then(|()| output.flush())
        .expect("a reader");
    io::stdin().read_to_end(&mut Vec::new()).expect("the start");
    let mut waits = Vec::with_capacity(count);
    for _ in 0..count {
        let asked = Instant::now();
        client.command("NOOP", 200);
        waits.push(asked.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    for wait in waits {
        writeln!(output, "{}", wait.as_secs_f64() * 1e3).expect("a reader");
    }
    true
}

/// Says if the figures hold more than they should.
pub fn explain(table: &mut Table) {
    if !is_real_time() {
        table.note("NOOPs without real-time priority: they wait for the other clients, too");
    }
}

/// Adds the quantiles to the table.
pub fn tell(table: &mut Table, work: &str, waits: &Samples, at_p99: Target) {
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

/// Whether a process may have real-time priority.
fn is_real_time() -> bool {
    let tried = Command::new("chrt")
        .args(["-f", PRIORITY, "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// The variables with the address of the server and the number of NOOPs.
const METER: &str = "FTPDLIB_SCALE_METER";
const NOOPS: &str = "FTPDLIB_SCALE_NOOPS";

const PRIORITY: &str = "50";

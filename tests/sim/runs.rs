//! Many worlds, one after the other and next to each other.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::script::generate;
use crate::world::{Failure, Kind, run as run_world};

/// Which worlds are run.
#[derive(Clone, Debug)]
pub struct Range {
    /// The first seed; the others follow.
    pub from: u64,
    /// The seed that is not run any more.
    pub to: Option<u64>,
    pub seconds: Option<Duration>,
    pub sessions: Option<u64>,
    /// How many threads run worlds. A world stays on one of them.
    pub jobs: u64,
    /// Whether to print how far it is.
    pub progress: bool,
    /// Whether to go on after a failure, and to count the kinds.
    pub goes_on: bool,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            from: 0,
            to: None,
            seconds: None,
            sessions: None,
            jobs: 1,
            progress: false,
            goes_on: false,
        }
    }
}

/// How much was run.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    worlds: u64,
    sessions: u64,
    failures: u64,
    time: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rounded figure")]
        let rate = self.sessions as f64 / seconds.max(0.001);
        write!(
            f,
            "{} worlds, {} sessions in {seconds:.1} s: {rate:.0} sessions per second",
            self.worlds, self.sessions,
        )?;
        match self.failures {
            0 => Ok(()),
            failures => write!(f, ", {failures} worlds have failed"),
        }
    }
}

/// What the threads share.
struct Shared {
    next: AtomicU64,
    worlds: AtomicU64,
    sessions: AtomicU64,
    failures: AtomicU64,
    stop: AtomicBool,
    /// The failure of the lowest seed.
    first: Mutex<Option<(u64, Failure)>>,
    start: Instant,
}

/// Runs worlds.
///
/// # Errors
/// The failure of the lowest seed that has failed.
pub fn run(range: &Range) -> Result<Tally, String> {
    let shared = Shared {
        next: AtomicU64::new(range.from),
        worlds: AtomicU64::new(0),
        sessions: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        first: Mutex::new(None),
        start: Instant::now(),
    };
    thread::scope(|scope| {
        for _ in 0..range.jobs.max(1) {
            scope.spawn(|| work(&shared, range));
        }
        if range.progress {
            let mut last = Instant::now();
            while !shared.is_over(range) {
                thread::sleep(Duration::from_millis(50));
                if last.elapsed() >= PROGRESS {
                    last = Instant::now();
                    println!("{}", shared.tally());
                }
            }
        }
    });
    let tally = shared.tally();
    let first = shared.first.into_inner().ok().flatten();
    match first {
        None => Ok(tally),
        Some((seed, failure)) => Err(format!(
            "{tally}\nseed {seed} has failed: {failure}\n\
             replay: cargo test --release --test sim -- replay {seed} --trace\n\
             shrink: cargo test --release --test sim -- shrink {seed}"
        )),
    }
}

impl Shared {
    fn is_over(&self, range: &Range) -> bool {
        let sessions = self.sessions.load(Relaxed);
        self.stop.load(Relaxed)
            || range
                .seconds
                .is_some_and(|most| self.start.elapsed() >= most)
            || range.sessions.is_some_and(|most| sessions >= most)
    }

    fn tally(&self) -> Tally {
        Tally {
            worlds: self.worlds.load(Relaxed),
            sessions: self.sessions.load(Relaxed),
            failures: self.failures.load(Relaxed),
            time: self.start.elapsed(),
        }
    }

    fn fail(&self, seed: u64, failure: Failure, range: &Range) {
        self.failures.fetch_add(1, Relaxed);
        if range.goes_on {
            println!("seed {seed}: {failure}");
        } else {
            self.stop.store(true, Relaxed);
        }
        if let Ok(mut first) = self.first.lock()
            && first.as_ref().is_none_or(|(lowest, _)| seed < *lowest)
        {
            *first = Some((seed, failure));
        }
    }
}

fn work(shared: &Shared, range: &Range) {
    while !shared.is_over(range) {
        let seed = shared.next.fetch_add(1, Relaxed);
        if range.to.is_some_and(|to| seed >= to) {
            shared.stop.store(true, Relaxed);
            return;
        }
        let script = generate(seed);
        match run_world(&script, false) {
            Ok(_) => {}
            Err(failure) => shared.fail(seed, failure, range),
        }
        shared.worlds.fetch_add(1, Relaxed);
        let sessions = script.scene.clients.len() as u64;
        shared.sessions.fetch_add(sessions, Relaxed);
    }
}

/// Runs worlds twice.
///
/// # Errors
/// A world whose two runs differ.
pub fn repeat(seeds: std::ops::Range<u64>) -> Result<(), String> {
    let mut compared = 0;
    for seed in seeds {
        let script = generate(seed);
        // The lengths of TLS records vary, and with them what a network does.
        if script.scene.settings.tls != crate::plan::scene::Tls::Off {
            continue;
        }
        let runs = [run_world(&script, false), run_world(&script, false)];
        // A world that fails does so in the same way.
        let [one, other] = runs.map(|run| match run {
            Ok(report) => Ok((report.hash, report.events)),
            Err(failure) => Err((failure.kind, failure.text)),
        });
        if one != other {
            let differs = Kind::Differs;
            return Err(format!("seed {seed}: {differs:?}: {one:?}, then {other:?}"));
        }
        compared += 1;
    }
    println!("{compared} worlds were the same twice");
    Ok(())
}

/// The time between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

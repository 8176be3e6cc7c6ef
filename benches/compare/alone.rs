//! One client at a time, the servers in turns.

use std::time::{Duration, Instant};

use crate::common::{Client, Speech, micros, millis};
use crate::crowd::{retr, stor};
use crate::figures::{Figures, Kind};
use crate::options::{Options, warm};
use crate::servers::{Cost, Entrant, Server, Watch};
use crate::tree::{LARGE, MIB, Tree, WARM};

/// Some work that servers are compared by.
struct Job {
    /// Its name as an option.
    row: &'static str,
    title: String,
    /// How much of it is one measurement.
    amount: usize,
    unit: Unit,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    /// In one session.
    Session(fn(&mut Client, &Tree, usize, &mut Watch<'_>)),
    /// With sessions of its own.
    Server(fn(&Server, usize)),
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    /// Milliseconds for all of it.
    All,
    /// Milliseconds for each.
    EachMillis,
    /// Microseconds for each.
    EachMicros,
}

pub fn run(
    figures: &mut Figures,
    entrants: &[Entrant],
    speech: Speech,
    tree: &Tree,
    options: &Options,
) {
    let jobs = jobs(options);
    let jobs: Vec<_> = jobs
        .iter()
        .filter(|job| options.wants(speech, job.row))
        .collect();
    if jobs.is_empty() {
        return;
    }
    let start = |entrant: &Entrant| {
        let speaks = entrant.speaks(speech);
        speaks.then(|| Server::start(entrant, speech, tree.home()))
    };
    let servers: Vec<_> = entrants.iter().map(start).collect();
    for job in jobs {
        // The first round is to warm up.
        for round in 0..=options.scale.rounds {
            for turn in 0..entrants.len() {
                let index = (round + turn) % entrants.len();
                let Some(server) = &servers[index] else {
                    continue;
                };
                if !entrants[index].can(job.row) {
                    continue;
                }
                let amount = match round {
                    0 => warm(job.amount),
                    _ => job.amount,
                };
                let cost = job.measure(server, tree, amount);
                if round > 0 {
                    job.tell(figures, speech, index, &cost);
                }
            }
        }
    }
    for server in servers.iter().flatten() {
        figures.notes.extend(server.handshakes());
    }
}

fn jobs(options: &Options) -> Vec<Job> {
    let scale = &options.scale;
    let job = |row, title: String, amount, unit, run| Job {
        row,
        title,
        amount,
        unit,
        run,
    };
    let (mib, entries) = (scale.mib, scale.entries);
    let title = |verb: &str| format!("{verb} of {mib} MiB");
    let list = |verb: &str| format!("{verb} of {entries} entries");
    vec![
        job("stor", title("STOR"), mib, Unit::All, Run::Session(store)),
        job("retr", title("RETR"), mib, Unit::All, Run::Session(fetch)),
        job(
            "login",
            "login session: connect, USER, PASS, QUIT".into(),
            scale.sessions,
            Unit::EachMicros,
            Run::Server(|server, amount| (0..amount).for_each(|_| server.enter().quit())),
        ),
        job(
            "small",
            "PASV + RETR of 1 KiB".into(),
            scale.sessions,
            Unit::EachMicros,
            Run::Session(|client, _, amount, _| {
                for _ in 0..amount {
                    assert_eq!(client.download("RETR small", &mut [0; 4096]), 1024);
                }
            }),
        ),
        job(
            "list",
            list("LIST"),
            scale.listings,
            Unit::EachMillis,
            Run::Session(|client, _, amount, _| listing(client, "LIST many", amount)),
        ),
        job(
            "mlsd",
            list("MLSD"),
            scale.listings,
            Unit::EachMillis,
            Run::Session(|client, _, amount, _| listing(client, "MLSD many", amount)),
        ),
        job(
            "noop",
            "NOOP".into(),
            scale.noops,
            Unit::EachMicros,
            Run::Session(|client, _, amount, watch| {
                for _ in 0..amount {
                    let start = Instant::now();
                    client.command("NOOP", 200);
                    watch.waits.push(micros(start.elapsed()));
                }
            }),
        ),
    ]
}

fn store(client: &mut Client, tree: &Tree, mib: usize, watch: &mut Watch<'_>) {
    stor(client, "in/stored", mib, || watch.read_memory());
    tree.remove("in/stored", mib);
}

fn fetch(client: &mut Client, tree: &Tree, mib: usize, watch: &mut Watch<'_>) {
    let large = tree
        .home()
        .join(LARGE)
        .metadata()
        .is_ok_and(|large| large.len() == (mib * MIB) as u64);
    retr(client, if large { LARGE } else { WARM }, mib, || {
        watch.read_memory()
    });
}

fn listing(client: &mut Client, command: &str, amount: usize) {
    let mut buffer = vec![0; 1 << 18];
    for _ in 0..amount {
        assert!(
            client.download(command, &mut buffer) > 0,
            "{command} is short"
        );
    }
}

impl Job {
    fn measure(&self, server: &Server, tree: &Tree, amount: usize) -> Cost {
        match self.run {
            Run::Server(run) => server.cost(|_| run(server, amount)),
            Run::Session(run) => {
                let mut client = server.session();
                server.settle();
                let cost = server.cost(|watch| run(&mut client, tree, amount, watch));
                client.quit();
                server.settle();
                cost
            }
        }
    }

    fn tell(&self, figures: &mut Figures, speech: Speech, server: usize, cost: &Cost) {
        let each = |time: Duration| match self.unit {
            Unit::All => millis(time),
            Unit::EachMillis => millis(time) / self.amount as f64,
            Unit::EachMicros => micros(time) / self.amount as f64,
        };
        let unit = match self.unit {
            Unit::All | Unit::EachMillis => "ms",
            Unit::EachMicros => "µs",
        };
        let mut add = |kind, title: &str, unit, value| {
            figures.add((speech, kind, title, unit), server, value);
        };
        add(Kind::Cpu, &self.title, unit, each(cost.cpu));
        if let Some(memory) = cost.memory {
            add(Kind::Memory, &self.title, "MiB", memory as f64 / MIB as f64);
        }
        if cost.waits.is_empty() {
            add(Kind::Wall, &self.title, unit, each(cost.wall));
            return;
        }
        for (title, quantile) in [("NOOP, p50", 0.5), ("NOOP, p99", 0.99)] {
            add(Kind::Wall, title, unit, cost.waits.quantile(quantile));
        }
    }
}

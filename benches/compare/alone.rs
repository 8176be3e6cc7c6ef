//! One client at a time, with the servers in turns.

use std::time::{Duration, Instant};

use crate::common::{Client, Speech, micros, millis};
use crate::entrants::Entrant;
use crate::figures::{Figures, Kind};
use crate::options::{Options, size, warm};
use crate::servers::{Cost, Server, Watch};
use crate::transfers::{retr, stor};
use crate::tree::Tree;

/// A kind of work that servers are compared by.
struct Job {
    /// Its name as an option.
    row: &'static str,
    title: String,
    /// How much work one measurement contains.
    amount: usize,
    unit: Unit,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    /// All of it at once, in a session.
    Transfer(fn(&mut Client, &Tree, usize)),
    /// Again and again, in one session.
    Session(fn(&mut Client)),
    /// Again and again, each time in a new session.
    Server(fn(&Server)),
}

/// The unit of one piece of work.
#[derive(Clone, Copy)]
enum Unit {
    Millis,
    Micros,
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
        // The first round only warms up.
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
                let cost = job.measure(server, tree, amount, options.scale.turn);
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
    let title = |verb: &str| format!("{verb} of {}", size(mib));
    let list = |verb: &str| format!("{verb} of {entries} entries");
    vec![
        job(
            "stor",
            title("STOR"),
            mib,
            Unit::Millis,
            Run::Transfer(store),
        ),
        job(
            "retr",
            title("RETR"),
            mib,
            Unit::Millis,
            Run::Transfer(fetch),
        ),
        job(
            "login",
            "session: connect, login, QUIT".into(),
            scale.sessions,
            Unit::Micros,
            Run::Server(|server| server.enter().quit()),
        ),
        job(
            "small",
            "PASV + RETR of 1 KiB".into(),
            scale.sessions,
            Unit::Micros,
            Run::Session(|client| {
                assert_eq!(client.download("RETR small", &mut [0; 4096]), 1024);
            }),
        ),
        job(
            "list",
            list("LIST"),
            scale.listings,
            Unit::Millis,
            Run::Session(|client| listing(client, "LIST many")),
        ),
        job(
            "mlsd",
            list("MLSD"),
            scale.listings,
            Unit::Millis,
            Run::Session(|client| listing(client, "MLSD many")),
        ),
        job(
            "noop",
            "NOOP".into(),
            scale.noops,
            Unit::Micros,
            Run::Session(|client| {
                client.command("NOOP", 200);
            }),
        ),
    ]
}

fn store(client: &mut Client, tree: &Tree, mib: usize) {
    stor(client, "in/stored", mib, || {});
    tree.remove("in/stored", mib);
}

fn fetch(client: &mut Client, tree: &Tree, mib: usize) {
    retr(client, tree.file_of(mib), mib, || {});
}

fn listing(client: &mut Client, command: &str) {
    let size = client.download(command, &mut vec![0; 1 << 18]);
    assert!(size > 0, "{command} is short");
}

impl Job {
    /// Measures this much work, or what is done in the time of a turn.
    fn measure(&self, server: &Server, tree: &Tree, amount: usize, turn: Duration) -> Cost {
        let repeat = |watch: &mut Watch<'_>, work: &mut dyn FnMut()| {
            let begin = Instant::now();
            for _ in 0..amount {
                let start = Instant::now();
                work();
                watch.waits.push(micros(start.elapsed()));
                if begin.elapsed() > turn {
                    break;
                }
            }
        };
        if let Run::Server(run) = self.run {
            return server.cost(|watch| repeat(watch, &mut || run(server)));
        }
        server.in_session(|client| {
            server.cost(|watch| match self.run {
                Run::Session(run) => repeat(watch, &mut || run(client)),
                Run::Transfer(run) => run(client, tree, amount),
                Run::Server(_) => {}
            })
        })
    }

    fn tell(&self, figures: &mut Figures, speech: Speech, server: usize, cost: &Cost) {
        let times = cost.waits.len().max(1) as f64;
        let each = |time: Duration| match self.unit {
            Unit::Millis => millis(time) / times,
            Unit::Micros => micros(time) / times,
        };
        let unit = match self.unit {
            Unit::Millis => "ms",
            Unit::Micros => "µs",
        };
        let mut add = |kind, title: &str, unit, value| {
            figures.add((speech, kind, title, unit), server, value);
        };
        add(Kind::Cpu, &self.title, unit, each(cost.cpu));
        if self.row != "noop" {
            add(Kind::Wall, &self.title, unit, each(cost.wall));
            return;
        }
        for (title, quantile) in [("NOOP, p50", 0.5), ("NOOP, p99", 0.99)] {
            add(Kind::Wall, title, unit, cost.waits.quantile(quantile));
        }
    }
}

//! Idle sessions: what each takes, and what they cost the other sessions.
//!
//! A second server has no idle sessions, and the two are measured in turns: the idle sessions
//! cause the difference.

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use crate::common::{Client, Samples, Server, Table, Target, descriptors, file, micros, millis};
use crate::options::{Options, Scale};
use crate::{cpus, start};

pub fn run(table: &mut Table, home: &Path, options: &Options) {
    cpus::choose("one").expect("a CPU");
    let scale = &options.scale;
    file(&home.join(LARGE), scale.mib).expect("a file");
    let mut most = options.sessions;
    // Each session takes a descriptor here and one in the server, where some are reserved for
    // transfers.
    let possible = descriptors().saturating_sub(KEPT);
    if most > possible {
        table.note(format!("{possible} sessions instead of {most}: ulimit -n"));
        most = possible;
    }
    let mut servers = [start(home), start(home)];
    let mut sessions = Sessions::default();
    logins(table, &servers, &mut sessions, scale);
    let before = servers[0].private_memory();
    let levels = scale.levels.into_iter().filter(|level| *level < most);
    for level in levels.chain([most]) {
        sessions.fill(&servers[0], level);
        logins(table, &servers, &mut sessions, scale);
    }
    let grown = servers[0].private_memory().saturating_sub(before);
    let count = sessions.idle.len();
    let each = grown as f64 / count as f64 / 1024.0;
    let work = format!("idle session, {count} of them: private KiB");
    figure(table, &work, each, Target::AtMost(1.0));
    rest(table, &servers[0], scale);
    transfers(table, &servers, count, scale);
    end(table, &mut servers[0], sessions);
}

/// Idle sessions, and the number of clients that come and go.
#[derive(Default)]
struct Sessions {
    idle: Vec<Client>,
    /// All sessions so far.
    made: usize,
}

impl Sessions {
    fn fill(&mut self, server: &Server, count: usize) {
        while self.idle.len() < count {
            let client = self.login(server);
            self.idle.push(client);
        }
        server.settle();
    }

    /// With many connections from one address the kernel searches long for a free port of the
    /// client, and whichever process has the CPU pays for it.
    fn login(&mut self, server: &Server) -> Client {
        let host = self.made / PER_ADDRESS % 200;
        let host = u8::try_from(host + 2).expect("one of 200");
        self.made += 1;
        let source = Ipv4Addr::new(127, 0, 0, host);
        let mut client = Client::connect_from(source, server.address());
        client.login();
        client
    }
}

/// Measures logins and QUITs next to the idle sessions.
fn logins(table: &mut Table, servers: &[Server; 2], sessions: &mut Sessions, scale: &Scale) {
    let costs = in_turns(servers, scale, |server| {
        let spent = server.cpu_of(|| {
            for _ in 0..scale.logins {
                sessions.login(server).quit();
            }
        });
        micros(spent) / scale.logins as f64
    });
    let count = sessions.idle.len();
    compare(
        table,
        &format!("login + QUIT next to {count}: CPU us"),
        costs,
        1.1,
    );
}

fn transfers(table: &mut Table, servers: &[Server; 2], count: usize, scale: &Scale) {
    let mut buffer = vec![0; 1 << 18];
    let costs = in_turns(servers, scale, |server| {
        let mut client = server.login();
        let command = format!("RETR {LARGE}");
        let spent = server.cpu_of(|| {
            client.download(&command, &mut buffer);
        });
        client.quit();
        millis(spent) * 1024.0 / scale.mib as f64
    });
    compare(
        table,
        &format!("RETR next to {count}: CPU ms per GiB"),
        costs,
        1.05,
    );
}

/// Measures the two servers in turns, each one first in every other round, after a round that
/// does not count.
fn in_turns(
    servers: &[Server; 2],
    scale: &Scale,
    mut measure: impl FnMut(&Server) -> f64,
) -> [Samples; 2] {
    let mut samples = [Samples::default(), Samples::default()];
    for round in 0..=scale.rounds {
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let cost = measure(&servers[index]);
            if round > 0 {
                samples[index].push(cost);
            }
        }
    }
    samples
}

/// Adds the figure of the first server, and its ratio to that of the second.
fn compare(table: &mut Table, work: &str, [with, without]: [Samples; 2], most: f64) {
    let ratio = with.median() / without.median();
    table.row(work, &[with], Target::None);
    table.row(
        "  the same next to none, in turns",
        &[without],
        Target::None,
    );
    figure(
        table,
        "  so many times as much",
        ratio,
        Target::AtMost(most),
    );
}

fn rest(table: &mut Table, server: &Server, scale: &Scale) {
    server.settle();
    let (cpu, switches) = (server.cpu(), server.switches());
    thread::sleep(scale.rest);
    let (cpu, switches) = (server.cpu() - cpu, server.switches() - switches);
    let seconds = scale.rest.as_secs();
    let work = |what| format!("{seconds} s of rest: {what}");
    figure(table, &work("CPU ms"), millis(cpu), Target::AtMost(0.0));
    let work = work("context switches");
    figure(table, &work, switches as f64, Target::AtMost(0.0));
}

/// Every client gets a 421, and no session was lost before.
fn end(table: &mut Table, server: &mut Server, sessions: Sessions) {
    let count = sessions.idle.len();
    let (status, took) = server.stop();
    assert_eq!(status, Some(0));
    for mut client in sessions.idle {
        client.reply(421);
    }
    let work = format!("SIGTERM to exit, {count} sessions: ms");
    figure(table, &work, millis(took), Target::AtMost(1000.0));
}

fn figure(table: &mut Table, work: &str, value: f64, target: Target) {
    let mut samples = Samples::default();
    samples.push(value);
    table.row(work, &[samples], target);
}

const LARGE: &str = "large";

/// Descriptors that are not for idle sessions.
const KEPT: usize = 320;

/// How many clients come from one address.
const PER_ADDRESS: usize = 4000;

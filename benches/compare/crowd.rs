//! Many clients at once: the rows of pyftpdlib's own benchmark page, each
//! server in its turn, freshly started.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::common::tls::Wire;
use crate::common::{Client, DEADLINE, Speech, millis};
use crate::figures::{Figures, Kind};
use crate::options::{Options, Scale, size};
use crate::servers::{ANY, Cost, Entrant, Server};
use crate::tree::{LARGE, MIB, SHARE, Tree};

pub fn run(
    figures: &mut Figures,
    entrants: &[Entrant],
    speech: Speech,
    tree: &Tree,
    options: &Options,
) {
    if !options.wants(speech, "crowd") {
        return;
    }
    for round in 0..options.scale.crowd_rounds {
        for turn in 0..entrants.len() {
            let index = (round + turn) % entrants.len();
            if entrants[index].can("crowd") {
                let server = Server::start(&entrants[index], speech, tree.home());
                let mut add = |kind, title: &str, unit, value| {
                    figures.add((speech, kind, title, unit), index, value);
                };
                page(&server, tree, &options.scale, &mut add);
            }
        }
    }
}

/// The page's rows from its second part on, in its order.
fn page(
    server: &Server,
    tree: &Tree,
    scale: &Scale,
    add: &mut impl FnMut(Kind, &str, &'static str, f64),
) {
    let (mib, share, count) = (scale.mib, scale.share_mib, scale.clients);
    add(
        Kind::Memory,
        "at the start",
        "MiB",
        server.private_memory() as f64 / MIB as f64,
    );
    let mut tell = |title: String, cost: Cost| {
        add(Kind::Cpu, &title, "ms", millis(cost.cpu));
        add(Kind::Wall, &title, "ms", millis(cost.wall));
        if let Some(memory) = cost.memory {
            add(Kind::Memory, &title, "MiB", memory as f64 / MIB as f64);
        }
    };
    let mut clients = Vec::new();
    let cost = server.cost_down_to(ANY, |watch| {
        clients.extend((0..count).map(|_| server.session()));
        watch.read_memory();
    });
    tell(format!("{count} logins"), cost);

    server.in_session(|client| {
        let cost = server.cost(|watch| stor(client, "in/stored", mib, || watch.read_memory()));
        tree.remove("in/stored", mib);
        tell(format!("STOR of {} beside {count} idle", size(mib)), cost);
        let cost = server.cost(|watch| retr(client, LARGE, mib, || watch.read_memory()));
        tell(format!("RETR of {} beside {count} idle", size(mib)), cost);
    });

    let cost = server.cost(|watch| {
        let fetch = |client: &mut Client| begin(client, &format!("RETR {SHARE}"));
        let wires = clients.iter_mut().map(fetch).collect();
        watch.read_memory();
        fetch_all(wires, share);
        clients.iter_mut().for_each(end);
    });
    tell(format!("{count} RETRs of {share} MiB at once"), cost);
    let name = |number: usize| format!("in/stored-{number}");
    let cost = server.cost(|watch| {
        let store = |(number, client)| begin(client, &format!("STOR {}", name(number)));
        let wires = clients.iter_mut().enumerate().map(store).collect();
        watch.read_memory();
        store_all(wires, share);
        clients.iter_mut().for_each(end);
    });
    (0..count).for_each(|number| tree.remove(&name(number), share));
    tell(format!("{count} STORs of {share} MiB at once"), cost);

    let cost = server.cost_down_to(1, |_| {
        clients.iter_mut().for_each(|client| client.send("QUIT"));
        clients.into_iter().for_each(Client::left);
    });
    tell(format!("{count} QUITs at once"), cost);
}

// --- one transfer

/// Stores a file, with a halt in the midst of it.
pub fn stor(client: &mut Client, name: &str, mib: usize, halt: impl FnOnce()) {
    let mut data = begin(client, &format!("STOR {name}"));
    let bytes = vec![b'x'; MIB];
    let mut send = |count| (0..count).for_each(|_| data.write_all(&bytes).unwrap());
    send(mib / 2);
    halt();
    send(mib - mib / 2);
    data.finish();
    end(client);
}

/// Fetches a file, with a halt in the midst of it.
pub fn retr(client: &mut Client, name: &str, mib: usize, halt: impl FnOnce()) {
    let mut data = begin(client, &format!("RETR {name}"));
    let mut buffer = vec![0; READ];
    let mut total = 0;
    let mut halt = Some(halt);
    loop {
        match data.read(&mut buffer).unwrap() {
            0 => break,
            read => total += read,
        }
        if total > mib * MIB / 2
            && let Some(halt) = halt.take()
        {
            halt();
        }
    }
    assert_eq!(total, mib * MIB, "{name} is short");
    data.finish();
    end(client);
}

fn begin(client: &mut Client, command: &str) -> Wire {
    let data = client.pasv();
    client.start(command);
    client.protected(data)
}

fn end(client: &mut Client) {
    client.reply(226);
}

// --- many transfers

fn fetch_all(wires: Vec<Wire>, mib: usize) {
    let mut buffer = vec![0; READ];
    let finished = together(wires, Interest::READABLE, |wire, done| {
        let read = wire.read(&mut buffer)?;
        *done += read;
        Ok(read == 0)
    });
    for (wire, done) in finished {
        assert_eq!(done, mib * MIB, "one is short");
        wire.finish();
    }
}

fn store_all(wires: Vec<Wire>, mib: usize) {
    let bytes = vec![b'x'; READ];
    let finished = together(wires, Interest::WRITABLE, |wire, done| {
        let left = mib * MIB - *done;
        *done += wire.write(&bytes[..left.min(READ)])?;
        Ok(*done == mib * MIB)
    });
    for (wire, _) in finished {
        wire.finish();
    }
}

/// Lets many connections have their turns until `turn` says of each that it is
/// done, and ends it; hands them back with what it counted.
fn together(
    wires: Vec<Wire>,
    interest: Interest,
    mut turn: impl FnMut(&mut Wire, &mut usize) -> io::Result<bool>,
) -> Vec<(Wire, usize)> {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    for (index, wire) in wires.iter().enumerate() {
        wire.socket().set_nonblocking(true).unwrap();
        let mut source = SourceFd(&wire.socket().as_raw_fd());
        let registered = poll
            .registry()
            .register(&mut source, Token(index), interest);
        registered.unwrap();
    }
    let mut wires: Vec<_> = wires.into_iter().map(|wire| (wire, 0)).collect();
    let mut left = wires.len();
    // Of a socket that is not dry there is no other event.
    let mut ready = VecDeque::new();
    let mut waits = vec![true; left];
    while left > 0 {
        let timeout = if ready.is_empty() {
            DEADLINE
        } else {
            Duration::ZERO
        };
        poll.poll(&mut events, Some(timeout)).unwrap();
        assert!(
            !(events.is_empty() && ready.is_empty()),
            "{left} stand still"
        );
        for event in &events {
            let Token(index) = event.token();
            if mem::take(&mut waits[index]) {
                ready.push_back(index);
            }
        }
        for _ in 0..ready.len() {
            let index = ready.pop_front().expect("that many");
            let (wire, done) = &mut wires[index];
            match turn(wire, done) {
                Ok(false) => ready.push_back(index),
                Ok(true) => {
                    left -= 1;
                    wire.socket().set_nonblocking(false).unwrap();
                    wire.end();
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => waits[index] = true,
                Err(err) => panic!("{err}"),
            }
        }
    }
    wires
}

/// Bytes that are read or written at once.
const READ: usize = 1 << 18;

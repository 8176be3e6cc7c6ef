//! Transfers: one that halts in the middle, or many at once in one thread, as in pyftpdlib's
//! benchmark.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::common::{Client, DEADLINE, Wire};
use crate::tree::MIB;

// --- one transfer

/// Uploads a file, with a halt in the middle.
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

/// Downloads a file, with a halt in the middle.
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

/// Begins a transfer; returns its data connection.
pub fn begin(client: &mut Client, command: &str) -> Wire {
    let data = client.pasv();
    client.start(command);
    client.protected(data)
}

/// Reads the end of a transfer.
pub fn end(client: &mut Client) {
    client.reply(226);
}

// --- many transfers

/// Reads this much from each connection.
pub fn fetch_all(wires: Vec<Wire>, mib: usize) {
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

/// Writes this much to each connection.
pub fn store_all(wires: Vec<Wire>, mib: usize) {
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

/// Gives each connection turns until `turn` says that it is done, and ends it; returns the
/// connections with their counts.
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
    // An edge-triggered poll reports a socket only once, so it stays in the queue until it would
    // block.
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

/// How many bytes are read or written at once.
const READ: usize = 1 << 18;

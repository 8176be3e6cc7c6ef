//! The CPUs of servers and clients. What it costs a server to move bytes depends on them more
//! than on the server: on one CPU its client finds the bytes in the cache, and on two CPUs both
//! work at the same connection at once. So nothing is left to the scheduler.

use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The choices of `--cpus`.
pub const CHOICES: [&str; 3] = ["one", "two", "any"];

static PLACES: Mutex<Option<Places>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Places {
    all: CpuSet,
    servers: CpuSet,
    clients: CpuSet,
}

/// Moves this process to the CPU of the clients.
pub fn choose(choice: &str) -> io::Result<()> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let all = match *places {
        Some(chosen) => chosen.all,
        None => sched_getaffinity(None)?,
    };
    let mut each = (0..CpuSet::MAX_CPU)
        .filter(|cpu| all.is_set(*cpu))
        .map(|cpu| {
            let mut one = CpuSet::new();
            one.set(cpu);
            one
        });
    // The first CPU is the one that the system prefers, too.
    let servers = each.next_back().unwrap_or(all);
    let (servers, clients) = match choice {
        "one" => (servers, servers),
        "two" => (servers, each.next_back().unwrap_or(servers)),
        _ => (all, all),
    };
    sched_setaffinity(None, &clients)?;
    *places = Some(Places {
        all,
        servers,
        clients,
    });
    Ok(())
}

/// Starts a server on its CPU, where its children stay.
pub fn in_place<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let Some(places) = *PLACES.lock().unwrap_or_else(PoisonError::into_inner) else {
        return Ok(start());
    };
    sched_setaffinity(None, &places.servers)?;
    let server = start();
    sched_setaffinity(None, &places.clients)?;
    Ok(server)
}

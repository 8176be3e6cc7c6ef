//! Who runs where. What moving bytes costs a server depends on it more than on
//! the server: on one CPU its client finds them in the cache, on two they work
//! at the same connection at once. So nobody is left to the scheduler.

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

/// Takes the place of the clients.
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
    // The first one is the system's favourite, too.
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

/// Starts a server in its place, where its children stay.
pub fn in_place<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let Some(places) = *PLACES.lock().unwrap_or_else(PoisonError::into_inner) else {
        return Ok(start());
    };
    sched_setaffinity(None, &places.servers)?;
    let server = start();
    sched_setaffinity(None, &places.clients)?;
    Ok(server)
}

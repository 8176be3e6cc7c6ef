//! Who runs where. What moving bytes costs a server depends on it more than on
//! the server: on one CPU its client finds them in the cache, on two they work
//! at the same connection at once. So nobody is left to the scheduler.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The choices of `--cpus`.
pub const CHOICES: [&str; 3] = ["one", "two", "any"];

static PLACES: OnceLock<Places> = OnceLock::new();

struct Places {
    servers: CpuSet,
    clients: CpuSet,
}

/// Takes the place of the clients.
pub fn choose(choice: &str) -> io::Result<()> {
    let all = sched_getaffinity(None)?;
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
    PLACES.get_or_init(|| Places { servers, clients });
    Ok(())
}

/// Starts a server in its place, where its children stay.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let Some(places) = PLACES.get() else {
        return command.spawn();
    };
    sched_setaffinity(None, &places.servers)?;
    let child = command.spawn();
    sched_setaffinity(None, &places.clients)?;
    child
}

//! Directories of 10,000 entries: LIST, NLST and MLSD.
//!
//! FTPDLIB_BENCH_ENTRIES sets the size, FTPDLIB_BENCH_ROUNDS the rounds,
//! FTPDLIB_BENCH_DIR the file system.

mod common;

use std::fs::File;

use common::{Samples, Speech, Table, Target, home, millis, rounds, servers, setting};

fn main() {
    let entries = setting("FTPDLIB_BENCH_ENTRIES", 10_000);
    let home = home();
    for number in 0..entries {
        File::create(home.path().join(format!("file-{number:06}.dat"))).expect("a file");
    }
    let servers = servers(Speech::Clear, home.path());
    let mut clients: Vec<_> = servers.iter().map(|server| server.login()).collect();
    let mut table = Table::new("listings");
    let mut buffer = vec![0; 1 << 20];
    let targets = [
        ("LIST", Target::AtMost(20.0)),
        ("NLST", Target::None),
        ("MLSD", Target::AtMost(20.0)),
    ];
    for (command, target) in targets {
        let mut samples = vec![Samples::default(); servers.len()];
        for _ in 0..rounds() {
            for (index, server) in servers.iter().enumerate() {
                let cpu = server.cpu_of(|| {
                    let size = clients[index].download(command, &mut buffer);
                    assert!(size > entries as u64 * 10, "{command} is short");
                });
                samples[index].push(millis(cpu));
            }
        }
        table.row(
            format!("{command} of {entries} entries: CPU ms"),
            &samples,
            target,
        );
    }
    table.print();
}

//! Large files: RETR and STOR of 1 GiB in TYPE I, and of some less in TYPE A.
//!
//! FTPDLIB_BENCH_MIB sets the size, FTPDLIB_BENCH_ROUNDS the rounds,
//! FTPDLIB_BENCH_DIR the file system (a disk's writing back is not the
//! server's, but it takes its time: one in memory is calmer). `cargo bench --bench transfer -- retr` does the downloads only,
//! `stor` the uploads.

mod common;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Instant;

use common::{Samples, Server, Table, Target, home, millis, rounds, servers, setting, wanted};

fn main() {
    let mib = setting("FTPDLIB_BENCH_MIB", 1024).max(16);
    let home = home();
    let sparse = File::create(home.path().join("large")).expect("a file");
    sparse.set_len(MIB as u64 * mib as u64).expect("its size");
    // Into the page cache: the disk is not what is measured.
    let mut large = File::open(home.path().join("large")).expect("a file");
    io::copy(&mut large, &mut io::sink()).expect("its bytes");
    let line = b"a line of text, as long as most of them are in such files\n".repeat(64);
    let text = line.repeat(mib / 16 * MIB / line.len());
    fs::write(home.path().join("text"), &text).expect("a file");

    let servers = servers(home.path());
    let mut table = Table::new("transfers");
    let ascii = text.len() / MIB;
    let binary = |direction: &str| format!("{direction} of {mib} MiB, binary: CPU ms");
    let text = |direction: &str| format!("{direction} of {ascii} MiB, ASCII: CPU ms");
    run(
        &mut table,
        &servers,
        &binary("RETR"),
        Target::Ratio(1.0),
        |server| retr(server, "I", "large"),
    );
    run(
        &mut table,
        &servers,
        &binary("STOR"),
        Target::Ratio(0.65),
        |server| stor(server, home.path(), "I", &[0; MIB], mib),
    );
    run(
        &mut table,
        &servers,
        &text("RETR"),
        Target::None,
        |server| retr(server, "A", "text"),
    );
    let lines = line.repeat(16);
    let lines = String::from_utf8(lines)
        .expect("ASCII")
        .replace('\n', "\r\n");
    let count = ascii * MIB / lines.len();
    run(
        &mut table,
        &servers,
        &text("STOR"),
        Target::None,
        |server| stor(server, home.path(), "A", lines.as_bytes(), count),
    );
    table.print();
}

/// CPU time and wall time of some work, in milliseconds, in turn.
fn run(
    table: &mut Table,
    servers: &[Server],
    work: &str,
    target: Target,
    measure: impl Fn(&Server) -> (f64, f64),
) {
    if !wanted(&work[..4].to_lowercase()) {
        return;
    }
    let mut cpu = vec![Samples::default(); servers.len()];
    let mut wall = cpu.clone();
    for _ in 0..rounds() {
        for (index, server) in servers.iter().enumerate() {
            let (spent, took) = measure(server);
            cpu[index].push(spent);
            wall[index].push(took);
        }
    }
    table.row(work, &cpu, target);
    table.row("  wall ms, with this client", &wall, Target::None);
}

fn retr(server: &Server, kind: &str, name: &str) -> (f64, f64) {
    let mut buffer = vec![0; MIB];
    let mut client = server.login();
    client.command(&format!("TYPE {kind}"), 200);
    let mut took = 0.0;
    let cpu = server.cpu_of(|| {
        let start = Instant::now();
        client.download(&format!("RETR {name}"), &mut buffer);
        took = millis(start.elapsed());
    });
    client.quit();
    (millis(cpu), took)
}

fn stor(server: &Server, home: &Path, kind: &str, bytes: &[u8], count: usize) -> (f64, f64) {
    let mut client = server.login();
    client.command(&format!("TYPE {kind}"), 200);
    let mut took = 0.0;
    let cpu = server.cpu_of(|| {
        let start = Instant::now();
        client.upload("STOR stored", bytes, count);
        took = millis(start.elapsed());
    });
    client.quit();
    fs::remove_file(home.join("stored")).expect("the file that was stored");
    (millis(cpu), took)
}

const MIB: usize = 1 << 20;

//! Large files: RETR and STOR of 1 GiB in TYPE I, in clear and with TLS, and of a smaller file in
//! TYPE A.
//!
//! FTPDLIB_BENCH_MIB sets the size, FTPDLIB_BENCH_ROUNDS the rounds, FTPDLIB_BENCH_DIR the file
//! system (write-back of a disk disturbs the figures, so a file system in memory is better).
//! `cargo bench --bench transfer -- retr` runs only the downloads, `stor` only the uploads,
//! `retr-tls` only the downloads with TLS.

mod common;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Instant;

use common::{
    Samples, Server, Speech, Table, Target, home, millis, rounds, servers, setting, wanted,
};

fn main() {
    let mib = setting("FTPDLIB_BENCH_MIB", 1024).max(16);
    let home = home();
    let sparse = File::create(home.path().join("large")).expect("a file");
    sparse.set_len(MIB as u64 * mib as u64).expect("its size");
    let line = b"a line of text, as long as most of them are in such files\n".repeat(64);
    let text = line.repeat(mib / 16 * MIB / line.len());
    fs::write(home.path().join("text"), &text).expect("a file");

    let mut table = Table::new("transfers");
    clear(&mut table, home.path(), (mib, text.len() / MIB), &line);
    secure(&mut table, home.path(), mib);
    table.print();
}

fn clear(table: &mut Table, home: &Path, (mib, ascii): (usize, usize), line: &[u8]) {
    if !wanted("retr-clear") && !wanted("stor-clear") {
        return;
    }
    let servers = servers(Speech::Clear, home);
    run(
        table,
        &servers,
        ("retr-clear", &format!("RETR of {mib} MiB, binary: CPU ms")),
        Target::Ratio(1.0),
        |server| retr(server, home, "I", "large"),
    );
    run(
        table,
        &servers,
        ("stor-clear", &format!("STOR of {mib} MiB, binary: CPU ms")),
        Target::Ratio(0.65),
        |server| stor(server, home, "I", &[0; MIB], mib),
    );
    let lines = String::from_utf8(line.repeat(16))
        .expect("ASCII")
        .replace('\n', "\r\n");
    run(
        table,
        &servers,
        ("retr-clear", &format!("RETR of {ascii} MiB, ASCII: CPU ms")),
        Target::None,
        |server| retr(server, home, "A", "text"),
    );
    let count = ascii * MIB / lines.len();
    run(
        table,
        &servers,
        ("stor-clear", &format!("STOR of {ascii} MiB, ASCII: CPU ms")),
        Target::None,
        |server| stor(server, home, "A", lines.as_bytes(), count),
    );
}

fn secure(table: &mut Table, home: &Path, mib: usize) {
    if !wanted("retr-tls") && !wanted("stor-tls") {
        return;
    }
    let servers = servers(Speech::Tls, home);
    run(
        table,
        &servers,
        ("retr-tls", &format!("TLS: RETR of {mib} MiB: CPU ms")),
        Target::Ratio(0.65),
        |server| retr(server, home, "I", "large"),
    );
    run(
        table,
        &servers,
        ("stor-tls", &format!("TLS: STOR of {mib} MiB: CPU ms")),
        Target::Ratio(0.65),
        |server| stor(server, home, "I", &[0; MIB], mib),
    );
    table.handshakes("these transfers", &servers);
}

/// Measures CPU time and wall time of some work, in milliseconds, in turns.
fn run(
    table: &mut Table,
    servers: &[Server],
    (part, work): (&str, &str),
    target: Target,
    measure: impl Fn(&Server) -> (f64, f64),
) {
    if !wanted(part) {
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

fn retr(server: &Server, home: &Path, kind: &str, name: &str) -> (f64, f64) {
    let mut buffer = vec![0; MIB];
    // Read it into the page cache, since the disk is not measured.
    let mut file = File::open(home.join(name)).expect("a file");
    io::copy(&mut file, &mut io::sink()).expect("its bytes");
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

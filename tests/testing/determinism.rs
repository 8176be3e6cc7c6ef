//! The same calls have the same effects on a server in memory.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::testing::Server;
use ftpdlib::{AuthenticationFailed, FSError, FTPHandler, FTPSession};

use super::place::place;
use super::server::{Client, at, port, read, server};

const SECOND: Duration = Duration::from_secs(1);

// --- random numbers

/// What clients of a server with this seed read, and when.
fn run(seed: u64, tick: Duration) -> Vec<String> {
    let mut place = place();
    place.config.passive_ports = Some((50_000..51_000).collect());
    let server = server(place.config, seed);
    server.set_tick(tick);
    let addresses = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
    let clients = addresses.map(|ip| Client::login(&server, ip));
    let mut events = Vec::new();
    for client in &clients {
        events.push(client.stream.local_addr().to_string());
        events.push(client.command("PASV"));
        let data = client.passive();
        events.push(client.command("STOU"));
        data.write(b"abc").unwrap();
        drop(data);
        events.push(client.receive());
        for line in ["NOOP", "SYST", "PWD", "QUIT"] {
            client.send(line);
        }
        while !server.is_at_rest() {
            server.turn();
            let replies = String::from_utf8(read(&client.stream)).unwrap();
            events.push(format!("{:?} {replies}", server.now()));
        }
    }
    events
}

#[test]
fn a_seed_decides_about_all() {
    for tick in [Duration::ZERO, Duration::from_micros(300)] {
        let events = run(7, tick);
        assert_eq!(events, run(7, tick));
        let others = run(8, tick);
        // The ports of clients and of PASV, and the name of the file.
        for event in 0..3 {
            assert_ne!(events[event], others[event]);
        }
    }
}

/// Without ports in the settings, the network draws them.
#[test]
fn passive_ports_of_the_network() {
    let ports = |seed| {
        let server = server(place().config, seed);
        let client = Client::login(&server, "10.0.0.2");
        [(); 3].map(|()| port(&client.command("PASV")))
    };
    assert_eq!(ports(1), ports(1));
    assert_ne!(ports(1), ports(2));
    assert!(ports(1).iter().all(|port| *port >= 49_152));
}

// --- the clock

/// How many turns it takes to do all there is to do.
fn turns(server: &Server) -> usize {
    let mut turns = 0;
    while !server.is_at_rest() {
        server.turn();
        turns += 1;
    }
    turns
}

#[test]
fn ticks_end_a_turn() {
    let server = server(place().config, 1);
    let client = Client::login(&server, "10.0.0.2");
    let run = |tick| {
        server.set_tick(tick);
        for _ in 0..32 {
            client.send("NOOP");
        }
        let (before, turns) = (server.now(), turns(&server));
        assert_eq!(client.receive().lines().count(), 32);
        (turns, server.now() - before)
    };
    let (few, time) = run(Duration::ZERO);
    assert!(few < 4 && time.is_zero(), "{few}");
    // Each command takes a tick, and a turn of a session is over after a millisecond.
    let (more, time) = run(Duration::from_micros(300));
    assert!((8..=32).contains(&more), "{more}");
    assert!(time >= Duration::from_micros(300) * 32, "{time:?}");
    assert_eq!(run(Duration::from_millis(2)).0, 32);
}

#[test]
fn ticks_end_the_steps_of_a_listing() {
    let place = place();
    for number in 0..300 {
        place.write(&format!("file{number}"), b"");
    }
    let server = server(place.config, 1);
    let client = Client::login(&server, "10.0.0.2");
    let run = |tick| {
        server.set_tick(tick);
        let data = client.passive();
        client.send("NLST *1*");
        let turns = turns(&server);
        let names = read(&data);
        assert_eq!(names.split(|byte| *byte == b'\n').count(), 138 + 1);
        drop(data);
        client.receive();
        turns
    };
    let few = run(Duration::ZERO);
    let more = run(Duration::from_millis(1));
    assert!(few < 10 && more > 3 * few, "{few} {more}");
}

/// A machine so slow that the time of a turn is over whenever somebody looks at the clock.
#[test]
fn each_turn_makes_progress_however_late_it_is() {
    let place = place();
    place.write("a", &vec![b'x'; 100_000]);
    for number in 0..100 {
        place.write(&format!("file-{number}"), b"");
    }
    let transfers = |tick: u64| {
        let server = server(place.config.clone(), 1);
        server.set_tick(Duration::from_millis(tick));
        let client = Client::login(&server, "10.0.0.2");
        ["RETR a", "NLST", "STAT ."].map(|command| {
            let data = client.passive();
            let mut replies = client.command(command);
            let mut received = read(&data);
            while !data.is_closed() && command != "STAT ." {
                server.settle();
                received.extend(read(&data));
            }
            drop(data);
            replies = [replies, client.receive()].join("\n").trim_end().to_owned();
            assert!(replies.contains("226 Tr") || replies.ends_with("213 End of status."));
            (received, replies.lines().count())
        })
    };
    let [file, names, status] = transfers(10);
    assert_eq!(file.0.len(), 100_000);
    assert!(names.0.len() > 800);
    assert!(status.1 > 100);
    assert!([file, names, status] == transfers(0));
}

// --- jobs

/// Runs a job for NOOP.
struct Working;

impl FTPHandler for Working {
    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let name = s.remote_ip().to_string();
        let asked = s.offload(move || name, |s, name| s.respond(format!("200 {name}.")));
        asked.unwrap();
    }
}

#[test]
fn jobs_run_when_the_test_says_so() {
    let place = place();
    let server = Server::new(place.config, at("10.0.0.1:21"), 1, |_| Working).unwrap();
    let addresses = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
    let clients = addresses.map(|ip| Client::login(&server, ip));
    for client in &clients {
        assert_eq!(client.command("NOOP"), "");
    }
    assert_eq!(server.jobs(), 3);
    server.run_job(1);
    assert!(!server.is_at_rest(), "its result is on its way");
    assert_eq!(clients[1].receive(), "200 10.0.0.3.");
    assert_eq!(clients[0].receive(), "");
    server.run_job(1);
    assert_eq!(clients[2].receive(), "200 10.0.0.4.");
    // A session that has gone still counts until its job has run.
    clients.iter().for_each(|client| client.stream.reset());
    server.settle();
    assert_eq!((server.sessions(), server.open_sockets()), (0, 0));
    assert_eq!((server.jobs(), server.slots()), (1, 1));
    server.run_job(0);
    server.settle();
    assert_eq!((server.jobs(), server.slots()), (0, 0));
}

#[test]
#[should_panic(expected = "job 0 of 0")]
fn a_job_that_does_not_exist() {
    server(place().config, 1).run_job(0);
}

#[test]
fn jobs_of_one_address_are_limited() {
    let place = place();
    let server = Server::new(place.config, at("10.0.0.1:21"), 1, |_| Flooding).unwrap();
    let client = Client::login(&server, "10.0.0.2");
    assert_eq!(client.command("NOOP"), "450 512");
    assert_eq!(server.jobs(), 512);
    server.close();
    assert_eq!((server.jobs(), server.slots()), (0, 0));
}

/// Gives as many jobs as are taken.
struct Flooding;

impl FTPHandler for Flooding {
    fn ftp_noop(&mut self, s: &mut FTPSession) {
        let mut taken = 0;
        while s.offload(|| (), |_, ()| {}).is_ok() {
            taken += 1;
        }
        s.respond(format!("450 {taken}"));
    }
}

#[test]
fn logins_that_are_answered_later() {
    let mut place = place();
    place.decide(|password, later| {
        let is_right = password == "12345";
        later().offload(move || match is_right {
            true => Ok(()),
            false => Err(AuthenticationFailed::default()),
        })
    });
    let server = server(place.config, 1);
    let clients = ["12345", "guess"].map(|password| {
        let client = Client::new(&server, "10.0.0.2");
        client.receive();
        client.command("USER user");
        assert_eq!(client.command(&format!("PASS {password}")), "");
        client
    });
    assert_eq!(server.jobs(), 2);
    server.run_job(1);
    server.run_job(0);
    assert_eq!(clients[0].receive(), "230 Login successful.");
    assert_eq!(clients[1].receive(), "");
    server.set_now(server.next_deadline().unwrap());
    assert_eq!(clients[1].receive(), "530 Authentication failed.");
}

// --- uploads

/// A file system whose files are none of the system, as far as the server sees.
struct Hidden;

impl AbstractedFS for Hidden {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        Ok(Box::new(HiddenFile(local::open(fs, path, mode)?)))
    }
}

struct HiddenFile(Box<dyn FSFile>);

impl Read for HiddenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for HiddenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for HiddenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl FSFile for HiddenFile {
    fn name(&self) -> &Path {
        self.0.name()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.0.size()
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        self.0.finish(completed)
    }
}

/// Uploads exclude each other by the paths of their files, and a silent one can be taken over.
#[test]
fn uploads_exclude_each_other() {
    let mut place = place();
    place.config.set_abstracted_fs(Hidden);
    let server = server(place.config.clone(), 1);
    let [first, second] = [(); 2].map(|()| Client::login(&server, "10.0.0.2"));
    let data = first.passive();
    assert!(first.command("STOR file").starts_with("125 "));
    data.write(b"of the first").unwrap();
    server.settle();
    let other = second.passive();
    let busy = second.command("STOR file");
    assert!(busy.starts_with("450 "), "{busy}");
    // Ten seconds later the first upload is silent.
    server.set_now(server.now() + 10 * SECOND);
    server.settle();
    second.send("STOR file");
    server.settle();
    for _ in 0..20 {
        server.set_now(server.now() + SECOND / 10);
        server.settle();
    }
    let ended = first.receive();
    assert!(ended.starts_with("426 "), "{ended}");
    assert!(second.receive().starts_with("125 "));
    other.write(b"of the second").unwrap();
    drop((data, other));
    assert_eq!(second.receive(), "226 Transfer complete.");
    assert_eq!(place.read("file"), b"of the second");
}

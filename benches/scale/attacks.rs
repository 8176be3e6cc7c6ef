//! What clients that attack cost the others.
//!
//! The server has its default settings. Its clients are those that attack, one that measures its
//! NOOPs, and some that come from another address, log in and fetch a small file. A single process
//! has its own CPU; workers share all CPUs with the clients, among which those that attack come
//! last.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Deref;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::common::{
    Client, DEADLINE, Endpoint, Memory, PASSWORD, Samples, Table, Target, USER, children, millis,
    signal,
};
use crate::cpus;
use crate::meter::{Meter, explain, tell};
use crate::options::{Options, Scale};

pub fn run(table: &mut Table, home: &Path, options: &Options) {
    explain(table);
    fs::write(home.join("small"), [b'x'; 1024]).expect("a file");
    for (model, places) in MODELS {
        cpus::choose(places).expect("CPUs");
        for attack in Attack::ALL {
            measure(table, home, &options.scale, model, attack);
        }
    }
}

/// The concurrency models, as options, and the CPUs. Two workers on one CPU would wait for each
/// other.
const MODELS: [(&[&str], &str); 2] = [
    (&["async"], "two"),
    (&["pre-fork", "--workers", "2"], "any"),
];

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Thousands of connections of one address that do nothing,
    Idle,
    /// or send NOOP,
    Noop,
    /// or end and come again, each second,
    Again,
    /// or log in.
    Login,
    /// Sessions that send PORT with the address of another machine, each of which is a warning.
    Ports,
    /// Sessions that log in and out, while nobody reads the log, which has all commands.
    Log,
}

impl Attack {
    const ALL: [Self; 6] = [
        Self::Idle,
        Self::Noop,
        Self::Again,
        Self::Login,
        Self::Ports,
        Self::Log,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle connections",
            Self::Noop => "connections that send NOOP",
            Self::Again => "connections that come again each second",
            Self::Login => "connections that log in",
            Self::Ports => "sessions that send foreign PORTs",
            Self::Log => "logins that nobody reads of",
        }
    }

    /// How many connections attack at once.
    fn connections(self, scale: &Scale) -> usize {
        match self {
            Self::Ports | Self::Log => 8,
            _ => scale.crowd,
        }
    }
}

fn measure(table: &mut Table, home: &Path, scale: &Scale, model: &[&str], attack: Attack) {
    let server = cpus::in_place(|| start(home, model, attack)).expect("its CPU");
    let address = server.address;
    let visitor = move || visit(address);
    (0..20).for_each(|_| visitor());
    let before = Figures::at_rest(&server);
    let meter = Meter::start(server.address, scale.noops);
    let connections = attack.connections(scale);
    let storm = Storm::start(server.address, attack, connections);
    let (waits, visits) = thread::scope(|scope| {
        let waits = scope.spawn(|| meter.measure());
        let visits: Vec<Duration> = (0..scale.visits)
            .map(|_| {
                // In each second, the attack does something else.
                thread::sleep(Duration::from_millis(170));
                let start = Instant::now();
                catch_unwind(visitor).map_or(Duration::MAX, |()| start.elapsed())
            })
            .collect();
        (waits.join().expect("a meter"), visits)
    });
    let during = Figures::now(&server);
    drop(storm);
    let after = Figures::at_rest(&server);

    let work = format!("{}, {connections} {}", model[0], attack.name());
    tell(
        table,
        &format!("next to {work}"),
        &waits,
        Target::AtMost(2.0),
    );
    let served = visits.iter().filter(|time| **time < SOON).count();
    let mut row = |what: &str, value: f64, target| {
        let mut sample = Samples::default();
        sample.push(value);
        table.row(format!("  {what}"), &[sample], target);
    };
    let late = visits.len() - served;
    row(
        &format!("of {} clients, not served in 2 s", visits.len()),
        late as f64,
        Target::AtMost(0.0),
    );
    let mut times = Samples::default();
    let in_time = visits.iter().filter(|time| **time < DEADLINE);
    in_time.for_each(|time| times.push(millis(*time)));
    if !times.is_empty() {
        row(
            "login and a small file: median ms",
            times.median(),
            Target::None,
        );
    }
    let grown = |then: u64, now: u64| now.saturating_sub(then) as f64;
    let kib = |figures: &Figures| figures.memory / 1024;
    row(
        "private memory more, during it: KiB",
        grown(kib(&before), kib(&during)),
        Target::AtMost(8192.0),
    );
    row(
        "descriptors more, after it",
        grown(before.descriptors, after.descriptors),
        Target::AtMost(0.0),
    );
}

/// A server, which ends when this value is dropped.
struct Victim(Endpoint);

impl Deref for Victim {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.0
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        signal("TERM", &self.0.child.id().to_string());
        let _ = self.0.child.wait();
    }
}

/// Starts a server with its default settings.
fn start(home: &Path, model: &[&str], attack: Attack) -> Victim {
    let log = home.with_extension("log");
    let server = Endpoint::start("ftpdlib", USER, None, |address, _| {
        let port = address.port().to_string();
        let mut command = Command::new("sh");
        let mut words = vec![
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-w",
            "-u",
            USER,
            "-P",
            PASSWORD,
        ];
        words.extend(["--concurrency"].iter().chain(model));
        if attack == Attack::Log {
            words.push("-D");
            fifo(&log);
            // A pipe that is never closed and never read.
            command.args(["-c", r#"log=$1; shift; exec "$@" 2<>"$log""#, "sh"]);
            command.arg(&log);
        } else {
            command.args(["-c", r#"exec "$@""#, "sh"]);
        }
        command.arg(env!("CARGO_BIN_EXE_ftpdlib")).args(words);
        command.arg("-d").arg(home);
        command
    });
    let _ = fs::remove_file(&log);
    Victim(server.expect("a server"))
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "a fifo");
}

/// A client of another address logs in, and fetches a file.
fn visit(server: SocketAddr) {
    let mut client = Client::connect_from(VISITOR, server);
    client.login();
    client.download("RETR small", &mut [0; 4096]);
    client.quit();
}

// --- the processes of the server

/// What all of them have.
struct Figures {
    descriptors: u64,
    /// The private memory in bytes.
    memory: u64,
}

impl Figures {
    fn now(server: &Endpoint) -> Self {
        let master = server.child.id();
        let pids = [vec![master], children(master)].concat();
        let descriptors = |pid: &u32| {
            let list = fs::read_dir(format!("/proc/{pid}/fd")).expect("a server");
            list.count() as u64
        };
        Self {
            descriptors: pids.iter().map(descriptors).sum(),
            memory: pids
                .iter()
                .map(|pid| Memory::of(*pid).expect("a server").private)
                .sum(),
        }
    }

    /// Once the descriptors have stayed the same for two seconds.
    fn at_rest(server: &Endpoint) -> Self {
        let end = Instant::now() + DEADLINE;
        let mut last = Self::now(server);
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_secs(2) && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
            let now = Self::now(server);
            if now.descriptors != last.descriptors {
                since = Instant::now();
            }
            last = now;
        }
        last
    }
}

// --- the attack, in a process of its own

/// An attack in progress, which ends when this value is dropped.
struct Storm(Child);

impl Storm {
    /// Starts it, and waits until it has begun.
    fn start(server: SocketAddr, attack: Attack, connections: usize) -> Self {
        // Those that attack have no CPUs of this machine.
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(env::current_exe().expect("this bench"))
            .env(STORM, server.to_string())
            .env(ATTACK, format!("{attack:?}"))
            .env(CONNECTIONS, connections.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this bench");
        let mut begun = [0];
        let output = child.stdout.as_mut().expect("a pipe");
        output.read_exact(&mut begun).expect("an attack");
        Self(child)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays the attack, if the environment asks for it.
pub fn plays() -> bool {
    let Some(server) = env::var(STORM).ok().and_then(|text| text.parse().ok()) else {
        return false;
    };
    let (attack, count) = (env::var(ATTACK), env::var(CONNECTIONS));
    let attack = Attack::ALL
        .into_iter()
        .find(|one| attack.as_deref() == Ok(&format!("{one:?}")));
    let attack = attack.expect("an attack");
    let count = count.expect("a number").parse().expect("a number");
    match attack {
        Attack::Ports | Attack::Log => few(server, attack, count),
        _ => crowd(server, attack, count),
    }
    true
}

fn has_begun() {
    let mut output = io::stdout().lock();
    output
        .write_all(b"b")
        .and_then(|()| output.flush())
        .expect("a reader");
}

/// Keeps many connections of one address as busy as the attack says.
fn crowd(server: SocketAddr, attack: Attack, count: usize) {
    let (mut sockets, mut buffer) = (Vec::new(), [0; 4096]);
    let login = format!("USER {USER}\r\nPASS {PASSWORD}\r\nPASV\r\n");
    for round in 0.. {
        let next = Instant::now() + Duration::from_secs(1);
        if attack == Attack::Again {
            sockets.clear();
        }
        // Those that were closed come again.
        sockets.retain(|socket| is_open(socket, &mut buffer));
        while sockets.len() < count {
            sockets.push(connect(server));
        }
        for mut socket in &sockets {
            let _ = match attack {
                Attack::Noop => socket.write(b"NOOP\r\n"),
                Attack::Login => socket.write(login.as_bytes()),
                _ => Ok(0),
            };
        }
        if round == 0 {
            has_begun();
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Begins to connect from the address of the crowd.
fn connect(server: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    let source = SocketAddr::from((CROWD, 0));
    socket.bind(&source.into()).expect("an address");
    socket.set_nonblocking(true).expect("a socket");
    let _ = socket.connect(&server.into());
    socket
}

/// Reads what has come. Returns whether the connection goes on.
fn is_open(mut socket: &Socket, buffer: &mut [u8]) -> bool {
    loop {
        match socket.read(buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(err) => return err.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Some sessions, each of which sends as fast as the server replies.
fn few(server: SocketAddr, attack: Attack, count: usize) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                loop {
                    // The server may end it.
                    let _ = one(server, attack);
                }
            });
        }
        thread::sleep(Duration::from_millis(300));
        has_begun();
    });
}

fn one(server: SocketAddr, attack: Attack) -> io::Result<()> {
    let mut socket = TcpStream::connect(server)?;
    socket.write_all(format!("USER {USER}\r\nPASS {PASSWORD}\r\n").as_bytes())?;
    if attack == Attack::Log {
        socket.write_all(b"QUIT\r\n")?;
        return io::copy(&mut socket, &mut io::sink()).map(drop);
    }
    let (ports, mut replies) = ("PORT 10,0,0,1,100,100\r\n".repeat(20), [0; 4096]);
    loop {
        socket.write_all(ports.as_bytes())?;
        if socket.read(&mut replies)? == 0 {
            return Ok(());
        }
    }
}

/// The variables with the address of the server, the attack and the number of its connections.
const STORM: &str = "FTPDLIB_SCALE_STORM";
const ATTACK: &str = "FTPDLIB_SCALE_ATTACK";
const CONNECTIONS: &str = "FTPDLIB_SCALE_CONNECTIONS";

/// The addresses of the clients that attack together, and of those that do not.
const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const VISITOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

/// How long a client at another address may take.
const SOON: Duration = Duration::from_secs(2);

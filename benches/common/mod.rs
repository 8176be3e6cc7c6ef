//! What the benches share: servers in processes of their own, a client, what
//! the system says of a process, and the table at the end.
//!
//! Measured is what the server spends - its CPU time, its system calls, its
//! memory - and not how fast the client is. Each figure of ftpdlib stands
//! beside that of pyftpdlib 2.2.0 in the same run, round by round in turn, if
//! there is one:
//!
//! ```text
//! python3 -m venv /tmp/pyftpdlib && /tmp/pyftpdlib/bin/pip install pyftpdlib==2.2.0 pyOpenSSL
//! FTPDLIB_BENCH_PYTHON=/tmp/pyftpdlib/bin/python cargo bench
//! ```
//!
//! The words behind `cargo bench --` choose parts of a bench: `tls` all with TLS,
//! `clear` all without.

#![allow(dead_code, reason = "each bench uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each bench, and public there")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the table is for standard output")]

pub mod tls;

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use socket2::{Domain, SockRef, Socket, Type};
use tempfile::TempDir;

use tls::{Tls, Wire};

// --- servers

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Ftpdlib,
    Pyftpdlib,
}

/// What its clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Clear,
    /// AUTH TLS, PROT P.
    Tls,
}

impl Speech {
    /// The name of a part of a bench.
    pub fn part(self, part: &str) -> String {
        match self {
            Self::Clear => format!("{part}-clear"),
            Self::Tls => format!("{part}-tls"),
        }
    }

    /// The name of a row.
    pub fn row(self, work: &str) -> String {
        match self {
            Self::Clear => work.to_owned(),
            Self::Tls => format!("TLS: {work}"),
        }
    }
}

/// Those that are there, ftpdlib first.
pub fn contestants() -> Vec<Which> {
    match python() {
        Some(_) => vec![Which::Ftpdlib, Which::Pyftpdlib],
        None => vec![Which::Ftpdlib],
    }
}

/// The interpreter that knows pyftpdlib 2.2.0, and its TLS.
pub fn python() -> Option<String> {
    let python = env::var("FTPDLIB_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let version = Command::new(&python)
        .args(["-c", "import OpenSSL, pyftpdlib; print(pyftpdlib.__ver__)"])
        .output()
        .ok()?;
    (version.stdout.trim_ascii() == b"2.2.0").then_some(python)
}

/// A server in a process of its own, which ends with this value. It logs at
/// level info, to /dev/null.
pub struct Server {
    which: Which,
    child: Child,
    pid: u32,
    tls: Option<Arc<Tls>>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(which: Which, speech: Speech, home: &Path) -> Self {
        Self::spawn(which, speech, home, &[])
    }

    /// With its system calls written to a file by strace, if there is a strace.
    pub fn start_traced(which: Which, speech: Speech, home: &Path, trace: &Path) -> Option<Self> {
        let strace = Command::new("strace").arg("-V").output();
        if !strace.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let trace = trace.to_str().unwrap();
        let tracer = ["strace", "-f", "-o", trace];
        Some(Self::spawn(which, speech, home, &tracer))
    }

    fn spawn(which: Which, speech: Speech, home: &Path, tracer: &[&str]) -> Self {
        let address = free_address();
        let tls = (speech == Speech::Tls).then(Tls::new);
        let mut words: Vec<String> = tracer.iter().map(|word| (*word).to_owned()).collect();
        words.extend(command(which, address, tls.as_deref(), home));
        let child = Command::new("sh")
            .args(["-c", ALL_DESCRIPTORS, "sh"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            which,
            pid: child.id(),
            child,
            tls,
            address,
        };
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "{which:?} does not start");
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "{which:?} ended"
            );
            thread::sleep(Duration::from_millis(10));
        }
        if !tracer.is_empty() {
            let pid = server.pid;
            let children = format!("/proc/{pid}/task/{pid}/children");
            let children = fs::read_to_string(children).unwrap();
            server.pid = children.trim().parse().unwrap();
        }
        // The session that was the test of its being there is over soon.
        server.settle();
        server
    }

    pub fn which(&self) -> Which {
        self.which
    }

    /// Waits until it sleeps, so that all it did is accounted for.
    pub fn settle(&self) {
        let mut last = self.cpu();
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = self.cpu();
            if now == last {
                return;
            }
            last = now;
        }
    }

    /// The CPU time that it has used, in user space and in the kernel.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let nanos = tasks.map(|task| {
            let schedstat = fs::read_to_string(task.unwrap().path().join("schedstat"));
            let schedstat = schedstat.expect("a kernel with schedstat");
            let first = schedstat.split(' ').next().unwrap();
            first.parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// The CPU time of some work.
    pub fn cpu_of(&self, work: impl FnOnce()) -> Duration {
        let before = self.cpu();
        work();
        self.settle();
        self.cpu() - before
    }

    /// How often it has given the processor away, or was made to.
    pub fn switches(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        let counts = lines.map(|line| line.split_whitespace().nth(1).unwrap());
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    }

    /// Ends it with SIGTERM. Returns its status, and how long that took.
    pub fn stop(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let pid = self.pid.to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
        let status = self.child.wait().unwrap();
        (status.code(), start.elapsed())
    }

    /// The memory that is its own (USS), in bytes.
    pub fn private_memory(&self) -> u64 {
        Memory::of(self.pid).unwrap().private
    }

    /// A client, after AUTH TLS if the server has TLS.
    pub fn connect(&self) -> Client {
        let client = Client::connect(self.address);
        match &self.tls {
            Some(tls) => client.auth(tls),
            None => client,
        }
    }

    /// A client that is logged in, in TYPE I and PROT P.
    pub fn login(&self) -> Client {
        let mut client = self.connect();
        client.login();
        client.command("TYPE I", 200);
        if self.tls.is_some() {
            client.command("PBSZ 0", 200);
            client.command("PROT P", 200);
        }
        client
    }

    /// The handshakes that it has had, if it has TLS.
    pub fn handshakes(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        Some(format!("  {:?}: {}", self.which, tls.handshakes()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.pid != self.child.id() {
            // The server itself; strace ends with it.
            let pid = self.pid.to_string();
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Memory that is one process's own, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Mapped by nobody else.
    pub private: u64,
    /// What it has written to of that: no file has it.
    pub written: u64,
}

impl Memory {
    /// That of a process, until it has ended.
    pub fn of(pid: u32) -> io::Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let bytes = |name| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().split_whitespace().next().unwrap();
            kib.parse::<u64>().unwrap() * 1024
        };
        let written = bytes("Private_Dirty:");
        Ok(Self {
            private: bytes("Private_Clean:") + written,
            written,
        })
    }
}

/// An address that was free a moment ago, and is nobody else's in a moment, in
/// all likelihood.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A server's program with its options, the same for both.
pub fn command(which: Which, address: SocketAddr, tls: Option<&Tls>, home: &Path) -> Vec<String> {
    let mut words = match which {
        Which::Ftpdlib => vec![env!("CARGO_BIN_EXE_ftpdlib").into()],
        Which::Pyftpdlib => vec![python().unwrap(), "-m".into(), "pyftpdlib".into()],
    };
    let port = address.port().to_string();
    let options = [
        "-i",
        "127.0.0.1",
        "-p",
        &port,
        "-w",
        "-u",
        USER,
        "-P",
        PASSWORD,
        "--max-cons",
        "60000",
        "--max-cons-per-ip",
        "0",
    ];
    words.extend(options.map(str::to_owned));
    if let Some(tls) = tls {
        let file = tls.certfile().to_str().unwrap();
        words.extend(["--tls", "--certfile", file, "--keyfile", file].map(str::to_owned));
    }
    words.extend(["-d", home.to_str().unwrap()].map(str::to_owned));
    words
}

/// Starts this bench again with as many descriptors as it may have.
pub fn with_all_descriptors() {
    const DONE: &str = "FTPDLIB_BENCH_RAISED";
    if env::var_os(DONE).is_some() {
        return;
    }
    let err = Command::new("sh")
        .args(["-c", ALL_DESCRIPTORS, "sh"])
        .arg(env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env(DONE, "1")
        .exec();
    panic!("cannot start again: {err}");
}

/// How many descriptors this process may have.
pub fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line
        .and_then(|line| line.split_whitespace().nth(3))
        .unwrap();
    soft.parse().unwrap_or(usize::MAX)
}

/// The lines of a trace so far: one for each system call.
pub fn traced_calls(trace: &Path) -> Vec<String> {
    let trace = fs::read(trace).unwrap();
    let trace = String::from_utf8_lossy(&trace);
    let call = |line: &str| {
        let line = line.split_once(' ')?.1.trim_start();
        let name = line.split('(').next()?;
        let named = !name.is_empty() && !line.starts_with(['<', '-', '+']);
        named.then(|| name.to_owned())
    };
    trace.lines().filter_map(call).collect()
}

// --- client

/// A control connection.
pub struct Client {
    socket: Wire,
    buffer: Vec<u8>,
    /// For its data connections, after AUTH TLS.
    tls: Option<(Arc<Tls>, Arc<ClientConfig>)>,
}

impl Client {
    /// One that has read the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::greeted(TcpStream::connect(address).unwrap())
    }

    /// One that comes from another address of this host.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::greeted(socket.into())
    }

    fn greeted(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Self {
            socket: Wire::Plain(socket),
            buffer: Vec::new(),
            tls: None,
        };
        client.reply(220);
        client
    }

    pub fn auth(mut self, tls: &Arc<Tls>) -> Self {
        self.command("AUTH TLS", 234);
        let session = tls.session();
        if let Wire::Plain(socket) = self.socket {
            self.socket = tls.handshake(&session, socket, 0, "control");
        }
        self.tls = Some((Arc::clone(tls), session));
        self
    }

    pub fn login(&mut self) {
        self.login_as(USER);
    }

    pub fn login_as(&mut self, user: &str) {
        self.command(&format!("USER {user}"), 331);
        self.command(&format!("PASS {PASSWORD}"), 230);
    }

    /// Sends a command and waits for a reply of this code.
    pub fn command(&mut self, command: &str, code: u16) -> String {
        self.send(command);
        self.reply(code)
    }

    pub fn send(&mut self, command: &str) {
        self.socket
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
    }

    /// The last line of a reply.
    pub fn reply(&mut self, code: u16) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if self.buffer.is_empty() {
                    // Thousands of clients are idle.
                    self.buffer = Vec::new();
                }
                let line = String::from_utf8(line).unwrap();
                let number = line.bytes().take_while(u8::is_ascii_digit).count();
                if number != 3 || line.as_bytes()[3] == b'-' {
                    continue;
                }
                assert_eq!(line[..3].parse(), Ok(code), "{line}");
                return line;
            }
            let mut chunk = [0; 512];
            let read = self.socket.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the server has closed, not replied {code}");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// A data connection by PASV; without TLS, whose handshake is behind 150.
    pub fn pasv(&mut self) -> TcpStream {
        let reply = self.command("PASV", 227);
        let inner = reply.split(['(', ')']).nth(1).unwrap();
        let parts: Vec<u16> = inner.split(',').map(|part| part.parse().unwrap()).collect();
        let port = parts[4] * 256 + parts[5];
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// The same connection, with TLS if data connections have it.
    pub fn protected(&self, data: TcpStream) -> Wire {
        match &self.tls {
            Some((tls, session)) => tls.handshake(session, data, 1 << 18, "data"),
            None => Wire::Plain(data),
        }
    }

    /// Fetches by PASV and a command; returns how many bytes came.
    pub fn download(&mut self, command: &str, buffer: &mut [u8]) -> u64 {
        let data = self.pasv();
        self.start(command);
        let mut data = self.protected(data);
        let mut total = 0;
        loop {
            match data.read(buffer).unwrap() {
                0 => break,
                read => total += read as u64,
            }
        }
        data.finish();
        self.reply(226);
        total
    }

    /// Fetches as [`download`](Self::download) does, but lets the kernel throw
    /// the bytes away, which leaves the processors to the server.
    pub fn discard(&mut self, command: &str) {
        self.discard_by(command, |_| {});
    }

    /// The same; `each` is told how much has come, each time.
    pub fn discard_by(&mut self, command: &str, mut each: impl FnMut(usize)) {
        let data = self.pasv();
        self.start(command);
        let data = SockRef::from(&data);
        let mut buffer = vec![MaybeUninit::uninit(); 1 << 18];
        loop {
            match data.recv_with_flags(&mut buffer, libc::MSG_TRUNC).unwrap() {
                0 => break,
                size => each(size),
            }
        }
        self.reply(226);
    }

    /// Stores `count` times `bytes` by PASV and a command.
    pub fn upload(&mut self, command: &str, bytes: &[u8], count: usize) {
        let data = self.pasv();
        self.start(command);
        let mut data = self.protected(data);
        for _ in 0..count {
            data.write_all(bytes).unwrap();
        }
        data.finish();
        self.reply(226);
    }

    /// 125 or 150, as it comes.
    pub fn start(&mut self, command: &str) {
        self.send(command);
        while self.buffer.len() < 3 {
            let mut chunk = [0; 512];
            let read = self.socket.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the server has closed");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
        let code = if self.buffer.starts_with(b"125") {
            125
        } else {
            150
        };
        self.reply(code);
    }

    /// QUIT, and the end of the connection.
    pub fn quit(mut self) {
        self.send("QUIT");
        self.left();
    }

    /// After QUIT.
    pub fn left(mut self) {
        self.reply(221);
        self.socket.read_end();
    }
}

// --- figures

/// What was measured in some rounds.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    pub fn quantile(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn text(&self) -> String {
        let at = |quantile| number(self.quantile(quantile));
        match self.0.len() {
            0 => "-".into(),
            1 => at(0.5),
            _ => format!("{} ({}..{})", at(0.5), at(0.0), at(1.0)),
        }
    }
}

/// A figure to reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At most this part of pyftpdlib's.
    Ratio(f64),
    /// At most this.
    AtMost(f64),
    /// At most this, or this part of pyftpdlib's.
    Either(f64, f64),
    None,
}

/// The figures of a bench.
pub struct Table {
    title: &'static str,
    /// Whether there are no figures of pyftpdlib.
    alone: bool,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    work: String,
    ours: Samples,
    theirs: Samples,
    target: Target,
}

impl Table {
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            alone: false,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// One of ftpdlib's figures only.
    pub fn alone(title: &'static str) -> Self {
        Self {
            alone: true,
            ..Self::new(title)
        }
    }

    /// Adds a row of what `samples` are, in the order of [`contestants`].
    pub fn row(&mut self, work: impl Into<String>, samples: &[Samples], target: Target) {
        let of = |index: usize| samples.get(index).cloned().unwrap_or_default();
        self.rows.push(Row {
            work: work.into(),
            ours: of(0),
            theirs: of(1),
            target,
        });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a note for each server with TLS.
    pub fn handshakes(&mut self, what: &str, servers: &[Server]) {
        let notes: Vec<_> = servers.iter().filter_map(Server::handshakes).collect();
        if !notes.is_empty() {
            self.note(format!("handshakes of {what}:"));
            notes.into_iter().for_each(|note| self.note(note));
        }
    }

    pub fn print(&self) {
        let mut text = String::new();
        let _ = writeln!(text, "\n{} - {}", self.title, machine());
        let _ = writeln!(
            text,
            "median (least..most) of the rounds; of the server's own process\n"
        );
        let head = ["", "ftpdlib", "pyftpdlib 2.2.0", "ratio", "to reach"];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        for line in &lines {
            let _ = write!(text, "{:1$}", line[0], widths[0]);
            for (column, (cell, width)) in line.iter().zip(widths).enumerate().skip(1) {
                if self.alone && THEIRS.contains(&column) {
                    continue;
                }
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        if !self.alone && python().is_none() {
            text.push_str(
                "pyftpdlib 2.2.0 is not there: pip install pyftpdlib==2.2.0 pyOpenSSL, and name its python in FTPDLIB_BENCH_PYTHON\n",
            );
        }
        // A closed pipe is nobody's error.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let both = !self.ours.0.is_empty() && !self.theirs.0.is_empty();
        let ratio = both.then(|| self.ours.median() / self.theirs.median());
        let ours = (!self.ours.0.is_empty()).then(|| self.ours.median());
        let (wanted, reached) = match self.target {
            Target::None => (String::new(), None),
            Target::AtMost(most) => (
                format!("<= {}", number(most)),
                ours.map(|ours| ours <= most),
            ),
            Target::Ratio(part) => (format!("<= x{part:.2}"), ratio.map(|ratio| ratio <= part)),
            Target::Either(most, part) => (
                format!("<= {} or x{part:.2}", number(most)),
                ours.map(|ours| ours <= most || ratio.is_some_and(|ratio| ratio <= part)),
            ),
        };
        let mark = match reached {
            Some(true) => "  ok",
            Some(false) => "  NO",
            None => "    ",
        };
        [
            self.work.clone(),
            self.ours.text(),
            self.theirs.text(),
            ratio.map_or_else(String::new, |ratio| format!("x{ratio:.2}")),
            wanted + mark,
        ]
    }
}

pub fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What the figures were measured on, and of which commit.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let commit = Command::new("git")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["describe", "--always", "--dirty"])
        .output();
    let commit = commit.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    let (model, kernel) = (model.unwrap_or("a CPU"), kernel.trim());
    format!("{cpus} x {model}, Linux {kernel}, commit {commit}")
}

// --- settings

/// A number from the environment.
pub fn setting(name: &str, default: usize) -> usize {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Whether a part of a bench was asked for, or none in particular: `a-b` by its
/// name, by `a` or by `b`.
pub fn wanted(part: &str) -> bool {
    let words = env::args().skip(1).filter(|word| !word.starts_with('-'));
    let words: Vec<_> = words.collect();
    let asked = |word: &String| word == part || part.split('-').any(|half| half == word);
    words.is_empty() || words.iter().any(asked)
}

/// A directory to serve: in the temporary directory, or in FTPDLIB_BENCH_DIR.
pub fn home() -> TempDir {
    let parent = env::var_os("FTPDLIB_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(parent).unwrap()
}

/// A file of real bytes, in the page cache: the disk is not what is measured.
pub fn file(path: &Path, mib: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..mib {
        file.write_all(&[b'x'; MIB])?;
    }
    // Written back now, and not while others are measured.
    file.sync_all()
}

/// A server of each, on the same directory.
pub fn servers(speech: Speech, home: &Path) -> Vec<Server> {
    let start = |which| Server::start(which, speech, home);
    contestants().into_iter().map(start).collect()
}

pub fn rounds() -> usize {
    setting("FTPDLIB_BENCH_ROUNDS", 5).max(1)
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The columns of pyftpdlib.
const THEIRS: [usize; 2] = [2, 3];

pub const USER: &str = "user";
pub const PASSWORD: &str = "12345";

pub const MIB: usize = 1 << 20;

/// How long anything may take before the bench has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a command with the soft limit of descriptors raised to the hard one.
pub const ALL_DESCRIPTORS: &str = r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#;

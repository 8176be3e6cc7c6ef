//! A server program in its own process, so that its memory and CPU time can be measured.

use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};

use crate::{Client, Mode, PASSWORD, Terminal, USER, certfile, wait_for};

/// A server program in its own process. The process and its children end when this value
/// is dropped.
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    /// The directory that it serves.
    pub home: TempDir,
    mode: Mode,
    child: std::process::Child,
    log: Arc<Mutex<Vec<u8>>>,
    /// Whether nothing reads what it logs.
    is_unread: Arc<AtomicBool>,
    /// Whether the end of what it logs has been read.
    is_read: Arc<AtomicBool>,
    /// Kept as long as the program may read it.
    certfile: Option<NamedTempFile>,
}

impl Program {
    /// Starts `ftpdlib`, whose path is `program`, with all permissions for [`USER`].
    pub fn start(program: &str, mode: Mode, args: &[&str]) -> Self {
        Self::start_after("", program, mode, args)
    }

    /// The same after some commands of the shell, such as `ulimit`.
    pub fn start_after(commands: &str, program: &str, mode: Mode, args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let certfile = mode.is_secure().then(certfile);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{commands}\nexec \"$0\" \"$@\""))
            .arg(program)
            .args(["-i", "127.0.0.1", "-p", "0", "-w"])
            .args(["-u", USER, "-P", PASSWORD])
            .arg("-d")
            .arg(home.path())
            .args(tls_args(certfile.as_ref()))
            .args(args);
        let mut program = Self::spawn(command, home);
        program.mode = mode;
        program.certfile = certfile;
        program
    }

    /// Starts any program that logs where it listens, as `ftpdlib` does.
    pub fn spawn(mut command: Command, home: TempDir) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let program = Self::new(child, home);
        let (lines, pauses) = (Arc::clone(&program.log), Arc::clone(&program.is_unread));
        let is_read = Arc::clone(&program.is_read);
        is_read.store(false, SeqCst);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(size @ 1..) = stderr.read(&mut chunk) {
                while pauses.load(SeqCst) {
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                lines.lock().unwrap().extend_from_slice(&chunk[..size]);
            }
            is_read.store(true, SeqCst);
        });
        program.listening()
    }

    /// Starts such a program on a terminal, which it shares with no other.
    pub fn on_terminal(program: &str, args: &[&str], home: TempDir) -> (Self, Terminal) {
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(args);
        Self::at_terminal(command, home)
    }

    /// Starts it with a terminal as its standard streams that does not control it.
    pub fn on_foreign_terminal(program: &Command, home: TempDir) -> (Self, Terminal) {
        let mut command = Command::new("setsid");
        command.arg(program.get_program()).args(program.get_args());
        Self::at_terminal(command, home)
    }

    fn at_terminal(mut command: Command, home: TempDir) -> (Self, Terminal) {
        let (terminal, slave) = Terminal::open();
        let copy = || slave.try_clone().unwrap();
        let child = command
            .current_dir(home.path())
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn()
            .unwrap();
        drop(slave);
        let program = Self::new(child, home);
        let lines = Arc::clone(&program.log);
        terminal.show(move |chunk| lines.lock().unwrap().extend_from_slice(chunk));
        (program.listening(), terminal)
    }

    fn new(child: std::process::Child, home: TempDir) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            home,
            mode: Mode::Clear,
            child,
            log: Arc::default(),
            is_unread: Arc::default(),
            is_read: Arc::new(AtomicBool::new(true)),
            certfile: None,
        }
    }

    /// Waits until it listens.
    fn listening(mut self) -> Self {
        let mut address = None;
        wait_for("the program", || {
            address = address_in(&self.log());
            address.is_some()
        });
        self.address = address.unwrap();
        self
    }

    /// Returns what it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// From now on, nothing reads what it logs: its pipe becomes full.
    pub fn stop_reading(&self) {
        self.is_unread.store(true, SeqCst);
    }

    /// What it logs is read again.
    pub fn go_on_reading(&self) {
        self.is_unread.store(false, SeqCst);
    }

    /// Waits until the log contains this.
    #[track_caller]
    pub fn expect_log(&self, text: &str) {
        wait_for(text, || self.log().contains(text));
    }

    /// The path of a file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file in its directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Reads a file in its directory.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Connects a client that has not read the greeting.
    pub fn client(&self) -> Client {
        Client::connect_in(self.mode, self.address)
    }

    /// Connects a client that has read the greeting.
    #[track_caller]
    pub fn connect(&self) -> Client {
        let mut client = self.client();
        client.expect_reply(220);
        client
    }

    /// Connects a client that is logged in, in TYPE I.
    #[track_caller]
    pub fn login(&self) -> Client {
        let mut client = self.connect();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, name: &str) {
        assert!(signal(name, &self.pid().to_string()));
    }

    /// Sends a signal to its children too, as a terminal does.
    pub fn signal_all(&self, name: &str) {
        assert!(signal(name, &format!("-{}", self.pid())));
    }

    /// Returns the process ids of its children.
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let children = children.split_whitespace();
        children.map(|child| child.parse().unwrap()).collect()
    }

    /// Ends it with SIGTERM, and checks that it exits with status 0.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Waits for its end, that of its children, and the last line of the log.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        wait_for("the end of all", || group_members(self.pid()) == 0);
        wait_for("the end of the log", || {
            self.is_unread.load(SeqCst) || self.is_read.load(SeqCst)
        });
        status.unwrap()
    }

    /// Returns the memory in use, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Returns how many descriptors it may open.
    pub fn descriptors_max(&self) -> usize {
        let path = format!("/proc/{}/limits", self.child.id());
        let limits = std::fs::read_to_string(path).unwrap();
        let line = limits.split("Max open files").nth(1).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns how many descriptors are open.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).unwrap().count()
    }

    /// Waits until it uses no more CPU time than `most` in this time: it does not spin.
    #[track_caller]
    pub fn await_calm(&self, time: Duration, most: Duration) {
        wait_for("the program to wait without spinning", || {
            self.cpu_time_of(time) <= most
        });
    }

    /// Returns the CPU time that it uses in this time.
    fn cpu_time_of(&self, time: Duration) -> Duration {
        let before = self.cpu_time();
        let end = Instant::now() + time;
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(rest);
        }
        self.cpu_time() - before
    }

    /// Returns the CPU time that it has used so far.
    fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        // The name in parentheses may contain anything.
        let rest = status.rsplit_once(") ").unwrap().1;
        let fields: Vec<u64> = rest
            .split(' ')
            .filter_map(|field| field.parse().ok())
            .collect();
        // utime and stime are fields 14 and 15, in hundredths of a second on all systems that
        // matter here. The state, a letter, was left out.
        Duration::from_millis((fields[10] + fields[11]) * 10)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Until it is waited for, nothing else can get the number of its group.
        if matches!(self.child.try_wait(), Ok(None)) || group_members(self.pid()) > 0 {
            signal("KILL", &format!("-{}", self.pid()));
        }
        let _ = self.child.wait();
    }
}

/// Returns where a server listens, as its log says.
pub fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("starting FTP server on ")?;
    rest.split_once(',')?.0.parse().ok()
}

/// Sends a signal to a process, or to a group by its number after a minus. Returns whether
/// there is one.
pub fn signal(name: &str, to: &str) -> bool {
    let kill = format!("kill -s {name} -- {to}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    status.unwrap().success()
}

/// Returns how many processes of a group are alive.
fn group_members(group: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_member = |process: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        // After the name in parentheses: state, parent, group.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let dead = matches!(fields.next()?, "Z" | "X");
        Some(!dead && fields.nth(1)? == group.to_string())
    };
    let members = processes.filter(|process| is_member(process) == Some(true));
    members.count()
}

/// The options of a server with this certificate.
pub fn tls_args(certfile: Option<&NamedTempFile>) -> Vec<OsString> {
    match certfile {
        None => Vec::new(),
        Some(file) => vec!["--tls".into(), "--certfile".into(), file.path().into()],
    }
}

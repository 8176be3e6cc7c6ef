//! The program as a process of its own, whose memory and time are nobody else's.

use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::common::tls::{MODE, Mode, certfile};
use crate::common::{Client, wait_for};

/// A program as a process of its own, whose memory and time are nobody else's. It
/// ends with this value, and its children with it.
pub struct Program {
    pub address: SocketAddr,
    pub home: tempfile::TempDir,
    child: std::process::Child,
    log: Arc<Mutex<Vec<u8>>>,
    /// The file exists as long as the program may read it.
    certfile: Option<NamedTempFile>,
}

impl Program {
    /// `ftpdlib`, with all permissions for the user of the tests.
    pub fn start(args: &[&str]) -> Self {
        Self::start_after("", args)
    }

    /// The same after some commands of the shell, such as `ulimit`.
    pub fn start_after(commands: &str, args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let certfile = mode_certfile();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{commands}\nexec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_ftpdlib"))
            .args(["-i", "127.0.0.1", "-p", "0", "-w"])
            .args(["-u", crate::common::USER, "-P", crate::common::PASSWORD])
            .arg("-d")
            .arg(home.path())
            .args(tls_args(certfile.as_ref()))
            .args(args);
        let mut program = Self::spawn(command, home);
        program.certfile = certfile;
        program
    }

    /// Any that logs where it listens.
    pub fn spawn(mut command: Command, home: tempfile::TempDir) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut stderr = child.stderr.take().unwrap();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(size @ 1..) = stderr.read(&mut chunk) {
                lines.lock().unwrap().extend_from_slice(&chunk[..size]);
            }
        });
        let mut program = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            home,
            child,
            log,
            certfile: None,
        };
        let mut address = None;
        wait_for("the program", || {
            let text = program.log();
            let start = text.split("starting FTP server on ").nth(1);
            address = start.and_then(|rest| rest.split_once(',')?.0.parse().ok());
            address.is_some()
        });
        program.address = address.unwrap();
        program
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    pub fn login(&self) -> Client {
        let mut client = Client::connect(self.address);
        client.expect_reply(220);
        client.login(crate::common::USER, crate::common::PASSWORD);
        client.expect(200, "TYPE I");
        client
    }

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

    /// The numbers of its children.
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let children = children.split_whitespace();
        children.map(|child| child.parse().unwrap()).collect()
    }

    /// Waits for its end, and that of its children.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        wait_for("the end of all", || group_members(self.pid()) == 0);
        status.unwrap()
    }

    /// Memory in use, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// How many there may be.
    pub fn descriptors_max(&self) -> usize {
        let path = format!("/proc/{}/limits", self.child.id());
        let limits = std::fs::read_to_string(path).unwrap();
        let line = limits.split("Max open files").nth(1).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).unwrap().count()
    }

    /// Time of the processor spent so far.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        // The name in parentheses may hold anything.
        let rest = status.rsplit_once(") ").unwrap().1;
        let fields: Vec<u64> = rest
            .split(' ')
            .filter_map(|field| field.parse().ok())
            .collect();
        // The state, a letter, is left out: utime and stime are the 14th and 15th.
        // In hundredths of a second everywhere that matters.
        Duration::from_millis((fields[10] + fields[11]) * 10)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Not waited for yet, it keeps the number of the group.
        if matches!(self.child.try_wait(), Ok(None)) || group_members(self.pid()) > 0 {
            signal("KILL", &format!("-{}", self.pid()));
        }
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process, or to a group by its number behind a minus.
/// Returns whether there is one.
pub fn signal(name: &str, to: &str) -> bool {
    let kill = format!("kill -s {name} -- {to}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    status.unwrap().success()
}

/// How many processes of a group are alive.
fn group_members(group: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_member = |process: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        // Behind the name in parentheses: state, parent, group.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let dead = matches!(fields.next()?, "Z" | "X");
        Some(!dead && fields.nth(1)? == group.to_string())
    };
    let members = processes.filter(|process| is_member(process) == Some(true));
    members.count()
}

/// The certificate that the mode of the tests asks for.
pub fn mode_certfile() -> Option<NamedTempFile> {
    (MODE != Mode::Clear).then(certfile)
}

/// The options of a server with this certificate.
pub fn tls_args(certfile: Option<&NamedTempFile>) -> Vec<OsString> {
    match certfile {
        None => Vec::new(),
        Some(file) => vec!["--tls".into(), "--certfile".into(), file.path().into()],
    }
}

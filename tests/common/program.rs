//! The program as a process of its own, whose memory and time are nobody else's.

use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::tls::{MODE, Mode, certfile};
use crate::common::{Client, wait_for};

/// The program as a process of its own, whose memory and time are nobody else's.
pub struct Program {
    pub address: SocketAddr,
    pub home: tempfile::TempDir,
    child: std::process::Child,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Program {
    /// With all permissions for the user of the tests.
    pub fn start(args: &[&str]) -> Self {
        Self::start_after("", args)
    }

    /// After some commands of the shell, such as `ulimit`.
    pub fn start_after(commands: &str, args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("{commands}\nexec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_ftpdlib"))
            .args(["-i", "127.0.0.1", "-p", "0", "-w"])
            .args(["-u", crate::common::USER, "-P", crate::common::PASSWORD])
            .arg("-d")
            .arg(home.path())
            .args(tls_args())
            .args(args)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
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

    /// Memory in use, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
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

/// Those that the mode of the tests asks for.
pub fn tls_args() -> Vec<OsString> {
    match MODE {
        Mode::Clear => Vec::new(),
        _ => vec!["--tls".into(), "--certfile".into(), certfile().into()],
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

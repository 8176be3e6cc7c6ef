//! A server in the background, with a pid file and a log file:
//! `cargo run --example unix_daemon -- start`, then `status`, `restart` or `stop`.
//! Without any of these it stays in the foreground. Options before the command:
//! `-a ADDRESS`, `-d DIRECTORY`, `-p PIDFILE`, `-l LOGFILE`.
//!
//! The pid file stays when the daemon has ended; what counts is whether it is locked.
//! Removing it could remove the file of the next daemon, which has just begun to use it.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, setsid};
use rustix::stdio::{dup2_stdin, dup2_stdout};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Options {
    address: String,
    home: String,
    pidfile: String,
    logfile: String,
}

fn main() -> Result<()> {
    let mut options = Options {
        address: "127.0.0.1:2121".to_owned(),
        home: ".".to_owned(),
        pidfile: "ftpd.pid".to_owned(),
        logfile: "ftpd.log".to_owned(),
    };
    let mut command = String::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let option = match &*arg {
            "-a" => &mut options.address,
            "-d" => &mut options.home,
            "-p" => &mut options.pidfile,
            "-l" => &mut options.logfile,
            _ => {
                command = arg;
                continue;
            }
        };
        *option = args.next().ok_or("an option lacks its value")?;
    }
    match &*command {
        "" => serve(TcpListener::bind(&options.address)?, &options.home),
        "start" => start(&options),
        "stop" => stop(&options),
        "restart" => restart(&options),
        "status" => status(&options),
        "daemon" => {
            let (listener, _lock) = detach()?;
            serve(listener, &options.home)
        }
        _ => Err(format!("no such command: {command}").into()),
    }
}

fn serve(listener: TcpListener, home: &str) -> Result<()> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    FTPServer::from_listener(listener, config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}

/// Runs this program again as the daemon. Its standard input is the listening socket, its
/// standard output is the pid file, which stays locked as long as the daemon lives.
fn start(options: &Options) -> Result<()> {
    // Empty the file only when it is locked: it may belong to another daemon.
    let pidfile = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&options.pidfile)?;
    flock(&pidfile, FlockOperation::NonBlockingLockExclusive).map_err(|_| "already running")?;
    pidfile.set_len(0)?;
    // Bind here, so that the caller of `start` sees an error such as an address in use.
    let listener = TcpListener::bind(&options.address)?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(&options.logfile)?;
    let mut daemon = Command::new(env::current_exe()?)
        .arg("-d")
        .arg(fs::canonicalize(&options.home)?)
        .arg("daemon")
        .current_dir("/")
        .stdin(OwnedFd::from(listener))
        .stdout(pidfile)
        .stderr(log)
        .spawn()?;
    while daemon.try_wait()?.is_none() {
        if let State::Running(pid) = state(options)? {
            eprintln!("started (pid {pid})");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("it has ended at once: see the log".into())
}

/// In the daemon: leaves the terminal, and takes over what `start` has prepared. Output
/// goes to the log from now on.
fn detach() -> Result<(TcpListener, File)> {
    setsid()?;
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    let mut pidfile = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    dup2_stdout(io::stderr())?;
    // Write it here, so that it exists as soon as `stop` works, even if `start` is
    // killed.
    pidfile.write_all(format!("{}\n", process::id()).as_bytes())?;
    Ok((listener.into(), pidfile))
}

enum State {
    Stopped,
    Starting,
    Running(Pid),
}

/// Returns the state of the daemon. A pid file that is not locked was left by a daemon
/// that has ended.
fn state(options: &Options) -> Result<State> {
    let pidfile = match File::open(&options.pidfile) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(State::Stopped),
        pidfile => pidfile?,
    };
    if flock(&pidfile, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(State::Stopped);
    }
    let text = io::read_to_string(pidfile)?;
    let Some(pid) = text.strip_suffix('\n') else {
        return Ok(State::Starting);
    };
    let pid = Pid::from_raw(pid.parse()?);
    Ok(State::Running(pid.ok_or("no pid in the pid file")?))
}

fn status(options: &Options) -> Result<()> {
    match state(options)? {
        State::Stopped => eprintln!("not running"),
        State::Starting => eprintln!("starting"),
        State::Running(pid) => eprintln!("running (pid {pid})"),
    }
    Ok(())
}

fn restart(options: &Options) -> Result<()> {
    if !matches!(state(options)?, State::Stopped) {
        stop(options)?;
    }
    start(options)
}

/// Sends SIGTERM, which lets transfers finish for 3 s, and SIGKILL after that.
fn stop(options: &Options) -> Result<()> {
    let pid = match state(options)? {
        State::Stopped => return Err("not running".into()),
        State::Starting => return Err("still starting".into()),
        State::Running(pid) => pid,
    };
    for (signal, done) in [(Signal::TERM, "stopped"), (Signal::KILL, "killed")] {
        kill_process(pid, signal)?;
        for _ in 0..50 {
            // Another daemon may have started by now: its pid is not this one.
            if !matches!(state(options)?, State::Running(running) if running == pid) {
                eprintln!("{done} (pid {pid})");
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    Err(format!("cannot be stopped (pid {pid})").into())
}

//! The model of a window that starts and stops a server, and shows the transfers in progress. The
//! window is text on standard output, and its buttons are lines on standard input: `start`, `stop`
//! and `quit`. `cargo run --example window [ADDRESS] [DIRECTORY]`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::TimerId;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer, FTPSession, ServerHandle};

/// The lines about transfers, by a number of the session. Sessions write them, the window reads
/// them, and neither waits for the other for long.
type Transfers = Arc<Mutex<BTreeMap<u64, String>>>;

struct Watched {
    number: u64,
    transfers: Transfers,
}

impl FTPHandler for Watched {
    fn on_login(&mut self, s: &mut FTPSession, _username: &str) {
        s.call_every(Duration::from_millis(100));
    }

    fn on_timer(&mut self, s: &mut FTPSession, _id: TimerId) {
        let line = s.data_channel().and_then(|d| {
            let name = d.file_name()?.file_name()?.to_string_lossy().into_owned();
            let bytes = d.get_transmitted_bytes();
            Some(format!(
                "{}: {} {name}, {bytes} bytes",
                s.username(),
                d.cmd()
            ))
        });
        self.show(line);
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        self.show(None);
    }
}

impl Watched {
    fn show(&self, line: Option<String>) {
        let mut transfers = self
            .transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match line {
            Some(line) => transfers.insert(self.number, line),
            None => transfers.remove(&self.number),
        };
    }
}

/// What the window shows.
struct Window {
    address: String,
    config: FTPConfig,
    transfers: Transfers,
    state: State,
}

enum State {
    Stopped,
    Serving(ServerHandle),
    Stopping(ServerHandle),
    Failed(io::Error),
}

impl Window {
    /// The button `start`.
    fn start(&mut self) {
        if let State::Serving(_) | State::Stopping(_) = self.state {
            return;
        }
        let (mut number, transfers) = (0, Arc::clone(&self.transfers));
        let factory = move |_peer| {
            number += 1;
            let transfers = Arc::clone(&transfers);
            Watched { number, transfers }
        };
        let server = FTPServer::builder(self.config.clone(), factory)
            .bind(self.address.as_str())
            .and_then(|builder| builder.spawn());
        self.state = match server {
            Ok(server) => State::Serving(server),
            Err(err) => State::Failed(err),
        };
    }

    /// The button `stop`: returns at once, so that the window goes on.
    fn stop(&mut self) {
        if let State::Serving(server) = std::mem::replace(&mut self.state, State::Stopped) {
            server.stop();
            self.state = State::Stopping(server);
        }
    }

    /// Called from time to time, as by the timer of a window.
    fn tick(&mut self) {
        let (State::Serving(server) | State::Stopping(server)) = &self.state else {
            return;
        };
        if !server.is_finished() {
            return;
        }
        // It has ended, so this does not wait.
        let state = std::mem::replace(&mut self.state, State::Stopped);
        if let State::Serving(server) | State::Stopping(server) = state
            && let Err(err) = server.join()
        {
            self.state = State::Failed(err);
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Stopped => writeln!(f, "stopped [start]")?,
            State::Serving(server) => writeln!(f, "serving on {} [stop]", server.address())?,
            State::Stopping(_) => writeln!(f, "stopping")?,
            State::Failed(err) => writeln!(f, "failed: {err} [start]")?,
        }
        let transfers = self
            .transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        transfers
            .values()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);

    let mut window = Window {
        address,
        config,
        transfers: Transfers::default(),
        state: State::Stopped,
    };
    let (sender, clicks) = mpsc::channel();
    thread::spawn(move || {
        io::stdin()
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let mut shown = String::new();
    loop {
        let text = window.to_string();
        if text != shown {
            io::stdout().write_all(text.as_bytes())?;
            shown = text;
        }
        match clicks.recv_timeout(Duration::from_millis(50)).as_deref() {
            Ok("start") => window.start(),
            Ok("stop") => window.stop(),
            // The handle is dropped: transfers may finish, and then the program ends.
            Ok("quit") | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => window.tick(),
        }
    }
}

//! A relay: `RETR live` sends what another thread produces, as it comes, and costs nothing while
//! there is nothing. `cargo run --example relay [ADDRESS] [DIRECTORY]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/live`, which gets ten lines in one second.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::{Outgoing, commands};
use ftpdlib::producers::{More, Producer};
use ftpdlib::{AuthorizerError, FTPConfig, FTPHandler, FTPServer, FTPSession};

struct Relaying;

impl FTPHandler for Relaying {
    fn ftp_retr(&mut self, s: &mut FTPSession, path: &Path) {
        if path.file_name().is_none_or(|name| name != "live") {
            return commands::retr(s, path); // super
        }
        let (relay, source) = relay();
        thread::spawn(move || produce(&source));
        commands::push_dtp_data(s, Outgoing::Producer(Box::new(relay)), "RETR");
    }
}

/// The end of a relay that is sent: a producer.
struct Relay {
    pieces: Receiver<Vec<u8>>,
    waker: Arc<OnceLock<Waker>>,
}

/// The other end, for any thread. If it is dropped, the transfer ends.
struct Source {
    pieces: Option<SyncSender<Vec<u8>>>,
    waker: Arc<OnceLock<Waker>>,
}

/// Makes a relay that holds at most eight pieces.
fn relay() -> (Relay, Source) {
    let (sender, pieces) = sync_channel(8);
    let waker = Arc::<OnceLock<Waker>>::default();
    let source = Source {
        pieces: Some(sender),
        waker: Arc::clone(&waker),
    };
    (Relay { pieces, waker }, source)
}

impl Producer for Relay {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        match self.pieces.try_recv() {
            Ok(piece) => {
                out.extend(piece);
                Ok(More::Yes)
            }
            Err(TryRecvError::Empty) => Ok(More::Later),
            Err(TryRecvError::Disconnected) => Ok(More::End),
        }
    }

    fn set_waker(&mut self, waker: Waker) {
        // It is called once.
        let _ = self.waker.set(waker);
    }
}

impl Source {
    /// Waits while the client is slow. Returns false once it has gone.
    fn send(&self, piece: Vec<u8>) -> bool {
        let pieces = self.pieces.as_ref();
        let sent = pieces.is_some_and(|pieces| pieces.send(piece).is_ok());
        self.wake();
        sent
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.pieces = None;
        self.wake();
    }
}

/// What is relayed: ten lines in a second.
fn produce(source: &Source) {
    for number in 1..=10 {
        if !source.send(format!("line {number}\r\n").into_bytes()) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    FTPServer::bind(&address, config(&home)?, |_peer| Relaying)?.serve_forever()?;
    Ok(())
}

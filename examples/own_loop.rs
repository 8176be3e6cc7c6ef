//! The server in the program's own loop: it accepts files until one is called `done`.
//! `cargo run --example own_loop [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE ftp://user:12345@127.0.0.1:2121/done`.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer, FTPSession};

struct Inbox(Sender<PathBuf>);

impl FTPHandler for Inbox {
    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        // If the receiver is gone, the server ends.
        let _ = self.0.send(file.to_owned());
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

    let (sender, inbox) = mpsc::channel();
    let mut server = FTPServer::bind(&address, config, move |_peer| Inbox(sender.clone()))?;
    log::info!(target: "ftpdlib", ">>> starting FTP server on {}, in a loop <<<", server.address());
    let mut done = false;
    while !done {
        // Waits until there is something to do, but no longer than this.
        server.turn(Some(Duration::from_millis(100)))?;
        // Other work of the program; no session runs meanwhile.
        for file in inbox.try_iter() {
            log::info!(target: "ftpdlib", "took {}", file.display());
            done |= file.ends_with("done");
        }
    }
    server.close_all();
    Ok(())
}

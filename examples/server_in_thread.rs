//! The server on a thread of its own, in a program that does other work: it takes uploaded files
//! until one is called `done`. `cargo run --example server_in_thread [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE ftp://user:12345@127.0.0.1:2121/done`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer, FTPSession};

struct Inbox(Sender<PathBuf>);

impl FTPHandler for Inbox {
    fn on_file_received(&mut self, _s: &mut FTPSession, file: &Path) {
        // If the receiver is gone, the server ends.
        let _ = self.0.send(file.to_owned());
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);

    let (sender, inbox) = mpsc::channel();
    let server = FTPServer::builder(config, move |_peer| Inbox(sender.clone()))
        .bind(address.as_str())?
        .spawn()?;
    // The work of the program. The server runs meanwhile, and signals are those of the program.
    for file in inbox {
        log::info!(target: "ftpdlib", "took {}", file.display());
        if file.ends_with("done") {
            break;
        }
    }
    // Transfers may finish. Without this line, the end of `main` would do the same.
    server.stop();
    Ok(server.join()?.into())
}

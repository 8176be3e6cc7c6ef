//! A process for each connection, so that a handler may block, or even crash:
//! `cargo run --example multi_proc_ftp [ADDRESS] [DIRECTORY]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`.

use std::process;
use std::thread;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::{FTPConfig, FTPHandler, FTPSession, MultiprocessFTPServer};

struct Blocking;

impl FTPHandler for Blocking {
    /// Blocks for a while, as a slow service does: only this client waits for it.
    fn on_login(&mut self, s: &mut FTPSession, username: &str) {
        thread::sleep(Duration::from_millis(100));
        s.log(format_args!(
            "{username} is served by process {}",
            process::id()
        ));
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
    MultiprocessFTPServer::bind(&address, config, |_peer| Blocking)?.serve_forever()?;
    Ok(())
}

//! Every callback of a session: `cargo run --example callbacks [ADDRESS] [DIRECTORY]`,
//! then `curl -T FILE ftp://user:12345@127.0.0.1:2121/`.

use std::path::Path;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer, FTPSession};

/// There is one value for each session, so its fields belong to that session.
#[derive(Default)]
struct Callbacks {
    transfers: u32,
}

impl FTPHandler for Callbacks {
    fn on_connect(&mut self, s: &mut FTPSession) {
        s.log(format_args!("hello, {}", s.remote_ip()));
    }

    fn on_disconnect(&mut self, s: &mut FTPSession) {
        s.log(format_args!("gone, after {} transfers", self.transfers));
    }

    fn on_login(&mut self, s: &mut FTPSession, username: &str) {
        s.log(format_args!("{username} is in"));
    }

    fn on_login_failed(&mut self, s: &mut FTPSession, username: &str, _password: &str) {
        s.log(format_args!("{username} stays outside"));
    }

    fn on_logout(&mut self, s: &mut FTPSession, username: &str) {
        s.log(format_args!("{username} is out"));
    }

    fn on_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        self.transfers += 1;
        s.log(format_args!("sent {}", file.display()));
    }

    fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        self.transfers += 1;
        s.log(format_args!("received {}", file.display()));
    }

    fn on_incomplete_file_sent(&mut self, s: &mut FTPSession, file: &Path) {
        s.log(format_args!("sent {} in part", file.display()));
    }

    /// Removes an upload that was cut, through the file system of the session, which
    /// stays inside the user's home.
    fn on_incomplete_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        if let Err(err) = s.with_fs(|fs, state| fs.remove(state, file)) {
            s.log(format_args!("cannot remove {}: {err}", file.display()));
        }
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
    FTPServer::bind(&address, config, |_peer| Callbacks::default())?.serve_forever()?;
    Ok(())
}

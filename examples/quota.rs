//! A quota: an upload that would make the user's home larger than 1 MiB ends with 552.
//! `cargo run --example quota [ADDRESS] [DIRECTORY]`, with a small directory, then
//! `curl -T SOME-LARGE-FILE ftp://user:12345@127.0.0.1:2121/`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, path::Path};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::OpenMode;
use ftpdlib::handlers::{commands, data};
use ftpdlib::{
    AuthorizerError, DTPHandler, DataChannel, FTPConfig, FTPHandler, FTPServer, FTPSession,
};

const QUOTA: u64 = 1 << 20;
const EXCEEDED: &str = "552 Quota exceeded.";

/// What a user has left, and all uploads of this user take from.
type Left = Arc<AtomicU64>;

#[derive(Default)]
struct Quota {
    users: Arc<Mutex<HashMap<String, Left>>>,
    left: Left,
}

impl FTPHandler for Quota {
    fn on_login(&mut self, _s: &mut FTPSession, username: &str) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        self.left = Arc::clone(users.entry(username.to_owned()).or_default());
    }

    /// APPE comes here, too.
    fn ftp_stor(&mut self, s: &mut FTPSession, file: &Path, mode: OpenMode) {
        let file = file.to_owned();
        self.within_quota(s, move |s| commands::stor(s, &file, mode)); // super
    }

    fn ftp_stou(&mut self, s: &mut FTPSession, line: &OsStr) {
        let line = line.to_owned();
        self.within_quota(s, move |s| commands::stou(s, &line)); // super
    }

    fn dtp_handler(&mut self, _s: &FTPSession) -> Box<dyn DTPHandler> {
        Box::new(QuotaDTP(Arc::clone(&self.left)))
    }
}

impl Quota {
    /// Measures the home anew, on another thread: files come and go in other ways, too.
    fn within_quota(&self, s: &mut FTPSession, upload: impl FnOnce(&mut FTPSession) + 'static) {
        let home = s.fs().map(|fs| fs.root().to_owned()).unwrap_or_default();
        let left = Arc::clone(&self.left);
        let given = s.offload(
            move || size_of(&home),
            move |s, used| {
                left.store(QUOTA.saturating_sub(used), Relaxed);
                match used < QUOTA {
                    true => upload(s),
                    false => s.respond(EXCEEDED),
                }
            },
        );
        if let Err(full) = given {
            s.respond(&format!("450 {full}."));
        }
    }
}

struct QuotaDTP(Left);

impl DTPHandler for QuotaDTP {
    /// Not past `recv`.
    fn use_splice(&self, _d: &DataChannel) -> bool {
        false
    }

    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = data::recv(d, buffer)?; // super
        let size = received.unwrap_or(0) as u64;
        let Self(left) = self;
        let taken = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(size));
        if taken.is_ok() {
            return Ok(received);
        }
        d.end(EXCEEDED);
        Ok(None)
    }
}

/// The bytes of all files in a directory, and below.
fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        data => data.map_or(0, |data| data.len()),
    });
    sizes.sum()
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let mut authorizer = DummyAuthorizer::new();
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
    let users = Arc::default();
    let factory = move |_peer| Quota {
        users: Arc::clone(&users),
        left: Left::default(),
    };
    FTPServer::bind(&address, config(&home)?, factory)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn ends_what_is_too_large() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let mut session = Session::new(config, Quota::default()).unwrap();
        session.login("user", "12345");
        let half = vec![0; 600_000];
        assert_eq!(session.stor("first", &half).code(), 226);
        assert_eq!(session.stor("second", &half), EXCEEDED);
        session.command("DELE second");
        assert_eq!(session.stor("third", b"hello").code(), 226);
    }
}

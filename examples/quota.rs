//! A quota: an upload that would make the user's home larger than 1 MiB ends with 552.
//! `cargo run --example quota [ADDRESS] [DIRECTORY]`, with a small directory, then
//! `curl -T SOME-LARGE-FILE ftp://user:12345@127.0.0.1:2121/`.
//!
//! Its limits: a deleted file counts until no upload to the home is in progress. A file
//! that is deleted while it is downloaded does not count, nor do files that other
//! programs make meanwhile. Users with one home share its quota. It counts for the
//! sessions of one loop, and the compiler refuses to share it with threads; processes
//! (workers, `MultiprocessFTPServer`) would each count separately.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::OpenMode;
use ftpdlib::handlers::data::Upload;
use ftpdlib::handlers::{commands, data};
use ftpdlib::{
    AuthorizerError, DTPHandler, DataChannel, FTPConfig, FTPHandler, FTPServer, FTPSession,
};

const QUOTA: u64 = 1 << 20;
const EXCEEDED: &str = "552 Quota exceeded.";

/// The account of a home, which all uploads to it share.
#[derive(Default)]
struct Account {
    left: Cell<u64>,
    /// The uploads in progress, and all uploads so far.
    open: Cell<u32>,
    begun: Cell<u64>,
}

#[derive(Default)]
struct Quota {
    homes: Rc<RefCell<HashMap<PathBuf, Rc<Account>>>>,
    account: Rc<Account>,
}

impl FTPHandler for Quota {
    fn on_login(&mut self, s: &mut FTPSession, _username: &str) {
        let mut homes = self.homes.borrow_mut();
        self.account = Rc::clone(homes.entry(home(s)).or_default());
    }

    /// APPE calls this, too.
    fn ftp_stor(&mut self, s: &mut FTPSession, file: &Path, mode: OpenMode) {
        let file = file.to_owned();
        let old = Some(file.clone());
        self.within_quota(s, old, move |s| commands::stor(s, &file, mode)); // super
    }

    fn ftp_stou(&mut self, s: &mut FTPSession, line: &OsStr) {
        let line = line.to_owned();
        self.within_quota(s, None, move |s| commands::stou(s, &line)); // super
    }

    fn dtp_handler(&mut self, _s: &FTPSession) -> Box<dyn DTPHandler> {
        Box::new(QuotaDTP {
            account: Rc::clone(&self.account),
            is_open: false,
            old_size: None,
        })
    }
}

impl Quota {
    /// Measures the home again, on another thread, since files also change in other ways.
    fn within_quota(
        &self,
        s: &mut FTPSession,
        old: Option<PathBuf>,
        upload: impl FnOnce(&mut FTPSession) + 'static,
    ) {
        let home = home(s);
        let account = Rc::clone(&self.account);
        let (was_quiet, begun) = (account.open.get() == 0, account.begun.get());
        let given = s.offload(
            move || size_of(&home),
            move |s, used| {
                // If the home changed during the measurement, the result is not reliable:
                // the bytes that uploads have taken are known, and stay taken.
                if was_quiet && account.begun.get() == begun {
                    account.left.set(QUOTA.saturating_sub(used));
                }
                // A file that is replaced frees its bytes when the upload begins.
                match account.left.get() + size(s, old.as_deref()) {
                    0 => s.respond(EXCEEDED),
                    _ => upload(s),
                }
            },
        );
        if let Err(full) = given {
            s.respond(format!("450 {full}."));
        }
    }
}

struct QuotaDTP {
    account: Rc<Account>,
    is_open: bool,
    /// The size of the file before the upload begins, until it has begun.
    old_size: Option<u64>,
}

impl DTPHandler for QuotaDTP {
    fn enable_receiving(&mut self, d: &mut DataChannel, mut upload: Upload) {
        self.old_size = upload.file.size().ok();
        if !self.is_open {
            self.is_open = true;
            self.account.open.update(|open| open + 1);
            self.account.begun.update(|begun| begun + 1);
        }
        data::enable_receiving(d, upload, false); // super; no splice, which is past `recv`
    }

    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let left = &self.account.left;
        if let Some(before) = self.old_size.take() {
            // The upload has begun: a file that is replaced is empty now.
            let now = d.file_name().and_then(|file| fs::metadata(file).ok());
            let freed = before.saturating_sub(now.map_or(before, |data| data.len()));
            left.update(|left| QUOTA.min(left + freed));
        }
        let received = data::recv(d, buffer)?; // super
        match left.get().checked_sub(received.unwrap_or(0) as u64) {
            Some(rest) => left.set(rest),
            None => {
                d.end(EXCEEDED);
                return Ok(None);
            }
        }
        Ok(received)
    }
}

impl Drop for QuotaDTP {
    /// The upload has ended, in any way.
    fn drop(&mut self) {
        if self.is_open {
            self.account.open.update(|open| open - 1);
        }
    }
}

fn home(s: &FTPSession) -> PathBuf {
    s.fs().map(|fs| fs.root().to_owned()).unwrap_or_default()
}

fn size(s: &mut FTPSession, file: Option<&Path>) -> u64 {
    let Some(file) = file else { return 0 };
    s.with_fs(|fs, state| fs.getsize(state, file)).unwrap_or(0)
}

/// Returns the bytes of all files in a directory and below.
fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        data => data.map_or(0, |data| data.len()),
    });
    sizes.sum()
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
    let homes = Rc::default();
    let factory = move |_peer| Quota {
        homes: Rc::clone(&homes),
        account: Rc::default(),
    };
    FTPServer::bind(&address, config(&home)?, factory)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    fn sessions<const N: usize>(home: &Path) -> [Session<Quota>; N] {
        let homes = Rc::default();
        std::array::from_fn(|_| {
            let handler = Quota {
                homes: Rc::clone(&homes),
                account: Rc::default(),
            };
            let config = config(home.to_str().unwrap()).unwrap();
            let mut session = Session::new(config, handler).unwrap();
            session.login("user", "12345");
            session
        })
    }

    #[test]
    fn ends_what_is_too_large() {
        let home = tempfile::tempdir().unwrap();
        let [mut session] = sessions(home.path());
        let half = vec![0; 600_000];
        assert_eq!(session.stor("first", &half).code(), 226);
        assert_eq!(session.stor("second", &half), EXCEEDED);
        session.command("DELE second");
        assert_eq!(session.stor("third", b"hello").code(), 226);
    }

    #[test]
    fn uploads_at_once_take_from_the_same() {
        let home = tempfile::tempdir().unwrap();
        let [mut one, mut other] = sessions(home.path());
        let half = vec![0; 600_000];
        let mut data = one.passive();
        one.command("STOR first");
        data.write(&half);
        // It has no name any more, but it still exists.
        assert_eq!(other.command("DELE first").code(), 250);
        assert_eq!(other.stor("second", &half), EXCEEDED);
        data.shutdown();
        assert_eq!(one.reply().unwrap().code(), 226);
        drop(data);
        assert_eq!(other.stor("second", &half).code(), 226);
    }

    #[test]
    fn a_file_that_is_replaced_counts_no_more() {
        let home = tempfile::tempdir().unwrap();
        let [mut session] = sessions(home.path());
        for byte in 0..3 {
            let bytes = vec![byte; 900_000];
            assert_eq!(session.stor("file", &bytes).code(), 226);
            assert!(session.retr("file").unwrap() == bytes);
        }
        session.stor("rest", &vec![0; 148_576]);
        assert_eq!(session.stor("none", b"hello"), EXCEEDED);
        assert_eq!(session.stor("file", b"smaller").code(), 226);
    }
}

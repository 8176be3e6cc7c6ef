//! A mainframe that takes jobs by FTP: a service judges each upload before the client gets its
//! reply, which names the job. `cargo run --example judged_upload [ADDRESS] [DIRECTORY]`, then
//! `curl -v -T FILE ftp://user:12345@127.0.0.1:2121/`. A file with the text `VIRUS` is refused.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{fs, io};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::TransferLog;
use ftpdlib::{AuthorizerError, FTPConfig, FTPHandler, FTPServer, FTPSession};

#[derive(Default)]
struct Judged {
    service: Arc<Service>,
    accepted: u32,
}

impl FTPHandler for Judged {
    /// The file is whole and closed. Until it is judged, the client waits for its reply, and nobody
    /// else may store the file.
    fn confirm_transfer(&mut self, s: &mut FTPSession, transfer: &TransferLog<'_>) {
        if !transfer.receive {
            return;
        }
        let service = Arc::clone(&self.service);
        let file = transfer.filename.to_owned();
        let given = s.offload(
            move || service.judge(&file), // on a thread of the pool
            |s, verdict| match verdict {
                Ok(Some(job)) => s.set_final_reply(format!("250 It is known to JES as {job}")),
                Ok(None) => s.set_final_reply("552 The file has a virus."),
                Err(_) => s.set_final_reply("451 The file could not be read."),
            },
        );
        if given.is_err() {
            s.set_final_reply("451 Too busy to judge the file.");
        }
    }

    fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        self.accepted += 1;
        s.log(format_args!("{} was accepted", file.display()));
    }

    /// What was refused is not kept.
    fn on_incomplete_file_received(&mut self, s: &mut FTPSession, file: &Path) {
        if fs::remove_file(file).is_ok() {
            s.log(format_args!("{} was removed", file.display()));
        }
    }
}

/// Judges files, and numbers the jobs. In place of a real one, it looks for a word.
#[derive(Default)]
struct Service {
    jobs: AtomicU32,
}

impl Service {
    /// The name of the job; `None` if the file is refused.
    fn judge(&self, file: &Path) -> io::Result<Option<String>> {
        let bytes = fs::read(file)?;
        let refused = bytes.windows(5).any(|word| word == b"VIRUS");
        let job = || format!("JOB{:05}", self.jobs.fetch_add(1, Relaxed) + 1);
        Ok((!refused).then(job))
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
    let service = Arc::<Service>::default();
    let factory = move |_peer| Judged {
        service: Arc::clone(&service),
        accepted: 0,
    };
    FTPServer::bind(&address, config(&home)?, factory)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn the_verdict_is_the_reply() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let mut session = Session::new(config, Judged::default()).unwrap();
        session.login("user", "12345");
        let known = "250 It is known to JES as JOB00001";
        assert_eq!(session.stor("good", b"hello"), known);
        let refused = session.stor("bad", b"a VIRUS");
        assert_eq!(refused, "552 The file has a virus.");
        assert_eq!(session.retr("good").unwrap(), b"hello");
        assert!(!home.path().join("bad").exists());
        session.with(|handler, _| assert_eq!(handler.accepted, 1));
    }
}

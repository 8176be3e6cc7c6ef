//! Files that a program makes while they are read: `cargo run --example read_only_fs [ADDRESS]`,
//! then `curl ftp://127.0.0.1:2121/uptime.txt`. They are not on the disk, and cannot be changed.

use std::path::Path;
use std::time::Instant;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::{
    AbstractedFS, BytesFile, FSDir, FSFile, FSState, NameList, NoFS, OpenMode, Stat,
};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{AuthorizerError, FSError, FTPConfig, FTPServer};

/// One directory with two files.
struct Pages(Instant);

impl Pages {
    fn page(&self, fs: &FSState, path: &Path) -> Result<String, FSError> {
        match path.strip_prefix(fs.root()).ok().and_then(Path::to_str) {
            Some("uptime.txt") => Ok(format!("{} s\n", self.0.elapsed().as_secs())),
            Some("version.txt") => Ok(concat!(env!("CARGO_PKG_VERSION"), "\n").to_owned()),
            _ => Err(FSError::not_found()),
        }
    }
}

impl AbstractedFS for Pages {
    /// What is not written here is refused.
    fn inner(&self) -> &dyn AbstractedFS {
        &NoFS
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        match path == fs.root() {
            true => Ok(Stat::dir(0)),
            false => Ok(Stat::file(self.page(fs, path)?.len() as u64, 0)),
        }
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.stat(fs, path)
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        let stat = |name: &'static str| Ok((name, self.stat(fs, &path.join(name))?));
        let entries: Result<Vec<_>, FSError> = ["uptime.txt", "version.txt"]
            .map(stat)
            .into_iter()
            .collect();
        Ok(Box::new(NameList::new(entries?)))
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        match mode {
            OpenMode::Read => Ok(Box::new(BytesFile::new(
                path,
                self.page(fs, path)?.into_bytes(),
            ))),
            _ => NoFS.open(fs, path, mode),
        }
    }
}

fn config() -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    // The directory exists on the disk, too; nobody looks at that one.
    authorizer.add_anonymous("/")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.set_abstracted_fs(Pages(Instant::now()));
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:2121");
    FTPServer::bind(address, config()?, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn serves_pages_and_nothing_else() {
        let mut session = Session::new(config().unwrap(), StockHandler).unwrap();
        session.login("anonymous", "");
        session.command("TYPE I");
        assert_eq!(session.retr("/uptime.txt").unwrap(), b"0 s\n");
        assert_eq!(
            session.list("NLST").unwrap(),
            "uptime.txt\r\nversion.txt\r\n"
        );
        assert!(session.list("LIST").unwrap().starts_with("-r--r--r--"));
        assert_eq!(session.command("SIZE uptime.txt"), "213 4");
        // They are on the disk, and not here.
        for path in ["etc/passwd", "etc", "tmp", "../etc/passwd"] {
            for command in ["RETR", "SIZE", "MDTM", "MLST", "CWD", "STAT"] {
                let reply = session.command(&format!("{command} {path}"));
                assert_eq!(reply.code(), 550, "{command} {path}");
            }
        }
    }
}

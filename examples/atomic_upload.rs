//! An upload appears under its name when it is complete, and not before:
//! `cargo run --example atomic_upload [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE ftp://user:12345@127.0.0.1:2121/`.
//!
//! Until then it is in `.uploads`, in the same home. If it is cut, nothing of it stays,
//! and a file of its name is as it was. Of two that have the same name, the one that
//! ends last wins, and is whole. What is there already cannot be added to (APPE, REST).

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{fs, fs::File, process};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{AuthorizerError, FSError, FTPConfig, FTPServer, FilesystemError};

const UPLOADS: &str = ".uploads";

/// The local file system; `begun` counts uploads.
#[derive(Default)]
struct AtomicFS {
    begun: AtomicU64,
}

impl AbstractedFS for AtomicFS {
    /// Clients have no business with what is not complete.
    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        !path.starts_with(fs.root().join(UPLOADS)) && local::validpath(fs, path)
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        match mode {
            OpenMode::Read => local::open(fs, path, mode), // super
            OpenMode::Write => self.begin(fs, path.to_owned(), false),
            OpenMode::Append if !self.lexists(fs, path) => self.begin(fs, path.to_owned(), false),
            OpenMode::Append | OpenMode::Update => {
                Err(FilesystemError::new("Files are stored as a whole").into())
            }
        }
    }

    /// Of STOU: makes a file of a new name, which is kept free by an empty one.
    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        let name = local::mkstemp(fs, dir, prefix)?.name().to_owned();
        self.begin(fs, name, true)
    }
}

impl AtomicFS {
    /// What would fail when it is complete is better refused now.
    fn begin(&self, fs: &FSState, name: PathBuf, kept: bool) -> Result<Box<dyn FSFile>, FSError> {
        local::check_directory(fs, name.parent().unwrap_or(fs.root()))?;
        if self.isdir(fs, &name) {
            return Err(io::Error::from(ErrorKind::IsADirectory).into());
        }
        let uploads = fs.root().join(UPLOADS);
        if !self.isdir(fs, &uploads) {
            local::mkdir(fs, &uploads)?;
        }
        let number = self.begun.fetch_add(1, Relaxed);
        let part = uploads.join(format!("{}-{number}", process::id()));
        Ok(Box::new(Upload {
            file: local::open(fs, &part, OpenMode::Write)?,
            fs: FSState::new(fs.root(), "/".into()),
            part,
            name,
            kept,
        }))
    }
}

struct Upload {
    file: Box<dyn FSFile>,
    fs: FSState,
    part: PathBuf,
    name: PathBuf,
    /// Whether the name is kept free by an empty file.
    kept: bool,
}

impl FSFile for Upload {
    /// The name that it will have: for the log, and for callbacks.
    fn name(&self) -> &Path {
        &self.name
    }

    fn as_file(&self) -> Option<&File> {
        self.file.as_file()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.file.size()
    }

    /// An error here makes 426 of the reply.
    fn finish(&mut self, completed: bool) -> io::Result<()> {
        if completed {
            let renamed = local::rename(&self.fs, &self.part, &self.name);
            renamed.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // If it was complete, it is not there any more.
        let cut = local::remove(&self.fs, &self.part).is_ok();
        if cut && self.kept {
            let _ = local::remove(&self.fs, &self.name);
        }
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Upload {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let mut authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.set_abstracted_fs(AtomicFS::default());
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    // What a crash has left.
    match fs::remove_dir_all(Path::new(&home).join(UPLOADS)) {
        Err(err) if err.kind() != ErrorKind::NotFound => return Err(err.into()),
        _ => {}
    }
    FTPServer::bind(&address, config(&home)?, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn what_is_cut_leaves_all_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let mut session = Session::new(config, StockHandler).unwrap();
        session.login("user", "12345");
        session.stor("file", b"old");
        let mut data = session.passive();
        session.command("STOR file");
        data.write(b"new");
        assert_eq!(fs::read(home.path().join("file")).unwrap(), b"old");
        data.reset();
        assert_eq!(session.reply().unwrap().code(), 426);
        assert_eq!(session.retr("file").unwrap(), b"old");
        let left = fs::read_dir(home.path().join(UPLOADS)).unwrap();
        assert_eq!(left.count(), 0);
    }
}

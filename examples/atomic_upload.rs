//! An upload gets its name when it is complete, and not before:
//! `cargo run --example atomic_upload [ADDRESS] [DIRECTORY]`, then
//! `curl -T FILE ftp://user:12345@127.0.0.1:2121/`.
//!
//! Until then it is in another file of the same directory, `.upload.` and 8 random
//! characters. Listings show that file, but clients may not use it. If the upload is cut,
//! that file is removed, and an existing file keeps its content. Of two uploads with the
//! same name, the one that ends last wins, and is whole. Nothing can be added to an
//! existing file (APPE, REST).
//!
//! A file that is replaced keeps its mode, but not its owner nor its other names (hard
//! links); if the name is a link, the link is replaced. Files that a crash leaves, or
//! that are in a directory that was renamed meanwhile, are not removed:
//! `find -name '.upload.*' -mtime +1 -delete`. A user with an account on this machine can
//! still make a link to such a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, local};
use ftpdlib::handlers::StockHandler;
use ftpdlib::{AuthorizerError, FSError, FTPConfig, FTPServer, FilesystemError};
use rustix::io::Errno;

/// The beginning of the names of incomplete files.
const PART: &str = ".upload.";
/// The mode of new files.
const MODE: u32 = 0o644;

struct AtomicFS;

impl AbstractedFS for AtomicFS {
    /// Clients may not use incomplete files, not even through links.
    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        !is_part(path) && !is_part(&self.realpath(fs, path)) && local::validpath(fs, path)
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        match mode {
            OpenMode::Read => local::open(fs, path, mode), // super
            // Refuse now what would fail at the end.
            _ if self.isdir(fs, path) => Err(error(Errno::ISDIR)),
            OpenMode::Write => Upload::begin(fs, path, false),
            OpenMode::Append if !self.lexists(fs, path) => Upload::begin(fs, path, false),
            OpenMode::Append | OpenMode::Update => {
                Err(FilesystemError::new("Files are stored as a whole").into())
            }
        }
    }

    /// For STOU. No file has the new name until the upload is complete.
    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        Upload::begin(fs, &dir.join(prefix), true)
    }
}

/// Whether this is the path of an incomplete upload.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(PART.as_bytes())
}

fn error(errno: Errno) -> FSError {
    FSError::from_errno(errno.raw_os_error())
}

struct Upload {
    file: Box<dyn FSFile>,
    fs: FSState,
    part: PathBuf,
    name: PathBuf,
    /// Whether the name must not exist yet.
    unique: bool,
}

impl Upload {
    /// A unique name ends with the random characters of its part. No other server has the
    /// part, since it is made exclusively.
    fn begin(fs: &FSState, path: &Path, unique: bool) -> Result<Box<dyn FSFile>, FSError> {
        if is_part(path) {
            return Err(error(Errno::PERM));
        }
        let dir = path.parent().unwrap_or(fs.root());
        let file = local::mkstemp(fs, dir, PART.as_ref())?;
        let part = file.name().to_owned();
        let mut name = path.as_os_str().to_owned();
        if unique {
            name.push(part.extension().unwrap_or_default());
        }
        // When it is dropped, the part is removed, also if the name is refused here.
        let upload = Self {
            file,
            fs: fs.clone(),
            part,
            name: name.into(),
            unique,
        };
        upload.check_name()?;
        Ok(Box::new(upload))
    }

    fn check_name(&self) -> Result<(), FSError> {
        match self.unique && local::lexists(&self.fs, &self.name) {
            true => Err(error(Errno::EXIST)),
            false => Ok(()),
        }
    }

    fn complete(&self) -> Result<(), FSError> {
        // The client knows the name, so another client may have used it meanwhile.
        self.check_name()?;
        let old = local::stat(&self.fs, &self.name);
        let mode = old.map_or(MODE, |old| old.mode & 0o777);
        local::chmod(&self.fs, &self.part, mode)?;
        local::rename(&self.fs, &self.part, &self.name)
    }
}

impl FSFile for Upload {
    /// The name after completion, for the log and for callbacks.
    fn name(&self) -> &Path {
        &self.name
    }

    fn as_file(&self) -> Option<&File> {
        self.file.as_file()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.file.size()
    }

    /// An error here makes the reply 426.
    fn finish(&mut self, completed: bool) -> io::Result<()> {
        match completed {
            true => self.complete().map_err(io::Error::other),
            false => Ok(()),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After completion the part does not exist any more.
        let _ = local::remove(&self.fs, &self.part);
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
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.set_abstracted_fs(AtomicFS);
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    FTPServer::bind(&address, config(&home)?, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ftpdlib::testing::Session;

    use super::*;

    /// Another server with the same home.
    fn session(home: &Path) -> Session<StockHandler> {
        let config = config(home.to_str().unwrap()).unwrap();
        let mut session = Session::new(config, StockHandler).unwrap();
        session.login("user", "12345");
        session
    }

    fn names(home: &Path) -> Vec<String> {
        let names = fs::read_dir(home).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_is_cut_leaves_all_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let mut session = session(home.path());
        session.stor("file", b"old");
        let mut data = session.passive();
        session.command("STOR file");
        data.write(b"new");
        assert_eq!(fs::read(home.path().join("file")).unwrap(), b"old");
        data.reset();
        assert_eq!(session.reply().unwrap().code(), 426);
        assert_eq!(session.retr("file").unwrap(), b"old");
        assert_eq!(names(home.path()), ["file"]);
    }

    #[test]
    fn servers_that_share_a_home_do_not_mix_uploads() {
        let home = tempfile::tempdir().unwrap();
        let [mut one, mut other] = [session(home.path()), session(home.path())];
        let (mut first, mut second) = (one.passive(), other.passive());
        one.command("STOR one");
        other.command("STOR other");
        first.write(b"first");
        second.write(b"second");
        first.shutdown();
        second.shutdown();
        assert_eq!(one.reply().unwrap().code(), 226);
        assert_eq!(other.reply().unwrap().code(), 226);
        assert_eq!(one.retr("one").unwrap(), b"first");
        assert_eq!(one.retr("other").unwrap(), b"second");
    }

    #[test]
    fn a_unique_name_is_not_taken_from_another() {
        for is_cut in [true, false] {
            let home = tempfile::tempdir().unwrap();
            let [mut one, mut other] = [session(home.path()), session(home.path())];
            let mut data = one.passive();
            let reply = one.command("STOU");
            let name = reply.text().rsplit(' ').next().unwrap().to_owned();
            data.write(b"unique");
            assert_eq!(other.stor(&name, b"another").code(), 226);
            match is_cut {
                true => data.reset(),
                false => data.shutdown(),
            }
            assert_eq!(one.reply().unwrap().code(), 426);
            assert_eq!(names(home.path()), [&*name]);
            assert_eq!(other.retr(&name).unwrap(), b"another");
        }
    }

    #[test]
    fn what_is_not_complete_is_not_for_clients() {
        let home = tempfile::tempdir().unwrap();
        let [mut one, mut other] = [session(home.path()), session(home.path())];
        let _data = one.passive();
        one.command("STOR file");
        let part = names(home.path()).remove(0);
        std::os::unix::fs::symlink(&part, home.path().join("peek")).unwrap();
        for command in ["DELE ", "RNFR ", "DELE peek/../"] {
            assert_eq!(other.command(&format!("{command}{part}")).code(), 550);
        }
        assert!(other.retr("peek").is_err());
        assert_eq!(other.stor(&part, b"x").code(), 550);
        assert_eq!(other.stor(".upload.x", b"x").code(), 550);
        other.passive();
        assert_eq!(other.command("STOU .upload").code(), 450);
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;

        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let mut session = session(home.path());
        session.stor("file", b"new");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), MODE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        session.stor("file", b"newer");
        assert_eq!(mode(), 0o600);
    }
}

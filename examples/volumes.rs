//! Several directories for each account, side by side below `/`, on two listeners:
//! `cargo run --example volumes [ADDRESS] [DIRECTORY] [ADDRESS]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`. No account leaves its volumes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::filesystems::{
    AbstractedFS, FSDir, FSFile, FSState, Held, NameList, NoFS, OpenMode, Stat, local,
};
use ftpdlib::{FSError, FTPConfig, FTPHandler, FTPServer, FTPSession};

/// The volumes of an account by their names: the file system of one login. The real path of
/// `/NAME/path` is that of `path` in the directory of the volume.
struct Volumes(BTreeMap<String, FSState>);

impl Volumes {
    fn new(directories: &[(&str, PathBuf)]) -> Self {
        let volume =
            |(name, root): &(&str, PathBuf)| ((*name).to_owned(), FSState::new(root, "/".into()));
        Self(directories.iter().map(volume).collect())
    }

    /// The state for an operation at `path`: the volume in which that is, as its root.
    fn at(&self, fs: &FSState, path: &Path) -> Result<FSState, FSError> {
        let mut volumes = self.0.values();
        let volume = volumes.find(|volume| path.starts_with(volume.root()));
        Ok(fs.with_root_of(volume.ok_or_else(FSError::not_found)?))
    }

    fn is_top(fs: &FSState, path: &Path) -> bool {
        path == fs.root()
    }
}

impl AbstractedFS for Volumes {
    /// What is not written here is refused.
    fn inner(&self) -> &dyn AbstractedFS {
        &NoFS
    }

    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        let path = PathBuf::from(self.ftpnorm(fs, ftppath));
        let mut parts = path.strip_prefix("/").unwrap_or(&path).iter();
        let name = parts.next().and_then(OsStr::to_str).unwrap_or_default();
        match self.0.get(name) {
            Some(volume) => volume
                .root()
                .components()
                .chain(parts.as_path().components())
                .collect(),
            // The top, or a name in it that there is not.
            None => fs.root().join(name),
        }
    }

    fn fs2ftp(&self, fs: &FSState, path: &Path) -> std::ffi::OsString {
        for (name, volume) in &self.0 {
            if let Ok(rest) = path.strip_prefix(volume.root()) {
                let path: PathBuf = ["/", name].iter().collect();
                return path
                    .components()
                    .chain(rest.components())
                    .collect::<PathBuf>()
                    .into();
            }
        }
        NoFS.fs2ftp(fs, path)
    }

    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        match self.at(fs, path) {
            Ok(volume) => local::validpath(&volume, path),
            Err(_) => NoFS.validpath(fs, path),
        }
    }

    fn realpath(&self, fs: &FSState, path: &Path) -> PathBuf {
        local::realpath(fs, path)
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        match Self::is_top(fs, path) {
            true => Ok(Stat::dir(0)),
            false => local::stat(&self.at(fs, path)?, path),
        }
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        match Self::is_top(fs, path) {
            true => Ok(Stat::dir(0)),
            false => local::lstat(&self.at(fs, path)?, path),
        }
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        if !Self::is_top(fs, path) {
            return local::listdir(&self.at(fs, path)?, path);
        }
        let names = self.0.keys().map(|name| (name, Stat::dir(0)));
        Ok(Box::new(NameList::new(names)))
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        if !Self::is_top(fs, path) {
            local::check_directory(&self.at(fs, path)?, path)?;
        }
        fs.set_cwd(self.fs2ftp(fs, path));
        Ok(())
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        local::open(&self.at(fs, path)?, path, mode)
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        local::mkstemp(&self.at(fs, dir)?, dir, prefix)
    }

    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        local::mkdir(&self.at(fs, path)?, path)
    }

    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        local::rmdir(&self.at(fs, path)?, path)
    }

    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        local::remove(&self.at(fs, path)?, path)
    }

    fn hold(&self, fs: &FSState, path: &Path) -> Result<Held, FSError> {
        local::hold(&self.at(fs, path)?, path)
    }

    /// From one volume to another it fails: the state of the first does not reach the second.
    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        local::rename(&self.at(fs, src)?, src, dst)
    }

    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        local::rename_new(&self.at(fs, src)?, src, dst)
    }

    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        local::chmod(&self.at(fs, path)?, path, mode)
    }

    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        local::utime(&self.at(fs, path)?, path, seconds)
    }

    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        local::readlink(&self.at(fs, path)?, path)
    }

    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        local::free_space(&self.at(fs, path)?, path).map(Some)
    }
}

/// Knows which account has which volumes.
struct Handler(PathBuf);

impl FTPHandler for Handler {
    fn abstracted_fs(&mut self, s: &mut FTPSession) -> Arc<dyn AbstractedFS> {
        let own = self.0.join(s.username());
        Arc::new(Volumes::new(&[
            ("own", own),
            ("shared", self.0.join("shared")),
        ]))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let share = fs::canonicalize(args.next().unwrap_or_else(|| ".".to_owned()))?;
    let other = args.next().unwrap_or_else(|| "127.0.0.1:2122".to_owned());
    let authorizer = DummyAuthorizer::new();
    for directory in ["user", "ann", "shared", "top"] {
        fs::create_dir_all(share.join(directory))?;
    }
    for name in ["user", "ann"] {
        // The home is the top, in which there is nothing but the volumes.
        authorizer.add_user(name, "12345", share.join("top"), "elradfmwMT")?;
    }
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    // Both have the same sessions, limits and settings.
    FTPServer::builder(config, move |_peer| Handler(share.clone()))
        .bind(address.as_str())?
        .bind(other.as_str())?
        .build()?
        .serve_forever()?;
    Ok(())
}

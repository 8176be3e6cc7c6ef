//! What the server sees of the files: a file system with "real" paths behind
//! it and "FTP" paths before it.
//!
//! [`AbstractedFS`] is the behaviour, to be overridden method by method;
//! [`FSState`] the state of one session in it (its root and its current
//! directory); the functions of [`local`] are the stock bodies, to be called
//! as "super". An FTP path is an `&OsStr` with `/` between its parts and starts
//! at the user's root; a real path is a `&Path`. The two are never mixed.
//!
//! This module knows nothing of sessions, replies or permissions.

pub mod local;
pub mod path;
mod unix;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::FSError;
use crate::proto::listing::{ListEntry, ListingStyle, MlsxFacts, Names};

pub use crate::proto::listing::Stat;
pub use local::{LocalFS, LocalFile};
pub use unix::UnixFilesystem;

/// The file system that a session works on: as pyftpdlib's `AbstractedFS`.
///
/// One value serves all sessions; what differs between them is in [`FSState`].
/// Every method has the stock body of [`LocalFS`], the jailed local file
/// system, so that a type of one's own overrides only what it changes and calls
/// the rest as `local::open(fs, path, mode)`.
///
/// Real paths given to these methods come from [`AbstractedFS::ftp2fs`]: they are
/// absolute and hold no `.` or `..`. Errors become `550` replies with their
/// `Display` as text; see [`FilesystemError`](crate::FilesystemError) for a text of one's own.
pub trait AbstractedFS: Send + Sync {
    /// The FTP path that a session starts in, `/` by default.
    fn initial_cwd(&self, _root: &Path) -> OsString {
        OsString::from("/")
    }

    /// Makes an FTP path absolute and normal: no `.`, `..`, `//`, no final `/`.
    fn ftpnorm(&self, fs: &FSState, ftppath: &OsStr) -> OsString {
        path::ftpnorm(fs.cwd(), ftppath)
    }

    /// The real path of an FTP path: `foo` becomes `/home/user/foo`.
    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        path::ftp2fs(fs.root(), &self.ftpnorm(fs, ftppath))
    }

    /// The FTP path of a real path; `/` if it lies outside of the root.
    fn fs2ftp(&self, fs: &FSState, path: &Path) -> OsString {
        path::fs2ftp(fs.root(), path)
    }

    /// Whether a real path, its links followed, stays inside the user's root.
    ///
    /// A courtesy to the client only: the operations below do not rely on it.
    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        local::validpath(fs, path)
    }

    /// Opens a regular file. Never waits (not for the other end of a fifo).
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        local::open(fs, path, mode)
    }

    /// Makes and opens a file of a new name in `dir`: `prefix` and 8 random characters.
    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        local::mkstemp(fs, dir, prefix)
    }

    /// Changes the current directory; the stock body sets [`FSState::set_cwd`].
    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        local::check_directory(fs, path)?;
        let cwd = self.fs2ftp(fs, path);
        fs.set_cwd(cwd);
        Ok(())
    }

    /// Makes a directory.
    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        local::mkdir(fs, path)
    }

    /// Opens a directory to list it.
    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        local::listdir(fs, path)
    }

    /// Removes an empty directory.
    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        local::rmdir(fs, path)
    }

    /// Removes a file, or a link (not what it points to).
    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        local::remove(fs, path)
    }

    /// Renames, replacing a file of the new name, as rename(2).
    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        local::rename(fs, src, dst)
    }

    /// Changes the mode; `mode` holds the lowest twelve bits.
    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        local::chmod(fs, path, mode)
    }

    /// The attributes of what `path` is or links to.
    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        local::stat(fs, path)
    }

    /// The attributes of `path` itself, be it a link.
    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        local::lstat(fs, path)
    }

    /// Sets the times of access and modification, in seconds since 1970.
    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        local::utime(fs, path, seconds)
    }

    /// What a link points to, as it is written in it.
    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        local::readlink(fs, path)
    }

    /// Whether `path` is, or links to, a regular file.
    fn isfile(&self, fs: &FSState, path: &Path) -> bool {
        self.stat(fs, path).is_ok_and(|stat| stat.is_file())
    }

    /// Whether `path` is a link.
    fn islink(&self, fs: &FSState, path: &Path) -> bool {
        self.lstat(fs, path).is_ok_and(|stat| stat.is_symlink())
    }

    /// Whether `path` is, or links to, a directory.
    fn isdir(&self, fs: &FSState, path: &Path) -> bool {
        self.stat(fs, path).is_ok_and(|stat| stat.is_dir())
    }

    /// The size in bytes.
    fn getsize(&self, fs: &FSState, path: &Path) -> Result<u64, FSError> {
        Ok(self.stat(fs, path)?.size)
    }

    /// The time of the last modification, in seconds since 1970.
    fn getmtime(&self, fs: &FSState, path: &Path) -> Result<i64, FSError> {
        Ok(self.stat(fs, path)?.mtime)
    }

    /// The path with all links resolved; what does not exist is taken as it is.
    fn realpath(&self, fs: &FSState, path: &Path) -> PathBuf {
        local::realpath(fs, path)
    }

    /// Whether `path` exists, be it a link to nowhere.
    fn lexists(&self, fs: &FSState, path: &Path) -> bool {
        self.lstat(fs, path).is_ok()
    }

    /// The name of a user, or the number where there is none.
    fn get_user_by_uid(&self, uid: u32) -> String {
        local::user_by_uid(uid)
    }

    /// The name of a group, or the number where there is none.
    fn get_group_by_gid(&self, gid: u32) -> String {
        local::group_by_gid(gid)
    }

    /// Appends an entry in the form of `ls -l`, with its CRLF.
    fn format_list(&self, style: &mut ListingStyle, entry: &ListEntry<'_>, out: &mut Vec<u8>) {
        let names = Names {
            user: &|uid| self.get_user_by_uid(uid),
            group: &|gid| self.get_group_by_gid(gid),
        };
        style.list_line(names, entry, out);
    }

    /// Appends an entry in the form of MLSD (RFC 3659 §7), with its CRLF.
    fn format_mlsx(
        &self,
        style: &mut ListingStyle,
        facts: &MlsxFacts,
        entry: &ListEntry<'_>,
        out: &mut Vec<u8>,
    ) {
        style.mlsx_line(facts, entry, out);
    }
}

/// The state of one session's file system: its root and its current directory.
pub struct FSState {
    root: Arc<Path>,
    cwd: OsString,
    /// The handle of the root directory, opened by [`local`] when first needed.
    pub(crate) home: OnceLock<Arc<local::Home>>,
}

impl FSState {
    /// `root` is the user's home, a real, absolute path; `cwd` an FTP path.
    #[must_use]
    pub fn new(root: &Path, cwd: OsString) -> Self {
        Self {
            root: Arc::from(root),
            cwd,
            home: OnceLock::new(),
        }
    }

    /// The user's home, a real path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The current directory, an FTP path.
    #[must_use]
    pub fn cwd(&self) -> &OsStr {
        &self.cwd
    }

    /// Changes the current directory, an absolute and normal FTP path.
    pub fn set_cwd(&mut self, cwd: OsString) {
        self.cwd = cwd;
    }
}

impl fmt::Debug for FSState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FSState")
            .field("root", &self.root)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// An open file: what a transfer reads from or writes to.
///
/// Dropping it closes it.
pub trait FSFile: Read + Write + Seek + Send {
    /// Its real path.
    fn name(&self) -> &Path;

    /// The file of the system behind it, if there is one: binary transfers then
    /// use `sendfile` and `splice`, which pass by [`Read`] and [`Write`].
    fn as_file(&self) -> Option<&File> {
        None
    }

    /// Its size in bytes.
    fn size(&mut self) -> io::Result<u64>;

    /// Its size when it was opened, if that is known by now. A download that has come so
    /// far may end there.
    fn size_when_opened(&self) -> Option<u64> {
        None
    }

    /// Called once at the end of a transfer, before the reply: `completed` tells
    /// a whole file from a cut one. An error makes the reply of an upload 426.
    fn finish(&mut self, completed: bool) -> io::Result<()> {
        let _ = completed;
        Ok(())
    }
}

/// An open directory, relative to which its entries are looked up.
pub trait FSDir: Send {
    /// The next name, in the order of the system, without `.` and `..`.
    fn next_name(&mut self) -> Option<io::Result<OsString>>;

    /// The attributes of an entry itself, be it a link.
    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError>;

    /// The attributes of what an entry is or links to; [`FSError::Outside`]
    /// for a link that leaves the user's root.
    fn stat(&self, name: &OsStr) -> Result<Stat, FSError>;

    /// What an entry that is a link points to.
    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError>;
}

/// How a file is opened, as the mode of Python's `open()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// `rb`: it must exist.
    Read,
    /// `wb`: made or emptied.
    Write,
    /// `ab`: made if missing, written at its end.
    Append,
    /// `r+b`: it must exist; written in place (REST before STOR).
    Update,
}

//! The trait of file systems.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::file::{FSDir, FSFile, OpenMode};
use super::local::stock;
use super::path;
use super::state::FSState;
use crate::error::FSError;
use crate::proto::listing::{ListEntry, ListingStyle, MlsxFacts, Names, Stat};

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
/// Besides those named below there are the system's other ones, and
/// [`FSError::Outside`] for what a link would lead out of the root to.
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
        stock::validpath(fs, path)
    }

    /// Opens a regular file. Never waits (not for the other end of a fifo).
    ///
    /// # Errors
    /// It does not exist, is not a regular file, or may not be read or written.
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        stock::open(fs, path, mode)
    }

    /// Makes and opens a file of a new name in `dir`: `prefix` and 8 random characters.
    ///
    /// # Errors
    /// `dir` does not exist, or may not be written.
    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        stock::mkstemp(fs, dir, prefix)
    }

    /// Changes the current directory; the stock body sets [`FSState::set_cwd`].
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be entered.
    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        stock::check_directory(fs, path)?;
        let cwd = self.fs2ftp(fs, path);
        fs.set_cwd(cwd);
        Ok(())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// It exists, its parent does not, or may not be written.
    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        stock::mkdir(fs, path)
    }

    /// Opens a directory to list it.
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be read.
    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        stock::listdir(fs, path)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is not empty, no directory, or the root itself.
    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        stock::rmdir(fs, path)
    }

    /// Removes a file, or a link (not what it points to).
    ///
    /// # Errors
    /// It does not exist, is a directory, or its parent may not be written.
    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        stock::remove(fs, path)
    }

    /// Renames, replacing a file of the new name, as rename(2).
    ///
    /// # Errors
    /// `src` does not exist, `dst` is a directory or on another device.
    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        stock::rename(fs, src, dst)
    }

    /// Changes the mode; `mode` holds the lowest twelve bits.
    ///
    /// # Errors
    /// It does not exist, or belongs to somebody else.
    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        stock::chmod(fs, path, mode)
    }

    /// The attributes of what `path` is or links to.
    ///
    /// # Errors
    /// It does not exist, or its link leads nowhere or outside.
    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        stock::stat(fs, path)
    }

    /// The attributes of `path` itself, be it a link.
    ///
    /// # Errors
    /// It does not exist.
    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        stock::lstat(fs, path)
    }

    /// Sets the times of access and modification, in seconds since 1970.
    ///
    /// # Errors
    /// It does not exist, belongs to somebody else, or such a time cannot be kept.
    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        stock::utime(fs, path, seconds)
    }

    /// What a link points to, as it is written in it.
    ///
    /// # Errors
    /// It is no link.
    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        stock::readlink(fs, path)
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
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    fn getsize(&self, fs: &FSState, path: &Path) -> Result<u64, FSError> {
        Ok(self.stat(fs, path)?.size)
    }

    /// The time of the last modification, in seconds since 1970.
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    fn getmtime(&self, fs: &FSState, path: &Path) -> Result<i64, FSError> {
        Ok(self.stat(fs, path)?.mtime)
    }

    /// The path with all links resolved; what does not exist is taken as it is.
    fn realpath(&self, fs: &FSState, path: &Path) -> PathBuf {
        stock::realpath(fs, path)
    }

    /// Whether `path` exists, be it a link to nowhere.
    fn lexists(&self, fs: &FSState, path: &Path) -> bool {
        self.lstat(fs, path).is_ok()
    }

    /// The name of a user, or the number where there is none.
    fn get_user_by_uid(&self, uid: u32) -> String {
        stock::user_by_uid(uid)
    }

    /// The name of a group, or the number where there is none.
    fn get_group_by_gid(&self, gid: u32) -> String {
        stock::group_by_gid(gid)
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

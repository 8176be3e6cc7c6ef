//! The trait of file systems, whose default bodies are the functions of `local`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::file::{FSDir, FSFile, OpenMode};
use super::held::Held;
use super::local::stock;
use super::path;
use super::state::FSState;
use crate::error::FSError;
use crate::proto::listing::{ListEntry, ListingStyle, MlsxFacts, Names, Stat};

/// The file system that a session works on, as pyftpdlib's `AbstractedFS`.
///
/// One value serves all sessions, unless the handler makes one for each login in
/// [`FTPHandler::abstracted_fs`](crate::FTPHandler::abstracted_fs): then its fields know the
/// session. The state of a session is in [`FSState`].
///
/// Your own type overrides the methods that it changes. The others ask [`inner`](Self::inner), by
/// default [`LocalFS`], the local file system with each user jailed in the home directory. An
/// override calls its bodies as `local::open(fs, path, mode)`. For files that are not on the disk,
/// `inner` returns [`NoFS`](super::NoFS).
///
/// # Paths
///
/// Real paths that the server passes to these methods come from [`ftp2fs`](Self::ftp2fs).
/// Those of the stock body are absolute and hold no `.` or `..`.
///
/// # Permissions
///
/// The server asks for the permission to use a path before it calls a method with it. For a user
/// with [other permissions](crate::authorizers::Authorizer::has_overrides) in some directories
/// the stock bodies ask again, for the path of the directory whose handle they use, because links
/// and directories may have changed meanwhile. They ask about the paths that the server has
/// passed, and about no others. A body of your own that follows links calls
/// [`FSState::permits`].
///
/// # Errors
///
/// An error becomes a `550` reply with its `Display` as text: use
/// [`FilesystemError`](crate::FilesystemError) for your own text. Each method names the
/// usual errors. Any other error of the system can come too, and [`FSError::Outside`] if a
/// link leads out of the root.
///
/// # Blocking
///
/// The server calls these methods on the thread of its loop, and all sessions of that loop
/// wait until a method returns. Each method says whether it may block: "never blocks" means
/// that the stock body only computes; "may block" means that it makes system calls on files,
/// which wait for the disk, or for the network if the files are there. The same holds for
/// [`FSFile`] and [`FSDir`].
pub trait AbstractedFS: Send + Sync {
    /// The file system that this one extends: [`LocalFS`] by default. Methods that are not
    /// overridden ask it, except for those that follow from others: `isfile`, `getsize`, `lexists`,
    /// `hold` and the like call `stat`, `lstat` and `rename` of the type itself.
    ///
    /// For files that are not on the disk, return [`NoFS`](super::NoFS), which refuses everything.
    /// A type that wraps another file system returns that one.
    fn inner(&self) -> &dyn AbstractedFS {
        &LocalFS
    }

    /// The FTP path that a session starts in after login: `/` by default. `root` is the
    /// user's home. Never blocks.
    fn initial_cwd(&self, root: &Path) -> OsString {
        self.inner().initial_cwd(root)
    }

    /// Makes an FTP path absolute and normal: without `.`, `..`, `//` and a final `/`. Never
    /// blocks.
    fn ftpnorm(&self, fs: &FSState, ftppath: &OsStr) -> OsString {
        self.inner().ftpnorm(fs, ftppath)
    }

    /// The real path of an FTP path: `foo` becomes `/home/user/foo`. Never blocks.
    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        self.inner().ftp2fs(fs, &self.ftpnorm(fs, ftppath))
    }

    /// The FTP path of a real path; `/` if that is outside the root. Never blocks.
    fn fs2ftp(&self, fs: &FSState, path: &Path) -> OsString {
        self.inner().fs2ftp(fs, path)
    }

    /// Whether a real path stays inside the user's root once its links are followed. May
    /// block.
    ///
    /// The server asks this before each command on a path, and replies `550` with the text
    /// of [`FSError::Outside`] if not. This is a courtesy to the client only: the operations
    /// below confine themselves and do not rely on it.
    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        self.inner().validpath(fs, path)
    }

    /// Whether this is [`LocalFS`]: whether each operation refuses by itself to
    /// leave the user's root, so that [`validpath`](Self::validpath) need not be asked before.
    #[doc(hidden)]
    fn is_stock(&self) -> bool {
        false
    }

    /// Opens a regular file. May block on the disk, but never waits for another process, for
    /// example at the other end of a fifo.
    ///
    /// # Errors
    /// The file does not exist, is not a regular file, or may not be read or written.
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        self.inner().open(fs, path, mode)
    }

    /// Makes and opens a file with a new name in `dir`, for STOU: `prefix` and 8 random
    /// characters. May block.
    ///
    /// # Errors
    /// `dir` does not exist, or may not be written.
    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        self.inner().mkstemp(fs, dir, prefix)
    }

    /// Changes the current directory: the stock body checks that `path` may be entered and
    /// calls [`FSState::set_cwd`]. May block.
    ///
    /// # Errors
    /// `path` does not exist, is not a directory, or may not be entered.
    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        self.inner().chdir(fs, path)?;
        let cwd = self.fs2ftp(fs, path);
        fs.set_cwd(cwd);
        Ok(())
    }

    /// Makes a directory. May block.
    ///
    /// # Errors
    /// `path` exists, or its parent does not exist or may not be written.
    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.inner().mkdir(fs, path)
    }

    /// Opens a directory to list it. May block.
    ///
    /// # Errors
    /// `path` does not exist, is not a directory, or may not be read.
    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        self.inner().listdir(fs, path)
    }

    /// Removes an empty directory. May block.
    ///
    /// # Errors
    /// The directory is not empty, `path` is not a directory, or it is the root itself.
    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.inner().rmdir(fs, path)
    }

    /// Removes a file, or a link itself and not the file that it points to. May block.
    ///
    /// # Errors
    /// `path` does not exist or is a directory, or its parent may not be written.
    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.inner().remove(fs, path)
    }

    /// Finds what RNFR names, for the [`rename`](Self::rename) of the RNTO that follows. May
    /// block. It is called for users with
    /// [other permissions](crate::authorizers::Authorizer::has_overrides) in some directories.
    ///
    /// The default only looks whether `path` exists, and RNTO looks the path up again.
    /// [`LocalFS`] keeps the directory open, so that RNTO renames the name in
    /// this directory or nothing. If your own type keeps the stock bodies of `rename` and
    /// `rename_new`, let it call `local::hold(fs, path)` here.
    ///
    /// # Errors
    /// `path` does not exist.
    fn hold(&self, fs: &FSState, path: &Path) -> Result<Held, FSError> {
        match self.lexists(fs, path) {
            true => Ok(Held::of_path(path)),
            false => Err(FSError::from_errno(libc::ENOENT)),
        }
    }

    /// Renames a file or a directory, and replaces a file with the new name, as rename(2).
    /// May block.
    ///
    /// # Errors
    /// `src` does not exist, or `dst` is a directory or on another device.
    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        self.inner().rename(fs, src, dst)
    }

    /// Renames a file or a directory, and replaces nothing: for a user who has not the permission
    /// to delete what has the new name. May block.
    ///
    /// The default looks first and then calls [`rename`](Self::rename), so that another process
    /// may make a file in between. [`LocalFS`] has no such gap. If your own type
    /// keeps the stock body of `rename`, let it call `local::rename_new(fs, src, dst)` here.
    ///
    /// # Errors
    /// Those of [`rename`](Self::rename); `EEXIST` if `dst` exists and is not `src`.
    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        if src != dst && self.lexists(fs, dst) {
            return Err(FSError::from_errno(libc::EEXIST));
        }
        self.rename(fs, src, dst)
    }

    /// Changes the mode of a file; the lowest twelve bits of `mode` are used. May block.
    ///
    /// # Errors
    /// `path` does not exist, or belongs to another user of the system.
    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        self.inner().chmod(fs, path, mode)
    }

    /// The attributes of a file; a link is followed. May block.
    ///
    /// # Errors
    /// `path` does not exist, or is a link that leads nowhere or outside.
    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.inner().stat(fs, path)
    }

    /// The attributes of a file; a link is not followed. May block.
    ///
    /// # Errors
    /// `path` does not exist.
    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.inner().lstat(fs, path)
    }

    /// How many bytes may still be written where the file at `path` is, or is to be made; `None`:
    /// the file system is never full. For [`min_free_space`](crate::FTPConfig::min_free_space):
    /// called before an upload, and before each turn of it, which writes at most some megabytes. May
    /// block.
    ///
    /// # Errors
    /// The space is not known. The upload is refused, or ends.
    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        self.inner().free_space(fs, path)
    }

    /// Sets the times of access and of modification, in seconds since 1970, UTC. May block.
    ///
    /// # Errors
    /// `path` does not exist, belongs to another user of the system, or is on a file system
    /// that cannot store this time.
    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        self.inner().utime(fs, path, seconds)
    }

    /// The text of a link: the path that it points to, as it is written there. May block.
    ///
    /// # Errors
    /// `path` does not exist, or is not a link.
    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        self.inner().readlink(fs, path)
    }

    /// Whether `path` is a regular file, or a link to one. May block.
    fn isfile(&self, fs: &FSState, path: &Path) -> bool {
        self.stat(fs, path).is_ok_and(|stat| stat.is_file())
    }

    /// Whether `path` is a link. May block.
    fn islink(&self, fs: &FSState, path: &Path) -> bool {
        self.lstat(fs, path).is_ok_and(|stat| stat.is_symlink())
    }

    /// Whether `path` is a directory, or a link to one. May block.
    fn isdir(&self, fs: &FSState, path: &Path) -> bool {
        self.stat(fs, path).is_ok_and(|stat| stat.is_dir())
    }

    /// The size of a file in bytes. May block.
    ///
    /// # Errors
    /// Those of [`stat`](Self::stat).
    fn getsize(&self, fs: &FSState, path: &Path) -> Result<u64, FSError> {
        Ok(self.stat(fs, path)?.size)
    }

    /// The time of the last modification, in seconds since 1970, UTC. May block.
    ///
    /// # Errors
    /// Those of [`stat`](Self::stat).
    fn getmtime(&self, fs: &FSState, path: &Path) -> Result<i64, FSError> {
        Ok(self.stat(fs, path)?.mtime)
    }

    /// The real path with all links resolved. Parts that do not exist are kept as they are.
    /// May block.
    fn realpath(&self, fs: &FSState, path: &Path) -> PathBuf {
        self.inner().realpath(fs, path)
    }

    /// Whether `path` exists; a link that leads nowhere does. May block.
    fn lexists(&self, fs: &FSState, path: &Path) -> bool {
        self.lstat(fs, path).is_ok()
    }

    /// The name of a user of the system, or the number if there is no such user. May block,
    /// also on the network: the user database may be there.
    fn get_user_by_uid(&self, uid: u32) -> String {
        self.inner().get_user_by_uid(uid)
    }

    /// The name of a group of the system, or the number if there is no such group. May block,
    /// also on the network: the user database may be there.
    fn get_group_by_gid(&self, gid: u32) -> String {
        self.inner().get_group_by_gid(gid)
    }

    /// Appends the line of an entry in the form of `ls -l`, with its CRLF. May block at the
    /// first entry of each user and group of a listing, whose names it looks up.
    fn format_list(&self, style: &mut ListingStyle, entry: &ListEntry<'_>, out: &mut Vec<u8>) {
        let names = Names {
            user: &|uid| self.get_user_by_uid(uid),
            group: &|gid| self.get_group_by_gid(gid),
        };
        style.list_line(names, entry, out);
    }

    /// Appends the line of an entry in the form of MLSD (RFC 3659 §7), with its CRLF. Never
    /// blocks.
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

/// The local file system, with each user jailed in the home directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalFS;

impl LocalFS {
    /// Makes the value, which has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Each method that others ask through [`AbstractedFS::inner`] must be here: it would ask itself.
impl AbstractedFS for LocalFS {
    fn initial_cwd(&self, _root: &Path) -> OsString {
        OsString::from("/")
    }

    fn ftpnorm(&self, fs: &FSState, ftppath: &OsStr) -> OsString {
        path::ftpnorm(fs.cwd(), ftppath)
    }

    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        path::ftp2fs(fs.root(), &self.ftpnorm(fs, ftppath))
    }

    fn fs2ftp(&self, fs: &FSState, path: &Path) -> OsString {
        path::fs2ftp(fs.root(), path)
    }

    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        stock::validpath(fs, path)
    }

    fn is_stock(&self) -> bool {
        true
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        stock::open(fs, path, mode)
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        stock::mkstemp(fs, dir, prefix)
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        stock::check_directory(fs, path)?;
        let cwd = self.fs2ftp(fs, path);
        fs.set_cwd(cwd);
        Ok(())
    }

    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        stock::mkdir(fs, path)
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        stock::listdir(fs, path)
    }

    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        stock::rmdir(fs, path)
    }

    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        stock::remove(fs, path)
    }

    fn hold(&self, fs: &FSState, path: &Path) -> Result<Held, FSError> {
        stock::hold(fs, path)
    }

    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        stock::rename(fs, src, dst)
    }

    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        stock::rename_new(fs, src, dst)
    }

    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        stock::chmod(fs, path, mode)
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        stock::stat(fs, path)
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        stock::lstat(fs, path)
    }

    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        stock::free_space(fs, path).map(Some)
    }

    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        stock::utime(fs, path, seconds)
    }

    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        stock::readlink(fs, path)
    }

    fn realpath(&self, fs: &FSState, path: &Path) -> PathBuf {
        stock::realpath(fs, path)
    }

    fn get_user_by_uid(&self, uid: u32) -> String {
        stock::user_by_uid(uid)
    }

    fn get_group_by_gid(&self, gid: u32) -> String {
        stock::group_by_gid(gid)
    }
}

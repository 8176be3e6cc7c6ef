//! The operations, relative to the handle of a [`Home`].
//!
//! An operation on a name (make, remove, rename, or look up without following) opens the
//! directory of the name and acts in it. An operation on a file opens a handle of the file
//! and acts on that. For an entry of the root directory the handle of the home is enough.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dir::LocalDir;
use super::file::LocalFile;
use crate::error::{FSError, FilesystemError};
use crate::filesystems::file::OpenMode;
use crate::filesystems::jail::attributes::{fstat, fstatat};
use crate::filesystems::jail::home::{Home, check_nul};
use crate::filesystems::jail::resolve::How;
use crate::proto::listing::Stat;
use crate::sys;

/// Flags for opening a file to read or write: an open does not wait (for the other end of a
/// fifo), and a terminal does not become the controlling one.
const DATA: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

pub(crate) fn open(home: &Home, path: &Path, mode: OpenMode) -> Result<LocalFile, FSError> {
    let how = match mode {
        OpenMode::Read => How::flags(DATA | libc::O_RDONLY),
        OpenMode::Update => How::flags(DATA | libc::O_RDWR),
        OpenMode::Write => How::with_mode(
            DATA | libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
            NEW_FILE,
        ),
        OpenMode::Append => How::with_mode(
            DATA | libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND,
            NEW_FILE,
        ),
    };
    let fd = home.open_at(path, how).map_err(|err| {
        // ENXIO: a fifo without a reader, a socket, or a device without a driver.
        if err.raw_os_error() == Some(libc::ENXIO) {
            not_regular()
        } else {
            err
        }
    })?;
    let stat = fstat(fd.as_fd())?;
    if stat.is_dir() {
        return Err(FSError::from_errno(libc::EISDIR));
    }
    if !stat.is_file() {
        return Err(not_regular());
    }
    Ok(LocalFile::new(File::from(fd), path).with_size(stat.size))
}

pub(crate) fn mkstemp(home: &Home, dir: &Path, prefix: &OsStr) -> Result<LocalFile, FSError> {
    check_nul(Path::new(prefix))?;
    if prefix.as_bytes().contains(&b'/') {
        return Err(FSError::from_errno(libc::EINVAL));
    }
    let handle = home.dir(dir)?;
    let flags = DATA | libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    for _ in 0..MKSTEMP_TRIES {
        let mut name = prefix.as_bytes().to_vec();
        push_random(&mut name)?;
        match sys::openat(handle.as_fd(), &name, flags, 0o600) {
            Ok(fd) => {
                let path = dir.join(OsStr::from_bytes(&name));
                return Ok(LocalFile::new(File::from(fd), &path));
            }
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err.into()),
        }
    }
    Err(FSError::from_errno(libc::EEXIST))
}

pub(crate) fn check_directory(home: &Home, path: &Path) -> Result<(), FSError> {
    let dir = home.dir(path)?;
    // Looking up a name needs the permission to search the directory, as chdir(2) does.
    fstatat(dir.as_fd(), b".")?;
    Ok(())
}

pub(crate) fn mkdir(home: &Home, path: &Path) -> Result<(), FSError> {
    let place = home.place(path, libc::EEXIST)?;
    Ok(sys::mkdirat(place.dir.as_fd(), place.name, 0o777)?)
}

pub(crate) fn listdir(home: &Arc<Home>, path: &Path) -> Result<LocalDir, FSError> {
    let how = How::flags(DATA | libc::O_RDONLY | libc::O_DIRECTORY);
    let fd = home.open_at(path, how)?;
    Ok(LocalDir::new(Arc::clone(home), path, fd)?)
}

pub(crate) fn rmdir(home: &Home, path: &Path) -> Result<(), FSError> {
    let place = home.place(path, libc::EBUSY)?;
    Ok(sys::rmdirat(place.dir.as_fd(), place.name)?)
}

pub(crate) fn remove(home: &Home, path: &Path) -> Result<(), FSError> {
    let place = home.place(path, libc::EISDIR)?;
    Ok(sys::unlinkat(place.dir.as_fd(), place.name)?)
}

pub(crate) fn rename(home: &Home, src: &Path, dst: &Path) -> Result<(), FSError> {
    let from = home.place(src, libc::EBUSY)?;
    let to = home.place(dst, libc::EBUSY)?;
    Ok(sys::renameat(
        from.dir.as_fd(),
        from.name,
        to.dir.as_fd(),
        to.name,
    )?)
}

pub(crate) fn chmod(home: &Home, path: &Path, mode: u32) -> Result<(), FSError> {
    let fd = home.open_at(path, How::flags(sys::O_PATH))?;
    Ok(sys::fchmod(fd.as_fd(), mode)?)
}

pub(crate) fn utime(home: &Home, path: &Path, seconds: i64) -> Result<(), FSError> {
    let fd = home.open_at(path, How::flags(sys::O_PATH))?;
    Ok(sys::futime(fd.as_fd(), seconds)?)
}

pub(crate) fn stat(home: &Home, path: &Path) -> Result<Stat, FSError> {
    if home.is_root(path) {
        return Ok(fstat(home.root())?);
    }
    if home.is_in_root(path) {
        let stat = lstat(home, path)?;
        if !stat.is_symlink() {
            return Ok(stat);
        }
    }
    let fd = home.open_at(path, How::flags(sys::O_PATH))?;
    Ok(fstat(fd.as_fd())?)
}

pub(crate) fn lstat(home: &Home, path: &Path) -> Result<Stat, FSError> {
    if home.is_root(path) {
        return Ok(fstat(home.root())?);
    }
    let place = home.place(path, libc::EINVAL)?;
    Ok(fstatat(place.dir.as_fd(), place.name)?)
}

pub(crate) fn readlink(home: &Home, path: &Path) -> Result<PathBuf, FSError> {
    let place = home.place(path, libc::EINVAL)?;
    let target = sys::readlinkat(place.dir.as_fd(), place.name)?;
    Ok(PathBuf::from(OsString::from_vec(target)))
}

/// Appends 8 random characters of the set that Python's `tempfile` uses.
fn push_random(name: &mut Vec<u8>) -> Result<(), FSError> {
    const CHARACTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
    let mut random =
        getrandom::u64().map_err(|_| FilesystemError::new("No random numbers available"))?;
    for _ in 0..8 {
        // The remainder is less than 37, so it always fits.
        let digit = usize::try_from(random % 37).unwrap_or(0);
        name.push(CHARACTERS[digit]);
        random /= 37;
    }
    Ok(())
}

fn not_regular() -> FSError {
    FilesystemError::new("Not a regular file").into()
}

/// The mode of a new file, before the umask is applied.
const NEW_FILE: u32 = 0o666;
/// How many names `mkstemp` tries: the value that pyftpdlib gives `tempfile.TMP_MAX`.
const MKSTEMP_TRIES: usize = 50;

//! The operations, relative to the handle of a home.
//!
//! An operation on a name (make, remove, rename, or look up without following) opens the
//! directory of the name and acts in it. An operation on a file opens a handle of the file
//! and acts on that. For an entry of the root directory the handle of the home is enough.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::dir::LocalDir;
use super::file::LocalFile;
use super::upload::{Made, Upload, leads_to};
use crate::error::{FSError, FilesystemError};
use crate::filesystems::file::OpenMode;
use crate::filesystems::held::Held;
use crate::filesystems::jail::attributes::{fstat, fstatat};
use crate::filesystems::jail::home::{Place, check_nul};
use crate::filesystems::jail::resolve::{How, realpath};
use crate::filesystems::way::Way;
use crate::proto::listing::Stat;
use crate::random::Random;
use crate::sys;

/// Flags for opening a file to read or write: an open does not wait (for the other end of a
/// fifo), and a terminal does not become the controlling one.
const DATA: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// Opens a file. For an upload, an existing file keeps its bytes until the upload begins.
pub(crate) fn open(
    way: &Way,
    path: &Path,
    mode: OpenMode,
    is_upload: bool,
) -> Result<LocalFile, FSError> {
    let (flags, empties) = match mode {
        OpenMode::Read => (libc::O_RDONLY, false),
        OpenMode::Update => (libc::O_RDWR, false),
        OpenMode::Write => (libc::O_WRONLY, true),
        OpenMode::Append => (libc::O_WRONLY | libc::O_APPEND, false),
    };
    let makes = matches!(mode, OpenMode::Write | OpenMode::Append);
    let opened = match (makes, is_upload) {
        (false, _) => way.open_at(path, How::flags(DATA | flags)).map(old),
        (true, true) => open_or_make(way, path, DATA | flags),
        (true, false) => {
            let truncates = if empties { libc::O_TRUNC } else { 0 };
            let flags = DATA | flags | libc::O_CREAT | truncates;
            way.open_at(path, How::with_mode(flags, NEW_FILE)).map(old)
        }
    };
    let (fd, made) = opened.map_err(|err| {
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
    let file = LocalFile::new(File::from(fd), path).with_size(stat.size);
    Ok(match is_upload {
        true => file.with_upload(Upload::new(way.home(), empties, made)),
        false => file,
    })
}

fn old(fd: OwnedFd) -> (OwnedFd, Made) {
    (fd, Made::No)
}

/// Makes a file, or opens the one that exists. Returns whether it was made.
fn open_or_make(way: &Way, path: &Path, flags: i32) -> Result<(OwnedFd, Made), FSError> {
    let make = How::with_mode(flags | libc::O_CREAT | libc::O_EXCL, NEW_FILE);
    let err = match way.open_at(path, make) {
        Ok(fd) => return Ok((fd, Made::Here)),
        Err(err) => err,
    };
    let exists = err.raw_os_error() == Some(libc::EEXIST);
    // A directory that nothing can be made in may hold a file that can be written.
    let is_refused = matches!(
        err.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS)
    );
    if !exists && !is_refused {
        return Err(err);
    }
    match way.open_at(path, How::flags(flags)) {
        Err(missing) if missing.raw_os_error() == Some(libc::ENOENT) => match exists {
            // A link that leads nowhere, or a file that was removed a moment ago.
            true => make_target(way, path, flags),
            false => Err(err),
        },
        opened => opened.map(old),
    }
}

/// Makes the file that a link leads to. Only with `O_EXCL`, which follows no link, it is certain
/// that the file was made here.
fn make_target(way: &Way, path: &Path, flags: i32) -> Result<(OwnedFd, Made), FSError> {
    let flags = flags | libc::O_CREAT;
    let real = realpath(path);
    let opened = match real.looped {
        true => Err(FSError::from_errno(libc::ELOOP)),
        false => way.open_target(
            path,
            &real.path,
            How::with_mode(flags | libc::O_EXCL, NEW_FILE),
        ),
    };
    match opened {
        Ok(fd) if leads_to(way.home(), path, fd.as_fd()) => Ok((fd, Made::At(real.path.into()))),
        // The link has changed, or demands a directory with a final slash.
        Ok(fd) => {
            Made::At(real.path.into()).remove(way.home(), path, &File::from(fd))?;
            Err(FSError::from_errno(libc::EISDIR))
        }
        // Somebody else has made it meanwhile.
        Err(err) if err.raw_os_error() == Some(libc::EEXIST) => {
            let how = How::with_mode(flags, NEW_FILE);
            way.open_at(path, how).map(old)
        }
        Err(err) => Err(err),
    }
}

pub(crate) fn mkstemp(
    way: &Way,
    dir: &Path,
    prefix: &OsStr,
    is_upload: bool,
    random: &Random,
) -> Result<LocalFile, FSError> {
    check_nul(Path::new(prefix))?;
    if prefix.as_bytes().contains(&b'/') {
        return Err(FSError::from_errno(libc::EINVAL));
    }
    let handle = way.dir(dir)?;
    let flags = DATA | libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    for _ in 0..MKSTEMP_TRIES {
        let mut name = prefix.as_bytes().to_vec();
        push_random(&mut name, random)?;
        match sys::openat(handle.as_fd(), &name, flags, 0o600) {
            Ok(fd) => {
                let path = dir.join(OsStr::from_bytes(&name));
                let file = LocalFile::new(File::from(fd), &path);
                return Ok(match is_upload {
                    true => file.with_upload(Upload::new(way.home(), false, Made::Here)),
                    false => file,
                });
            }
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err.into()),
        }
    }
    Err(FSError::from_errno(libc::EEXIST))
}

pub(crate) fn check_directory(way: &Way, path: &Path) -> Result<(), FSError> {
    let dir = way.dir(path)?;
    // Looking up a name needs the permission to search the directory, as chdir(2) does.
    match fstatat(dir.as_fd(), b".")?.nlink {
        0 => Err(FSError::from_errno(libc::ENOENT)),
        _ => Ok(()),
    }
}

pub(crate) fn mkdir(way: &Way, path: &Path) -> Result<(), FSError> {
    let place = way.place(path, libc::EEXIST)?;
    Ok(sys::mkdirat(place.dir.as_fd(), place.name, 0o777)?)
}

pub(crate) fn listdir(way: &Way, path: &Path) -> Result<LocalDir, FSError> {
    let how = How::flags(DATA | libc::O_RDONLY | libc::O_DIRECTORY);
    let fd = way.open_at(path, how)?;
    Ok(LocalDir::new(way.clone(), path, fd)?)
}

pub(crate) fn rmdir(way: &Way, path: &Path) -> Result<(), FSError> {
    let place = way.place(path, libc::EBUSY)?;
    Ok(sys::rmdirat(place.dir.as_fd(), place.name)?)
}

pub(crate) fn remove(way: &Way, path: &Path) -> Result<(), FSError> {
    let place = way.place(path, libc::EISDIR)?;
    Ok(sys::unlinkat(place.dir.as_fd(), place.name)?)
}

/// Keeps what RNFR names.
pub(crate) fn hold(way: &Way, path: &Path) -> Result<Held, FSError> {
    way.hold(path, libc::EBUSY)
}

pub(crate) fn rename(way: &Way, src: &Path, dst: &Path) -> Result<(), FSError> {
    let from = way.place(src, libc::EBUSY)?;
    let to = way.place(dst, libc::EBUSY)?;
    Ok(sys::renameat(
        from.dir.as_fd(),
        from.name,
        to.dir.as_fd(),
        to.name,
    )?)
}

/// As [`rename`], but what has the new name already is not replaced: `EEXIST`.
pub(crate) fn rename_new(way: &Way, src: &Path, dst: &Path) -> Result<(), FSError> {
    let from = way.place(src, libc::EBUSY)?;
    let to = way.place(dst, libc::EBUSY)?;
    let renamed = sys::renameat_new(from.dir.as_fd(), from.name, to.dir.as_fd(), to.name);
    match renamed.as_ref().map_err(io::Error::raw_os_error) {
        Err(Some(libc::EINVAL | libc::ENOSYS)) => rename_carefully(way, src, dst),
        Err(Some(libc::EEXIST)) => rename_same(&from, &to),
        _ => Ok(renamed?),
    }
}

/// Does as [`rename_new`] where the file system cannot. A file is given its new name before it
/// loses the old one; only for a directory, or without hard links, another process could make
/// something with the new name in between.
pub(crate) fn rename_carefully(way: &Way, src: &Path, dst: &Path) -> Result<(), FSError> {
    let from = way.place(src, libc::EBUSY)?;
    let to = way.place(dst, libc::EBUSY)?;
    let (from_dir, to_dir) = (from.dir.as_fd(), to.dir.as_fd());
    match sys::linkat(from_dir, from.name, to_dir, to.name) {
        Ok(()) => Ok(sys::unlinkat(from_dir, from.name)?),
        Err(err) if err.raw_os_error() == Some(libc::EEXIST) => rename_same(&from, &to),
        Err(_) if fstatat(to_dir, to.name).is_ok() => rename_same(&from, &to),
        Err(_) => Ok(sys::renameat(from_dir, from.name, to_dir, to.name)?),
    }
}

/// Renames an entry to itself: by another path, or in other letters where their case does not
/// count. `EEXIST` if the new name is that of another entry, which would be replaced.
fn rename_same(from: &Place<'_>, to: &Place<'_>) -> Result<(), FSError> {
    let (from_dir, to_dir) = (from.dir.as_fd(), to.dir.as_fd());
    let id = |stat: &Stat| (stat.dev, stat.ino);
    let (one, other) = (fstatat(from_dir, from.name)?, fstatat(to_dir, to.name)?);
    let same_name = from.name == to.name && id(&fstat(from_dir)?) == id(&fstat(to_dir)?);
    // A file with several hard links has several entries.
    let same = id(&one) == id(&other) && (same_name || one.is_dir() || one.nlink == 1);
    match same {
        false => Err(FSError::from_errno(libc::EEXIST)),
        true if from.name == to.name => Ok(()),
        true => Ok(sys::renameat(from_dir, from.name, to_dir, to.name)?),
    }
}

pub(crate) fn chmod(way: &Way, path: &Path, mode: u32) -> Result<(), FSError> {
    let fd = way.open_at(path, How::flags(sys::O_PATH))?;
    Ok(sys::fchmod(fd.as_fd(), mode)?)
}

pub(crate) fn utime(way: &Way, path: &Path, seconds: i64) -> Result<(), FSError> {
    let fd = way.open_at(path, How::flags(sys::O_PATH))?;
    Ok(sys::futime(fd.as_fd(), seconds)?)
}

pub(crate) fn stat(way: &Way, path: &Path) -> Result<Stat, FSError> {
    if way.home().is_root(path) {
        return Ok(way.home().stat_root()?);
    }
    if way.home().is_in_root(path) {
        let stat = lstat(way, path)?;
        if !stat.is_symlink() {
            return Ok(stat);
        }
    }
    let fd = way.open_at(path, How::flags(sys::O_PATH))?;
    Ok(fstat(fd.as_fd())?)
}

/// The space for the file at `path`, or for one that is to be made there.
pub(crate) fn free_space(way: &Way, path: &Path) -> Result<u64, FSError> {
    let fd = match (way.open_at(path, How::flags(sys::O_PATH)), path.parent()) {
        (Err(err), Some(dir)) if err.is_not_found() => way.open_at(dir, How::directory())?,
        (opened, _) => opened?,
    };
    Ok(sys::free_space(fd.as_fd())?)
}

pub(crate) fn lstat(way: &Way, path: &Path) -> Result<Stat, FSError> {
    if way.home().is_root(path) {
        return Ok(way.home().stat_root()?);
    }
    let place = way.place(path, libc::EINVAL)?;
    Ok(fstatat(place.dir.as_fd(), place.name)?)
}

pub(crate) fn readlink(way: &Way, path: &Path) -> Result<PathBuf, FSError> {
    let place = way.place(path, libc::EINVAL)?;
    let target = sys::readlinkat(place.dir.as_fd(), place.name)?;
    Ok(PathBuf::from(OsString::from_vec(target)))
}

/// Appends 8 random characters of the set that Python's `tempfile` uses.
fn push_random(name: &mut Vec<u8>, random: &Random) -> Result<(), FSError> {
    const CHARACTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
    let none = || FilesystemError::new("No random numbers available");
    let mut random = random.next().ok_or_else(none)?;
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

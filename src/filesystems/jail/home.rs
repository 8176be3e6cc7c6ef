//! A user's root directory: its path, and the open handle that every operation starts from.
//!
//! Sessions with the same home share one handle. `resolve` looks paths up; this file decides
//! which look-up is made, and what its result means.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::attributes::{fstat, fstatat};
use super::resolve::{How, Resolver, realpath};
use super::trail::Links;
use crate::error::{FSError, FilesystemError};
use crate::filesystems::names::NameRules;
use crate::filesystems::path::{below, normpath};
use crate::proto::listing::Stat;
use crate::sys;

/// The open root directory of a user.
pub(crate) struct Home {
    /// The path of the root as [`FSState`](crate::filesystems::FSState) has it, made normal:
    /// the real paths of sessions start with it.
    pub(super) given: Box<[u8]>,
    /// The path of the root with its links resolved: the results of `realpath` for paths
    /// inside start with it.
    pub(super) real: Box<[u8]>,
    root: OwnedFd,
    pub(super) resolver: Resolver,
    /// The names that no path may lead to, if there are any.
    rules: Option<Arc<NameRules>>,
    /// Device and inode, by which a root that was removed and made again is noticed.
    id: (u64, u64),
}

impl Home {
    /// The home that all sessions with this root and these rules share. Opens it if it is not open, or if
    /// another directory has this path now.
    pub(crate) fn shared(root: &Path, rules: Option<&Arc<NameRules>>) -> io::Result<Arc<Self>> {
        // A home keeps its rules, so no others have their address as long as it is open.
        let key = (
            root.to_path_buf(),
            rules.map_or(0, |rules| Arc::as_ptr(rules).addr()),
        );
        let mut homes = HOMES
            .get_or_init(Mutex::default)
            .lock()
            // A panic cannot leave the map half changed, so a poisoned lock is fine.
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = homes.get(&key).and_then(Weak::upgrade) {
            let now = std::fs::metadata(root)?;
            if home.id == (now.dev(), now.ino()) {
                return Ok(home);
            }
        }
        let home = Arc::new(Self {
            rules: rules.cloned(),
            ..Self::open(root, Resolver::Beneath)?
        });
        // Before the map would grow, entries of closed homes are removed: the map stays
        // within twice the number of homes in use.
        if homes.len() == homes.capacity() {
            homes.retain(|_, home| home.strong_count() > 0);
        }
        homes.insert(key, Arc::downgrade(&home));
        Ok(home)
    }

    /// Opens a root. [`Resolver::Beneath`] becomes [`Resolver::Walk`] where openat2(2) is
    /// missing.
    pub(crate) fn open(root: &Path, resolver: Resolver) -> io::Result<Self> {
        let real = realpath(root).path;
        let fd: OwnedFd = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(sys::O_PATH | libc::O_DIRECTORY)
            .open(&real)?
            .into();
        let stat = fstat(fd.as_fd())?;
        Ok(Self {
            given: normpath(root.as_os_str().as_bytes()).into(),
            real: real.as_os_str().as_bytes().into(),
            resolver: resolver.supported(fd.as_fd()),
            rules: None,
            root: fd,
            id: (stat.dev, stat.ino),
        })
    }

    /// Whether `path` stays inside once its links are followed: see `local::validpath`.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        if check_nul(path).is_err() {
            return false;
        }
        if let Some(rel) = self.relative(path) {
            // An entry of the root directory that is not a link is inside: one system call
            // is enough.
            let is_link = |stat: Stat| stat.is_symlink();
            if self.is_in_root(path) && !fstatat(self.root(), rel).is_ok_and(is_link) {
                return true;
            }
            let how = How::flags(sys::O_PATH);
            match self.resolver.open(self.root(), rel, how, Links::Follow) {
                Err(err) if leaves(&err) => {}
                _ => return true,
            }
        }
        below(&self.real, realpath(path).path.as_os_str().as_bytes()).is_some()
    }

    /// The attributes of the root.
    ///
    /// # Errors
    /// `ENOENT` if the root was removed: its handle still works.
    pub(crate) fn stat_root(&self) -> io::Result<Stat> {
        let stat = fstat(self.root())?;
        if stat.nlink == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        Ok(stat)
    }

    /// Whether an operation may have failed because the root was removed, and it was.
    pub(crate) fn explains(&self, err: &FSError) -> bool {
        // A server of NFS forgets what was removed.
        let is_gone = |errno: i32| matches!(errno, libc::ENOENT | libc::ESTALE);
        err.raw_os_error().is_some_and(is_gone)
            && self
                .stat_root()
                .is_err_and(|err| err.raw_os_error().is_some_and(is_gone))
    }

    /// Opens the file at `path`, anywhere inside; links are followed.
    pub(crate) fn open_at(&self, path: &Path, how: How) -> Result<OwnedFd, FSError> {
        let last = match how.is_exclusive() {
            true => Last::Made,
            false => Last::Followed,
        };
        self.within(path, last, |rel, links| {
            self.resolver.open(self.root(), rel, how, links)
        })
    }

    /// Looks up `path` below the root, with a function that takes the path from there. If a link
    /// is absolute, or leaves the root and comes back, the links are resolved as text, and the
    /// result is looked up with links refused. So are all paths if some names are not to be
    /// reached: the names of the result are then those that are used.
    pub(super) fn within<T>(
        &self,
        path: &Path,
        last: Last,
        look_up: impl Fn(&[u8], Links) -> io::Result<T>,
    ) -> Result<T, FSError> {
        check_nul(path)?;
        if let Some(rel) = self.relative(path) {
            if rel.is_empty() {
                self.stat_root()?;
            }
            if rel.is_empty() || self.rules.is_none() {
                match look_up(rel, Links::Follow) {
                    Err(err) if leaves(&err) => {}
                    found => return Ok(found?),
                }
            }
        }
        for _ in 0..TRIES {
            let real = match (last, path.parent(), path.file_name()) {
                (Last::Made, Some(dir), Some(name)) => realpath(dir).with_name(name),
                _ => realpath(path),
            };
            let Some(rel) = below(&self.real, real.path.as_os_str().as_bytes()) else {
                return Err(FSError::Outside);
            };
            if let Some(rules) = &self.rules {
                rules.check(rel)?;
            }
            if real.looped {
                return Err(FSError::from_errno(libc::ELOOP));
            }
            match look_up(rel, Links::Refuse) {
                // There is a link in the path again, so somebody has changed the tree
                // meanwhile: resolve it again.
                Err(err) if leaves(&err) || err.raw_os_error() == Some(libc::ELOOP) => {}
                found => return Ok(found?),
            }
        }
        Err(FSError::Outside)
    }

    /// The directory of `path` and its last name, for operations that act on a name. The root
    /// has no name inside itself: for it the error is `at_root`.
    pub(crate) fn place<'a>(&'a self, path: &'a Path, at_root: i32) -> Result<Place<'a>, FSError> {
        self.check_name(path, at_root)?;
        let (parent, name) = split(path);
        let dir = match self.relative(path) {
            Some(rel) if !rel.contains(&b'/') => Dir::Root(self.root()),
            _ => Dir::Opened(self.open_at(parent, How::directory())?),
        };
        Ok(Place { dir, name })
    }

    /// Refuses a path that is none of a name in a directory; that of the root with `at_root`.
    pub(super) fn check_name(&self, path: &Path, at_root: i32) -> Result<(), FSError> {
        check_nul(path)?;
        if self.is_root(path) {
            return Err(FSError::from_errno(at_root));
        }
        match split(path).1 {
            b"" | b"." | b".." => Err(FSError::from_errno(libc::EINVAL)),
            _ => Ok(()),
        }
    }

    /// Whether `path` names the root itself.
    pub(crate) fn is_root(&self, path: &Path) -> bool {
        self.relative(path).is_some_and(<[u8]>::is_empty)
    }

    /// Whether `path` names an entry of the root directory.
    pub(crate) fn is_in_root(&self, path: &Path) -> bool {
        self.relative(path)
            .is_some_and(|rel| !rel.is_empty() && !rel.contains(&b'/') && rel != b"..")
    }

    /// The handle of the root directory.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The part of `path` after the root: empty for the root itself, `None` if `path` does
    /// not start with the root.
    fn relative<'a>(&self, path: &'a Path) -> Option<&'a [u8]> {
        below(&self.given, path.as_os_str().as_bytes())
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("root", &String::from_utf8_lossy(&self.given))
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

/// The directory `/` as a home without a jail: the whole file system.
pub(crate) fn slash() -> Result<&'static Arc<Home>, FSError> {
    static SLASH: OnceLock<Arc<Home>> = OnceLock::new();
    if let Some(home) = SLASH.get() {
        return Ok(home);
    }
    let home = Arc::new(Home::open(Path::new("/"), Resolver::Anywhere)?);
    Ok(SLASH.get_or_init(|| home))
}

/// What a look-up does with a link that has the last name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    /// It is in the way of a new file.
    Made,
}

/// The handle of a directory: borrowed from the home, or opened for one operation.
pub(crate) enum Dir<'a> {
    Root(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(fd) => *fd,
            Self::Opened(fd) => fd.as_fd(),
        }
    }
}

/// A name in a directory.
pub(crate) struct Place<'a> {
    pub(crate) dir: Dir<'a>,
    pub(crate) name: &'a [u8],
}

/// The homes in use, by the path of their root as sessions have it, and the address of the rules.
static HOMES: OnceLock<Mutex<Homes>> = OnceLock::new();

type Homes = HashMap<(PathBuf, usize), Weak<Home>>;

/// How many times a path is resolved while somebody keeps changing it.
const TRIES: usize = 8;

/// Refuses a path with a NUL byte, where the system would cut it.
pub(crate) fn check_nul(path: &Path) -> Result<(), FSError> {
    if memchr::memchr(0, path.as_os_str().as_bytes()).is_some() {
        return Err(FilesystemError::new("Embedded null byte").into());
    }
    Ok(())
}

/// Whether a look-up has failed because it would have left the root.
fn leaves(err: &io::Error) -> bool {
    err.raw_os_error() == Some(libc::EXDEV)
}

/// Splits a path, as text, into its directory and its last name.
pub(crate) fn split(path: &Path) -> (&Path, &[u8]) {
    let bytes = path.as_os_str().as_bytes();
    let slash = memchr::memrchr(b'/', bytes).unwrap_or(0);
    let name = bytes.get(slash + 1..).unwrap_or_default();
    let parent = &bytes[..slash.max(1).min(bytes.len())];
    (Path::new(std::ffi::OsStr::from_bytes(parent)), name)
}

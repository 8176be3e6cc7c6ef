//! Looks up a path below a directory's handle without ever leaving that directory.
//!
//! There are two ways with the same results: openat2(2), with which the kernel does it in
//! one call, and a walk part by part for systems without that call. Both fail with `EXDEV`
//! if the path, or a link in it, is absolute or goes above the root. The caller decides what
//! that means, with the help of [`realpath`].

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use libc::c_int;

use super::attributes::fstat;
use super::trail::{Above, Links, MAX_LINKS, Real, Trail, errno};
use crate::sys;

/// How paths below a root are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// With openat2(2), confined to the root.
    Beneath,
    /// Part by part, confined to the root.
    Walk,
    /// With openat(2), not confined.
    Anywhere,
}

/// The arguments of open(2), except for the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    flags: c_int,
    mode: u32,
}

impl How {
    /// Opens a file that exists.
    pub(crate) fn flags(flags: c_int) -> Self {
        Self { flags, mode: 0 }
    }

    /// Opens a file, or makes it with this mode less the umask.
    pub(crate) fn with_mode(flags: c_int, mode: u32) -> Self {
        Self { flags, mode }
    }

    /// Whether this makes a file, and opens none that exists.
    pub(crate) fn is_exclusive(self) -> bool {
        self.flags & libc::O_EXCL != 0
    }

    /// Whether this may make a file.
    pub(crate) fn makes(self) -> bool {
        self.flags & libc::O_CREAT != 0
    }

    /// Opens a handle of a directory, to act on the names in it.
    pub(crate) fn directory() -> Self {
        Self::flags(sys::O_PATH | libc::O_DIRECTORY)
    }
}

impl Resolver {
    /// The same resolver; but [`Walk`](Self::Walk) in place of [`Beneath`](Self::Beneath) if
    /// the kernel does not have openat2(2), or a seccomp filter forbids it.
    pub(crate) fn supported(self, root: BorrowedFd<'_>) -> Self {
        if self != Self::Beneath {
            return self;
        }
        let how = How::directory();
        match sys::openat_beneath(root, b".", how.flags, how.mode, true) {
            Err(err) if matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                Self::Walk
            }
            _ => self,
        }
    }

    /// Opens `rel`, a path relative to `root`. An empty path is the root itself.
    pub(crate) fn open(
        self,
        root: BorrowedFd<'_>,
        rel: &[u8],
        how: How,
        links: Links,
    ) -> io::Result<OwnedFd> {
        let rel = if rel.is_empty() { b"." } else { rel };
        match self {
            Self::Beneath => beneath(root, rel, how, links),
            Self::Walk => walk(root, rel, how, links),
            Self::Anywhere => sys::openat(root, rel, how.flags, how.mode),
        }
    }
}

/// The look-up by the kernel. For a path with `..` the kernel returns `EAGAIN` if a rename
/// anywhere on the machine has happened meanwhile, since it cannot be sure then that the
/// path stays below the root. Trying again helps, unless somebody renames all the time: so
/// after some tries the walk is used, which renames do not disturb.
fn beneath(root: BorrowedFd<'_>, rel: &[u8], how: How, links: Links) -> io::Result<OwnedFd> {
    let follow = links == Links::Follow;
    for _ in 0..EAGAIN_TRIES {
        match sys::openat_beneath(root, rel, how.flags, how.mode, follow) {
            Err(err) if err.raw_os_error() == Some(libc::EAGAIN) => {}
            opened => return opened,
        }
    }
    walk(root, rel, how, links)
}

/// The look-up part by part. The kernel never follows a link here, and `..` goes back to the
/// directory from which the walk has come, even if that was moved meanwhile.
fn walk(root: BorrowedFd<'_>, rel: &[u8], how: How, links: Links) -> io::Result<OwnedFd> {
    let mut trail = Trail::new(root, rel, Above::Fails, links);
    while let Some(name) = trail.enter()? {
        match open_name(trail.here()?, &name, how) {
            Ok(fd) => return Ok(fd),
            Err(err) => trail.follow(&name, err)?,
        }
    }
    open_itself(trail.here()?, how)
}

/// Opens an entry of a directory. For a link it fails with one of the errors that
/// [`may_be_link`](super::trail::may_be_link) recognizes.
pub(super) fn open_name(dir: BorrowedFd<'_>, name: &[u8], how: How) -> io::Result<OwnedFd> {
    let fd = sys::openat(dir, name, how.flags | libc::O_NOFOLLOW, how.mode)?;
    // With O_PATH and without O_DIRECTORY, O_NOFOLLOW opens the link itself instead of failing.
    let may_be_link = how.flags & sys::O_PATH == sys::O_PATH && how.flags & libc::O_DIRECTORY == 0;
    if may_be_link && fstat(fd.as_fd())?.is_symlink() {
        return Err(errno(libc::ELOOP));
    }
    Ok(fd)
}

/// Opens a directory of which there is a handle.
pub(super) fn open_itself(dir: BorrowedFd<'_>, how: How) -> io::Result<OwnedFd> {
    match how.makes() {
        true => Err(errno(libc::EISDIR)),
        false => sys::openat(dir, b".", how.flags, 0),
    }
}

impl Real {
    /// The path of an entry, whose own link is not resolved.
    pub(crate) fn with_name(mut self, name: &OsStr) -> Self {
        self.path.push(name);
        self
    }
}

/// Resolves links by reading their text, as Python's `os.path.realpath()` does when it is
/// not strict. The tree may change meanwhile, so the result is a hint only: the caller
/// verifies it by opening it with links refused.
///
/// The number of calls is about that of the names, or less: with handles it is five for thousands
/// of names where openat2(2) can refuse links.
pub(crate) fn realpath(path: &Path) -> Real {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if let Some(real) = realpath_by_text(&path, SHALLOW) {
        return real;
    }
    let with_handles = || {
        let top = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(sys::O_PATH | libc::O_DIRECTORY)
            .open("/")?;
        let names = path.as_os_str().as_bytes();
        Trail::new(top.as_fd(), names, Above::IsRoot, Links::Follow)
            .with_jumps(true)
            .resolve()
    };
    let real = with_handles().ok();
    let real = real.or_else(|| realpath_by_text(&path, usize::MAX));
    real.unwrap_or(Real {
        path,
        looped: false,
    })
}

/// As [`realpath`], without handles; `None` if it has more than `longest` names. Each name is
/// looked up from the top, so that this takes a time that grows with the square of their number.
fn realpath_by_text(path: &Path, longest: usize) -> Option<Real> {
    let mut parts = Parts::default();
    parts.push_path(path.as_os_str().as_bytes());
    let mut real = PathBuf::from("/");
    let (mut followed, mut count) = (0, 0);
    while let Some(name) = parts.pop() {
        count += 1;
        if count + parts.0.len() > longest {
            return None;
        }
        match name.as_slice() {
            b"." => continue,
            b".." => {
                real.pop();
                continue;
            }
            _ => real.push(OsString::from_vec(name)),
        }
        if followed > MAX_LINKS {
            continue;
        }
        if let Ok(target) = std::fs::read_link(&real) {
            followed += 1;
            if followed > MAX_LINKS {
                continue;
            }
            let target = target.as_os_str().as_bytes();
            if target.starts_with(b"/") {
                real = PathBuf::from("/");
            } else {
                real.pop();
            }
            parts.push_path(target);
        }
    }
    Some(Real {
        path: real,
        looped: followed > MAX_LINKS,
    })
}

/// The parts of a path that are not looked up yet, the next one last.
#[derive(Default)]
struct Parts(Vec<Vec<u8>>);

impl Parts {
    /// Puts the parts of `path` before the others.
    fn push_path(&mut self, path: &[u8]) {
        let parts = path.rsplit(|byte| *byte == b'/');
        self.0
            .extend(parts.filter(|part| !part.is_empty()).map(<[u8]>::to_vec));
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        self.0.pop()
    }
}

/// The names of a path that is resolved without handles: with them it takes as many calls, or more.
const SHALLOW: usize = 5;
/// How many times openat2(2) may return `EAGAIN` before the walk is used.
const EAGAIN_TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// Paths made of a few names only, so that many of them exist.
    fn any_path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("a"),
            Just("b"),
            Just("c"),
            Just(".."),
            Just("."),
            Just("")
        ];
        proptest::collection::vec(part, 1..6).prop_map(|parts| parts.join("/"))
    }

    /// A tree with these links, each given as `(path, target)`. Links that cannot be made
    /// are left out.
    fn tree(links: &[(String, String)]) -> TempDir {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        fs::write(root.join("b/c"), "").unwrap();
        for (at, target) in links {
            let at = at.trim_start_matches(['/', '.']);
            if !at.is_empty() && !at.contains("..") && !target.is_empty() {
                let _ = symlink(target, root.join(at));
            }
        }
        top
    }

    fn identity(opened: io::Result<OwnedFd>) -> Result<(u64, u64), Option<i32>> {
        let fd = opened.map_err(|err| err.raw_os_error())?;
        let stat = fstat(fd.as_fd()).unwrap();
        Ok((stat.dev, stat.ino))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// The walk finds the files that the kernel finds, and fails with the same errors.
        #[test]
        fn both_ways_agree(
            links in proptest::collection::vec((any_path(), any_path()), 0..6),
            paths in proptest::collection::vec(any_path(), 1..12),
        ) {
            let top = tree(&links);
            let root = fs::File::open(top.path().join("root")).unwrap();
            let root = root.as_fd();
            if Resolver::Beneath.supported(root) != Resolver::Beneath {
                return Ok(());
            }
            for path in paths {
                let rel = path.trim_start_matches('/').as_bytes();
                let pin = How::flags(sys::O_PATH);
                for (how, follow) in [
                    (pin, Links::Follow),
                    (pin, Links::Refuse),
                    (How::directory(), Links::Follow),
                    (How::directory(), Links::Refuse),
                    (How::flags(libc::O_RDONLY), Links::Follow),
                    (How::flags(libc::O_WRONLY), Links::Refuse),
                ] {
                    let kernel = identity(Resolver::Beneath.open(root, rel, how, follow));
                    let walk = identity(Resolver::Walk.open(root, rel, how, follow));
                    prop_assert_eq!(kernel, walk, "{} {:?} {:?}", path, how, follow);
                }
            }
        }

        /// The real path of a file that exists is that of the system.
        #[test]
        fn realpath_is_that_of_the_system(
            links in proptest::collection::vec((any_path(), any_path()), 0..6),
            path in any_path(),
        ) {
            let top = tree(&links);
            let path = top.path().join("root").join(path.trim_start_matches('/'));
            if let Ok(expected) = fs::canonicalize(&path) {
                let by_text = realpath_by_text(&path, usize::MAX).unwrap();
                for real in [realpath(&path), by_text] {
                    prop_assert_eq!(&real.path, &expected);
                    prop_assert!(!real.looped);
                }
            }
        }

        /// With handles and as text, by one call for many names and by one for each, the result
        /// is the same, also for paths that do not exist.
        #[test]
        fn all_ways_to_resolve_agree(
            links in proptest::collection::vec((any_path(), any_path()), 0..6),
            path in any_path(),
        ) {
            let top = tree(&links);
            let path = top.path().join("root").join(path.trim_start_matches('/'));
            let text = realpath_by_text(&path, usize::MAX).unwrap();
            let slash = fs::File::open("/").unwrap();
            for jumps in [false, true] {
                let names = path.as_os_str().as_bytes();
                let trail = Trail::new(slash.as_fd(), names, Above::IsRoot, Links::Follow);
                let real = trail.with_jumps(jumps).resolve().unwrap();
                prop_assert_eq!(&real.path, &text.path);
                prop_assert_eq!(real.looped, text.looped);
            }
        }
    }
}

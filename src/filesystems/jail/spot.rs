//! Where a path really leads: the handle of a directory, and a name in it, with the names of
//! directories by which the handle was reached.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::attributes::{fstat, fstatat};
use super::home::{Dir, Home, Last, split};
use super::resolve::{How, Resolver, open_itself, open_name};
use super::trail::{Above, Links, Trail, errno};
use crate::error::FSError;
use crate::proto::listing::Stat;

/// A name in a directory, and where that is.
pub(crate) struct Spot<'a> {
    home: &'a Home,
    pub(crate) dir: Dir<'a>,
    /// The names from the root to the directory, each after a `/`. None of them is a link.
    pub(crate) dir_path: Vec<u8>,
    /// `.` for the directory itself.
    pub(crate) name: Vec<u8>,
    /// What has the name, if that was looked up, and there is something.
    stat: Option<Stat>,
}

impl Home {
    /// Finds what `path` names; links are followed.
    pub(crate) fn find(&self, path: &Path) -> Result<Spot<'_>, FSError> {
        self.within(path, Last::Followed, |rel, links| self.look(rel, links))
    }

    /// Finds the directory of `path`, and the last name as it is. The root has no name inside
    /// itself: for it the error is `at_root`.
    pub(crate) fn find_name(&self, path: &Path, at_root: i32) -> Result<Spot<'_>, FSError> {
        self.check_name(path, at_root)?;
        let (parent, name) = split(path);
        let dir = self.within(parent, Last::Followed, |rel, links| {
            self.look_for_dir(rel, links)
        })?;
        Ok(dir.with_name(name))
    }

    /// Finds a name in a directory again, by the names that have led there.
    ///
    /// # Errors
    /// One of the names is that of a link now, or of nothing.
    pub(crate) fn find_again(&self, dir_path: &[u8], name: &OsStr) -> io::Result<Spot<'_>> {
        let names = dir_path.strip_prefix(b"/").unwrap_or(dir_path);
        let dir = self.look_for_dir(names, Links::Refuse)?;
        Ok(dir.with_name(name.as_bytes()))
    }

    fn look_for_dir(&self, rel: &[u8], links: Links) -> io::Result<Spot<'_>> {
        self.look(&[rel, b"/."].concat(), links)
    }

    fn look(&self, rel: &[u8], links: Links) -> io::Result<Spot<'_>> {
        let (above, jumps) = match self.resolver {
            Resolver::Beneath => (Above::Fails, true),
            Resolver::Walk => (Above::Fails, false),
            Resolver::Anywhere => (Above::IsRoot, true),
        };
        let mut trail = Trail::new(self.root(), rel, above, links).with_jumps(jumps);
        let (name, stat) = loop {
            let Some(name) = trail.enter()? else {
                break (b".".to_vec(), Some(fstat(trail.here()?)?));
            };
            match fstatat(trail.here()?, &name) {
                Ok(stat) if stat.is_symlink() => trail.follow(&name, errno(libc::ELOOP))?,
                Ok(stat) => break (name, Some(stat)),
                Err(err) if err.kind() == io::ErrorKind::NotFound => break (name, None),
                Err(err) => return Err(err),
            }
        };
        let (dir, dir_path) = trail.end()?;
        Ok(Spot {
            home: self,
            dir: dir.map_or_else(|| Dir::Root(self.root()), Dir::Opened),
            dir_path,
            name,
            stat,
        })
    }
}

impl Spot<'_> {
    /// A name in this directory, which is not looked up.
    fn with_name(self, name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            stat: None,
            ..self
        }
    }

    /// Whether a directory has the name.
    pub(crate) fn is_dir(&self) -> bool {
        self.stat.is_some_and(|stat| stat.is_dir())
    }

    /// Opens what has the name. A link fails with `ELOOP`.
    pub(crate) fn open(&self, how: How) -> io::Result<OwnedFd> {
        match self.name.as_slice() {
            b"." => open_itself(self.dir.as_fd(), how),
            name => open_name(self.dir.as_fd(), name, how),
        }
    }

    /// The path as it begins with the root of sessions, and, if that is another one, as it
    /// begins with the root without links.
    pub(crate) fn paths(&self) -> (PathBuf, Option<PathBuf>) {
        let (given, real) = (&self.home.given, &self.home.real);
        (self.below(given), (given != real).then(|| self.below(real)))
    }

    fn below(&self, root: &[u8]) -> PathBuf {
        let mut path = root.strip_suffix(b"/").unwrap_or(root).to_vec();
        path.extend_from_slice(&self.dir_path);
        if self.name != b"." {
            path.push(b'/');
            path.extend_from_slice(&self.name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        PathBuf::from(OsString::from_vec(path))
    }
}

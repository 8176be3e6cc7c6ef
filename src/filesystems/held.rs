//! What RNFR has named, until RNTO renames it.

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::jail::attributes::{fstat, fstatat};
use super::jail::home::{Dir, Home};
use super::jail::spot::Spot;
use crate::error::FSError;

/// What RNFR has named: see [`AbstractedFS::hold`](super::AbstractedFS::hold).
pub struct Held {
    path: PathBuf,
    place: Option<Place>,
}

/// A name in a directory that is kept open.
struct Place {
    home: Arc<Home>,
    /// The names of the directory, each after a `/`.
    dir_path: Vec<u8>,
    /// `None`: it is the home itself.
    dir: Option<std::os::fd::OwnedFd>,
}

impl Held {
    /// A path, which RNTO looks up again.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            place: None,
        }
    }

    /// The path that RNFR has named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the directory of `path` open, which has led to `spot`.
    ///
    /// # Errors
    /// There is nothing with this name.
    pub(super) fn new(home: &Arc<Home>, path: &Path, spot: Spot<'_>) -> Result<Self, FSError> {
        fstatat(spot.dir.as_fd(), &spot.name)?;
        let dir = match spot.dir {
            Dir::Root(_) => None,
            Dir::Opened(fd) => Some(fd),
        };
        let place = Place {
            home: Arc::clone(home),
            dir_path: spot.dir_path,
            dir,
        };
        Ok(Self {
            path: path.to_owned(),
            place: Some(place),
        })
    }

    /// Where it is now; `None` if only the path is known.
    ///
    /// # Errors
    /// `ENOENT` if the names of its directory do not lead to that directory any more.
    pub(super) fn find<'a>(&self, home: &'a Home) -> Result<Option<Spot<'a>>, FSError> {
        let Some(place) = &self.place else {
            return Ok(None);
        };
        let gone = || FSError::from_errno(libc::ENOENT);
        if !std::ptr::eq(home, &*place.home) {
            return Err(gone());
        }
        let name = self.path.file_name().unwrap_or_default();
        let spot = home.find_again(&place.dir_path, name).map_err(|_| gone())?;
        if let Some(dir) = &place.dir {
            let (then, now) = (fstat(dir.as_fd())?, fstat(spot.dir.as_fd())?);
            if (then.dev, then.ino) != (now.dev, now.ino) {
                return Err(gone());
            }
        }
        Ok(Some(spot))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Held");
        debug.field("path", &self.path).finish_non_exhaustive()
    }
}

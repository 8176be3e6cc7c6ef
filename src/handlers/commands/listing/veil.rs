//! Which targets of links a listing shows.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::error::FSError;
use crate::filesystems::{NameRules, Stat};

/// Which targets of links a listing shows.
pub(super) struct Veil {
    /// None that are absolute or lead outside of the home.
    pub(super) hides_outside: bool,
    /// How many directories below the home the links are.
    pub(super) depth: usize,
    /// None with a hidden name.
    pub(super) rules: Option<Arc<NameRules>>,
}

impl Veil {
    /// The target of a link as it is shown. `follow` looks up where it leads.
    pub(super) fn shown(
        &self,
        target: PathBuf,
        follow: impl FnOnce() -> Result<Stat, FSError>,
    ) -> Option<PathBuf> {
        let has_hidden = |rules: &Arc<NameRules>| rules.hides_in(target.as_os_str().as_bytes());
        if self.rules.as_ref().is_some_and(has_hidden) {
            return None;
        }
        let is_outside = || match follow() {
            Ok(_) => false,
            // It leads nowhere, inside.
            Err(err) => !err.is_not_found(),
        };
        let is_hidden = self.hides_outside && (self.climbs_out(&target) || is_outside());
        (!is_hidden).then_some(target)
    }

    /// Whether a target is absolute, or its names lead above the home. It shows where the home is,
    /// even if it comes back, and even if nothing is there.
    fn climbs_out(&self, target: &Path) -> bool {
        let depth = target
            .components()
            .try_fold(self.depth, |depth, part| match part {
                Component::Normal(_) => Some(depth + 1),
                Component::CurDir => Some(depth),
                Component::ParentDir => depth.checked_sub(1),
                Component::RootDir | Component::Prefix(_) => None,
            });
        depth.is_none()
    }
}

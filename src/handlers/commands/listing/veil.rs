//! Which targets of links a listing shows.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::FSError;
use crate::filesystems::{NameRules, Stat};

/// Which targets of links a listing shows.
pub(super) struct Veil {
    /// None that are absolute or lead outside of the home.
    pub(super) hides_outside: bool,
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
        let is_hidden = self.hides_outside && (is_absolute(&target) || is_outside());
        (!is_hidden).then_some(target)
    }
}

/// An absolute target shows where the home is, even if it leads inside.
fn is_absolute(target: &Path) -> bool {
    target.as_os_str().as_bytes().starts_with(b"/")
}

//! What is asked before the file is used that a path really leads to.
//!
//! The caller has asked already for the path as the client has named it. Somebody may change a
//! link or rename a directory since then, so the operation asks again: for the path of what it
//! has found, whose handle it uses.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::held::Held;
use crate::error::FSError;

/// Whether the real path of a file permits what the command does with it.
pub(super) type Question = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// The questions about the paths of a command.
#[derive(Clone, Default)]
pub(crate) struct Checks {
    list: Vec<(Arc<Path>, Question)>,
    held: Option<Arc<Held>>,
}

impl Checks {
    /// Asks this question when the file at `path` is used, or a name is used that is made in the
    /// directory of `path`.
    pub(super) fn add(&mut self, path: &Path, question: Question) {
        self.list.push((Arc::from(path), question));
    }

    /// What an earlier command has found at its path: see [`Self::held`].
    pub(super) fn set_held(&mut self, held: Arc<Held>) {
        self.held = Some(held);
    }

    /// What an earlier command has found at this path.
    pub(super) fn held(&self, path: &Path) -> Option<&Held> {
        self.held.as_deref().filter(|held| held.path() == path)
    }

    /// Whether there are questions about a path.
    pub(super) fn cover(&self, path: &Path) -> bool {
        let is_of = |of: &Path| of == path || of.parent() == Some(path);
        self.list.iter().any(|(of, _)| is_of(of))
    }

    /// Asks the questions about `path`, which leads to `real`.
    ///
    /// # Errors
    /// The answer to one is no.
    pub(super) fn ask(&self, path: &Path, real: &Path) -> Result<(), FSError> {
        for (of, question) in &self.list {
            let permits = match () {
                () if **of == *path => question(real),
                // The file is one in this directory.
                () if of.parent() == Some(path) => {
                    let name = of.file_name().unwrap_or_default();
                    question(&real.join(name))
                }
                () => true,
            };
            if !permits {
                return Err(FSError::NotPermitted);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.list.iter().map(|(path, _)| PathBuf::from(&**path));
        f.debug_list().entries(paths).finish()
    }
}

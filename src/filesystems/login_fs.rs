//! The file system of a login, with its state.

use std::fmt;
use std::sync::Arc;

use super::abstracted::AbstractedFS;
use super::state::FSState;

/// The file system that was chosen for a user at the login, and the state of it.
///
/// Both go where the user goes: to the transfers that outlive the login, too.
#[derive(Clone)]
pub(crate) struct LoginFS {
    fs: Arc<dyn AbstractedFS>,
    pub(crate) state: FSState,
}

impl LoginFS {
    pub(crate) fn new(fs: Arc<dyn AbstractedFS>, state: FSState) -> Self {
        Self { fs, state }
    }

    /// The file system, and its state.
    pub(crate) fn parts(&mut self) -> (&dyn AbstractedFS, &mut FSState) {
        (&*self.fs, &mut self.state)
    }

    /// A handle of the file system.
    pub(crate) fn handle(&self) -> Arc<dyn AbstractedFS> {
        Arc::clone(&self.fs)
    }

    /// The same file system, with a state in which no command is in progress.
    pub(crate) fn copy(&self) -> Self {
        Self::new(self.handle(), self.state.copy())
    }
}

impl fmt::Debug for LoginFS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("LoginFS");
        debug.field("state", &self.state).finish_non_exhaustive()
    }
}

// An idle session is to take little memory.
const _: () = assert!(size_of::<LoginFS>() <= 96);

//! The sessions of a server, for other threads.

use super::server::FTPServer;
use crate::sessions::Sessions;

impl FTPServer {
    /// The sessions of the server in this process, to list and close them from any thread. Each
    /// process has its own: see [`Sessions`].
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(&self.state.loops)
    }
}

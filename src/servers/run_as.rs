//! The user that a server runs as, once its sockets are bound.

use std::io;

use super::server::FTPServer;
use crate::run_as::RunAs;

impl FTPServer {
    /// Lets a server that was started as root switch to another user for good, supplementary groups
    /// included. It does so in [`serve_forever`](Self::serve_forever), or in the first
    /// [`turn`](Self::turn): after all sockets are bound, also to ports below 1024, and before
    /// workers, processes or threads are started. Default: no switch.
    ///
    /// ```no_run
    /// # use ftpdlib::{FTPConfig, FTPServer, RunAs, handlers::StockHandler};
    /// # fn main() -> std::io::Result<()> {
    /// let mut server = FTPServer::bind(":21", FTPConfig::default(), |_peer| StockHandler)?;
    /// server.set_run_as(RunAs::new("ftp", None)?)?;
    /// server.serve_forever()
    /// # }
    /// ```
    ///
    /// Later sockets, such as listeners for passive data connections, cannot have ports below 1024.
    /// The files of certificates, which SIGHUP reads again, must be readable for that user.
    ///
    /// # Errors
    /// The user cannot read one of these files, or the system refuses the switch. The text names
    /// the file and the user.
    pub fn set_run_as(&mut self, run_as: RunAs) -> io::Result<()> {
        // First of all: a caller that ignores the error must not serve as root.
        let run_as = &*self.run_as.insert(run_as);
        run_as.try_as(|| ())?;
        if let Some(tls) = &self.state.tls {
            let mut files = tls.config.files();
            files.try_for_each(|file| run_as.check_readable(file))?;
        }
        Ok(())
    }

    /// Switches, once.
    pub(super) fn switch_user(&mut self) -> io::Result<()> {
        match &self.run_as {
            Some(run_as) => {
                crate::log::before_switch();
                run_as.switch()?;
            }
            None => return Ok(()),
        }
        // Only now: a failed switch is tried again, or ends the server.
        self.run_as = None;
        Ok(())
    }
}

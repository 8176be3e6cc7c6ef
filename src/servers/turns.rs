//! Servers that are driven by the loop of their host.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::server::FTPServer;
use crate::sys;

impl FTPServer {
    /// Runs one turn of the loop, which waits for at most `timeout` (`None`: without limit).
    /// This is for a caller with its own loop, as pyftpdlib's
    /// `serve_forever(blocking=False)`. Returns the time until the next deadline.
    ///
    /// After [`stop`](Self::stop) go on with turns until [`is_finished`](Self::is_finished). The
    /// turns of a server that has finished do nothing; without a time-out they do not wait.
    ///
    /// # Errors
    /// Errors of the system's poll, and of the switch to another [user](Self::set_run_as).
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        if self.finished && timeout.is_none() {
            return Ok(None);
        }
        self.switch_user()?;
        self.open();
        let left = self
            .end_by
            .map(|end| end.saturating_duration_since(Instant::now()));
        self.turn_once(left.into_iter().chain(timeout).min())?;
        match self.end_by {
            Some(end) if !self.has_sessions() || Instant::now() >= end => {
                self.end_all();
                Ok(None)
            }
            _ => Ok(self.time_to_wait()),
        }
    }

    /// Runs one turn of several servers on this thread, which waits for all of them together for at
    /// most `timeout` (`None`: without limit). Returns the time until the next deadline of any.
    ///
    /// Turns of one server after the other would let each wait while another has work. A host that
    /// waits for sockets of its own does the same with the [descriptors](AsFd) of the servers.
    /// Servers that have [finished](Self::is_finished) are left out.
    ///
    /// # Errors
    /// Those of [`turn`](Self::turn), of the first server that has one.
    pub fn turn_all(
        servers: &mut [&mut Self],
        timeout: Option<Duration>,
    ) -> io::Result<Option<Duration>> {
        let mut wait = timeout;
        for server in servers.iter_mut().filter(|server| !server.finished) {
            server.switch_user()?;
            server.open();
            wait = wait.into_iter().chain(server.time_to_wait()).min();
        }
        let serving = servers.iter().filter(|server| !server.finished);
        let descriptors: Vec<_> = serving.map(|server| server.as_fd()).collect();
        if descriptors.is_empty() {
            return Ok(None);
        }
        sys::wait_readable(&descriptors, wait)?;
        let mut next = None;
        for server in servers.iter_mut().filter(|server| !server.finished) {
            let own = server.turn(Some(Duration::ZERO))?;
            next = next.into_iter().chain(own).min();
        }
        Ok(next)
    }

    /// Begins the end of a server that is driven by [`turn`](Self::turn): it stops listening,
    /// sessions at rest get 421, and transfers may finish within the
    /// [drain timeout](Self::set_drain_timeout). Returns at once; the turns after it do the rest,
    /// until [`is_finished`](Self::is_finished).
    pub fn stop(&mut self) {
        if !self.finished && self.end_by.is_none() {
            self.begin_drain();
        }
    }

    /// The time until a turn is due without an event.
    fn time_to_wait(&mut self) -> Option<Duration> {
        let end = self.end_by;
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let own = self.ioloop.time_to_wait();
        let look = self.time_to_look();
        left.into_iter().chain(own).chain(look).min()
    }
}

/// The descriptor of the server's poll, for a host that waits for several things. It is readable
/// when there is something to do: call [`turn`](FTPServer::turn) with a time-out of zero then, and
/// when the time is over that the last turn has returned. Call it once before the first wait, which
/// puts the sockets on the loop. A poll that reports only changes works too: the time is zero as
/// long as a turn may have left something.
impl AsFd for FTPServer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.ioloop.poll_descriptor() {
            Some(descriptor) => descriptor,
            None => unreachable!("only the loop of a test in memory has no poll"),
        }
    }
}

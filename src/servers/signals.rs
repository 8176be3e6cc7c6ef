//! The signals of a server that serves: SIGINT and SIGTERM end it, SIGHUP reads the
//! certificates again, SIGCHLD reports that a child has ended.
//!
//! The parent of a worker, or of the process of a connection, passes signals on. But a
//! terminal sends a signal to all of its processes, and so do service managers, so such a
//! process may get the same signal twice. In it a second signal means no more than the
//! first: SIGQUIT, which the parent sends, means "end at once". A second signal counts only
//! when the parent is gone. The signal handlers decide this ([`LastResort`]), since they
//! run even if the loop is stuck.

use std::io::{self, Read};
use std::sync::Arc;

use mio::Interest;
use mio::net::UnixStream;
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::ioloop::{Channel, Io, Readiness, Source};
use crate::log::TARGET;
use crate::server_state::ServerState;
use crate::sys::LastResort;

/// The signals as a channel, which stops the loop at each signal that ends the server.
pub(super) struct Signals {
    stop: UnixStream,
    /// With TLS only.
    reload: Option<UnixStream>,
    /// Only wakes the loop up.
    child: UnixStream,
    last_resort: Arc<LastResort>,
    stopped: bool,
    state: Arc<ServerState>,
    handlers: Vec<SigId>,
}

impl Signals {
    /// `has_parent`: the parent of this process passes signals on.
    pub(super) fn new(
        state: &Arc<ServerState>,
        last_resort: &Arc<LastResort>,
        has_parent: bool,
    ) -> io::Result<Self> {
        let mut handlers = Vec::new();
        let mut ends = vec![SIGINT, SIGTERM];
        if has_parent {
            ends.push(SIGQUIT);
        }
        // Register after the handlers of the last resort, so that they have decided when
        // the loop wakes up.
        let stop = notified(&ends, &mut handlers)?;
        let child = notified(&[SIGCHLD], &mut handlers)?;
        // Without TLS, SIGHUP ends the process, as it does any program.
        let reload = state
            .tls
            .is_some()
            .then(|| notified(&[SIGHUP], &mut handlers));
        Ok(Self {
            stop,
            reload: reload.transpose()?,
            child,
            last_resort: Arc::clone(last_resort),
            stopped: false,
            state: Arc::clone(state),
            handlers,
        })
    }

    fn has_files(&self) -> bool {
        self.state.tls.as_ref().is_some_and(|tls| tls.has_files())
    }

    fn reload_tls(&self) {
        match self.state.tls.as_ref().map(|tls| tls.reload()) {
            Some(_) if !self.has_files() => {
                log::info!(target: TARGET, "TLS: no files to read again")
            }
            Some(Ok(())) => log::info!(target: TARGET, "TLS: certificates read again"),
            Some(Err(err)) => log::warn!(target: TARGET, "TLS: certificates not replaced: {err}"),
            None => {}
        }
    }
}

/// Returns a socket that becomes readable at these signals.
fn notified(signals: &[i32], handlers: &mut Vec<SigId>) -> io::Result<UnixStream> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        handlers.push(signal_hook::low_level::pipe::register(
            *signal,
            write.try_clone()?,
        )?);
    }
    Ok(UnixStream::from_std(read))
}

/// Whether there were signals; several count as one.
fn any(pipe: &mut UnixStream) -> bool {
    let mut any = false;
    while matches!(pipe.read(&mut [0; 16]), Ok(1..)) {
        any = true;
    }
    any
}

impl Channel for Signals {
    fn opened(&mut self, io: &mut Io<'_>) {
        let pipes = [
            (Some(&mut self.stop), STOP),
            (self.reload.as_mut(), RELOAD),
            (Some(&mut self.child), CHILD),
        ];
        for (pipe, source) in pipes {
            let Some(pipe) = pipe else { continue };
            if let Err(err) = io.register(pipe, source, Interest::READABLE) {
                log::error!(target: TARGET, "cannot watch for signals: {err}");
            }
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, source: Source, _readiness: Readiness) {
        match source {
            STOP if any(&mut self.stop) => {
                let again = std::mem::replace(&mut self.stopped, true);
                if !again || self.last_resort.at_once() {
                    log::info!(target: TARGET, "received interrupt signal");
                    io.stop();
                }
            }
            RELOAD if self.reload.as_mut().is_some_and(any) => self.reload_tls(),
            CHILD => drop(any(&mut self.child)),
            _ => {}
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.forget();
    }

    fn is_closed(&self) -> bool {
        self.handlers.is_empty()
    }
}

impl Signals {
    fn forget(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The sources of the channel.
const STOP: Source = 0;
const RELOAD: Source = 1;
const CHILD: Source = 2;

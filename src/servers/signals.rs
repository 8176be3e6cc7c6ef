//! The signals of a server that serves: SIGINT and SIGTERM end it, SIGHUP reads the
//! certificates again, SIGCHLD reports that a child has ended. SIGHUP also comes when the terminal
//! hangs up that the program was started on: then it may mean the same as SIGTERM. The death of the
//! parent ends the server, too: the loop sees the end of a pipe, whatever became of the kernel's
//! signal.
//!
//! The parent of a worker, or of the process of a connection, passes signals on. But a
//! terminal sends a signal to all of its processes, and so do service managers, so such a
//! process may get the same signal twice. In it a second signal means no more than the
//! first: SIGQUIT, which the parent sends, means "end at once". A second signal counts only
//! when the parent is gone. The signal handlers decide this ([`LastResort`]), since they
//! run even if the loop is stuck.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use libc::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use mio::Interest;
use mio::net::UnixStream;
use mio::unix::pipe::Receiver;

use crate::ioloop::{Channel, Io, Readiness, Source};
use crate::log::TARGET;
use crate::server_state::ServerState;
use crate::sys::{self, FileSizeSignal, LastResort, SignalHandler, Terminal};

/// The signals as a channel, which stops the loop at each signal that ends the server.
pub(super) struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    /// Only wakes the loop up.
    child: UnixStream,
    /// Is at its end when the parent has died.
    parent: Option<Receiver>,
    last_resort: Arc<LastResort>,
    stopped: bool,
    state: Arc<ServerState>,
    handlers: Vec<SignalHandler>,
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
        let reload = notified(&[SIGHUP], &mut handlers)?;
        Ok(Self {
            stop,
            reload,
            child,
            parent: has_parent
                .then(sys::end_of_parent)
                .flatten()
                .map(Receiver::from),
            last_resort: Arc::clone(last_resort),
            stopped: false,
            state: Arc::clone(state),
            handlers,
        })
    }

    fn has_files(&self) -> bool {
        self.state.tls.as_ref().is_some_and(|tls| tls.has_files())
    }

    /// Reads again what can be read again, and logs what that was.
    pub(super) fn reload(&self) {
        match self.state.tls.as_ref().map(|tls| tls.reload()) {
            Some(_) if !self.has_files() => {
                log::info!(target: TARGET, "TLS: no files to read again")
            }
            Some(Ok(())) => log::info!(target: TARGET, "TLS: certificates read again"),
            Some(Err(err)) => log::warn!(target: TARGET, "TLS: certificates not replaced: {err}"),
            None => log_nothing_to_reload(),
        }
    }
}

/// Returns a socket that becomes readable at these signals.
fn notified(signals: &[i32], handlers: &mut Vec<SignalHandler>) -> io::Result<UnixStream> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        handlers.push(sys::notify(*signal, write.try_clone()?)?);
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
            (&mut self.stop, STOP),
            (&mut self.reload, RELOAD),
            (&mut self.child, CHILD),
        ];
        for (pipe, source) in pipes {
            if let Err(err) = io.register(pipe, source, Interest::READABLE) {
                log::error!(target: TARGET, "cannot watch for signals: {err}");
            }
        }
        if let Some(parent) = &mut self.parent
            && let Err(err) = io.register(parent, PARENT, Interest::READABLE)
        {
            log::error!(target: TARGET, "cannot watch for the death of the parent: {err}");
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, source: Source, _readiness: Readiness) {
        match source {
            STOP if any(&mut self.stop) => {
                let again = self.last_resort.at_once();
                self.end(io, again);
            }
            RELOAD if any(&mut self.reload) => match self.last_resort.has_hung_up() {
                true => self.end(io, false),
                false => self.reload(),
            },
            CHILD => drop(any(&mut self.child)),
            PARENT => {
                self.last_resort.parent_has_died();
                if !std::mem::replace(&mut self.stopped, true) || self.last_resort.at_once() {
                    log::info!(target: TARGET, "the parent process has ended");
                    io.stop();
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.handlers.clear();
    }

    fn is_closed(&self) -> bool {
        self.handlers.is_empty()
    }
}

impl Signals {
    /// Stops the loop at the first signal to end, and `again` at a later one.
    fn end(&mut self, io: &mut Io<'_>, again: bool) {
        if !std::mem::replace(&mut self.stopped, true) || again {
            log::info!(target: TARGET, "received interrupt signal");
            io.stop();
        }
    }
}

/// Says that SIGHUP has come and has changed nothing.
pub(super) fn log_nothing_to_reload() {
    log::info!(target: TARGET, "SIGHUP: there is nothing to read again");
}

/// From now on, SIGHUP, SIGUSR1, SIGUSR2 and SIGXFSZ do not end this process, and SIGINT and SIGTERM
/// only before a server has handled signals.
pub(super) fn survive() -> io::Result<()> {
    // Handlers hide whether SIGHUP was ignored before.
    let _ = Terminal::of_process();
    let hang_up = EARLY.get_or_init(Arc::default);
    sys::set_flag(SIGHUP, Arc::clone(hang_up))?.keep();
    for signal in [SIGUSR1, SIGUSR2] {
        sys::set_flag(signal, Arc::default())?.keep();
    }
    for signal in [SIGINT, SIGTERM] {
        sys::end_until_taken_over(signal)?.keep();
    }
    std::mem::forget(FileSizeSignal::ignore());
    Ok(())
}

/// For a worker that has ended: from now on, signals have no effect. Nothing in the process wants
/// their actions back, and a late signal of the master or the terminal must not change the status.
pub(super) fn ignore_from_now() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGQUIT, SIGHUP] {
        sys::set_flag(signal, Arc::default())?.keep();
    }
    Ok(())
}

/// Whether the terminal has hung up since [`survive`], before the server has begun to serve.
pub(super) fn has_hung_up_early() -> bool {
    EARLY.get().is_some_and(|early| early.load(Relaxed))
        && Terminal::of_process().is_some_and(Terminal::has_hung_up)
}

/// Whether SIGHUP has come since [`survive`].
static EARLY: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The sources of the channel.
const STOP: Source = 0;
const RELOAD: Source = 1;
const CHILD: Source = 2;
const PARENT: Source = 3;

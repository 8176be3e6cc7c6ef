//! The signals of the master, and those that reach a worker before it handles any.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libc::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::sys::{self, LastResort, SignalHandler, Terminal};

/// The signals that the master handles.
pub(super) struct Signals {
    /// Ends a master that is stuck.
    pub(super) last_resort: Option<LastResort>,
    /// Gets a byte for each signal, which ends a sleep.
    wake: UnixStream,
    terminate: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    /// The handlers that set the flags.
    flags: Vec<SignalHandler>,
    /// The handlers that write the bytes.
    wakers: Vec<SignalHandler>,
}

impl Signals {
    /// Handles SIGTERM, SIGINT, SIGHUP and SIGCHLD. A master that takes longer than `end_timeout` to
    /// end is ended by force. It ends when `terminal` hangs up.
    pub(super) fn new(
        end_timeout: Duration,
        terminal: Option<&'static Terminal>,
    ) -> io::Result<Self> {
        let (wake, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let mut signals = Self {
            last_resort: Some(LastResort::new(false, end_timeout, terminal)?),
            wake,
            terminate: Arc::default(),
            interrupt: Arc::default(),
            reload: Arc::default(),
            flags: Vec::new(),
            wakers: Vec::new(),
        };
        let flags = [
            (SIGTERM, &signals.terminate),
            (SIGINT, &signals.interrupt),
            (SIGHUP, &signals.reload),
        ];
        for (signal, flag) in flags {
            let handler = sys::set_flag(signal, Arc::clone(flag))?;
            signals.flags.push(handler);
        }
        // After the flags, which are set when a byte wakes the master.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            let handler = sys::notify(signal, write.try_clone()?)?;
            signals.wakers.push(handler);
        }
        Ok(signals)
    }

    /// Whether SIGHUP has come since the last call.
    pub(super) fn take_reload(&self) -> bool {
        self.reload.swap(false, Relaxed)
    }

    /// Whether SIGHUP has come because the terminal has hung up.
    pub(super) fn has_hung_up(&self) -> bool {
        let last_resort = self.last_resort.as_ref();
        last_resort.is_some_and(LastResort::has_hung_up)
    }

    /// Whether SIGTERM has come since the last call.
    pub(super) fn take_terminate(&self) -> bool {
        self.terminate.swap(false, Relaxed)
    }

    /// Whether SIGINT has come since the last call.
    pub(super) fn take_interrupt(&self) -> bool {
        self.interrupt.swap(false, Relaxed)
    }

    /// Sleeps until a signal comes, or until a time.
    pub(super) fn wait(&mut self, until: Option<Instant>) {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        // The call refuses a time-out of zero.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        if self.wake.set_read_timeout(timeout).is_ok() {
            // The caller looks at the flags after a byte, a time-out or an interruption.
            let _ = self.wake.read(&mut [0; 64]);
        }
    }

    /// In a worker: stops handling signals for the master. Until the worker handles them
    /// itself, the flags remember SIGTERM, SIGINT and SIGHUP.
    pub(super) fn leave(&mut self) {
        let _ = EARLY.set(Early {
            end: [Arc::clone(&self.terminate), Arc::clone(&self.interrupt)],
            reload: Arc::clone(&self.reload),
        });
        self.flags.drain(..).for_each(SignalHandler::keep);
        self.last_resort = None;
    }
}

/// Whether this process is a worker, whose master passes signals on.
pub(crate) fn is_worker() -> bool {
    EARLY.get().is_some()
}

/// Whether this process is a worker that got a signal to end before it handled signals
/// itself.
pub(crate) fn was_stopped() -> bool {
    let flags = EARLY.get();
    flags.is_some_and(|flags| flags.end.iter().any(|flag| flag.load(Relaxed)))
}

/// Whether this process is a worker that got SIGHUP since the last call, or before it handled
/// signals itself.
pub(crate) fn take_early_reload() -> bool {
    let flags = EARLY.get();
    flags.is_some_and(|flags| flags.reload.swap(false, Relaxed))
}

/// What the signals of a worker leave behind, before it handles them itself.
struct Early {
    /// Whether SIGTERM or SIGINT has come.
    end: [Arc<AtomicBool>; 2],
    /// Whether SIGHUP has come.
    reload: Arc<AtomicBool>,
}

static EARLY: OnceLock<Early> = OnceLock::new();

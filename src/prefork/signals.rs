//! The signals of the master, and those that reach a worker before it handles any.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::sys::LastResort;

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
    flags: Vec<SigId>,
    /// The handlers that write the bytes.
    wakers: Vec<SigId>,
}

impl Signals {
    /// Handles SIGTERM, SIGINT and SIGCHLD, and SIGHUP if `with_reload`. A master that
    /// takes longer than `end_timeout` to end is ended by force.
    pub(super) fn new(with_reload: bool, end_timeout: Duration) -> io::Result<Self> {
        let (wake, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let mut signals = Self {
            last_resort: Some(LastResort::new(false, end_timeout)?),
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
            if signal != SIGHUP || with_reload {
                let handler = signal_hook::flag::register(signal, Arc::clone(flag))?;
                signals.flags.push(handler);
            }
        }
        // After the flags, which are set when a byte wakes the master.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            if signal != SIGHUP || with_reload {
                let handler = signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
                signals.wakers.push(handler);
            }
        }
        Ok(signals)
    }

    /// Whether SIGHUP has come since the last call.
    pub(super) fn take_reload(&self) -> bool {
        self.reload.swap(false, Relaxed)
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
    /// itself, the flags remember SIGTERM and SIGINT.
    pub(super) fn leave(&mut self) {
        let _ = EARLY.set([Arc::clone(&self.terminate), Arc::clone(&self.interrupt)]);
        self.flags.clear();
        self.last_resort = None;
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.flags.drain(..).chain(self.wakers.drain(..)) {
            signal_hook::low_level::unregister(handler);
        }
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
    flags.is_some_and(|flags| flags.iter().any(|flag| flag.load(Relaxed)))
}

/// In a worker: whether SIGTERM or SIGINT has come.
static EARLY: OnceLock<[Arc<AtomicBool>; 2]> = OnceLock::new();

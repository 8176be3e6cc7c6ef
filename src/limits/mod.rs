//! What the sessions of a server share besides its settings: how many of them
//! there are, and may be.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::tls::TlsAcceptor;

/// What the sessions of a server share besides the settings: its limits.
pub(crate) struct ServerState {
    pub(crate) max_cons: AtomicUsize,
    pub(crate) max_cons_per_ip: AtomicUsize,
    backlog: i32,
    /// Sockets in use, that of the server included.
    pub(crate) sockets: AtomicUsize,
    /// Control connections by address.
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    numbers: AtomicU64,
    /// FTPS, if there is any.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Whether a new connection is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    MaxCons,
    MaxConsPerIp,
}

impl ServerState {
    pub(crate) fn new(backlog: i32, tls: Option<TlsAcceptor>) -> Self {
        Self {
            max_cons: AtomicUsize::new(MAX_CONS),
            max_cons_per_ip: AtomicUsize::new(0),
            backlog,
            sockets: AtomicUsize::new(1),
            per_ip: Mutex::new(HashMap::new()),
            numbers: AtomicU64::new(0),
            tls,
        }
    }

    /// A place for a control connection, and whether it is within the limits.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> (Seat, Admission) {
        let mut per_ip = self.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let count = per_ip.entry(ip).or_default();
        *count += 1;
        let max_per_ip = self.max_cons_per_ip.load(Relaxed);
        let crowded = max_per_ip > 0 && *count > max_per_ip;
        drop(per_ip);
        let mut seat = self.seat();
        seat.ip = Some(ip);
        let admission = match (self.accepts_new_cons(), crowded) {
            (false, _) => Admission::MaxCons,
            (true, true) => Admission::MaxConsPerIp,
            (true, false) => Admission::Admitted,
        };
        (seat, admission)
    }

    /// A place for another socket.
    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        self.sockets.fetch_add(1, Relaxed);
        Seat {
            state: Arc::clone(self),
            ip: None,
        }
    }

    /// Whether the number of sockets is within the limit: as pyftpdlib, which
    /// counts the newcomer too.
    pub(crate) fn accepts_new_cons(&self) -> bool {
        let max_cons = self.max_cons.load(Relaxed);
        max_cons == 0 || self.sockets.load(Relaxed) <= max_cons
    }

    pub(crate) fn backlog(&self) -> i32 {
        self.backlog
    }

    /// A number that is not given twice.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState")
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}

/// A socket's place among those of the server; dropped with it.
pub(crate) struct Seat {
    state: Arc<ServerState>,
    ip: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.state.sockets.fetch_sub(1, Relaxed);
        let Some(ip) = self.ip else { return };
        let mut per_ip = self
            .state
            .per_ip
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&ip);
            }
        }
    }
}

/// Sockets by default: as pyftpdlib.
const MAX_CONS: usize = 512;

//! The state that all sessions of a server share, apart from the settings.

pub(crate) mod host_names;
pub(crate) mod own_ports;

use std::fmt;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::host_names::HostNames;
use crate::filesystems::NameRules;
use crate::guard::{Guard, GuardConfig};
use crate::ioloop::clock::Clock;
use crate::limits::{Admission, Budget, LISTINGS, Limits, Slot};
use crate::offload::Pool;
use crate::random::Random;
use crate::sessions::Loops;
use crate::sys::{Held, Pid};
use crate::tls::TlsAcceptor;
use crate::uploads::Uploads;

/// The state that all sessions of a server share, apart from the settings.
pub(crate) struct ServerState {
    pub(crate) limits: Arc<Limits>,
    /// FTPS, if the server has it.
    pub(crate) tls: Option<Arc<TlsAcceptor>>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) pool: Pool,
    /// The memory of listings.
    pub(crate) listings: Arc<Budget>,
    pub(crate) random: Random,
    /// Where the sessions of this process run.
    pub(crate) loops: Arc<Loops>,
    /// The number of sessions of this process.
    pub(crate) sessions: AtomicUsize,
    /// The host names of masquerade addresses.
    pub(crate) host_names: HostNames,
    /// The names that clients may not use, once a session has asked.
    pub(crate) name_rules: OnceLock<Option<Arc<NameRules>>>,
    backlog: i32,
    numbers: AtomicU64,
    /// The processes that have ended, and whose slots were not taken back yet.
    ended: Mutex<Vec<Pid>>,
}

impl ServerState {
    pub(crate) fn new(backlog: i32, tls: Option<Arc<TlsAcceptor>>, guard: &GuardConfig) -> Self {
        let guard = |_: &Random| Guard::new(guard);
        let start = Clock::SYSTEM.now();
        Self::with(
            backlog,
            tls,
            Random::default(),
            start,
            Uploads::new(),
            guard,
        )
    }

    /// The state of a server in memory, whose clock shows `now`: it shares nothing with other
    /// servers, its jobs wait to be run one by one, and its random numbers are those of `random`.
    pub(crate) fn in_memory(
        tls: Option<Arc<TlsAcceptor>>,
        random: Random,
        now: Instant,
        guard: &GuardConfig,
    ) -> Self {
        let guard = |random: &Random| Guard::of_one_process(guard, random, now);
        let uploads = Uploads::of_one_process(&random, now);
        Self {
            pool: Pool::by_hand(),
            listings: Budget::of_listings(),
            ..Self::with(BACKLOG, tls, random, now, uploads, guard)
        }
    }

    fn with(
        backlog: i32,
        tls: Option<Arc<TlsAcceptor>>,
        random: Random,
        start: Instant,
        uploads: Uploads,
        guard: impl FnOnce(&Random) -> Guard,
    ) -> Self {
        Self {
            limits: Arc::new(Limits::new(&random, start)),
            guard: Arc::new(guard(&random)),
            tls,
            uploads: Arc::new(uploads),
            pool: Pool::OfProcess,
            listings: Arc::clone(&LISTINGS),
            random,
            loops: Arc::default(),
            sessions: AtomicUsize::new(0),
            host_names: HostNames::default(),
            name_rules: OnceLock::new(),
            backlog,
            numbers: AtomicU64::new(0),
            ended: Mutex::default(),
        }
    }

    /// Takes a slot for a control connection, and says whether it is within the limits.
    pub(crate) fn admit(
        &self,
        ip: IpAddr,
        descriptor: Option<BorrowedFd<'_>>,
        now: Instant,
    ) -> (Slot, Admission) {
        self.limits.admit(ip, descriptor, now)
    }

    /// Takes a slot for another socket of a session with a client at `ip`.
    pub(crate) fn slot(&self, ip: IpAddr) -> Slot {
        self.limits.slot(ip)
    }

    /// A process of the server has ended and was waited for: takes back what it had, as far as no
    /// other process holds the locks. [`look_at_locks`](Self::look_at_locks) does the rest.
    pub(crate) fn forget_process(&self, pid: Pid) {
        self.ended().push(pid);
        self.forget_ended();
    }

    /// Takes back what processes had that have ended. Returns whether all is done.
    fn forget_ended(&self) -> bool {
        let mut ended = self.ended();
        ended.retain(|pid| {
            let limits = self.limits.forget_process(*pid).is_some();
            let uploads = self.uploads.forget_process(*pid);
            let tls = self.tls.as_ref().is_none_or(|tls| tls.forget_process(*pid));
            !(limits && uploads && tls)
        });
        ended.is_empty()
    }

    /// For the parent of processes that serve together: which of them holds a lock for too long,
    /// or when to look again.
    pub(crate) fn look_at_locks(&self, now: Instant) -> Held {
        let tls = self.tls.as_ref();
        let locks = [
            self.limits.look_at_lock(now),
            self.uploads.look_at_lock(now),
            self.guard.look_at_lock(now),
            tls.map_or(Held::Free, |tls| tls.look_at_lock(now)),
            self.host_names.look_at_locks(now),
        ];
        let again = match self.forget_ended() {
            true => Held::Free,
            false => Held::Until(now + FORGET_EVERY),
        };
        locks.into_iter().fold(again, Held::or)
    }

    fn ended(&self) -> MutexGuard<'_, Vec<Pid>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the limits allow another socket of a session with a client at `ip`.
    pub(crate) fn accepts_new_cons(&self, ip: IpAddr) -> bool {
        self.limits.accepts_new_cons(ip)
    }

    /// How many connections may wait to be accepted by a listening socket.
    pub(crate) fn backlog(&self) -> i32 {
        self.backlog
    }

    /// Returns a number that no other call returns.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }
}

/// How often it is tried to take back what a process had that has ended.
const FORGET_EVERY: Duration = Duration::from_millis(100);

/// How many connections may wait at a listening socket in memory.
const BACKLOG: i32 = 100;

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

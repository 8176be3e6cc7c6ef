//! What the sessions of a server share besides its settings: how many of them
//! there are, and may be.
//!
//! Each socket has a [`Seat`], which counts as long as it lives; that of a session
//! which has given work away, as long as this lasts. One process counts in its own
//! memory. Processes that serve together count in a [`Table`] that they share, from
//! which the seats of one that dies can be taken back.

mod table;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{io, process};

use self::table::{Index, Key, Table};
use crate::log::TARGET;
use crate::sys;
use crate::tls::TlsAcceptor;

/// What the sessions of a server share besides the settings: its limits.
pub(crate) struct ServerState {
    pub(crate) max_cons: AtomicUsize,
    pub(crate) max_cons_per_ip: AtomicUsize,
    pub(crate) max_cons_per_user: AtomicUsize,
    backlog: i32,
    /// Seats that this process has taken, that of the server included.
    pub(crate) sockets: AtomicUsize,
    /// Control connections by address and by user, as long as there is one process.
    counts: Mutex<HashMap<Key, usize>>,
    /// The seats of all processes, if there are several.
    shared: OnceLock<SharedSeats>,
    /// Makes keys that nobody can foresee.
    keys: RandomState,
    /// From this number on, descriptors are not for newcomers.
    reserve_from: AtomicU64,
    /// Seats that were left to works: their files are open, their sockets are not.
    left: AtomicUsize,
    /// Whether the limit of open files was raised.
    raised: AtomicBool,
    numbers: AtomicU64,
    /// Sessions of this process.
    pub(crate) sessions: AtomicUsize,
    /// FTPS, if there is any.
    pub(crate) tls: Option<Arc<TlsAcceptor>>,
}

/// Whether a new connection is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    MaxCons,
    MaxConsPerIp,
}

impl ServerState {
    pub(crate) fn new(backlog: i32, tls: Option<Arc<TlsAcceptor>>) -> Self {
        let open_files = sys::open_files().unwrap_or(u64::MAX);
        Self {
            max_cons: AtomicUsize::new(MAX_CONS),
            max_cons_per_ip: AtomicUsize::new(0),
            max_cons_per_user: AtomicUsize::new(0),
            backlog,
            sockets: AtomicUsize::new(1),
            counts: Mutex::new(HashMap::new()),
            shared: OnceLock::new(),
            keys: RandomState::new(),
            reserve_from: AtomicU64::new(reserve_from(open_files)),
            left: AtomicUsize::new(0),
            raised: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
            tls,
        }
    }

    // --- several processes

    /// Counts from now on in memory that is shared with the `workers` that are
    /// forked after this (`usize::MAX`: as many as there are connections), and does
    /// as [`raise_open_files`](Self::raise_open_files). To be called before there is
    /// any session; the limits themselves are to be set already.
    pub(crate) fn share(&self, workers: usize, each: u64) -> io::Result<()> {
        debug_assert_eq!(self.sockets.load(Relaxed), 1);
        if self.shared.get().is_some() {
            return Ok(());
        }
        self.raise_open_files(workers, each);
        let capacity = match self.max_cons.load(Relaxed) {
            0 => {
                let files = sys::open_files().unwrap_or(u64::MAX);
                let files = usize::try_from(files).unwrap_or(usize::MAX);
                files.saturating_mul(workers)
            }
            // Those who are turned away have a seat too, until they are told.
            max_cons => max_cons.saturating_add(max_cons / 4 + 1024),
        };
        let capacity = capacity.min(CAPACITY_MAX);
        let words = sys::SharedWords::new(Table::words(capacity))?;
        // Nobody else could have set it meanwhile: there is one thread.
        let _ = self.shared.set(SharedSeats { words, capacity });
        Ok(())
    }

    /// Takes back the seats of a process that has ended and was waited for.
    /// Returns how many it had.
    pub(crate) fn forget_process(&self, pid: sys::Pid) -> usize {
        let pid = pid.cast_unsigned();
        let shared = self.shared.get();
        let seats = shared.and_then(|shared| shared.with(|table| table.forget(pid)));
        seats.unwrap_or_default()
    }

    // --- descriptors

    /// Lets this process, and the `workers` that it may fork, have as many files
    /// open as the system allows; says so if `max_cons` wants more, where a
    /// connection takes `each` of these. Once.
    pub(crate) fn raise_open_files(&self, workers: usize, each: u64) {
        if self.raised.swap(true, Relaxed) {
            return;
        }
        let files = match sys::raise_open_files() {
            Ok((before, now)) => {
                log::debug!(target: TARGET, "open files: {now} (were {before})");
                now
            }
            Err(err) => {
                log::warn!(target: TARGET, "cannot raise the number of open files: {err}");
                sys::open_files().unwrap_or(u64::MAX)
            }
        };
        let usable = reserve_from(files);
        self.reserve_from.store(usable, Relaxed);
        let max_cons = self.max_cons.load(Relaxed);
        let wanted = (max_cons as u64).saturating_mul(each);
        if wanted > usable.saturating_mul(workers as u64) {
            let of_whom = match workers {
                1 => String::new(),
                workers => format!(" for each of {workers} workers"),
            };
            let each = match each {
                1 => String::new(),
                each => format!(", of which each connection takes {each}"),
            };
            log::warn!(
                target: TARGET,
                "max_cons is {max_cons}, but the system allows {files} open files{of_whom}{each} (ulimit -n)"
            );
        }
    }

    /// Whether a new connection has got one of the last descriptors, which are for
    /// the transfers of those who are there: the system hands out the lowest that
    /// is free. Works whose sessions have gone keep files above it open.
    pub(crate) fn is_reserved(&self, got: &impl AsRawFd) -> bool {
        let number = u64::try_from(got.as_raw_fd()).unwrap_or_default();
        let number = number.saturating_add(self.left.load(Relaxed) as u64);
        if number < self.reserve_from.load(Relaxed) {
            return false;
        }
        // The user of the library may have raised the limit meanwhile.
        let usable = reserve_from(sys::open_files().unwrap_or(u64::MAX));
        self.reserve_from.store(usable, Relaxed);
        number >= usable
    }

    // --- seats

    /// A place for a control connection, and whether it is within the limits.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr, socket: BorrowedFd<'_>) -> (Seat, Admission) {
        let (seat, load) = self.take(self.key(ip));
        let admission = match load {
            _ if self.is_reserved(&socket) => Admission::MaxCons,
            None => Admission::MaxCons,
            Some(load) if !fits(load.sockets, &self.max_cons) => Admission::MaxCons,
            Some(load) if !fits(load.of_ip, &self.max_cons_per_ip) => Admission::MaxConsPerIp,
            Some(_) => Admission::Admitted,
        };
        (seat, admission)
    }

    /// A place for another socket.
    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        self.take(0).0
    }

    /// Whether the number of sockets is within the limit: as pyftpdlib, which
    /// counts the newcomer too.
    pub(crate) fn accepts_new_cons(&self) -> bool {
        match self.shared.get() {
            None => fits(self.sockets.load(Relaxed), &self.max_cons),
            Some(shared) => shared
                .with(|table| !table.is_full() && fits(table.taken() + 1, &self.max_cons))
                .unwrap_or_default(),
        }
    }

    /// A seat, and what there is then; `None` if there was none to be had.
    fn take(self: &Arc<Self>, ip: Key) -> (Seat, Option<Load>) {
        let sockets = self.sockets.fetch_add(1, Relaxed) + 1;
        let (place, load) = match self.shared.get() {
            None => {
                let of_ip = change(&mut self.counts(), 0, ip);
                (Place::Here { ip, user: 0 }, Some(Load { sockets, of_ip }))
            }
            Some(shared) => {
                let taken = shared.with(|table| {
                    let index = table.take(process::id(), ip)?;
                    // That of the server counts, as it does in one process.
                    let (sockets, of_ip) = (table.taken() + 1, table.count(ip));
                    Some((Place::Shared(index), Some(Load { sockets, of_ip })))
                });
                taken.flatten().unwrap_or((Place::None, None))
            }
        };
        let seat = Seat {
            state: Arc::clone(self),
            place,
            keeper: OnceCell::new(),
        };
        (seat, load)
    }

    fn give_back(&self, place: Place) {
        self.sockets.fetch_sub(1, Relaxed);
        match place {
            Place::Here { ip, user } => {
                let counts = &mut self.counts();
                change(counts, ip, 0);
                change(counts, user, 0);
            }
            Place::Shared(index) => {
                if let Some(shared) = self.shared.get() {
                    shared.with(|table| table.give_back(index, process::id()));
                }
            }
            Place::None => {}
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An address or a user as a number: the same in all processes, and another in
    /// the next run.
    fn key(&self, what: impl Hash) -> Key {
        self.keys.hash_one(what).max(1)
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

/// The seats of several processes.
struct SharedSeats {
    words: sys::SharedWords,
    capacity: usize,
}

impl SharedSeats {
    /// Does something with the table, which must be short. `None` if the system
    /// does not let us, for which it has no reason.
    fn with<T>(&self, work: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let mut words = self.words.lock().ok()?;
        let died = words.owner_died;
        let mut table = Table::new(&mut words, self.capacity);
        if died {
            table.recount();
        }
        Some(work(&mut table))
    }
}

/// How much there is, a new seat included.
struct Load {
    sockets: usize,
    of_ip: usize,
}

/// A socket's place among those of the server; dropped with it. Who [keeps](Self::keep)
/// it puts off its return.
///
/// It belongs to the process that took it. One that inherits it by a fork may serve
/// the connection with it, but giving it back is for the first.
pub(crate) struct Seat {
    state: Arc<ServerState>,
    place: Place,
    keeper: OnceCell<Arc<Keeper>>,
}

/// What outlives a socket and is to be counted in its place: as long as anybody has
/// it, the seat is taken.
pub(crate) struct Keeper {
    state: Arc<ServerState>,
    /// That of the seat, when this is gone.
    left: OnceLock<Place>,
}

/// Where a seat is counted. Keys of 0 stand for nobody.
#[derive(Clone, Copy)]
enum Place {
    /// In the memory of this process.
    Here { ip: Key, user: Key },
    /// In the table that processes share.
    Shared(Index),
    /// Nowhere: the table was full.
    None,
}

impl Seat {
    /// Counts it for a user, unless that one has as many as may be. Returns whether
    /// it does.
    pub(crate) fn enter(&mut self, username: &str) -> bool {
        let user = self.state.key(username);
        let count = self.count_for(user);
        let entered = fits(count, &self.state.max_cons_per_user);
        if !entered {
            self.leave();
        }
        entered
    }

    /// It is nobody's any more.
    pub(crate) fn leave(&mut self) {
        self.count_for(0);
    }

    /// What keeps it taken.
    pub(crate) fn keep(&self) -> Arc<Keeper> {
        let new = || Keeper {
            state: Arc::clone(&self.state),
            left: OnceLock::new(),
        };
        Arc::clone(self.keeper.get_or_init(|| Arc::new(new())))
    }

    /// Returns how many seats this user has then.
    fn count_for(&mut self, user: Key) -> usize {
        match &mut self.place {
            Place::Here { user: place, .. } => {
                let before = std::mem::replace(place, user);
                change(&mut self.state.counts(), before, user)
            }
            Place::Shared(index) => {
                let shared = self.state.shared.get();
                let count = shared.and_then(|shared| shared.with(|t| t.set_user(*index, user)));
                count.unwrap_or(usize::MAX)
            }
            Place::None => usize::MAX,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.keeper.take() {
            None => self.state.give_back(self.place),
            // By the last who has the keeper, which may be this one.
            Some(keeper) => {
                self.state.left.fetch_add(1, Relaxed);
                let _ = keeper.left.set(self.place);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(place) = self.left.take() {
            self.state.left.fetch_sub(1, Relaxed);
            self.state.give_back(place);
        }
    }
}

/// Counts `to` in place of `from`, and returns how often it is there.
fn change(counts: &mut HashMap<Key, usize>, from: Key, to: Key) -> usize {
    if from != 0
        && let Some(count) = counts.get_mut(&from)
    {
        *count -= 1;
        if *count == 0 {
            counts.remove(&from);
        }
    }
    if to == 0 {
        return 0;
    }
    let count = counts.entry(to).or_default();
    *count += 1;
    *count
}

/// Whether so many are within a limit; 0 is none.
fn fits(count: usize, limit: &AtomicUsize) -> bool {
    let limit = limit.load(Relaxed);
    limit == 0 || count <= limit
}

/// The first descriptor that newcomers do not get, where `files` may be open: a
/// sixteenth is kept back, but never most of a few.
fn reserve_from(files: u64) -> u64 {
    let reserve = (files / 16).clamp(RESERVE_MIN, RESERVE_MAX);
    files - reserve.min(files / 4)
}

/// Sockets by default: as pyftpdlib.
const MAX_CONS: usize = 512;

/// Seats in a table: memory is taken only as they are, 88 bytes for each at most.
const CAPACITY_MAX: usize = 1 << 20;

const RESERVE_MIN: u64 = 16;
const RESERVE_MAX: u64 = 256;

#[cfg(test)]
mod tests;

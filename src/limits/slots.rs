//! The limits of a server, and the slots that count towards them.

use std::cell::OnceCell;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::counts::{CAPACITY_MAX, Counts, Entry};
use super::descriptors::Descriptors;
use super::doors::{Asked, Door, Doors};
use super::losses::Losses;
use super::refusals::Refusals;
use super::table::{Admission, Bounds, Index, Key, Leaver, Origin, State, When};
use crate::ioloop::{ChannelId, Remote};
use crate::random::{Keys, Random};
use crate::sys;

/// The limits of a server; 0 is no limit.
pub(crate) struct Limits {
    max_cons: AtomicUsize,
    max_cons_per_ip: AtomicUsize,
    max_cons_per_user: AtomicUsize,
    /// How many sockets the server listens on besides the first.
    more_listeners: AtomicUsize,
    /// How many bits of an IPv6 address stand for a client.
    ipv6_prefix: AtomicU8,
    pub(super) counts: Counts,
    pub(super) descriptors: Descriptors,
    doors: Doors,
    losses: Losses,
    refusals: Refusals,
    /// Makes keys that a client cannot predict.
    keys: Keys,
    /// From when times are counted. Forked processes have the same clock.
    start: Instant,
}

impl Limits {
    /// The default limits. The keys of addresses and users come from `random`, and `start` is
    /// the time now.
    pub(crate) fn new(random: &Random, start: Instant) -> Self {
        Self {
            max_cons: AtomicUsize::new(MAX_CONS),
            max_cons_per_ip: AtomicUsize::new(0),
            max_cons_per_user: AtomicUsize::new(0),
            more_listeners: AtomicUsize::new(0),
            ipv6_prefix: AtomicU8::new(IPV6_PREFIX),
            counts: Counts::new(),
            descriptors: Descriptors::new(),
            doors: Doors::default(),
            losses: Losses::default(),
            refusals: Refusals::default(),
            keys: random.keys(),
            start,
        }
    }

    pub(crate) fn max_cons(&self) -> usize {
        self.max_cons.load(Relaxed)
    }

    pub(crate) fn set_max_cons(&self, limit: usize) {
        self.max_cons.store(limit, Relaxed);
    }

    pub(crate) fn max_cons_per_ip(&self) -> usize {
        self.max_cons_per_ip.load(Relaxed)
    }

    pub(crate) fn set_max_cons_per_ip(&self, limit: usize) {
        self.max_cons_per_ip.store(limit, Relaxed);
    }

    pub(crate) fn max_cons_per_user(&self) -> usize {
        self.max_cons_per_user.load(Relaxed)
    }

    pub(crate) fn set_max_cons_per_user(&self, limit: usize) {
        self.max_cons_per_user.store(limit, Relaxed);
    }

    pub(crate) fn set_ipv6_prefix(&self, bits: u8) {
        self.ipv6_prefix.store(bits.clamp(1, 128), Relaxed);
    }

    /// The server listens on this many sockets, which count for the limit. Call it before there is
    /// a session.
    pub(crate) fn set_listeners(&self, listeners: usize) {
        let more = listeners.saturating_sub(1);
        let before = self.more_listeners.swap(more, Relaxed);
        self.counts.add_listeners(more.saturating_sub(before));
    }

    /// The limit on sockets without those that listen, except for one: the table counts that.
    fn slots(&self) -> usize {
        match self.max_cons() {
            0 => 0,
            // Not 0, which would be no limit.
            most => most
                .saturating_sub(self.more_listeners.load(Relaxed))
                .max(1),
        }
    }

    /// The sockets of this process, the listening sockets of the server included.
    pub(crate) fn sockets(&self) -> usize {
        self.counts.sockets()
    }

    // --- several processes

    /// Counts from now on in memory that this process shares with the `workers` that it
    /// forks after this (`usize::MAX`: one for each connection), and raises the limit of
    /// open files as [`raise_open_files`](Self::raise_open_files). Call it after the
    /// limits are set, and before there is a session.
    pub(crate) fn share(&self, workers: usize, each: u64) -> io::Result<()> {
        debug_assert_eq!(self.sockets(), 1 + self.more_listeners.load(Relaxed));
        if self.counts.is_shared() {
            return Ok(());
        }
        self.raise_open_files(workers, each);
        let capacity = match self.max_cons() {
            0 => {
                let files = sys::open_files().unwrap_or(u64::MAX);
                let files = usize::try_from(files).unwrap_or(usize::MAX);
                files.saturating_mul(workers)
            }
            // A refused connection has a slot too, until its 421 is sent.
            max_cons => max_cons.saturating_add(max_cons / 4 + 1024),
        };
        // A process for one connection gets no slots of its own that could be taken away.
        let workers = if workers == usize::MAX { 0 } else { workers };
        self.counts.share(capacity.min(CAPACITY_MAX), workers)
    }

    /// Takes back the slots of a process that has ended and was waited for. Returns
    /// their number; `None` if another process holds the lock of the table: call it again.
    pub(crate) fn forget_process(&self, pid: sys::Pid) -> Option<usize> {
        self.counts.forget_process(pid)
    }

    /// Which process holds the lock of the table.
    pub(crate) fn look_at_lock(&self, now: Instant) -> sys::Held {
        self.counts.look_at_lock(now)
    }

    /// Calls this function when another process holds the lock of the table. It must let
    /// [`catch_up`](Self::catch_up) be called until that returns true.
    pub(crate) fn on_busy(&self, on_busy: impl Fn() + Send + 'static) {
        self.counts.on_busy(Box::new(on_busy));
    }

    /// Makes the changes that wait for the lock of the table. Returns whether this process has
    /// got the lock.
    pub(crate) fn catch_up(&self) -> bool {
        self.counts.catch_up()
    }

    // --- descriptors

    /// Raises the limit of open files to what the system allows, for this process and
    /// the `workers` that it may fork. Warns if that is too few for `max_cons`
    /// connections that take `each` descriptors. Later calls do nothing.
    pub(crate) fn raise_open_files(&self, workers: usize, each: u64) {
        self.descriptors.raise(workers, each, self.max_cons());
    }

    /// Whether the descriptor of a new connection falls in the reserve, which is for the
    /// transfers of sessions that exist.
    pub(crate) fn is_reserved(&self, got: &impl AsRawFd) -> bool {
        self.descriptors.is_reserved(got)
    }

    // --- slots

    /// Takes a slot for a control connection, and says whether it is within the limits. A
    /// session of another client may be asked to leave for it. A connection in memory has no
    /// descriptor.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: IpAddr,
        descriptor: Option<BorrowedFd<'_>>,
        now: Instant,
    ) -> (Slot, Admission) {
        let origin = Origin {
            ip: self.key(("address", self.network(ip))),
            group: self.group(ip),
        };
        if descriptor.is_some_and(|got| self.is_reserved(&got)) {
            let entry = self.counts.take(origin, self.time(now));
            return (self.slot_of(entry, State::Bound), Admission::MaxCons);
        }
        let (time, bounds) = (self.time(now), self.bounds());
        let (entry, admission, leaver) = self.counts.admit(origin, time, bounds);
        if let Some(leaver) = leaver {
            self.ask_to_leave(leaver, now);
        }
        let state = match admission {
            Admission::Admitted => State::New,
            _ => State::Bound,
        };
        (self.slot_of(entry, state), admission)
    }

    /// Takes a slot for another socket of a session with a client at `ip`.
    pub(crate) fn slot(self: &Arc<Self>, ip: IpAddr) -> Slot {
        let origin = Origin {
            ip: 0,
            group: self.group(ip),
        };
        self.slot_of(self.counts.take(origin, 0), State::Bound)
    }

    /// Whether a session with a client at `ip` may have another socket. That one counts, as in
    /// pyftpdlib.
    pub(crate) fn accepts_new_cons(&self, ip: IpAddr) -> bool {
        let origin = Origin {
            ip: 0,
            group: self.group(ip),
        };
        self.counts.has_room(origin, self.bounds())
    }

    /// Whether so many slots are taken that connections which are over must not keep theirs.
    pub(crate) fn is_crowded(&self) -> bool {
        self.counts.is_crowded(self.bounds())
    }

    /// A session with a client at `ip` leaves, because it was asked to.
    pub(crate) fn count_loss(&self, ip: IpAddr, now: Instant) {
        self.losses.count(ip, now);
    }

    /// A connection from `ip` is refused. Returns whether the log is to have its lines.
    pub(crate) fn count_refusal(&self, ip: IpAddr, now: Instant) -> bool {
        self.refusals.count(ip, now)
    }

    /// This process is the worker of this number from now on. Returns the socket that becomes
    /// readable when it must [ask](Self::ask_leavers) its sessions.
    pub(crate) fn become_worker(&self, number: usize) -> io::Result<UnixStream> {
        self.counts.wakers.become_worker(number)
    }

    /// Asks the sessions of this process to leave that others have chosen.
    pub(crate) fn ask_leavers(&self, now: Instant) {
        for index in self.counts.leavers() {
            self.ask_session(index, now);
        }
    }

    fn ask_to_leave(&self, leaver: Leaver, now: Instant) {
        match leaver.owner.pid == self.counts.pid() {
            true => self.ask_session(leaver.index, now),
            false => self.counts.wakers.wake(leaver.owner.worker),
        }
    }

    fn ask_session(&self, index: Index, now: Instant) {
        match self.doors.ask(index) {
            // It has not begun yet.
            Asked::Nobody => self
                .counts
                .set_state(Entry::At(index), State::New, When::Leaving),
            Asked::Session => {}
            Asked::Process(ip) => self.count_loss(ip, now),
        }
    }

    fn slot_of(self: &Arc<Self>, entry: Entry, state: State) -> Slot {
        Slot {
            limits: Arc::clone(self),
            entry,
            state,
            holder: OnceCell::new(),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            slots: self.slots(),
            of_ip: self.max_cons_per_ip(),
        }
    }

    /// The key of the client at an address.
    fn group(&self, ip: IpAddr) -> Key {
        self.key(("group", self.network(ip)))
    }

    /// What stands for the client at an address: an IPv6 client may have many addresses.
    fn network(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => {
                let others = 128 - u32::from(self.ipv6_prefix.load(Relaxed));
                Ipv6Addr::from_bits(ip.to_bits() >> others << others).into()
            }
        }
    }

    /// A time, in tenths of a second since the start.
    fn time(&self, now: Instant) -> u32 {
        let time = now.saturating_duration_since(self.start).as_millis() / 100;
        u32::try_from(time).unwrap_or(u32::MAX)
    }

    /// The key of an address or a user. All processes of a run use the same key; the next
    /// run uses another.
    fn key(&self, of: impl Hash) -> Key {
        self.keys.hash_one(of).max(1)
    }
}

impl State {
    fn of_session(logged_in: bool, at_rest: bool) -> Self {
        match (logged_in, at_rest) {
            (false, _) => Self::New,
            (true, true) => Self::Idle,
            (true, false) => Self::Busy,
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("sockets", &self.sockets())
            .finish_non_exhaustive()
    }
}

/// Counts a socket as long as it lives: given back when dropped, or when the last
/// [holder](Self::hold) is dropped, whichever is later.
///
/// A slot belongs to the process that took it. A process that inherits it by a fork may
/// serve the connection with it, but only the first process gives it back.
pub(crate) struct Slot {
    limits: Arc<Limits>,
    entry: Entry,
    /// As the table has it, unless the session was asked to leave.
    state: State,
    holder: OnceCell<Arc<SlotHolder>>,
}

/// Keeps a slot taken after its socket is closed: for jobs that outlive their session.
pub(crate) struct SlotHolder {
    limits: Arc<Limits>,
    /// The entry of the slot, once that was dropped.
    left: OnceLock<Entry>,
}

impl Slot {
    /// Counts the slot for a user. Returns false if the user already has the most allowed.
    pub(crate) fn assign_user(&mut self, username: &str) -> bool {
        let user = self.limits.key(username);
        let count = self.limits.counts.set_user(self.entry, user);
        let max = &self.limits.max_cons_per_user;
        let assigned = count.map_or(max.load(Relaxed) == 0, |count| fits(count, max));
        if !assigned {
            self.clear_user();
        }
        assigned
    }

    /// Counts the slot for a user, whatever the limit.
    pub(crate) fn count_user(&mut self, username: &str) {
        let user = self.limits.key(username);
        self.limits.counts.set_user(self.entry, user);
    }

    /// Counts the slot for no user.
    pub(crate) fn clear_user(&mut self) {
        self.limits.counts.set_user(self.entry, 0);
    }

    /// The session of the slot has begun: this is how it is asked to leave.
    pub(crate) fn set_session(&self, remote: &Remote, id: ChannelId) {
        self.set_door(Door::Loop(remote.clone(), id));
    }

    /// The session of the slot, with a client at `ip`, has a process of its own, which was not
    /// waited for yet.
    pub(crate) fn set_process(&self, pid: sys::Pid, ip: IpAddr) {
        self.set_door(Door::Process(pid, ip));
    }

    fn set_door(&self, door: Door) {
        if let Some(index) = self.limits.counts.index(self.entry)
            && self.state != State::Bound
        {
            self.limits.doors.set(index, door);
        }
    }

    /// Says what the session does: whether a user is logged in, and whether nothing happens.
    pub(crate) fn set_activity(&mut self, logged_in: bool, at_rest: bool) {
        let state = State::of_session(logged_in, at_rest);
        if self.state != State::Bound && self.state != state {
            self.state = state;
            self.limits
                .counts
                .set_state(self.entry, state, When::Staying);
        }
    }

    /// The session was asked to leave, and stays.
    pub(crate) fn stay(&self) {
        self.limits
            .counts
            .set_state(self.entry, self.state, When::Leaving);
    }

    /// Whether the session is asked to leave.
    pub(crate) fn is_asked_to_leave(&self) -> bool {
        self.limits.counts.is_leaving(self.entry)
    }

    /// Returns the holder that keeps the slot taken.
    pub(crate) fn hold(&self) -> Arc<SlotHolder> {
        let new = || SlotHolder {
            limits: Arc::clone(&self.limits),
            left: OnceLock::new(),
        };
        Arc::clone(self.holder.get_or_init(|| Arc::new(new())))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(index) = self.limits.counts.index(self.entry)
            && self.state != State::Bound
        {
            self.limits.doors.remove(index);
        }
        match self.holder.take() {
            None => self.limits.counts.give_back(self.entry),
            // The last owner of the holder gives it back, possibly this one.
            Some(holder) => {
                let descriptors = &self.limits.descriptors;
                descriptors.without_socket.fetch_add(1, Relaxed);
                let counts = &self.limits.counts;
                // There is no session any more that could leave.
                counts.set_state(self.entry, State::Bound, When::Always);
                let _ = holder.left.set(self.entry);
            }
        }
    }
}

impl Drop for SlotHolder {
    fn drop(&mut self) {
        if let Some(entry) = self.left.take() {
            let descriptors = &self.limits.descriptors;
            descriptors.without_socket.fetch_sub(1, Relaxed);
            self.limits.counts.give_back(entry);
        }
    }
}

/// Whether a count is within a limit; 0 is no limit.
fn fits(count: usize, limit: &AtomicUsize) -> bool {
    let limit = limit.load(Relaxed);
    limit == 0 || count <= limit
}

/// The default of `max_cons`: as pyftpdlib.
const MAX_CONS: usize = 512;

/// How many bits of an IPv6 address stand for a client: what a network usually gives to one.
const IPV6_PREFIX: u8 = 64;

// An idle session is to take little memory.
const _: () = assert!(size_of::<Slot>() <= 32);

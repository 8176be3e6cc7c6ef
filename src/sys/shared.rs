//! Words of memory that forked processes share, under one lock that survives the death of
//! a process that holds it, and that no process waits for without a limit.

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::last_resort::wake_parent;
use super::pid::{Pid, process_id};

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
use owned::Lock;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use robust::Lock;

/// Words that this process shares with the processes that it forks from now on.
///
/// All words are zero at first. A page of memory is used only once something is written
/// to it.
#[derive(Debug)]
pub(crate) struct SharedWords {
    /// The start of the mapping: the lock. The words follow at [`OFFSET`].
    memory: NonNull<Lock>,
    words: usize,
    /// Whether this process has waited for the lock in vain. Until it gets the lock, it does not
    /// wait again.
    gave_up: AtomicBool,
    /// What [`look`](Self::look) has seen: the word of the holder, and since when it is the same.
    seen: Mutex<Option<(u64, Instant)>>,
}

/// Which process holds a lock, as far as the parent of the processes that use it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nobody.
    Free,
    /// A process, perhaps for long: look again at this time.
    Until(Instant),
    /// This process holds it for a second, and so is stopped, or stuck.
    By(Pid),
}

impl Held {
    /// What matters more of both.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::By(pid), _) | (_, Self::By(pid)) => Self::By(pid),
            (Self::Until(one), Self::Until(another)) => Self::Until(one.min(another)),
            (Self::Free, other) => other,
            (held, Self::Free) => held,
        }
    }
}

// SAFETY: the mapping belongs to the process and not to a thread, so that any thread may
// use it and, in `drop`, unmap it.
unsafe impl Send for SharedWords {}
// SAFETY: `&SharedWords` gives access to the words only through a guard. The lock lets one
// guard exist at a time, over all threads and processes, and is itself safe to share.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps memory for this many words.
    ///
    /// # Errors
    /// The system has no memory, or cannot initialize the lock.
    pub(crate) fn new(words: usize) -> io::Result<Self> {
        let size = words.checked_mul(size_of::<u64>());
        let size = size.and_then(|size| size.checked_add(OFFSET));
        let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: without an address the system chooses a free range, so that no memory in
        // use is replaced; an anonymous mapping takes -1 for its file.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | NO_RESERVE,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let shared = Self {
            memory,
            words,
            gave_up: AtomicBool::new(false),
            seen: Mutex::new(None),
        };
        shared.lock_itself().init()?;
        Ok(shared)
    }

    /// Takes the lock. Its holder must give it back soon, and must not wait for anything
    /// meanwhile. If it does not for some milliseconds, it may have been stopped: then the parent
    /// of this process is woken, which [looks](Self::look) for that, and until this process gets
    /// the lock, it does not wait any more.
    ///
    /// # Errors
    /// `WouldBlock`: another process holds the lock. The mutex of the system fails only if it was
    /// not initialized, or was given back before the death of an owner was dealt with; neither
    /// happens here.
    pub(crate) fn lock(&self) -> io::Result<SharedGuard<'_>> {
        for turn in 0..SPINS + SLEEPS {
            if let Some(owner_died) = self.lock_itself().try_lock()? {
                self.gave_up.store(false, Ordering::Relaxed);
                // Only the holder of the lock writes the word.
                let turns = self.holder().load(Ordering::Relaxed) >> 32;
                let word = turns.wrapping_add(1) << 32 | u64::from(process_id());
                self.holder().store(word, Ordering::Release);
                return Ok(SharedGuard {
                    shared: self,
                    owner_died,
                    _not_send: PhantomData,
                });
            }
            match turn {
                _ if self.gave_up.load(Ordering::Relaxed) => break,
                0..SPINS => thread::yield_now(),
                _ => thread::sleep(SLEEP),
            }
        }
        if !self.gave_up.swap(true, Ordering::Relaxed) {
            wake_parent();
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Looks who holds the lock, for the parent of the processes that use it. It must look again
    /// when it is woken, and at the time of the result.
    pub(crate) fn look(&self, now: Instant) -> Held {
        let word = self.holder().load(Ordering::Acquire);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pid) = Pid::try_from(word & u64::from(u32::MAX))
            .ok()
            .filter(|pid| *pid != 0)
        else {
            *seen = None;
            return Held::Free;
        };
        // Each time that the lock is taken has a word of its own.
        let since = match *seen {
            Some((before, since)) if before == word => since,
            _ => now,
        };
        *seen = Some((word, since));
        match now.saturating_duration_since(since) >= STUCK_AFTER {
            true => Held::By(pid),
            false => Held::Until(since + STUCK_AFTER),
        }
    }

    /// The number of the process that holds the lock, or 0. The upper half counts how often it
    /// was taken.
    fn holder(&self) -> &AtomicU64 {
        let start = self.memory.as_ptr().cast::<u8>();
        let word = start.wrapping_add(HOLDER).cast::<AtomicU64>();
        // SAFETY: the mapping is aligned to a page and larger than `OFFSET`, so that the word lies
        // in it, aligned, and does not overlap the lock, which is smaller than `HOLDER`. The
        // mapping lives as long as `self`, any bytes are a valid `AtomicU64`, and nothing has a
        // `&mut` to it.
        unsafe { &*word }
    }

    fn lock_itself(&self) -> &Lock {
        // SAFETY: the mapping is aligned to a page, larger than a `Lock`, and lives as long
        // as `self`. A `Lock` is made of integers in a cell or an atomic, for which any bytes
        // are valid, and nothing has a `&mut` to it.
        unsafe { self.memory.as_ref() }
    }

    /// Where the words begin.
    fn first_word(&self) -> *mut u64 {
        let start = self.memory.as_ptr().cast::<u8>();
        start.wrapping_add(OFFSET).cast()
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let size = OFFSET + self.words * size_of::<u64>();
        // SAFETY: `new` has mapped this range with this size. Guards borrow the value that is
        // dropped here, so that none is left. The mappings of other processes stay.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), size) };
    }
}

/// The lock, held: gives access to the words until it is dropped.
#[derive(Debug)]
pub(crate) struct SharedGuard<'a> {
    shared: &'a SharedWords,
    /// Whether the last holder has died while it held the lock: a change of the words may be
    /// half done.
    pub(crate) owner_died: bool,
    /// Keeps the guard on its thread: the thread that took the lock has to give it back.
    _not_send: PhantomData<*mut ()>,
}

impl Deref for SharedGuard<'_> {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        // SAFETY: the mapping holds this many words from there, aligned, and any bytes are a
        // valid word. This guard holds the lock, so that no thread and no process writes to
        // them, and the slice borrows the guard.
        unsafe { std::slice::from_raw_parts(self.shared.first_word(), self.shared.words) }
    }
}

impl DerefMut for SharedGuard<'_> {
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `deref`. The slice borrows the only guard mutably, so that no other
        // slice exists.
        unsafe { std::slice::from_raw_parts_mut(self.shared.first_word(), self.shared.words) }
    }
}

impl Drop for SharedGuard<'_> {
    fn drop(&mut self) {
        let turns = self.shared.holder().load(Ordering::Relaxed) >> 32;
        self.shared.holder().store(turns << 32, Ordering::Release);
        self.shared.lock_itself().unlock();
    }
}

/// Bytes from the start of the mapping to the first word, which so has a cache line that
/// the lock does not use.
const OFFSET: usize = 128;

/// Bytes from the start of the mapping to the word of the holder.
const HOLDER: usize = 64;
const _: () = assert!(size_of::<Lock>() <= HOLDER && HOLDER + size_of::<AtomicU64>() <= OFFSET);

/// How often a process tries to get the lock at once, and how often it sleeps in between after
/// that: 30 ms and more in all. A holder has it for some microseconds, unless the system lets
/// other processes run meanwhile.
const SPINS: u32 = 100;
const SLEEPS: u32 = 150;
const SLEEP: Duration = Duration::from_micros(200);

/// A process that holds a lock for so long is stopped or stuck.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Keeps the system from reserving memory for all words, most of which are never used.
#[cfg(target_os = "linux")]
const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(target_os = "linux"))]
const NO_RESERVE: libc::c_int = 0;

/// A robust mutex of the system: it reports that its owner has died.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod robust {
    use std::cell::UnsafeCell;
    use std::io;
    use std::mem::MaybeUninit;

    use libc::c_int;

    #[derive(Debug)]
    #[repr(transparent)]
    pub(super) struct Lock(UnsafeCell<libc::pthread_mutex_t>);

    impl Lock {
        /// Initializes the mutex. Called once, before any other call.
        pub(super) fn init(&self) -> io::Result<()> {
            let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
            let attributes = attributes.as_mut_ptr();
            // SAFETY: `attributes` points to room for the structure that the call initializes.
            check(unsafe { libc::pthread_mutexattr_init(attributes) })?;
            // SAFETY: `attributes` was initialized above.
            check(unsafe {
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
            })?;
            // SAFETY: `attributes` was initialized above.
            check(unsafe {
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST)
            })?;
            // SAFETY: `attributes` was initialized above. `SharedWords::new` calls this before
            // it returns, so that nothing uses the mutex yet; in its mapping it never moves.
            check(unsafe { libc::pthread_mutex_init(self.0.get(), attributes) })?;
            // SAFETY: `attributes` was initialized above, and is not used after this.
            check(unsafe { libc::pthread_mutexattr_destroy(attributes) })
        }

        /// Takes the lock, and returns whether its last owner has died while it held it. `None`
        /// if another one holds it.
        pub(super) fn try_lock(&self) -> io::Result<Option<bool>> {
            // SAFETY: `init` has initialized the mutex before anything could call this.
            match unsafe { libc::pthread_mutex_trylock(self.0.get()) } {
                libc::EBUSY => Ok(None),
                // This thread holds the lock now. If this process dies as well before it has
                // repaired the words, the next one gets EOWNERDEAD again.
                libc::EOWNERDEAD => {
                    // SAFETY: the mutex is initialized, and this thread holds it after
                    // EOWNERDEAD, as the call demands.
                    check(unsafe { libc::pthread_mutex_consistent(self.0.get()) })?;
                    Ok(Some(true))
                }
                code => check(code).map(|()| Some(false)),
            }
        }

        /// Gives the lock back. Only the thread that holds it may call this.
        pub(super) fn unlock(&self) {
            // SAFETY: the mutex is initialized. Only the guard calls this; it exists while the
            // lock is held, and cannot leave the thread that took the lock.
            let code = unsafe { libc::pthread_mutex_unlock(self.0.get()) };
            debug_assert_eq!(code, 0);
        }
    }

    /// The result of a call that returns 0 or an error number, and does not set errno.
    fn check(code: c_int) -> io::Result<()> {
        match code {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// The replacement where robust mutexes are missing: a word with the number of the process
/// that holds the lock. A process that finds it taken checks whether that one still exists.
#[cfg(any(test, not(any(target_os = "linux", target_os = "freebsd"))))]
mod owned {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Debug)]
    #[repr(transparent)]
    pub(super) struct Lock(AtomicU32);

    impl Lock {
        #[allow(
            clippy::unnecessary_wraps,
            reason = "the same signature as the robust lock"
        )]
        pub(super) fn init(&self) -> io::Result<()> {
            self.0.store(0, Ordering::Release);
            Ok(())
        }

        /// Takes the lock, and returns whether its last owner has died while it held it. `None`
        /// if another one holds it.
        #[allow(
            clippy::unnecessary_wraps,
            reason = "the same signature as the robust lock"
        )]
        pub(super) fn try_lock(&self) -> io::Result<Option<bool>> {
            let own = std::process::id();
            let taken = |from| {
                let (done, seen) = (Ordering::Acquire, Ordering::Relaxed);
                self.0.compare_exchange(from, own, done, seen)
            };
            let Err(owner) = taken(0) else {
                return Ok(Some(false));
            };
            Ok((!exists(owner) && taken(owner).is_ok()).then_some(true))
        }

        pub(super) fn unlock(&self) {
            self.0.store(0, Ordering::Release);
        }
    }

    /// Whether a process with this number exists. One that has ended, but was not waited for
    /// yet, counts.
    fn exists(pid: u32) -> bool {
        let Ok(pid) = libc::pid_t::try_from(pid) else {
            return false;
        };
        // SAFETY: kill(2) takes two numbers and no pointer. With signal 0 it sends nothing and
        // only checks whether the process exists.
        let result = unsafe { libc::kill(pid, 0) };
        pid > 0 && (result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH))
    }
}

#[cfg(test)]
mod tests;

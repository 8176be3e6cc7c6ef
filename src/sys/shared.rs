//! Words of memory that forked processes share, under one lock that survives the death of
//! a process that holds it.

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

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
        let shared = Self { memory, words };
        shared.lock_itself().init()?;
        Ok(shared)
    }

    /// Waits for the lock. Its holder must give it back soon, and must not wait for
    /// anything meanwhile: other processes block here.
    ///
    /// # Errors
    /// The mutex of the system fails only if it was not initialized, or was given back before
    /// the death of an owner was dealt with; neither happens here.
    pub(crate) fn lock(&self) -> io::Result<SharedGuard<'_>> {
        let owner_died = self.lock_itself().lock()?;
        Ok(SharedGuard {
            shared: self,
            owner_died,
            _not_send: PhantomData,
        })
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
        self.shared.lock_itself().unlock();
    }
}

/// Bytes from the start of the mapping to the first word, which so has a cache line that
/// the lock does not use.
const OFFSET: usize = 128;
const _: () = assert!(size_of::<Lock>() <= OFFSET);

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

        /// Waits for the lock. Returns whether its last owner has died while it held it.
        pub(super) fn lock(&self) -> io::Result<bool> {
            // SAFETY: `init` has initialized the mutex before anything could call this.
            match unsafe { libc::pthread_mutex_lock(self.0.get()) } {
                // This thread holds the lock now. If this process dies as well before it has
                // repaired the words, the next one gets EOWNERDEAD again.
                libc::EOWNERDEAD => {
                    // SAFETY: the mutex is initialized, and this thread holds it after
                    // EOWNERDEAD, as the call demands.
                    check(unsafe { libc::pthread_mutex_consistent(self.0.get()) })?;
                    Ok(true)
                }
                code => check(code).map(|()| false),
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
/// that holds the lock. A process that waits checks now and then whether that one still
/// exists.
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

        /// Waits for the lock. Returns whether its last owner has died while it held it.
        #[allow(
            clippy::unnecessary_wraps,
            reason = "the same signature as the robust lock"
        )]
        pub(super) fn lock(&self) -> io::Result<bool> {
            let own = std::process::id();
            let mut tries = 0_u32;
            loop {
                let taken = |from| {
                    let (done, seen) = (Ordering::Acquire, Ordering::Relaxed);
                    self.0.compare_exchange(from, own, done, seen)
                };
                let Err(owner) = taken(0) else {
                    return Ok(false);
                };
                tries = tries.wrapping_add(1);
                if tries.is_multiple_of(CHECK_EVERY) && !exists(owner) && taken(owner).is_ok() {
                    return Ok(true);
                }
                std::thread::yield_now();
            }
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

    /// How many tries there are between two checks of the owner.
    const CHECK_EVERY: u32 = 64;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::process_for_tests::{Child, alone, fork};

    /// The calls that both kinds of locks have.
    trait AnyLock {
        fn take(&self) -> bool;
        fn give_back(&self);
    }

    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    impl AnyLock for Lock {
        fn take(&self) -> bool {
            self.lock().unwrap()
        }

        fn give_back(&self) {
            self.unlock();
        }
    }

    impl AnyLock for owned::Lock {
        fn take(&self) -> bool {
            self.lock().unwrap()
        }

        fn give_back(&self) {
            self.unlock();
        }
    }

    #[test]
    fn words_are_zero_and_kept() {
        let shared = SharedWords::new(1000).unwrap();
        {
            let mut words = shared.lock().unwrap();
            assert!(!words.owner_died);
            assert_eq!(*words, [0; 1000]);
            words[999] = 7;
        }
        assert_eq!(shared.lock().unwrap()[999], 7);
        assert!(SharedWords::new(usize::MAX).is_err());
    }

    #[test]
    fn threads_exclude_each_other() {
        let shared = Arc::new(SharedWords::new(2).unwrap());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        let mut words = shared.lock().unwrap();
                        assert_eq!(words[0], words[1]);
                        words[0] += 1;
                        words[1] += 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.lock().unwrap()[0], 4000);
    }

    /// Waits until a child has counted up to `value`.
    fn wait_for(counter: &AtomicU32, value: u32) {
        let end = Instant::now() + Duration::from_secs(20);
        while counter.load(std::sync::atomic::Ordering::Acquire) != value {
            assert!(Instant::now() < end, "not in time");
            std::thread::yield_now();
        }
    }

    /// Kills a child that holds the lock, then takes and gives back the lock with another
    /// child waiting for it.
    fn survives(lock: &impl AnyLock, counter: &AtomicU32) {
        use std::sync::atomic::Ordering::AcqRel;
        assert!(!lock.take());
        lock.give_back();
        let child = fork(|| {
            lock.take();
            counter.fetch_add(1, AcqRel);
            loop {
                std::thread::park();
            }
        });
        wait_for(counter, 1);
        child.kill();
        assert!(lock.take());
        let waiting = fork(|| {
            assert!(!lock.take());
            counter.fetch_add(1, AcqRel);
            lock.give_back();
        });
        lock.give_back();
        wait_for(counter, 2);
        assert!(Child::wait(&waiting));
        assert!(!lock.take());
        lock.give_back();
    }

    #[test]
    fn the_lock_survives_its_owner() {
        alone("sys::shared::tests::the_lock_survives_its_owner", || {
            let memory = SharedWords::new(64).unwrap();
            let word = memory.first_word();
            // SAFETY: the first word of a mapping that lives to the end of this test, which
            // uses it as an atomic only.
            let counter = unsafe { &*word.cast::<AtomicU32>() };
            // SAFETY: as before, with the 17th word. Zeroes are a valid value of this lock.
            let owned = unsafe { &*word.wrapping_add(16).cast::<owned::Lock>() };
            owned.init().unwrap();
            survives(owned, counter);
            counter.store(0, std::sync::atomic::Ordering::Release);
            survives(memory.lock_itself(), counter);
        });
    }
}

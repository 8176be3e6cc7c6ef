//! Words of memory that forked processes share, under one lock that outlives
//! whoever dies while holding it.

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
use owned::Lock;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use robust::Lock;

/// Words that this process and those that it forks from now on share.
///
/// They are zero at first, and take memory as they are first written to.
#[derive(Debug)]
pub(crate) struct SharedWords {
    /// The lock, and behind it the words.
    memory: NonNull<Lock>,
    words: usize,
}

// SAFETY: the memory belongs to no thread, and stays until the value is dropped.
unsafe impl Send for SharedWords {}
// SAFETY: the words are reached only through the lock, which takes care of itself.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    pub(crate) fn new(words: usize) -> io::Result<Self> {
        let size = words.checked_mul(size_of::<u64>());
        let size = size.and_then(|size| size.checked_add(OFFSET));
        let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping, at a place of the system's choice.
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

    /// Waits for whoever has the words. Work done with them must be short, and
    /// wait for nothing.
    ///
    /// # Errors
    /// Of the system, which has no reason for any.
    pub(crate) fn lock(&self) -> io::Result<SharedGuard<'_>> {
        let owner_died = self.lock_itself().lock()?;
        Ok(SharedGuard {
            shared: self,
            owner_died,
            _of_this_thread: PhantomData,
        })
    }

    fn lock_itself(&self) -> &Lock {
        // SAFETY: it lies at the start of the mapping, which is aligned for
        // anything, and any bytes, zeros at first, are a value of it.
        unsafe { self.memory.as_ref() }
    }

    fn first_word(&self) -> *mut u64 {
        let start = self.memory.as_ptr().cast::<u8>();
        start.wrapping_add(OFFSET).cast()
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let size = OFFSET + self.words * size_of::<u64>();
        // SAFETY: this mapping is ours alone, and nothing borrows from it any
        // more. Those of other processes stay.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), size) };
    }
}

/// The words, as long as nobody else has them.
#[derive(Debug)]
pub(crate) struct SharedGuard<'a> {
    shared: &'a SharedWords,
    /// Whether whoever had them before has died at it: they may be half changed.
    pub(crate) owner_died: bool,
    /// A lock is given back by the thread that took it.
    _of_this_thread: PhantomData<*mut ()>,
}

impl Deref for SharedGuard<'_> {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        // SAFETY: so many words, any bytes of which are a value, lie there; who
        // has the lock is alone with them.
        unsafe { std::slice::from_raw_parts(self.shared.first_word(), self.shared.words) }
    }
}

impl DerefMut for SharedGuard<'_> {
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `deref`, and there is one guard, which is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.shared.first_word(), self.shared.words) }
    }
}

impl Drop for SharedGuard<'_> {
    fn drop(&mut self) {
        self.shared.lock_itself().unlock();
    }
}

/// Where the words begin: on a cache line of their own.
const OFFSET: usize = 128;
const _: () = assert!(size_of::<Lock>() <= OFFSET);

/// Most of the words are never used: nothing is set aside for them.
#[cfg(target_os = "linux")]
const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(target_os = "linux"))]
const NO_RESERVE: libc::c_int = 0;

/// A mutex of the system's, which tells when its owner has died.
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
        /// Once, before anything else.
        pub(super) fn init(&self) -> io::Result<()> {
            let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
            let attributes = attributes.as_mut_ptr();
            // SAFETY: `attributes` is writable for such a structure.
            done(unsafe { libc::pthread_mutexattr_init(attributes) })?;
            // SAFETY: they were just made.
            done(unsafe {
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
            })?;
            // SAFETY: likewise.
            done(unsafe {
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST)
            })?;
            // SAFETY: nobody uses the mutex yet, and it is never moved.
            done(unsafe { libc::pthread_mutex_init(self.0.get(), attributes) })?;
            // SAFETY: made above, and not used after this.
            done(unsafe { libc::pthread_mutexattr_destroy(attributes) })
        }

        /// Returns whether its last owner has died.
        pub(super) fn lock(&self) -> io::Result<bool> {
            // SAFETY: `init` has made it.
            match unsafe { libc::pthread_mutex_lock(self.0.get()) } {
                // It is ours then. Should we die too before what it guards is in
                // order, the next one is told as much.
                libc::EOWNERDEAD => {
                    // SAFETY: as above, and its last owner has died.
                    done(unsafe { libc::pthread_mutex_consistent(self.0.get()) })?;
                    Ok(true)
                }
                code => done(code).map(|()| false),
            }
        }

        /// By the thread that has it.
        pub(super) fn unlock(&self) {
            // SAFETY: `init` has made it, and this thread has it.
            let code = unsafe { libc::pthread_mutex_unlock(self.0.get()) };
            debug_assert_eq!(code, 0);
        }
    }

    /// These calls return their error.
    fn done(code: c_int) -> io::Result<()> {
        match code {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// Where mutexes do not tell: a word that holds the process that has the lock.
/// Whoever waits for it looks whether that one is still there.
#[cfg(any(test, not(any(target_os = "linux", target_os = "freebsd"))))]
mod owned {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Debug)]
    #[repr(transparent)]
    pub(super) struct Lock(AtomicU32);

    impl Lock {
        #[allow(clippy::unnecessary_wraps, reason = "as the other one")]
        pub(super) fn init(&self) -> io::Result<()> {
            self.0.store(0, Ordering::Release);
            Ok(())
        }

        /// Returns whether its last owner has died.
        #[allow(clippy::unnecessary_wraps, reason = "as the other one")]
        pub(super) fn lock(&self) -> io::Result<bool> {
            let own = std::process::id();
            let mut turns = 0_u32;
            loop {
                let taken = |from| {
                    let (done, seen) = (Ordering::Acquire, Ordering::Relaxed);
                    self.0.compare_exchange(from, own, done, seen)
                };
                let Err(owner) = taken(0) else {
                    return Ok(false);
                };
                turns = turns.wrapping_add(1);
                if turns.is_multiple_of(LOOK) && !exists(owner) && taken(owner).is_ok() {
                    return Ok(true);
                }
                std::thread::yield_now();
            }
        }

        pub(super) fn unlock(&self) {
            self.0.store(0, Ordering::Release);
        }
    }

    /// Whether there is such a process. One that nobody has waited for yet counts.
    fn exists(pid: u32) -> bool {
        let Ok(pid) = libc::pid_t::try_from(pid) else {
            return false;
        };
        // SAFETY: no signal is sent; only whether one could be is asked.
        let result = unsafe { libc::kill(pid, 0) };
        pid > 0 && (result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH))
    }

    /// So many turns of waiting between two looks.
    const LOOK: u32 = 64;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::process_for_tests::{Child, alone, fork};

    /// What both kinds of locks have in common.
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
    fn threads_take_turns() {
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

    /// Waits until a child has counted up.
    fn wait_for(counter: &AtomicU32, value: u32) {
        let end = Instant::now() + Duration::from_secs(20);
        while counter.load(std::sync::atomic::Ordering::Acquire) != value {
            assert!(Instant::now() < end, "not in time");
            std::thread::yield_now();
        }
    }

    /// One that is killed while it has the lock, and one that it waits for.
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
            let place = memory.first_word();
            // SAFETY: the first words of a mapping that only this test uses.
            let counter = unsafe { &*place.cast::<AtomicU32>() };
            // SAFETY: as before, at another place.
            let owned = unsafe { &*place.wrapping_add(16).cast::<owned::Lock>() };
            owned.init().unwrap();
            survives(owned, counter);
            counter.store(0, std::sync::atomic::Ordering::Release);
            survives(memory.lock_itself(), counter);
        });
    }
}

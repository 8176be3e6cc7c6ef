//! Locks of threads and processes.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::sys::process_for_tests::{Child, alone, fork, stop};

/// The calls that both kinds of locks have.
trait AnyLock {
    fn take(&self) -> bool;
    fn give_back(&self);
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
impl AnyLock for Lock {
    fn take(&self) -> bool {
        wait(|| self.try_lock().unwrap())
    }

    fn give_back(&self) {
        self.unlock();
    }
}

impl AnyLock for owned::Lock {
    fn take(&self) -> bool {
        wait(|| self.try_lock().unwrap())
    }

    fn give_back(&self) {
        self.unlock();
    }
}

/// Tries until it succeeds.
fn wait<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(got) = attempt() {
            return got;
        }
        assert!(Instant::now() < end, "not in time");
        thread::yield_now();
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
            thread::spawn(move || {
                for _ in 0..1000 {
                    let mut words = wait(|| shared.lock().ok());
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
    while counter.load(Ordering::Acquire) != value {
        assert!(Instant::now() < end, "not in time");
        thread::yield_now();
    }
}

/// Kills a child that holds the lock, then takes and gives back the lock with another
/// child waiting for it.
fn survives(lock: &impl AnyLock, counter: &AtomicU32) {
    use Ordering::AcqRel;
    assert!(!lock.take());
    lock.give_back();
    let child = fork(|| {
        lock.take();
        counter.fetch_add(1, AcqRel);
        loop {
            thread::park();
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
        counter.store(0, Ordering::Release);
        survives(memory.lock_itself(), counter);
    });
}

/// A process that is stopped while it holds the lock stops no other one, and is found.
#[test]
fn a_stopped_holder_is_found() {
    alone("sys::shared::tests::a_stopped_holder_is_found", || {
        let shared = SharedWords::new(64).unwrap();
        let start = Instant::now();
        assert_eq!(shared.look(start), Held::Free);
        let child = fork(|| {
            let mut words = shared.lock().unwrap();
            words[0] = 7;
            stop();
        });
        child.wait_for_stop();
        assert!(matches!(shared.look(start), Held::Until(_)));
        // The first attempt waits for a while, the others do not.
        assert!(shared.lock().is_err() && shared.gave_up.load(Ordering::Relaxed));
        let begin = Instant::now();
        for _ in 0..1000 {
            assert!(shared.lock().is_err());
        }
        // A thousand short waits would take ten seconds.
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(shared.look(start), Held::Until(start + STUCK_AFTER));
        assert_eq!(shared.look(start + STUCK_AFTER), Held::By(child.pid()));
        child.kill();
        let words = wait(|| shared.lock().ok());
        assert!(words.owner_died && words[0] == 7);
        drop(words);
        assert_eq!(shared.look(start), Held::Free);
        // Another time counts from its own beginning.
        let words = shared.lock().unwrap();
        let late = start + 9 * STUCK_AFTER;
        assert_eq!(shared.look(late), Held::Until(late + STUCK_AFTER));
        drop(words);
    });
}

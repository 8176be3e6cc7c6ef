//! The reactor alone: as pyftpdlib's `TestCallLater`, `TestCallEvery` and the tests of its loops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ftpdlib::ioloop::{CallLater, IOLoop, Io};
use testkit::reactor::{MS, Quiet, Thread, quiet};
use testkit::{DEADLINE, next};

/// Turns a loop on this thread until a condition is true.
#[track_caller]
fn turn_until(ioloop: &mut IOLoop, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time");
        ioloop.turn(Some(5 * MS)).unwrap();
    }
}

/// The calls so far, in order.
type Calls = Rc<RefCell<Vec<&'static str>>>;

fn note(calls: &Calls, name: &'static str) -> impl FnMut(&mut Io<'_>) + 'static {
    let calls = Rc::clone(calls);
    move |_| calls.borrow_mut().push(name)
}

// --- TestCallLater

#[test]
fn call_later_order() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    // Calls with one deadline come in the order in which they were set.
    for (delay, name) in [(20, "d"), (10, "b"), (0, "a"), (10, "c")] {
        ioloop.call_later(delay * MS, note(&calls, name));
    }
    turn_until(&mut ioloop, || calls.borrow().len() == 4);
    assert_eq!(*calls.borrow(), ["a", "b", "c", "d"]);
    assert_eq!(ioloop.turn(Some(MS)).unwrap(), None, "once only");
    assert_eq!(calls.borrow().len(), 4);
}

#[test]
fn call_later_reset() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    // Long enough for a busy machine, which may stop this thread between two turns.
    let first = ioloop.call_later(500 * MS, note(&calls, "reset"));
    ioloop.call_later(550 * MS, note(&calls, "other"));
    // It is called after the other one.
    while calls.borrow().is_empty() {
        first.reset();
        ioloop.turn(Some(MS)).unwrap();
    }
    assert_eq!(*calls.borrow(), ["other"]);
    assert!(!first.cancelled());
    turn_until(&mut ioloop, || calls.borrow().len() == 2);
    assert!(first.cancelled(), "called, and not to be called again");
    first.reset();
    assert_eq!(ioloop.turn(Some(MS)).unwrap(), None);
}

#[test]
fn call_later_cancel() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let first = ioloop.call_later(MS, note(&calls, "first"));
    let second = ioloop.call_later(2 * MS, note(&calls, "second"));
    assert!(!first.cancelled());
    first.cancel();
    first.cancel();
    assert!(first.cancelled() && !second.cancelled());
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    assert_eq!(*calls.borrow(), ["second"]);
    // Cancelling a call that was made changes nothing.
    second.cancel();
    assert_eq!(ioloop.turn(Some(MS)).unwrap(), None);
}

#[test]
fn call_later_cancels_another_that_is_due() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let second = Rc::new(RefCell::new(None::<CallLater>));
    let handle = Rc::clone(&second);
    ioloop.call_later(MS, move |_| handle.take().unwrap().cancel());
    *second.borrow_mut() = Some(ioloop.call_later(MS, note(&calls, "second")));
    ioloop.call_later(2 * MS, note(&calls, "third"));
    // All of them are due when the loop turns.
    let due = Instant::now() + 2 * MS;
    while Instant::now() <= due {
        std::thread::yield_now();
    }
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    assert_eq!(*calls.borrow(), ["third"]);
}

#[test]
fn call_later_panic() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let bad = ioloop.call_later(MS, |_| panic!("a bug"));
    ioloop.call_later(2 * MS, note(&calls, "good"));
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    assert!(bad.cancelled());
}

#[test]
fn call_later_from_within() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let inner = Rc::clone(&calls);
    ioloop.call_later(Duration::ZERO, move |io| {
        assert_eq!(io.id(), None);
        io.call_later(Duration::ZERO, note(&inner, "inner"));
    });
    turn_until(&mut ioloop, || !calls.borrow().is_empty());
    // A very long delay does not overflow.
    let far = ioloop.call_later(Duration::MAX, note(&calls, "never"));
    let next = ioloop.turn(Some(Duration::ZERO)).unwrap();
    assert!(next.unwrap() > Duration::from_secs(86_400));
    far.cancel();
    assert_eq!(ioloop.turn(Some(Duration::ZERO)).unwrap(), None);
}

// --- TestCallEvery

#[test]
fn call_every() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let often = ioloop.call_every(MS, note(&calls, "often"));
    let rarely = ioloop.call_every(Duration::from_secs(3600), note(&calls, "rarely"));
    turn_until(&mut ioloop, || calls.borrow().len() == 3);
    assert_eq!(*calls.borrow(), ["often"; 3]);
    assert!(!often.cancelled() && !rarely.cancelled());
}

/// A call without a delay is made once a turn and starves nothing else.
#[test]
fn call_every_without_delay() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    ioloop.call_every(Duration::ZERO, note(&calls, "zero"));
    for count in 1..=3 {
        ioloop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(calls.borrow().len(), count);
    }
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    ioloop.call_later(MS, move |_| flag.set(true));
    turn_until(&mut ioloop, || done.get());
}

#[test]
fn call_every_cancel() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let other = ioloop.call_every(MS, note(&calls, "other"));
    // It cancels itself at the third call.
    let own = Rc::new(RefCell::new(None::<CallLater>));
    let (handle, count) = (Rc::clone(&own), Rc::new(Cell::new(0)));
    let counter = Rc::clone(&count);
    *own.borrow_mut() = Some(ioloop.call_every(MS, move |_| {
        counter.set(counter.get() + 1);
        if counter.get() == 3 {
            handle.borrow().as_ref().unwrap().cancel();
        }
    }));
    turn_until(&mut ioloop, || {
        calls.borrow().len() >= 6 && count.get() == 3
    });
    let seen = calls.borrow().len();
    turn_until(&mut ioloop, || calls.borrow().len() >= seen + 3);
    assert_eq!(count.get(), 3);
    other.cancel();
    assert_eq!(ioloop.turn(Some(Duration::ZERO)).unwrap(), None);
}

#[test]
fn call_every_panic() {
    let mut ioloop = IOLoop::new().unwrap();
    let calls = Calls::default();
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let bad = ioloop.call_every(MS, move |_| {
        counter.set(counter.get() + 1);
        panic!("a bug");
    });
    ioloop.call_every(MS, note(&calls, "good"));
    turn_until(&mut ioloop, || calls.borrow().len() >= 5);
    assert_eq!(count.get(), 1);
    assert!(bad.cancelled());
}

// --- other threads

#[test]
fn remote_call_and_send_wake_a_sleeping_loop() {
    let thread = Thread::start(|_| {});
    for round in 0..100 {
        assert_eq!(thread.ask(move |_| round), round);
    }
    let (id, events) = quiet(&thread);
    for _ in 0..100 {
        thread.remote.send(id, Box::new("hello"));
        assert_eq!(next(&events), "hello");
    }
    // Many threads call at once; the order of each thread is kept.
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let remote = thread.remote.clone();
            std::thread::spawn(move || (0..1000).for_each(|_| remote.send(id, Box::new("x"))))
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    for _ in 0..4000 {
        assert_eq!(next(&events), "x");
    }
    // A message from channel to channel arrives before the loop sleeps.
    thread.remote.send(id, Box::new("new"));
    assert_eq!(next(&events), "from another");
    thread.remote.send(id, Box::new("again"));
    assert_eq!(next(&events), "again");
    thread.remote.send(id, Box::new("timeout"));
    assert_eq!(next(&events), "timeout");
    // A function that panics does not stop the loop.
    thread.remote.call(|_| panic!("a bug"));
    assert!(thread.ask(|_| true));
}

/// Checks that a delayed function is called on a loop that nothing else wakes.
#[track_caller]
fn assert_calls_later(thread: &Thread) {
    let (sender, called) = mpsc::channel();
    thread.ask(move |io| drop(io.call_later(MS, move |_| sender.send(()).unwrap())));
    assert_eq!(called.recv_timeout(DEADLINE), Ok(()));
}

/// Cancelled calls are counted, so that the loop does not wake for them. A call that counted
/// twice, or after it was removed, would hide one that is due.
#[test]
fn call_every_cancelled_by_itself_in_a_panic() {
    let thread = Thread::start(|_| {});
    for _ in 0..3 {
        let (sender, called) = mpsc::channel();
        thread.ask(move |io| {
            let own = Rc::new(RefCell::new(None::<CallLater>));
            let handle = Rc::clone(&own);
            let every = io.call_every(MS, move |_| {
                handle.borrow().as_ref().unwrap().cancel();
                sender.send(()).unwrap();
                panic!("a bug");
            });
            *own.borrow_mut() = Some(every);
        });
        assert_eq!(called.recv_timeout(DEADLINE), Ok(()));
        assert!(called.recv().is_err(), "once only, and it is dropped");
    }
    assert_calls_later(&thread);
}

/// The same while the loop removes cancelled calls.
#[test]
fn cancel_from_another_thread() {
    const HANDLES: usize = 1500;
    let thread = Thread::start(|_| {});
    for _ in 0..100 {
        // Without a delay, so that each turn of the loop checks whether there are too many.
        let (busy, handles) = thread.ask(|io| {
            let busy = io.call_every(Duration::ZERO, |_| {});
            let hour = Duration::from_secs(3600);
            let handles: Vec<_> = (0..HANDLES).map(|_| io.call_later(hour, |_| {})).collect();
            (busy, handles)
        });
        for handle in &handles {
            handle.cancel();
        }
        busy.cancel();
        assert!(handles.iter().all(CallLater::cancelled));
        assert_calls_later(&thread);
    }
}

#[test]
fn a_late_message_reaches_nobody() {
    let thread = Thread::start(|_| {});
    let (old, old_events) = quiet(&thread);
    thread.remote.send(old, Box::new("timeout"));
    thread.remote.send(old, Box::new("close"));
    // It has the slot of the other one.
    let (new, new_events) = quiet(&thread);
    assert_ne!(old, new);
    assert_eq!(
        format!("{old:?}").split(',').next(),
        format!("{new:?}").split(',').next(),
        "the same slot"
    );
    thread.remote.send(old, Box::new("late"));
    thread.remote.send(new, Box::new("hello"));
    assert_eq!(next(&new_events), "hello");
    assert!(old_events.recv_timeout(DEADLINE).is_err(), "it is gone");
    // Neither does the deadline of the old one.
    let (other, _) = quiet(&thread);
    thread.remote.send(other, Box::new("timeout"));
    thread.remote.send(new, Box::new("timeout"));
    assert_eq!(next(&new_events), "timeout");
    assert!(new_events.try_recv().is_err());
}

#[test]
fn a_panic_closes_its_channel_only() {
    let thread = Thread::start(|_| {});
    let (bad, bad_events) = quiet(&thread);
    let (good, good_events) = quiet(&thread);
    thread.remote.send(bad, Box::new("panic"));
    thread.remote.send(good, Box::new("hello"));
    assert_eq!(next(&good_events), "hello");
    assert_eq!(next(&bad_events), "closed");
    assert!(bad_events.recv_timeout(DEADLINE).is_err(), "it is gone");
    drop(thread);
    assert_eq!(next(&good_events), "closed");
}

/// A message may be of any type.
#[test]
fn a_late_message_that_panics_when_dropped_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bug");
        }
    }
    let thread = Thread::start(|_| {});
    let (gone, _) = quiet(&thread);
    let (other, events) = quiet(&thread);
    thread.remote.send(gone, Box::new("close"));
    thread.remote.send(gone, Box::new(Bomb));
    thread.remote.send(other, Box::new("hello"));
    assert_eq!(next(&events), "hello");
}

#[test]
fn run_ends_when_no_channel_is_left() {
    let mut ioloop = IOLoop::new().unwrap();
    ioloop.call_later(Duration::from_secs(3600), |_| {});
    ioloop.run().unwrap();
    let id = ioloop.add(Quiet::default());
    assert_eq!(ioloop.len(), 1);
    let remote = ioloop.remote();
    ioloop.call_later(MS, move |_| remote.send(id, Box::new("close")));
    ioloop.run().unwrap();
    assert!(ioloop.is_empty());
}

#[test]
fn stop_and_run_again() {
    let mut ioloop = IOLoop::new().unwrap();
    ioloop.add(Quiet::default());
    for _ in 0..2 {
        ioloop.call_later(MS, |io| io.stop());
        ioloop.run().unwrap();
        assert_eq!(ioloop.len(), 1);
    }
    let timer = ioloop.call_later(MS, |_| {});
    ioloop.close();
    assert!(ioloop.is_empty() && timer.cancelled());
}

/// Somebody may wait for the answer: the end of the loop is one.
#[test]
fn what_is_sent_to_a_loop_that_has_gone_is_dropped() {
    let ioloop = IOLoop::new().unwrap();
    let remote = ioloop.remote();
    let (before, after) = (Arc::new(()), Arc::new(()));
    let kept = Arc::clone(&before);
    remote.call(move |_| drop(kept));
    drop(ioloop);
    assert_eq!(Arc::strong_count(&before), 1);
    let kept = Arc::clone(&after);
    remote.call(move |_| drop(kept));
    assert_eq!(Arc::strong_count(&after), 1);
}

//! Slots of one process and of several.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::descriptors::reserve_from;
use super::{Admission, Limits, Slot};
use crate::random::Random;
use crate::sys::Held;
use crate::sys::process_for_tests::{alone, fork, stop};

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

fn local() -> Arc<Limits> {
    Arc::new(Limits::new(&Random::default(), Instant::now()))
}

fn shared() -> Arc<Limits> {
    let limits = local();
    limits.share(2, 1).unwrap();
    limits
}

fn both() -> [Arc<Limits>; 2] {
    [local(), shared()]
}

fn limit(limits: &Limits, max_cons: usize, per_ip: usize, per_user: usize) {
    limits.set_max_cons(max_cons);
    limits.set_max_cons_per_ip(per_ip);
    limits.set_max_cons_per_user(per_user);
}

/// With a socket that has a low number.
fn admit(limits: &Arc<Limits>, ip: IpAddr) -> (Slot, Admission) {
    limits.admit(ip, Some(io::stderr().as_fd()), Instant::now())
}

#[track_caller]
fn admitted(limits: &Arc<Limits>, ip: IpAddr) -> Slot {
    let (slot, admission) = admit(limits, ip);
    assert_eq!(admission, Admission::Admitted);
    slot
}

#[test]
fn sockets_are_limited() {
    for limits in both() {
        limit(&limits, 3, 0, 0);
        let first = admitted(&limits, IP);
        assert!(limits.accepts_new_cons(IP));
        let second = limits.slot(IP);
        // As in pyftpdlib, one more than the limit.
        assert!(limits.accepts_new_cons(IP));
        let (third, admission) = admit(&limits, IP);
        assert_eq!(admission, Admission::MaxCons);
        assert!(!limits.accepts_new_cons(IP));
        assert_eq!(limits.sockets(), 4);
        drop((third, second));
        drop(admitted(&limits, IP));
        drop(first);
        assert_eq!(limits.sockets(), 1);
    }
}

#[test]
fn addresses_are_limited() {
    for limits in both() {
        limit(&limits, 0, 2, 0);
        let first = admitted(&limits, IP);
        let _second = admitted(&limits, IP);
        let _data = limits.slot(IP);
        assert_eq!(admit(&limits, IP).1, Admission::MaxConsPerIp);
        let _other = admitted(&limits, OTHER);
        drop(first);
        admitted(&limits, IP);
    }
}

#[test]
fn users_are_limited() {
    for limits in both() {
        limit(&limits, 0, 0, 2);
        let mut slots: Vec<_> = (0..4).map(|_| admitted(&limits, IP)).collect();
        assert!(slots[0].assign_user("joe") && slots[1].assign_user("joe"));
        assert!(!slots[2].assign_user("joe") && !slots[2].assign_user("joe"));
        assert!(slots[2].assign_user("Joe") && slots[2].assign_user(""));
        // Counting a slot twice for a user changes nothing.
        assert!(slots[0].assign_user("joe"));
        slots[0].clear_user();
        slots[0].clear_user();
        assert!(slots[3].assign_user("joe"));
        assert!(!slots[2].assign_user("joe"));
        // When a slot changes to another user, the first user has room again.
        assert!(slots[3].assign_user("ann") && slots[2].assign_user("joe"));
        slots.truncate(2);
        assert!(slots[0].assign_user("joe"));
    }
}

/// As for jobs that outlive their session.
#[test]
fn a_slot_is_given_back_by_its_last_holder() {
    for limits in both() {
        limit(&limits, 2, 1, 1);
        let mut slot = admitted(&limits, IP);
        assert!(slot.assign_user("joe"));
        let jobs = [slot.hold(), slot.hold()];
        drop(slot);
        assert_eq!(limits.sockets(), 2);
        for job in jobs {
            assert_eq!(admit(&limits, OTHER).1, Admission::MaxCons);
            limits.set_max_cons(0);
            assert_eq!(admit(&limits, IP).1, Admission::MaxConsPerIp);
            assert!(!admitted(&limits, OTHER).assign_user("joe"));
            limits.set_max_cons(2);
            drop(job);
        }
        assert_eq!(limits.sockets(), 1);
        // The slot itself may be the last.
        let mut slot = admitted(&limits, IP);
        drop(slot.hold());
        assert!(slot.assign_user("joe"));
        drop(slot);
        assert!(admitted(&limits, IP).assign_user("joe"));
    }
}

#[test]
fn no_count_is_left_after_the_last_slot() {
    for limits in both() {
        limit(&limits, 0, 0, 0);
        let mut slots: Vec<_> = (0..300).map(|_| admitted(&limits, IP)).collect();
        for (number, slot) in slots.iter_mut().enumerate() {
            assert!(slot.assign_user(&format!("user {}", number % 7)));
        }
        assert_eq!(limits.counts.keys(), 9);
        drop(slots);
        assert_eq!(limits.counts.keys(), 0);
    }
}

#[test]
fn a_full_table_is_as_max_cons() {
    let limits = local();
    limit(&limits, 1, 0, 1);
    limits.share(1, 1).unwrap();
    limits.set_max_cons(0);
    let capacity = limits.counts.shared().unwrap().capacity;
    let mut slots: Vec<_> = (0..capacity).map(|_| limits.slot(IP)).collect();
    assert!(!limits.accepts_new_cons(IP));
    let (mut slot, admission) = admit(&limits, IP);
    assert_eq!(admission, Admission::MaxCons);
    assert!(!slot.assign_user("joe"));
    slots.pop();
    assert!(limits.accepts_new_cons(IP));
    drop(slot);
    let mut slot = admitted(&limits, IP);
    assert!(slot.assign_user("joe"));
}

#[test]
fn the_last_descriptors_are_not_for_new_connections() {
    assert_eq!(reserve_from(20), 15);
    assert_eq!(reserve_from(64), 48);
    assert_eq!(reserve_from(1024), 960);
    assert_eq!(reserve_from(1 << 20), (1 << 20) - 256);
    assert_eq!(reserve_from(u64::MAX), u64::MAX - 256);
    // A limit that was raised since is noticed.
    let limits = local();
    limits.descriptors.reserve_from.store(0, Relaxed);
    admitted(&limits, IP);
    assert!(limits.descriptors.reserve_from.load(Relaxed) > 0);
    // Jobs that outlive their sockets hold descriptors.
    let slot = limits.slot(IP);
    let job = slot.hold();
    drop(slot);
    assert_eq!(limits.descriptors.without_socket.load(Relaxed), 1);
    let usable = usize::try_from(limits.descriptors.reserve_from.load(Relaxed)).unwrap();
    limits.descriptors.without_socket.store(usable, Relaxed);
    assert_eq!(admit(&limits, IP).1, Admission::MaxCons);
    limits.descriptors.without_socket.store(1, Relaxed);
    drop(job);
    assert_eq!(limits.descriptors.without_socket.load(Relaxed), 0);
    admitted(&limits, IP);
}

/// A pipe between processes: a byte says how far the other process has come.
fn pipe() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn receive(pipe: &mut UnixStream) -> u8 {
    let mut byte = [0];
    pipe.read_exact(&mut byte).unwrap();
    byte[0]
}

fn send(pipe: &mut UnixStream, byte: u8) {
    pipe.write_all(&[byte]).unwrap();
}

#[test]
fn a_killed_process_gives_its_slots_back() {
    alone(
        "limits::tests::a_killed_process_gives_its_slots_back",
        || {
            for holds_the_lock in [false, true] {
                kill_one_with_slots(holds_the_lock);
            }
        },
    );
}

fn kill_one_with_slots(holds_the_lock: bool) {
    let limits = local();
    limit(&limits, 6, 3, 2);
    limits.share(2, 1).unwrap();
    let _own = admitted(&limits, IP);
    let (mut here, mut there) = pipe();
    let child = fork(|| {
        let mut slots = [admitted(&limits, IP), admitted(&limits, IP)];
        assert!(slots.iter_mut().all(|slot| slot.assign_user("joe")));
        let _data = limits.slot(IP);
        let words = holds_the_lock.then(|| {
            let mut words = limits.counts.shared().unwrap().words.lock().unwrap();
            // The words that it was about to change are inconsistent.
            words[..5].copy_from_slice(&[99, 98, 4, 64, 97]);
            words
        });
        send(&mut there, 1);
        receive(&mut there);
        drop(words);
    });
    assert_eq!(receive(&mut here), 1);
    if !holds_the_lock {
        let (mut slot, admission) = admit(&limits, IP);
        assert_eq!(admission, Admission::MaxConsPerIp);
        assert!(!slot.assign_user("joe"));
        let (_slot, admission) = admit(&limits, OTHER);
        assert_eq!(admission, Admission::MaxCons);
    }
    child.kill();
    // Only the master takes them back.
    assert_eq!(admit(&limits, IP).1, Admission::MaxConsPerIp);
    assert_eq!(limits.forget_process(child.pid()), Some(3));
    assert_eq!(limits.forget_process(child.pid()), Some(0));
    let mut slots: Vec<_> = (0..2).map(|_| admitted(&limits, IP)).collect();
    assert!(slots.iter_mut().all(|slot| slot.assign_user("joe")));
    assert_eq!(admit(&limits, IP).1, Admission::MaxConsPerIp);
}

#[test]
fn processes_count_together() {
    alone("limits::tests::processes_count_together", || {
        let limits = local();
        limit(&limits, 0, 0, 0);
        limits.share(4, 1).unwrap();
        let children: Vec<_> = (0..4)
            .map(|number| {
                fork(|| {
                    for turn in 0..500_u32 {
                        let ip = IpAddr::from((turn % 50).to_be_bytes());
                        // On a busy machine the lock may be taken for long.
                        let mut slot = loop {
                            let (slot, admission) = admit(&limits, ip);
                            if admission == Admission::Admitted {
                                break slot;
                            }
                        };
                        assert!(slot.assign_user(&format!("user {}", turn * number % 99)));
                        let _data = limits.slot(IP);
                    }
                    while !limits.catch_up() {}
                })
            })
            .collect();
        for child in children {
            assert!(child.wait());
            assert_eq!(limits.forget_process(child.pid()), Some(0));
        }
        limits.set_max_cons(2);
        admitted(&limits, IP);
    });
}

/// As with a process for each connection.
#[test]
fn an_inherited_slot_is_not_given_back() {
    alone("limits::tests::an_inherited_slot_is_not_given_back", || {
        let limits = local();
        limit(&limits, 0, 1, 1);
        limits.share(usize::MAX, 1).unwrap();
        let mut slot = Some(admitted(&limits, IP));
        let child = fork(|| {
            // The child serves with the slot, and ends.
            assert!(slot.as_mut().is_some_and(|slot| slot.assign_user("joe")));
            let data = limits.slot(IP);
            drop(slot.take());
            // It does not give this slot back.
            std::mem::forget(data);
        });
        assert!(child.wait());
        let mut other = admitted(&limits, OTHER);
        assert_eq!(admit(&limits, IP).1, Admission::MaxConsPerIp);
        assert!(!other.assign_user("joe"));
        assert_eq!(limits.forget_process(child.pid()), Some(1));
        assert!(!other.assign_user("joe"));
        drop(slot);
        assert!(other.assign_user("joe"));
        admitted(&limits, IP);
    });
}

/// Sessions go on while another process has stopped with the lock, and what they do counts
/// afterwards.
#[test]
fn a_stopped_process_with_the_lock_stops_no_other() {
    const NAME: &str = "limits::tests::a_stopped_process_with_the_lock_stops_no_other";
    alone(NAME, || {
        let limits = local();
        limit(&limits, 9, 0, 0);
        limits.share(2, 1).unwrap();
        let mut session = admitted(&limits, IP);
        let (leaves, data) = (admitted(&limits, IP), limits.slot(IP));
        let busy = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&busy);
        limits.on_busy(move || {
            count.fetch_add(1, Relaxed);
        });
        let child = fork(|| {
            let _slots = [admitted(&limits, IP), limits.slot(IP)];
            let _words = limits.counts.shared().unwrap().words.lock().unwrap();
            stop();
        });
        child.wait_for_stop();
        let start = Instant::now();
        assert!(matches!(limits.look_at_lock(start), Held::Until(_)));
        // A new connection gets 421. The sessions that exist get what they need.
        let (refused, admission) = admit(&limits, OTHER);
        assert_eq!(admission, Admission::MaxCons);
        drop(refused);
        assert!(limits.accepts_new_cons(IP));
        let (kept, short) = (limits.slot(IP), limits.slot(IP));
        assert!(session.assign_user("joe"));
        session.set_activity(true, true);
        drop((leaves, data, short));
        assert!(!limits.catch_up());
        assert_eq!(busy.load(Relaxed), 1);
        // A limit that cannot be checked is not exceeded.
        limits.set_max_cons_per_user(2);
        assert!(!session.assign_user("joe"));
        limits.set_max_cons_per_user(0);
        assert!(session.assign_user("joe"));
        // It is found, and killed by its parent.
        let second = Duration::from_secs(1);
        assert_eq!(limits.look_at_lock(start + second), Held::By(child.pid()));
        assert_eq!(limits.forget_process(child.pid()), None);
        child.kill();
        assert!(limits.catch_up());
        assert_eq!(limits.forget_process(child.pid()), Some(2));
        assert_eq!(limits.look_at_lock(start + second), Held::Free);
        // The session, its socket, and the keys of the address, its group and the user.
        assert_eq!((limits.counts.taken(), limits.counts.keys()), (2, 3));
        assert_eq!(limits.sockets(), 3);
        drop(kept);
        assert_eq!(limits.counts.taken(), 1);
        limits.set_max_cons_per_user(1);
        assert!(!admitted(&limits, OTHER).assign_user("joe"));
        drop(session);
        assert_eq!((limits.counts.taken(), limits.counts.keys()), (0, 0));
    });
}

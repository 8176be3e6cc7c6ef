//! Seats of one process and of several.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::sys::process_for_tests::{alone, fork};

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

fn local() -> Arc<ServerState> {
    Arc::new(ServerState::new(5, None))
}

fn shared() -> Arc<ServerState> {
    let state = local();
    state.share(2, 1).unwrap();
    state
}

fn both() -> [Arc<ServerState>; 2] {
    [local(), shared()]
}

fn limit(state: &ServerState, max_cons: usize, per_ip: usize, per_user: usize) {
    state.max_cons.store(max_cons, Relaxed);
    state.max_cons_per_ip.store(per_ip, Relaxed);
    state.max_cons_per_user.store(per_user, Relaxed);
}

/// With a socket whose number is low.
fn admit(state: &Arc<ServerState>, ip: IpAddr) -> (Seat, Admission) {
    state.admit(ip, io::stderr().as_fd())
}

#[track_caller]
fn admitted(state: &Arc<ServerState>, ip: IpAddr) -> Seat {
    let (seat, admission) = admit(state, ip);
    assert_eq!(admission, Admission::Admitted);
    seat
}

#[test]
fn sockets_are_limited() {
    for state in both() {
        limit(&state, 3, 0, 0);
        let first = admitted(&state, IP);
        assert!(state.accepts_new_cons());
        let second = state.seat();
        // As pyftpdlib, one over the limit.
        assert!(state.accepts_new_cons());
        let (third, admission) = admit(&state, IP);
        assert_eq!(admission, Admission::MaxCons);
        assert!(!state.accepts_new_cons());
        assert_eq!(state.sockets.load(Relaxed), 4);
        drop((third, second));
        drop(admitted(&state, IP));
        drop(first);
        assert_eq!(state.sockets.load(Relaxed), 1);
    }
}

#[test]
fn addresses_are_limited() {
    for state in both() {
        limit(&state, 0, 2, 0);
        let first = admitted(&state, IP);
        let _second = admitted(&state, IP);
        let _data = state.seat();
        assert_eq!(admit(&state, IP).1, Admission::MaxConsPerIp);
        let _other = admitted(&state, OTHER);
        drop(first);
        admitted(&state, IP);
    }
}

#[test]
fn users_are_limited() {
    for state in both() {
        limit(&state, 0, 0, 2);
        let mut seats: Vec<_> = (0..4).map(|_| admitted(&state, IP)).collect();
        assert!(seats[0].enter("joe") && seats[1].enter("joe"));
        assert!(!seats[2].enter("joe") && !seats[2].enter("joe"));
        assert!(seats[2].enter("Joe") && seats[2].enter(""));
        // Twice is once.
        assert!(seats[0].enter("joe"));
        seats[0].leave();
        seats[0].leave();
        assert!(seats[3].enter("joe"));
        assert!(!seats[2].enter("joe"));
        // Another user in its place makes room too.
        assert!(seats[3].enter("ann") && seats[2].enter("joe"));
        seats.truncate(2);
        assert!(seats[0].enter("joe"));
    }
}

/// As by the works of a session that ends before them.
#[test]
fn a_seat_is_given_back_by_the_last_who_keeps_it() {
    for state in both() {
        limit(&state, 2, 1, 1);
        let mut seat = admitted(&state, IP);
        assert!(seat.enter("joe"));
        let works = [seat.keep(), seat.keep()];
        drop(seat);
        assert_eq!(state.sockets.load(Relaxed), 2);
        for work in works {
            assert_eq!(admit(&state, OTHER).1, Admission::MaxCons);
            state.max_cons.store(0, Relaxed);
            assert_eq!(admit(&state, IP).1, Admission::MaxConsPerIp);
            assert!(!admitted(&state, OTHER).enter("joe"));
            state.max_cons.store(2, Relaxed);
            drop(work);
        }
        assert_eq!(state.sockets.load(Relaxed), 1);
        // The last may be the seat itself.
        let mut seat = admitted(&state, IP);
        drop(seat.keep());
        assert!(seat.enter("joe"));
        drop(seat);
        assert!(admitted(&state, IP).enter("joe"));
    }
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    let state = local();
    limit(&state, 0, 0, 0);
    let mut seats: Vec<_> = (0..100).map(|_| admitted(&state, IP)).collect();
    for (number, seat) in seats.iter_mut().enumerate() {
        assert!(seat.enter(&format!("user {}", number % 7)));
    }
    assert_eq!(state.counts().len(), 8);
    drop(seats);
    assert!(state.counts().is_empty());
}

#[test]
fn a_full_table_is_as_max_cons() {
    let state = local();
    limit(&state, 1, 0, 1);
    state.share(1, 1).unwrap();
    state.max_cons.store(0, Relaxed);
    let capacity = state.shared.get().unwrap().capacity;
    let mut seats: Vec<_> = (0..capacity).map(|_| state.seat()).collect();
    assert!(!state.accepts_new_cons());
    let (mut seat, admission) = admit(&state, IP);
    assert_eq!(admission, Admission::MaxCons);
    assert!(!seat.enter("joe"));
    seats.pop();
    assert!(state.accepts_new_cons());
    drop(seat);
    let mut seat = admitted(&state, IP);
    assert!(seat.enter("joe"));
}

#[test]
fn the_last_descriptors_are_not_for_newcomers() {
    assert_eq!(reserve_from(20), 15);
    assert_eq!(reserve_from(64), 48);
    assert_eq!(reserve_from(1024), 960);
    assert_eq!(reserve_from(1 << 20), (1 << 20) - 256);
    assert_eq!(reserve_from(u64::MAX), u64::MAX - 256);
    // One that was raised since is found out.
    let state = local();
    state.reserve_from.store(0, Relaxed);
    admitted(&state, IP);
    assert!(state.reserve_from.load(Relaxed) > 0);
    // Works whose sockets are gone have some of them.
    let seat = state.seat();
    let work = seat.keep();
    drop(seat);
    assert_eq!(state.left.load(Relaxed), 1);
    let usable = usize::try_from(state.reserve_from.load(Relaxed)).unwrap();
    state.left.store(usable, Relaxed);
    assert_eq!(admit(&state, IP).1, Admission::MaxCons);
    state.left.store(1, Relaxed);
    drop(work);
    assert_eq!(state.left.load(Relaxed), 0);
    admitted(&state, IP);
}

/// A pipe between processes: bytes tell how far the other has come.
fn pipe() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn hear(pipe: &mut UnixStream) -> u8 {
    let mut byte = [0];
    pipe.read_exact(&mut byte).unwrap();
    byte[0]
}

fn tell(pipe: &mut UnixStream, byte: u8) {
    pipe.write_all(&[byte]).unwrap();
}

#[test]
fn a_killed_process_gives_its_seats_back() {
    alone(
        "limits::tests::a_killed_process_gives_its_seats_back",
        || {
            for holds_the_lock in [false, true] {
                kill_one_with_seats(holds_the_lock);
            }
        },
    );
}

fn kill_one_with_seats(holds_the_lock: bool) {
    let state = local();
    limit(&state, 6, 3, 2);
    state.share(2, 1).unwrap();
    let _own = admitted(&state, IP);
    let (mut here, mut there) = pipe();
    let child = fork(|| {
        let mut seats = [admitted(&state, IP), admitted(&state, IP)];
        assert!(seats.iter_mut().all(|seat| seat.enter("joe")));
        let _data = state.seat();
        let words = holds_the_lock.then(|| {
            let mut words = state.shared.get().unwrap().words.lock().unwrap();
            // What it was about to change is in no order at all.
            words[..5].copy_from_slice(&[99, 98, 4, 64, 97]);
            words
        });
        tell(&mut there, 1);
        hear(&mut there);
        drop(words);
    });
    assert_eq!(hear(&mut here), 1);
    if !holds_the_lock {
        let (mut seat, admission) = admit(&state, IP);
        assert_eq!(admission, Admission::MaxConsPerIp);
        assert!(!seat.enter("joe"));
        let (_seat, admission) = admit(&state, OTHER);
        assert_eq!(admission, Admission::MaxCons);
    }
    child.kill();
    // Nobody but the master takes them back.
    assert_eq!(admit(&state, IP).1, Admission::MaxConsPerIp);
    assert_eq!(state.forget_process(child.pid()), 3);
    assert_eq!(state.forget_process(child.pid()), 0);
    let mut seats: Vec<_> = (0..2).map(|_| admitted(&state, IP)).collect();
    assert!(seats.iter_mut().all(|seat| seat.enter("joe")));
    assert_eq!(admit(&state, IP).1, Admission::MaxConsPerIp);
}

#[test]
fn processes_count_together() {
    alone("limits::tests::processes_count_together", || {
        let state = local();
        limit(&state, 0, 0, 0);
        state.share(4, 1).unwrap();
        let children: Vec<_> = (0..4)
            .map(|number| {
                fork(|| {
                    for turn in 0..500_u32 {
                        let ip = IpAddr::from((turn % 50).to_be_bytes());
                        let mut seat = admitted(&state, ip);
                        assert!(seat.enter(&format!("user {}", turn * number % 99)));
                        let _data = state.seat();
                    }
                })
            })
            .collect();
        for child in children {
            assert!(child.wait());
            assert_eq!(state.forget_process(child.pid()), 0);
        }
        state.max_cons.store(2, Relaxed);
        admitted(&state, IP);
    });
}

/// As a process for each connection does it.
#[test]
fn an_inherited_seat_is_not_given_back() {
    alone("limits::tests::an_inherited_seat_is_not_given_back", || {
        let state = local();
        limit(&state, 0, 1, 1);
        state.share(usize::MAX, 1).unwrap();
        let mut seat = Some(admitted(&state, IP));
        let child = fork(|| {
            // It serves with it, and ends.
            assert!(seat.as_mut().is_some_and(|seat| seat.enter("joe")));
            let data = state.seat();
            drop(seat.take());
            // This one it forgets.
            std::mem::forget(data);
        });
        assert!(child.wait());
        let mut other = admitted(&state, OTHER);
        assert_eq!(admit(&state, IP).1, Admission::MaxConsPerIp);
        assert!(!other.enter("joe"));
        assert_eq!(state.forget_process(child.pid()), 1);
        assert!(!other.enter("joe"));
        drop(seat);
        assert!(other.enter("joe"));
        admitted(&state, IP);
    });
}

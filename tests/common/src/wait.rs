//! Waiting, until a deadline, and for several things at once.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// Waits until `condition` is true, and panics after [`DEADLINE`].
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until nobody listens at `address` any more.
///
/// A process that another test starts holds copies of all sockets until it runs its own program,
/// so a listener lives on for a moment after the server has closed it.
#[track_caller]
pub fn await_refusal(address: SocketAddr) {
    wait_for("a refused connection", || {
        let connected = TcpStream::connect(address);
        connected.is_err_and(|err| err.kind() == ErrorKind::ConnectionRefused)
    });
}

/// Runs the cases of a test at the same time, because they wait longer than they work. Panics if
/// one of them does.
pub fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, run: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            let run = &run;
            scope.spawn(move || run(case));
        }
    });
}

/// Returns the next event, and panics if none comes before [`DEADLINE`].
#[track_caller]
pub fn next<T>(events: &Receiver<T>) -> T {
    events
        .recv_timeout(DEADLINE)
        .expect("an event before the deadline")
}

//! A worker that holds a lock and stops.

use super::*;
use crate::sys::SharedWords;
use crate::sys::process_for_tests::{alone, fork_beside_harness, stop};

/// Workers that share a lock.
struct Sharing(SharedWords);

impl Service for Sharing {
    fn look_after(&mut self, now: Instant) -> Held {
        self.0.look(now)
    }
}

/// The first worker stops while it holds the lock. The second one cannot get it, and goes on;
/// the master kills the first one, and the lock passes on.
#[test]
fn a_worker_that_stops_with_the_lock_is_killed() {
    const NAME: &str = "prefork::master::tests::a_worker_that_stops_with_the_lock_is_killed";
    alone(NAME, || {
        let mut service = Sharing(SharedWords::new(2).unwrap());
        let mut master = Master::new(2, 5, END_TIMEOUT, &mut service).unwrap();
        master.fork = fork_beside_harness;
        let role = master.run().unwrap();
        drop(master);
        let number = match role {
            Role::Worker(number) => number,
            Role::Master(status) => {
                assert_eq!(status, 0);
                let words = service.0.lock().unwrap();
                assert_eq!(*words, [1, 2]);
                return;
            }
        };
        work(number, &service.0);
        std::process::exit(0);
    });
}

fn work(number: usize, words: &SharedWords) {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        match words.lock() {
            Ok(mut words) if number == 0 && words[0] == 0 => {
                words[0] = 1;
                stop();
            }
            // The first worker never gives the lock back.
            Ok(mut words) if words[0] == 1 => {
                words[1] += u64::from(number == 1) * 2;
                return;
            }
            Ok(_) | Err(_) => {}
        }
        thread::sleep(Duration::from_millis(1));
    }
    std::process::exit(1);
}

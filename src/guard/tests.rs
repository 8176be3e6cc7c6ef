//! The table, and what the guard answers. The times of logins are tested with sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::GuardConfig;
use super::watch::{Answer, Attempt, Guard};
use crate::random::Random;

const SECOND: Duration = Duration::from_secs(1);

struct Case {
    guard: Arc<Guard>,
    start: Instant,
}

fn case(change: impl FnOnce(&mut GuardConfig)) -> Case {
    let mut config = GuardConfig::default();
    change(&mut config);
    let start = Instant::now();
    let guard = Arc::new(Guard::of_one_process(&config, &Random::seeded(1), start));
    Case { guard, start }
}

fn ip(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

impl Case {
    fn at(&self, seconds: u64) -> Instant {
        self.start + SECOND * u32::try_from(seconds).unwrap()
    }

    /// How long a login waits; `None`: it is refused.
    fn ask(&self, ip: IpAddr, user: &str, seconds: u64) -> Option<(Duration, Attempt)> {
        match self.guard.ask(ip, user, self.at(seconds)) {
            Answer::At(until, attempt) => Some((until - self.at(seconds), attempt)),
            Answer::Refused => None,
        }
    }

    fn fail(&self, ip: IpAddr, user: &str, seconds: u64) {
        let (wait, attempt) = self.ask(ip, user, seconds).unwrap();
        attempt.failed(self.at(seconds) + wait);
    }

    fn succeed(&self, ip: IpAddr, user: &str, seconds: u64) {
        let (wait, attempt) = self.ask(ip, user, seconds).unwrap();
        attempt.succeeded(self.at(seconds) + wait);
    }

    fn wait(&self, ip: IpAddr, user: &str, seconds: u64) -> Option<Duration> {
        self.ask(ip, user, seconds).map(|(wait, _)| wait)
    }
}

#[test]
fn logins_that_are_not_decided_wait_for_each_other() {
    let case = case(|_| {});
    let attempts: Vec<_> = (0..100).map(|_| case.ask(ip(1), "a", 0)).collect();
    let waits: Vec<_> = attempts.iter().flatten().map(|(wait, _)| *wait).collect();
    // Three at once, then 0 s, 1 s, 1 + 2 s and so on, up to 15 s.
    assert_eq!(waits, [0, 0, 0, 0, 1, 3, 7, 15].map(|n| SECOND * n));
    assert!(case.ask(ip(2), "a", 0).is_some());
    // Those that end undecided do not count any more.
    drop(attempts);
    assert_eq!(case.wait(ip(1), "a", 16), Some(Duration::ZERO));
}

#[test]
fn failures_are_forgotten_in_time() {
    let case = case(|_| {});
    for second in [0, 1, 2, 3, 10] {
        case.fail(ip(1), "a", second);
    }
    assert_eq!(case.guard.delay(ip(1)), SECOND * 4);
    assert_eq!(case.guard.delay(ip(2)), Duration::ZERO);
    assert!(case.wait(ip(1), "b", 10).unwrap() >= SECOND * 4);
    case.fail(ip(1), "a", 10 + 899);
    assert_eq!(case.guard.delay(ip(1)), SECOND * 8);
    case.fail(ip(1), "a", 10 + 899 + 900);
    assert_eq!(case.guard.delay(ip(1)), Duration::ZERO);
}

#[test]
fn a_login_forgives_the_failures_of_its_own_user() {
    let case = case(|_| {});
    for second in [0, 1, 2, 5] {
        case.fail(ip(1), "victim", second);
    }
    assert_eq!(case.guard.delay(ip(1)), SECOND * 2);
    case.fail(ip(1), "own", 20);
    assert_eq!(case.guard.delay(ip(1)), SECOND * 4);
    case.succeed(ip(1), "own", 40);
    assert_eq!(case.guard.delay(ip(1)), SECOND * 2);
    case.succeed(ip(1), "own", 50);
    assert_eq!(case.guard.delay(ip(1)), SECOND * 2);
    case.succeed(ip(1), "victim", 60);
    assert_eq!(case.guard.delay(ip(1)), Duration::ZERO);
}

/// Those that share an address with an attacker, and have logged in before, do not wait.
#[test]
fn users_that_have_logged_in_do_not_wait_for_others() {
    let case = case(|_| {});
    case.succeed(ip(1), "good", 0);
    for number in 0..100 {
        case.fail(ip(1), &format!("user{number}"), 20 * number);
    }
    let now = 20 * 99 + 1;
    assert!(
        case.wait(ip(1), "other", now)
            .is_some_and(|wait| wait > SECOND * 10)
    );
    assert_eq!(case.wait(ip(1), "good", now), Some(Duration::ZERO));
    // Unless it is their passwords that are guessed.
    for _ in 0..3 {
        case.fail(ip(1), "good", now);
    }
    assert_ne!(case.wait(ip(1), "good", now), Some(Duration::ZERO));
}

#[test]
fn bans_begin_and_end() {
    let case = case(|config| config.ban_after = 3);
    for second in [0, 1] {
        case.fail(ip(1), "a", second);
        assert!(case.guard.admits(ip(1), case.at(second)));
    }
    case.fail(ip(1), "a", 2);
    for (second, admitted) in [(2, false), (601, false), (603, true)] {
        assert_eq!(
            case.guard.admits(ip(1), case.at(second)),
            admitted,
            "{second}"
        );
        // A session from before the ban.
        assert_eq!(
            case.wait(ip(1), "a", second).is_some(),
            admitted,
            "{second}"
        );
        assert!(case.guard.admits(ip(2), case.at(second)));
    }
    // The count begins again.
    case.fail(ip(1), "a", 604);
    assert!(case.guard.admits(ip(1), case.at(604)));
}

#[test]
fn connections_of_a_minute_are_counted() {
    let case = case(|config| config.connections_per_minute = 2);
    let admits = |number, second| case.guard.admits(ip(number), case.at(second));
    assert!(admits(1, 5) && admits(1, 10) && !admits(1, 11) && !admits(1, 64));
    assert!(admits(2, 11));
    assert!(admits(1, 66) && admits(1, 67) && !admits(1, 68));
}

#[test]
fn an_address_of_ipv6_is_a_network() {
    let case = case(|config| config.ban_after = 2);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    case.fail(ip("2001:db8::1"), "a", 0);
    case.fail(ip("2001:db8:0:0:ffff::2"), "a", 1);
    assert!(!case.guard.admits(ip("2001:db8::3"), case.at(1)));
    assert!(case.guard.admits(ip("2001:db8:0:1::1"), case.at(1)));
}

#[test]
fn networks_are_left_out() {
    let case = case(|config| {
        config.ban_after = 1;
        config.connections_per_minute = 1;
    });
    for loopback in ["127.0.0.1", "127.1.2.3", "::1"] {
        let ip = loopback.parse().unwrap();
        for _ in 0..10 {
            assert!(case.guard.admits(ip, case.at(0)));
            case.fail(ip, "a", 0);
        }
        assert_eq!(case.guard.delay(ip), Duration::ZERO);
    }
}

#[test]
fn a_full_table_forgets_the_oldest_and_bans_last() {
    let case = case(|config| config.ban_after = 5);
    for _ in 0..5 {
        let (wait, attempt) = case.ask(ip(1), "a", 0).unwrap();
        attempt.failed(case.at(0) + wait);
    }
    assert!(!case.guard.admits(ip(1), case.at(20)));
    for number in 2..2000 {
        for _ in 0..3 {
            case.fail(ip(number), "a", 20);
        }
        // The newest is never the one that is forgotten.
        assert_eq!(case.guard.delay(ip(number)), SECOND);
    }
    assert_eq!(case.guard.delay(ip(2)), Duration::ZERO);
    assert!(!case.guard.admits(ip(1), case.at(20)));
}

#[test]
fn without_delays_nobody_waits() {
    let case = case(|config| config.max_delay = Duration::ZERO);
    for _ in 0..100 {
        case.fail(ip(1), "a", 0);
        assert_eq!(case.wait(ip(1), "b", 0), Some(Duration::ZERO));
    }
}

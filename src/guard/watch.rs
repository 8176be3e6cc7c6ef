//! The guard: what it is told, and what it answers.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{FREE, GuardConfig};
use super::table::{OWN_WORDS, Table, WORDS};
use crate::ioloop::clock::Clock;
use crate::log::TARGET;
use crate::random::{Keys, Random};
use crate::sys::{self, Words};

/// Watches the addresses of clients.
pub(crate) struct Guard {
    config: GuardConfig,
    words: Words,
    /// Makes keys that a client cannot predict.
    keys: Keys,
    /// From when times are counted. Forked processes have the same clock.
    start: Instant,
}

/// The answer to a login.
pub(crate) enum Answer {
    /// It may be decided at this time, which may be now.
    At(Instant, Attempt),
    /// Not at all: the address is banned, or too many of its logins wait.
    Refused,
}

/// A login that is not decided yet. Dropped without a decision, it counts for nothing: the client
/// has gone, or the server could not decide.
pub(crate) struct Attempt(Option<Open>);

struct Open {
    guard: Arc<Guard>,
    ip: IpAddr,
    user: u64,
    /// Whether it was counted as one that is not decided.
    is_counted: bool,
}

impl Guard {
    pub(crate) fn new(config: &GuardConfig) -> Self {
        Self::with(
            config,
            Words::shared(WORDS),
            &Random::default(),
            Clock::SYSTEM.now(),
        )
    }

    /// The guard of a server that is one process for certain, and whose clock begins at `start`.
    pub(crate) fn of_one_process(config: &GuardConfig, random: &Random, start: Instant) -> Self {
        Self::with(config, Words::own(OWN_WORDS), random, start)
    }

    fn with(config: &GuardConfig, words: Words, random: &Random, start: Instant) -> Self {
        Self {
            config: config.clone(),
            words,
            keys: random.keys(),
            start,
        }
    }

    /// Whether a new connection may become a session. One that may not is closed without a reply:
    /// a reply would be work, and would tell a guesser how long to wait.
    pub(crate) fn admits(&self, ip: IpAddr, now: Instant) -> bool {
        let most = self.config.connections_per_minute;
        if (self.config.ban_after == 0 && most == 0) || !self.config.watches(ip) {
            return true;
        }
        let (key, time) = (self.key(ip), self.time(now));
        let admitted = self.with_table(|table| {
            let is_banned = table
                .find(key)
                .is_some_and(|entry| entry.banned_until() > time);
            if is_banned || most == 0 {
                return (!is_banned, false);
            }
            let count = table.find_or_add(key, time).count_connection(time);
            (count <= most, count.checked_sub(1) == Some(most))
        });
        let (is_admitted, is_first) = admitted.unwrap_or((true, false));
        if is_first {
            let who = Shown(ip);
            log::warn!(target: TARGET, "guard: {who} has made more than {most} connections in a minute: further ones are closed");
        }
        is_admitted
    }

    /// Whether the address was banned, since its login began to wait.
    pub(crate) fn is_banned(&self, ip: IpAddr, now: Instant) -> bool {
        if self.config.ban_after == 0 || !self.config.watches(ip) {
            return false;
        }
        let (key, time) = (self.key(ip), self.time(now));
        let until = self.with_table(|table| table.find(key).map(|entry| entry.banned_until()));
        until.flatten().is_some_and(|until| until > time)
    }

    /// A client wants to log in.
    pub(crate) fn ask(self: &Arc<Self>, ip: IpAddr, user: &str, now: Instant) -> Answer {
        if !self.config.watches(ip) {
            return Answer::At(now, Attempt(None));
        }
        let (key, user, time) = (self.key(ip), self.keys.hash_one(user), self.time(now));
        let max_delay = millis(self.config.max_delay);
        // When to decide, and whether the attempt counts as one that is not decided.
        let asked = self.with_table(|table| {
            let mut entry = table.find_or_add(key, time);
            if entry.banned_until() > time {
                return None;
            }
            entry.touch(time, self.forget_after());
            let (failures, asking) = (entry.failures(), entry.asking());
            if entry.is_good(user) && asking < FREE {
                // Few at a time, so that many cannot be asked before the first one has failed.
                entry.set_failures(failures, asking.saturating_add(1));
                return Some((0, true));
            }
            let ahead = failures.saturating_add(asking);
            let wait = match ahead < FREE {
                true => 0,
                false => entry.next().saturating_sub(time),
            };
            if wait > max_delay {
                return None;
            }
            let delay = millis(self.config.delay_after(ahead));
            if delay > 0 {
                entry.set_next(time + wait + delay);
            }
            entry.set_failures(failures, asking.saturating_add(1));
            Some((wait, true))
        });
        let (wait, is_counted) = match asked {
            Some(Some(asked)) => asked,
            Some(None) => return Answer::Refused,
            // The table is not available: guesses must not be faster for that.
            None => (millis(self.config.delay_after(FREE)), false),
        };
        let open = Open {
            guard: Arc::clone(self),
            ip,
            user,
            is_counted,
        };
        Answer::At(now + Duration::from_millis(wait), Attempt(Some(open)))
    }

    /// How long the reply to a login that has just failed is delayed.
    pub(crate) fn delay(&self, ip: IpAddr) -> Duration {
        if !self.config.watches(ip) {
            return Duration::ZERO;
        }
        let key = self.key(ip);
        let failures = self.with_table(|table| table.find(key).map(|entry| entry.failures()));
        self.config.delay_after(failures.flatten().unwrap_or(0))
    }

    /// After how many milliseconds without a failed login they are forgotten: not before the longest
    /// delay is over, which would be none then.
    fn forget_after(&self) -> u64 {
        millis(self.config.forget_after.max(self.config.max_delay))
    }

    /// What is hashed for an address.
    fn key(&self, ip: IpAddr) -> u64 {
        self.keys.hash_one(network(ip)).max(1)
    }

    /// A time, in milliseconds since the start; never 0.
    fn time(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.start)).saturating_add(1)
    }

    /// Whether another process holds the lock for too long.
    pub(crate) fn look_at_lock(&self, now: Instant) -> sys::Held {
        self.words.look(now)
    }

    /// Works on the locked table. `None`: another process holds the lock for too long.
    fn with_table<T>(&self, work: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        // A change of an entry that is half done is harmless: a count is one too low.
        self.words.with(|words, _| work(&mut Table(words)))
    }
}

impl Attempt {
    /// The password was wrong, or there is no such user.
    pub(crate) fn failed(mut self, now: Instant) {
        let Some(Open {
            guard, ip, user, ..
        }) = self.close()
        else {
            return;
        };
        let config = &guard.config;
        let (key, time) = (guard.key(ip), guard.time(now));
        let outcome = guard.with_table(|table| {
            let mut entry = table.find_or_add(key, time);
            entry.touch(time, guard.forget_after());
            entry.add_failure(user, time);
            let failures = entry.failures();
            if config.ban_after > 0 && failures >= config.ban_after {
                entry.ban(time.saturating_add(millis(config.ban_time)));
                return (failures, true, false);
            }
            let delay = millis(config.delay_after(failures));
            entry.set_next(entry.next().max(time + delay));
            (failures, false, delay > 0 && entry.tells_of_delay())
        });
        let who = Shown(ip);
        match outcome {
            Some((failures, true, _)) => {
                let time = config.ban_time.as_secs();
                log::warn!(target: TARGET, "guard: {who} is banned for {time} s after {failures} failed logins");
            }
            Some((failures, false, true)) => {
                let most = config.max_delay.as_secs_f32();
                let advice = match config.ban_after {
                    0 => "; ban_after in [guard] would ban it",
                    _ => "",
                };
                log::info!(target: TARGET, "guard: {who} has {failures} failed logins: its logins are delayed, by up to {most} s{advice}");
            }
            _ => {}
        }
    }

    /// The user has logged in. The failures as other users still count: an attacker with an account
    /// could guess the passwords of others without end.
    pub(crate) fn succeeded(mut self, now: Instant) {
        let Some(Open {
            guard, ip, user, ..
        }) = self.close()
        else {
            return;
        };
        let (key, time) = (guard.key(ip), guard.time(now));
        guard.with_table(|table| {
            let mut entry = table.find_or_add(key, time);
            entry.touch(time, guard.forget_after());
            entry.forgive(user);
        });
    }

    /// It is not among those that are not decided any more.
    fn close(&mut self) -> Option<Open> {
        let open = self.0.take()?;
        if open.is_counted {
            let key = open.guard.key(open.ip);
            open.guard.with_table(|table| {
                if let Some(mut entry) = table.find(key) {
                    let (failures, asking) = (entry.failures(), entry.asking());
                    entry.set_failures(failures, asking.saturating_sub(1));
                }
            });
        }
        Some(open)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.close();
    }
}

/// The network that counts as one address.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// An address as the log shows it.
struct Shown(IpAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(_) => write!(f, "{}/64", network(self.0)),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

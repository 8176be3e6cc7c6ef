//! The settings of the guard.

use std::net::IpAddr;
use std::time::Duration;

use crate::proto::network::Network;

/// What the server does about addresses that fail to log in, or connect too often:
/// [`FTPConfig::guard`](crate::FTPConfig::guard). An address is one of IPv4, or a network of IPv6
/// with 64 bits. All processes of a server count together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardConfig {
    /// How long a login may be delayed at most. From the third failed login of an address on, its
    /// further ones wait for each other, and the delay doubles with each failure, from one second
    /// to this. The reply to a wrong password is delayed as long, if that is more than
    /// [`auth_failed_timeout`](crate::FTPConfig::auth_failed_timeout). A login that would have to
    /// wait longer gets 421. Zero: no delays. Default: 15 s.
    pub max_delay: Duration,
    /// Failed logins of an address are forgotten when there was none for this time, but not before
    /// `max_delay`. Default: 15 minutes.
    pub forget_after: Duration,
    /// The number of failed logins after which an address is banned: its connections are closed
    /// without a session or a reply. 0: never. Behind a gateway (NAT) or a proxy all clients share
    /// an address. Default: 0.
    pub ban_after: u32,
    /// How long an address is banned. Default: 10 minutes.
    pub ban_time: Duration,
    /// How many connections an address may make in a minute. Further ones are closed without a
    /// session or a reply. 0: any number. Default: 0.
    pub connections_per_minute: u32,
    /// The networks of which nothing is counted. Default: the loopback addresses.
    pub allow: Vec<Network>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1"];
        Self {
            max_delay: Duration::from_secs(15),
            forget_after: Duration::from_secs(15 * 60),
            ban_after: 0,
            ban_time: Duration::from_secs(10 * 60),
            connections_per_minute: 0,
            allow: loopback
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
        }
    }
}

impl GuardConfig {
    /// Whether an address is watched.
    pub(super) fn watches(&self, ip: IpAddr) -> bool {
        !self.allow.iter().any(|network| network.contains(ip))
    }

    /// How long the next login waits after so many failures.
    pub(super) fn delay_after(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(FREE) else {
            return Duration::ZERO;
        };
        let delay = FIRST_DELAY.saturating_mul(1 << doublings.min(20));
        delay.min(self.max_delay)
    }
}

/// Failed logins of an address that cause no delay: people mistype.
pub(super) const FREE: u32 = 3;

/// The first delay; each failure doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(1);

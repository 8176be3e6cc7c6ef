//! The settings of `[guard]`.

use super::setting::{MAX_COUNT, Setting, networks};

pub(super) const MAX_DELAY: Setting = Setting::new(
    "guard",
    "max_delay",
    "time, 15",
    "how long logins from an address are delayed at most; the delay begins with 1 s after three \
         failed logins, and doubles with each; 0 means no delays",
    |s, v| v.time().map(|t| s.handler.guard.max_delay = t),
);

pub(super) const FORGET_AFTER: Setting = Setting::new(
    "guard",
    "forget_after",
    "time, 900",
    "failed logins are forgotten after this time without another one, but not before `max_delay`; \
         it must be greater than 0",
    |s, v| v.time_above_0().map(|t| s.handler.guard.forget_after = t),
);

pub(super) const BAN_AFTER: Setting = Setting::new(
    "guard",
    "ban_after",
    "integer, 0",
    "the number of failed logins after which an address is banned: its connections are closed; \
         0 means never",
    |s, v| {
        v.integer(0..=MAX_COUNT)
            .map(|n| s.handler.guard.ban_after = n)
    },
);

pub(super) const BAN_TIME: Setting = Setting::new(
    "guard",
    "ban_time",
    "time, 600",
    "how long an address is banned; it must be greater than 0",
    |s, v| v.time_above_0().map(|t| s.handler.guard.ban_time = t),
);

pub(super) const CONNECTIONS_PER_MINUTE: Setting = Setting::new(
    "guard",
    "connections_per_minute",
    "integer, 0",
    "how many connections an address may make in a minute; further ones are closed; 0 means no \
         limit",
    |s, v| {
        v.integer(0..=MAX_COUNT)
            .map(|n| s.handler.guard.connections_per_minute = n)
    },
);

pub(super) const ALLOW: Setting = Setting::new(
    "guard",
    "allow",
    "list of strings, `[\"127.0.0.0/8\", \"::1\"]`",
    "the networks of which nothing is counted",
    |s, v| networks(v).map(|networks| s.handler.guard.allow = networks),
);

//! What the processes of a server name sessions, users and secrets by.

/// A TLS session among those of all processes. No other session ever has the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionId {
    pub(super) number: u64,
    /// Its entry in the table; none if the table was full.
    pub(super) entry: u32,
}

/// Stands for a user at an address. Zeros stand for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner(pub(super) [u64; 2]);

impl Owner {
    pub(super) const NOBODY: Self = Self([0; 2]);
}

/// A secret from which the keys of tickets are derived.
pub(super) type Secret = [u8; 32];

/// The secrets that open tickets now.
pub(super) struct Secrets {
    /// The number of the current one.
    pub(super) epoch: u64,
    /// The one that seals.
    pub(super) current: Secret,
    pub(super) previous: Option<Secret>,
}

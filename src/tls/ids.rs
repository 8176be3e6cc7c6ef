//! What the processes of a server name sessions, users and secrets by.

/// A TLS session among those of all processes. No other session ever has the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionId {
    pub(super) number: u64,
    /// Its entry in the table; none if the table was full.
    pub(super) entry: u32,
}

/// Stands for a user at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner(pub(super) [u64; 2]);

impl Owner {
    /// Nobody is logged in.
    pub(super) const NOBODY: Self = Self([0; 2]);

    /// A user without a password is logged in, who could be anybody.
    pub(super) const ANYBODY: Self = Self([u64::MAX; 2]);

    /// Whether it is one user.
    pub(super) fn is_known(self) -> bool {
        self != Self::NOBODY && self != Self::ANYBODY
    }
}

/// What a session is to an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known: it has ended too long ago, or it is one of two without a known user.
    Foreign,
    /// It belongs to another user, or to the user at another address.
    Another,
    /// Nobody is logged in there yet.
    Open,
    /// It belongs to the owner, or did when it ended.
    Kin,
}

/// A secret from which the keys of tickets are derived.
pub(super) type Secret = [u8; 32];

/// The secrets that open tickets now.
#[derive(Clone, Copy)]
pub(super) struct Secrets {
    /// The number of the current one.
    pub(super) epoch: u64,
    /// The one that seals.
    pub(super) current: Secret,
    pub(super) previous: Option<Secret>,
}

//! How far the login has come.

use std::time::Instant;

use super::own::OwnSettings;
use crate::filesystems::LoginFS;
use crate::guard::Attempt;
use crate::limits::Slot;

/// How far the login has come.
#[derive(Default)]
pub(crate) enum Login {
    #[default]
    No,
    /// The address has failed to log in before: the authorizer is asked later. Until then the
    /// session reads no command.
    Held(Box<Held>),
    /// The authorizer answers later. Until then the session reads no command.
    Asked(Box<Asked>),
    /// The login is refused. The reply is held back, and the session reads no command.
    Refused(Box<Refused>),
    Done,
}

/// The user who is logged in. For a transfer: the user who was logged in when it began.
#[derive(Default)]
pub(crate) struct Account {
    pub(super) login: Login,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) fs: Option<LoginFS>,
    pub(super) own: Option<Box<OwnSettings>>,
}

/// The user of a pending transfer who has logged out.
pub(crate) struct Owner {
    pub(super) account: Account,
    /// Counts for that user.
    pub(super) slot: Slot,
}

/// A login that waits until the authorizer may be asked.
pub(crate) struct Held {
    pub(crate) until: Instant,
    pub(crate) password: String,
    pub(crate) attempt: Attempt,
}

/// A question to the authorizer.
pub(crate) struct Asked {
    /// The number of the question, so that the answer to another one is not taken for its
    /// answer.
    pub(crate) number: u64,
    pub(crate) password: String,
    pub(crate) attempt: Attempt,
}

/// A refusal whose reply is held back.
pub(crate) struct Refused {
    pub(crate) until: Instant,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) text: String,
}

impl Login {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether commands must wait for the login.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Asked(_) | Self::Refused(_))
    }

    /// Whether the authorizer has been asked and has not answered.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// Whether the login is delayed, before or after the decision.
    pub(crate) fn is_delayed(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Refused(_))
    }

    /// When the delay is over.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Held(held) => Some(held.until),
            Self::Refused(refused) => Some(refused.until),
            _ => None,
        }
    }
}

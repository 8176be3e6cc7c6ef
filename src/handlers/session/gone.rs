//! Sessions whose client has gone while an upload was in progress.

use std::time::{Duration, Instant};

use super::stage::{DataState, Leaving};
use super::state::FTPSession;
use crate::handlers::data::DataChannel;
use crate::time::after;

impl FTPSession {
    /// Whether a transfer waits for a connection at the listener.
    pub(crate) fn awaits_connection(&self) -> bool {
        matches!(self.data, DataState::Listening(_)) && self.pending.is_some()
    }

    /// Whether an upload is in progress, or promised for a connection that may be there already.
    pub(crate) fn has_upload(&self) -> bool {
        match (&self.data, &self.pending) {
            (DataState::Open(open), _) => open.channel.receive(),
            (DataState::Listening(passive), Some(pending)) => {
                passive.ready && pending.transfer.is_upload()
            }
            _ => self.held_reply() == Some(true),
        }
    }

    /// The control connection is lost. An upload may end first, within a bound.
    /// Returns whether there is one.
    pub(crate) fn leave_after_upload(&mut self) -> bool {
        let has_upload = self.has_upload();
        if has_upload && !matches!(self.leaving, Leaving::Gone { .. }) {
            self.leaving = Leaving::Gone { since: self.now };
        }
        has_upload
    }

    /// When a session ends whose client has gone, or has sent QUIT, although its transfer has not.
    pub(crate) fn gone_deadline(&self) -> Option<Instant> {
        let (Leaving::Gone { since } | Leaving::Promised { since }) = self.leaving else {
            return None;
        };
        if self.held_reply().is_some() {
            // Nothing more comes from the client, and the jobs end by themselves.
            return None;
        }
        let progress = self
            .data_channel()
            .map_or(since, DataChannel::last_progress);
        let silent = after(progress.max(since), GONE_SILENCE);
        Some(silent.min(after(since, GONE_MAX)))
    }
}

/// How long an upload may be silent after its client has gone, and how long a data connection may
/// take after QUIT. What the client has sent may be
/// lost on its way, and be sent again.
pub(crate) const GONE_SILENCE: Duration = Duration::from_secs(3);

/// How long an upload may take after its client has gone.
const GONE_MAX: Duration = Duration::from_secs(60);

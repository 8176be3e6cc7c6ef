//! The TLS state of a data connection.

use std::time::Instant;

use crate::proto::reply::Reply;
use crate::tls::{DataHandshake, FinishedDataHandshake, TlsSession};

/// The TLS state of a data connection whose control connection is under TLS.
pub(crate) struct DataTls {
    pub(super) session: TlsSession,
    pub(super) stage: Stage,
    /// When the handshake must be finished.
    pub(super) deadline: Option<Instant>,
    /// When the handshake begins without a command, if the client has sent its first bytes.
    pub(super) put_off: Option<Instant>,
    /// When to verify the connection again.
    pub(super) verify_at: Option<Instant>,
}

/// How far the handshake has come.
pub(super) enum Stage {
    /// The connection is to stay in clear text.
    Clear,
    /// The handshake begins with the client's first byte.
    Waiting,
    Handshaking(DataHandshake),
    /// The handshake is complete. Whether the connection belongs to the session is not known
    /// before this time.
    Verifying(DataHandshake, Instant),
    Open(FinishedDataHandshake),
    /// The handshake has failed: the transfer gets this reply.
    Failed(Reply),
}

impl DataTls {
    pub(crate) fn new(session: TlsSession) -> Self {
        Self {
            session,
            stage: Stage::Clear,
            deadline: None,
            put_off: None,
            verify_at: None,
        }
    }

    /// Whether a handshake must be finished before anything is transferred.
    pub(super) fn is_pending(&self) -> bool {
        matches!(
            self.stage,
            Stage::Waiting | Stage::Handshaking(_) | Stage::Verifying(..)
        )
    }

    /// Whether the connection is under TLS, or will be.
    pub(super) fn is_secure(&self) -> bool {
        !matches!(self.stage, Stage::Clear)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.stage, Stage::Failed(_))
    }
}

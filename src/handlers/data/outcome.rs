//! How a data connection goes on, and how it ends.

use std::io;

use crate::error::strerror;
use crate::proto::reply::Reply;

/// How a data connection came to its end.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything was transferred: 226.
    Complete,
    /// The client has cut the connection: 426 with the number of bytes so far.
    Cut,
    /// The file, or something else on the server, has failed: 426 with a text.
    Failed(String),
    /// The client makes no progress: 421, and the session ends.
    TimedOut,
    /// A command or a hook has ended the transfer with this reply.
    Ended(Reply),
    /// There was no transfer, or the session is over: no reply.
    Silent,
}

impl Outcome {
    /// The file, or the producer, has failed. Its error may be a whole reply.
    pub(crate) fn failed(err: &io::Error) -> Self {
        match Reply::of_error(err) {
            Some(reply) => Self::Ended(reply.clone()),
            None => Self::Failed(strerror(err)),
        }
    }
}

impl Reply {
    /// The final reply of a transfer that was cut after `bytes` bytes.
    pub(crate) fn cut(bytes: u64) -> Self {
        Self::with(426, format!("Transfer aborted; {bytes} bytes transmitted."))
    }
}

/// The final reply of an upload that another session of its user takes over.
pub(crate) const TAKEN_OVER: Reply = Reply::new(
    426,
    "Transfer aborted; another session uploads this file now.",
);

/// What a data connection needs next.
pub(crate) enum Drive {
    /// An event or a deadline.
    Wait,
    /// Another round.
    Again,
    /// Its end.
    Finished(Outcome),
}

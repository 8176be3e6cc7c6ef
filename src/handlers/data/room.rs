//! How much an upload may write.

use std::io;

use crate::filesystems::FSFile;
use crate::proto::reply::Reply;

/// How much an upload may still write.
pub(crate) struct Room {
    /// The largest size that the file may have.
    max: u64,
    /// Where the next byte goes; `None`: to the end of the file.
    position: Option<u64>,
}

impl Room {
    /// `None`: there is no limit. The first byte goes to `position`, or to the end of the file.
    pub(super) fn new(max_upload_size: u64, position: Option<u64>) -> Option<Self> {
        (max_upload_size > 0).then_some(Self {
            max: max_upload_size,
            position,
        })
    }

    /// How many bytes may still be written, and the reply to one more.
    pub(super) fn left(&self, file: &mut dyn FSFile) -> io::Result<(u64, Reply)> {
        // Another upload may write to the end of the file, too.
        let at = match self.position {
            Some(at) => at,
            None => file.size()?,
        };
        Ok((self.max.saturating_sub(at), TOO_LARGE))
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if let Some(at) = &mut self.position {
            *at += bytes as u64;
        }
    }
}

/// What bounds the uploads of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest size of a file; 0: any.
    pub(crate) max_upload_size: u64,
    /// The bytes that ALLO has announced.
    pub(crate) announced: u64,
}

impl Bounds {
    /// The same, as if there had been no ALLO.
    pub(crate) fn without_announcement(self) -> Self {
        Self {
            announced: 0,
            ..self
        }
    }

    /// Refuses an upload that begins at `at` and would become too large.
    ///
    /// # Errors
    /// The reply.
    pub(crate) fn check_size(&self, at: u64) -> Result<(), Reply> {
        let size = at.saturating_add(self.announced);
        match self.max_upload_size > 0 && size > self.max_upload_size {
            true => Err(TOO_LARGE),
            false => Ok(()),
        }
    }
}

/// The reply to an upload that would become larger than the settings allow (RFC 959 §4.2.2).
const TOO_LARGE: Reply = Reply::new(
    552,
    "Requested file action aborted. Exceeded storage allocation.",
);

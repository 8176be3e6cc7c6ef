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
    /// The space of the file system, if some of it must stay free.
    space: Option<Space>,
}

/// What is known about the space of the file system.
#[derive(Default)]
struct Space {
    /// How many bytes may be written, if they are so few that they count.
    left: Option<u64>,
}

impl Room {
    /// `None`: there is no limit. The first byte goes to `position`, or to the end of the file.
    pub(super) fn new(bounds: Bounds, position: Option<u64>) -> Option<Self> {
        let (max, keeps_free) = (bounds.max_upload_size, bounds.min_free_space > 0);
        (max > 0 || keeps_free).then(|| Self {
            max: if max > 0 { max } else { u64::MAX },
            position,
            space: keeps_free.then(Space::default),
        })
    }

    /// Whether the file system must be asked for its space, before each turn.
    pub(super) fn wants_space(&self) -> bool {
        self.space.is_some()
    }

    /// So many bytes may be written now; `None`: any number. As many other uploads are in progress,
    /// which have perhaps got the same answer.
    pub(super) fn set_space(&mut self, left: Option<u64>, others: usize) {
        let others = u64::try_from(others).unwrap_or(u64::MAX);
        let after_all =
            |each: u64| left.map(|left| left.saturating_sub(others.saturating_mul(each)));
        let is_ample = after_all(TURN_MOST).is_none_or(|left| left > COUNTED);
        // With little space, a turn writes little.
        let left = after_all(LITTLE as u64).filter(|_| !is_ample);
        self.space = Some(Space { left });
    }

    /// The most bytes that a turn may write.
    pub(super) fn turn_most(&self) -> usize {
        match &self.space {
            Some(Space { left: Some(_), .. }) => LITTLE,
            _ => usize::MAX,
        }
    }

    /// How many bytes may still be written, and the reply to one more.
    pub(super) fn left(&self, file: &mut dyn FSFile) -> io::Result<(u64, Reply)> {
        let space = self.space.as_ref().and_then(|space| space.left);
        let at = match self.position {
            Some(at) => at,
            // Another upload may write to the end of the file, too.
            None if self.max < u64::MAX => file.size()?,
            None => 0,
        };
        let left = self.max.saturating_sub(at);
        Ok(match space {
            Some(space) if space < left => (space, NO_SPACE),
            _ => (left, TOO_LARGE),
        })
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if let Some(at) = &mut self.position {
            *at += bytes as u64;
        }
        if let Some(space) = &mut self.space {
            space.left = space.left.map(|left| left.saturating_sub(bytes as u64));
        }
    }
}

/// What bounds the uploads of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest size of a file; 0: any.
    pub(crate) max_upload_size: u64,
    /// The space that must stay free on the file system, in bytes.
    pub(crate) min_free_space: u64,
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

    /// Refuses an upload to a file system with so much free space, if too little would stay.
    ///
    /// # Errors
    /// The reply.
    pub(crate) fn check_space(&self, free: Option<u64>) -> Result<(), Reply> {
        let needed = self.min_free_space.saturating_add(self.announced.max(1));
        match free.is_some_and(|free| free < needed) {
            true => Err(NO_SPACE),
            false => Ok(()),
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

/// The reply to an upload for which there is too little space (RFC 959 §4.2.2).
const NO_SPACE: Reply = Reply::new(
    452,
    "Requested action not taken. Insufficient storage space in system.",
);

/// The most bytes that an upload writes in a turn, and more.
const TURN_MOST: u64 = 2 << 20;

/// With no more space than that, beyond what all others may write meanwhile, the bytes are counted,
/// so that none is written too many.
const COUNTED: u64 = 4 << 20;

/// The bytes of a turn then.
const LITTLE: usize = 64 << 10;

//! Whether an upload may have its file: one session at a time writes to a file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::session::FTPSession;
use crate::error::FSError;
use crate::filesystems::FSFile;
use crate::proto::reply::Reply;
use crate::sys::{FileLock, file_id, lock_file};
use crate::uploads::{Claim, Key, Uploads};

/// An open file of an upload, and its claim if uploads lock their files.
pub(super) type Claimed = (Box<dyn FSFile>, Option<Claim>);

/// Why a file cannot be opened for an upload.
pub(super) enum NotOpened {
    /// It cannot be opened, for a reason that the reply names.
    Reply(Reply),
    /// Another upload has it.
    Busy {
        /// Whether that upload was asked to end.
        asked: bool,
    },
}

impl From<Reply> for NotOpened {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<FSError> for NotOpened {
    fn from(err: FSError) -> Self {
        Self::Reply(err.into())
    }
}

/// What a session needs to lock the files of its uploads.
pub(super) struct Locking {
    uploads: Arc<Uploads>,
    owner: Key,
    now: Instant,
    silence: Duration,
}

impl Locking {
    /// `None`: uploads do not lock their files.
    pub(super) fn new(s: &FTPSession) -> Option<Self> {
        let uploads = &s.server.uploads;
        s.locks_uploads().then(|| Self {
            uploads: Arc::clone(uploads),
            owner: uploads.key_of_owner(s.username(), s.remote_ip()),
            now: s.now(),
            silence: s.upload_silence(),
        })
    }

    /// Refuses a path that another upload has. Only files that are none of the system are known
    /// by their paths.
    pub(super) fn check_path(&self, path: &Path) -> Result<(), NotOpened> {
        let key = self.uploads.key_of_file(path);
        match self.uploads.has(key) {
            true => Err(self.busy(key)),
            false => Ok(()),
        }
    }

    /// Locks an open file.
    pub(super) fn lock(&self, file: &dyn FSFile) -> Result<Option<Claim>, NotOpened> {
        let (key, is_locked) = match file.as_file() {
            None => (self.uploads.key_of_file(file.name()), false),
            Some(raw) => {
                let id = file_id(raw).map_err(FSError::Io)?;
                let key = self.uploads.key_of_file(id);
                match lock_file(raw) {
                    FileLock::Held => (key, true),
                    FileLock::Refused => return Err(self.busy(key)),
                    FileLock::Unsupported => (key, false),
                }
            }
        };
        let (uploads, owner) = (&self.uploads, self.owner);
        let claim = uploads.enter(key, owner, is_locked, self.now, self.silence);
        claim.map(Some).ok_or_else(|| self.busy(key))
    }

    fn busy(&self, key: Key) -> NotOpened {
        let (uploads, owner) = (&self.uploads, self.owner);
        let asked = uploads.ask_to_end(key, owner, self.now, self.silence);
        NotOpened::Busy { asked }
    }
}

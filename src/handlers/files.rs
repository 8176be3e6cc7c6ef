//! The one door to the file system.
//!
//! Every operation of an [`AbstractedFS`] goes through [`run`] or [`run_with`]: an operation
//! that may be sent to another thread, and a continuation that gets its result. Today both run
//! at once. An operation runs as the user who is logged in; so does each later step of what it
//! has opened: of a file ([`OpenFile`]) and of a listing ([`OpenDir`]).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::hooks::{Borrowed, Hooks};
use super::session::FTPSession;
use crate::authorizers::{Identity, run_as};
use crate::error::{FSError, FilesystemError};
use crate::filesystems::{AbstractedFS, FSDir, FSFile, FSState};
use crate::proto::reply::Reply;

/// The result of an operation.
pub(super) type FSResult<T> = Result<T, FSError>;

/// Runs an operation as the user who is logged in, and hands its result to `then`. If nobody
/// is logged in, the result is an error.
pub(super) fn run<T: Send + 'static>(
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> FSResult<T> + Send + 'static,
    then: impl FnOnce(&mut FTPSession, FSResult<T>) + 'static,
) {
    let result = perform(s, operation);
    then(s, result);
}

/// As [`run`], for a continuation that calls the handler.
pub(super) fn run_with<H: Hooks + ?Sized, T: Send + 'static>(
    h: &mut H,
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> FSResult<T> + Send + 'static,
    then: impl FnOnce(&mut dyn Hooks, &mut FTPSession, FSResult<T>) + 'static,
) {
    let result = perform(s, operation);
    then(&mut Borrowed(h), s, result);
}

/// Runs an operation of a command. The steps of what it has opened run in [`OpenDir::step`] and
/// in [`OpenFile`].
fn perform<T, E: From<FSError>>(
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> Result<T, E>,
) -> Result<T, E> {
    let Some(state) = &mut s.fs else {
        return Err(FSError::from(FilesystemError::new("Not logged in")).into());
    };
    let fs = &*s.config.abstracted_fs;
    let authorizer = &*s.config.authorizer;
    run_as(authorizer, &s.username, &s.password, || {
        operation(fs, state)
    })
}

/// Closes a file at the end of its transfer, and hands the result to `then`.
pub(super) fn finish<H: Hooks + ?Sized>(
    h: &mut H,
    s: &mut FTPSession,
    mut file: Box<dyn FSFile>,
    completed: bool,
    then: impl FnOnce(&mut dyn Hooks, &mut FTPSession, io::Result<()>) + 'static,
) {
    // An open file knows the identity of its user, who may have logged out by now.
    let result = file.finish(completed);
    drop(file);
    then(&mut Borrowed(h), s, result);
}

/// The identity of the user who is logged in.
fn identity(s: &FTPSession) -> Identity {
    Identity::new(s.authorizer_handle(), s.username(), s.password())
}

/// Opens a file for a transfer, as [`run`] runs an operation. Each later step of the file runs
/// as the same user. An operation that fails returns the reply.
pub(super) fn open(
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> Result<Box<dyn FSFile>, Reply>
    + Send
    + 'static,
    then: impl FnOnce(&mut FTPSession, Result<Box<dyn FSFile>, Reply>) + 'static,
) {
    let user = identity(s);
    let opened = perform(s, operation);
    let opened = opened.map(|file| Box::new(OpenFile { file, user }) as Box<dyn FSFile>);
    then(s, opened);
}

/// What a listing needs to be opened: taken from the session before the operation runs.
pub(super) struct Opener {
    fs: Arc<dyn AbstractedFS>,
    user: Identity,
}

impl Opener {
    pub(super) fn new(s: &FTPSession) -> Self {
        Self {
            fs: Arc::clone(&s.config.abstracted_fs),
            user: identity(s),
        }
    }

    /// A directory that an operation has opened.
    pub(super) fn dir(self, dir: Box<dyn FSDir>) -> OpenDir {
        let Self { fs, user } = self;
        OpenDir { fs, dir, user }
    }
}

/// An open directory, each step of which runs as the user who has opened it.
pub(super) struct OpenDir {
    fs: Arc<dyn AbstractedFS>,
    dir: Box<dyn FSDir>,
    user: Identity,
}

impl OpenDir {
    /// Runs a step of the listing.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&dyn AbstractedFS, &mut dyn FSDir) -> T,
    ) -> T {
        let (fs, dir) = (&*self.fs, &mut *self.dir);
        self.user.run(|| step(fs, dir))
    }
}

/// An open file, each step of which runs as the user who has opened it.
struct OpenFile {
    file: Box<dyn FSFile>,
    user: Identity,
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { file, user } = self;
        user.run(|| file.read(buffer))
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { file, user } = self;
        user.run(|| file.write(bytes))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { file, user } = self;
        user.run(|| file.write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self { file, user } = self;
        user.run(|| file.flush())
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let Self { file, user } = self;
        user.run(|| file.seek(position))
    }
}

impl FSFile for OpenFile {
    fn name(&self) -> &Path {
        self.file.name()
    }

    /// The kernel moves bytes of an open file without asking for an identity.
    fn as_file(&self) -> Option<&File> {
        self.file.as_file()
    }

    fn size(&mut self) -> io::Result<u64> {
        let Self { file, user } = self;
        user.run(|| file.size())
    }

    fn size_when_opened(&self) -> Option<u64> {
        self.file.size_when_opened()
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        let Self { file, user } = self;
        user.run(|| file.finish(completed))
    }
}

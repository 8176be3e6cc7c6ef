//! The one door to the file system.
//!
//! Every operation of an [`AbstractedFS`] goes through [`run`] or [`run_with`]: an operation
//! that may be sent to another thread, and a continuation that gets its result. Today both run
//! at once. An operation runs as the user who is logged in; so does each later step of what it
//! has opened: of a file ([`OpenFile`]) and of a listing ([`OpenDir`]).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::thread;

use super::hooks::{Borrowed, Hooks};
use super::locking::{Claimed, NotOpened};
use super::session::FTPSession;
use crate::authorizers::{Authorizer, Identity, Perm, run_as};
use crate::error::{FSError, FilesystemError};
use crate::filesystems::{AbstractedFS, FSDir, FSFile, FSState, Fenced, LoginFS, NameRules};
use crate::proto::reply::{Reply, repr};

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
    let rules = s.name_rules().cloned();
    let Some(fs) = &mut s.fs else {
        return Err(not_logged_in().into());
    };
    let authorizer = &*s.config.authorizer;
    run_as(authorizer, &s.username, &s.password, || {
        fenced(fs, rules.as_ref(), operation)
    })
}

/// Runs an operation on a file system without the names that clients may not use.
pub(super) fn fenced<T>(
    fs: &mut LoginFS,
    rules: Option<&Arc<NameRules>>,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> T,
) -> T {
    let (fs, state) = fs.parts();
    match rules {
        None => operation(fs, state),
        Some(rules) => operation(&Fenced::new(fs, rules), state),
    }
}

/// Runs an operation of a hook at once, as the user who is logged in.
///
/// # Errors
/// Those of the operation, and that nobody is logged in.
pub(super) fn run_now<T>(
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> FSResult<T>,
) -> FSResult<T> {
    perform(s, operation)
}

/// The file system of the settings.
pub(super) fn of_settings(s: &FTPSession) -> Arc<dyn AbstractedFS> {
    Arc::clone(&s.config.abstracted_fs)
}

fn not_logged_in() -> FSError {
    FilesystemError::new("Not logged in").into()
}

/// The operations of the command in progress ask for a permission again before they use the file
/// at `path`: where it really is then. Only if that may change the answer.
pub(super) fn ask_again(s: &mut FTPSession, path: &Path, perm: Perm) {
    let authorizer = s.authorizer_handle();
    if let Some(fs) = &mut s.fs {
        ask_again_as(&mut fs.state, &authorizer, &s.username, path, perm);
    }
}

/// As [`ask_again`], in an operation.
pub(super) fn ask_again_as(
    state: &mut FSState,
    authorizer: &Arc<dyn Authorizer>,
    username: &str,
    path: &Path,
    perm: Perm,
) {
    if authorizer.has_overrides(username) {
        let (authorizer, username) = (Arc::clone(authorizer), username.to_owned());
        let question = move |real: &Path| authorizer.has_perm_at(&username, perm, real);
        state.add_check(path, question);
    }
}

/// Whether the permissions of the user depend on the path.
pub(super) fn has_overrides(s: &FTPSession) -> bool {
    s.authorizer().has_overrides(&s.username)
}

/// The error of a path that leads outside of the user's root. It names the FTP path of the client.
pub(super) fn outside(fs: &dyn AbstractedFS, state: &FSState, path: &Path) -> FSError {
    let shown = fs.fs2ftp(state, path);
    FilesystemError::new(format!(
        "{} points to a path which is outside the user's root directory",
        repr(&shown.to_string_lossy())
    ))
    .into()
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
pub(super) fn identity(s: &FTPSession) -> Identity {
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
    let opened = opened.map(|file| Box::new(OpenFile(AsUser::new(file, user))) as Box<dyn FSFile>);
    then(s, opened);
}

/// Opens and claims a file for an upload, as [`open`] opens one.
pub(super) fn open_upload(
    s: &mut FTPSession,
    operation: impl FnOnce(&dyn AbstractedFS, &mut FSState) -> Result<Claimed, NotOpened>
    + Send
    + 'static,
    then: impl FnOnce(&mut FTPSession, Result<Claimed, NotOpened>) + 'static,
) {
    let user = identity(s);
    let opened = perform(s, |fs, state| {
        state.set_upload(true);
        let opened = operation(fs, state);
        state.set_upload(false);
        opened
    });
    let opened = opened.map(|(file, claim)| {
        let file: Box<dyn FSFile> = Box::new(OpenFile(AsUser::new(file, user)));
        (file, claim)
    });
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
            fs: s
                .fs
                .as_ref()
                .map_or_else(|| of_settings(s), LoginFS::handle),
            user: identity(s),
        }
    }

    /// A directory that an operation has opened.
    pub(super) fn dir(self, dir: Box<dyn FSDir>) -> OpenDir {
        let Self { fs, user } = self;
        OpenDir {
            fs,
            dir: AsUser::new(dir, user),
        }
    }
}

/// An open directory, each step of which runs as the user who has opened it.
pub(super) struct OpenDir {
    fs: Arc<dyn AbstractedFS>,
    dir: AsUser<dyn FSDir>,
}

impl OpenDir {
    /// Runs a step of the listing.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&dyn AbstractedFS, &mut dyn FSDir) -> T,
    ) -> T {
        let fs = &*self.fs;
        self.dir.step(|dir| step(fs, dir))
    }
}

/// An open file, each step of which runs as the user who has opened it.
struct OpenFile(AsUser<dyn FSFile>);

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.step(|file| file.read(buffer))
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.step(|file| file.write(bytes))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.step(|file| file.write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.step(|file| file.flush())
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.step(|file| file.seek(position))
    }
}

impl FSFile for OpenFile {
    fn name(&self) -> &Path {
        self.0.inner().name()
    }

    /// The kernel moves bytes of an open file without asking for an identity.
    fn as_file(&self) -> Option<&File> {
        self.0.inner().as_file()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.0.step(|file| file.size())
    }

    fn size_when_opened(&self) -> Option<u64> {
        self.0.inner().size_when_opened()
    }

    // These two only look at what is in memory.

    fn set_waker(&mut self, waker: Waker) {
        self.0.inner_mut().set_waker(waker);
    }

    fn is_ready(&mut self) -> bool {
        self.0.inner_mut().is_ready()
    }

    fn begin(&mut self) -> io::Result<()> {
        self.0.step(|file| file.begin())
    }

    fn is_replaced(&mut self) -> bool {
        self.0.step(|file| file.is_replaced())
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        self.0.step(|file| file.finish(completed))
    }
}

/// Something that a user has opened. Its steps run as that user, and so does its end.
struct AsUser<T: ?Sized> {
    /// Taken by `drop` only.
    inner: Option<Box<T>>,
    user: Identity,
}

impl<T: ?Sized> AsUser<T> {
    fn new(inner: Box<T>, user: Identity) -> Self {
        Self {
            inner: Some(inner),
            user,
        }
    }

    fn inner(&self) -> &T {
        // Only `drop` takes it, after which this cannot be called.
        self.inner.as_deref().expect(OPEN)
    }

    fn inner_mut(&mut self) -> &mut T {
        // Only `drop` takes it, after which this cannot be called.
        self.inner.as_deref_mut().expect(OPEN)
    }

    fn step<R>(&mut self, step: impl FnOnce(&mut T) -> R) -> R {
        let Self { inner, user } = self;
        // Only `drop` takes it, after which this cannot be called.
        let inner = inner.as_deref_mut().expect(OPEN);
        user.run(|| step(inner))
    }
}

impl<T: ?Sized> Drop for AsUser<T> {
    fn drop(&mut self) {
        let (inner, user) = (self.inner.take(), &self.user);
        let close = AssertUnwindSafe(|| user.run(|| drop(inner)));
        // A second panic, while the first one unwinds, would end the process.
        if let Err(panic) = catch_unwind(close)
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

const OPEN: &str = "it is open until it is dropped";

//! Open files and open directories, and the modes to open a file with.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::task::Waker;

use crate::error::FSError;
use crate::proto::listing::Stat;

/// An open file, from which a transfer reads or to which it writes.
///
/// Dropping the value closes the file. Reading, writing, seeking, [`size`](Self::size),
/// [`finish`](Self::finish) and the drop may block; the other methods must not.
pub trait FSFile: Read + Write + Seek + Send {
    /// The real path that the file was opened by.
    fn name(&self) -> &Path;

    /// The open file of the system, if there is one. Binary transfers then use `sendfile`
    /// and `splice` with it, and call neither [`Read`] nor [`Write`]: return `None`, as the
    /// default body does, if the bytes must pass through those.
    fn as_file(&self) -> Option<&File> {
        None
    }

    /// The size of the file in bytes, as it is now.
    ///
    /// # Errors
    /// Those of the system.
    fn size(&mut self) -> io::Result<u64>;

    /// The size of the file in bytes when it was opened, if it is known without asking the
    /// system. A download that has sent so many bytes may end there.
    fn size_when_opened(&self) -> Option<u64> {
        None
    }

    /// The bytes of an upload go elsewhere: `waker` wakes the connection when
    /// [`is_ready`](Self::is_ready) returns true again. Called once, before
    /// [`begin`](Self::begin). The waker may be called from any thread, at any time and often, also
    /// after the transfer.
    fn set_waker(&mut self, waker: Waker) {
        let _ = waker;
    }

    /// Whether an upload may be written now. If not, nothing is received from the client until the
    /// [waker](Self::set_waker) is called, and the client has to wait; it costs nothing. At most
    /// 512 KiB are written after each answer. If the file is never ready, the
    /// [data time-out](crate::DTPConfig::timeout) ends the upload. The default body returns true.
    fn is_ready(&mut self) -> bool {
        true
    }

    /// Called once before the first byte of an upload: its data connection is established, and
    /// under TLS its handshake is accepted. A file that was opened for an
    /// [upload](super::FSState::is_upload) loses its old bytes here and not in
    /// [`open`](super::AbstractedFS::open), so that a STOR without a data connection costs
    /// nothing. If the upload gets no data connection, this method is not called.
    ///
    /// A file of [`local`](super::local) that was removed or replaced since the open fails here,
    /// and so does the upload: its bytes would be nowhere.
    ///
    /// The default body asks for the position and ignores other errors than that one. So a type
    /// that passes [`Seek`] on to a file of [`local`](super::local) begins that file, too.
    ///
    /// # Errors
    /// Any error of what this method does. The upload then gets a 426 reply with its text.
    fn begin(&mut self) -> io::Result<()> {
        let is_replaced = |err: &io::Error| err.get_ref().is_some_and(|err| err.is::<Replaced>());
        match self.stream_position() {
            Err(err) if is_replaced(&err) => Err(err),
            _ => Ok(()),
        }
    }

    /// Whether the name of the file leads to another file by now, or to none: it was renamed or
    /// removed after the open. The default body returns false.
    fn is_replaced(&mut self) -> bool {
        false
    }

    /// Called once at the end of a transfer, before the reply. `completed` is false if the
    /// transfer has failed or was aborted. The default body does nothing.
    ///
    /// # Errors
    /// Any error of what this method does. A completed upload then gets a 426 reply with the
    /// text of the error, and counts as incomplete. An error that is made from a whole
    /// [`Reply`](crate::proto::reply::Reply) gets that reply: `Reply::new(552, "..").into()`. The
    /// same holds for errors of reading and writing.
    fn finish(&mut self, completed: bool) -> io::Result<()> {
        let _ = completed;
        Ok(())
    }
}

/// The error of an upload whose file was removed, or lost its name, before it began.
#[derive(Debug)]
pub(crate) struct Replaced;

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The file was removed or replaced meanwhile")
    }
}

impl std::error::Error for Replaced {}

/// An open directory, relative to which its entries are looked up.
///
/// All methods may block, and so may the drop.
pub trait FSDir: Send {
    /// The next name, in the order of the system and without `.` and `..`. `None` is the end
    /// of the directory.
    fn next_name(&mut self) -> Option<io::Result<OsString>>;

    /// The attributes of an entry; a link is not followed.
    ///
    /// # Errors
    /// The entry does not exist any more; [`FSError::Outside`] if `name` is `..` or holds a
    /// `/`.
    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError>;

    /// The attributes of an entry; a link is followed.
    ///
    /// # Errors
    /// The entry does not exist any more, or is a link that leads nowhere;
    /// [`FSError::Outside`] for a link that leaves the user's root.
    fn stat(&self, name: &OsStr) -> Result<Stat, FSError>;

    /// The text of an entry that is a link: the path that it points to.
    ///
    /// # Errors
    /// The entry does not exist any more, or is not a link.
    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError>;
}

/// How a file is opened: the modes of Python's `open()` that pyftpdlib uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// `rb`: to read. The file must exist.
    Read,
    /// `wb`: to write from the start. The file is made if it does not exist, and emptied if
    /// it does: at once, or for an upload in [`FSFile::begin`]. See [`Store`](Self::Store).
    Write,
    /// `ab`: to write at the end. The file is made if it does not exist.
    Append,
    /// `r+b`: to overwrite in place, for REST before STOR. The file must exist.
    Update,
}

impl OpenMode {
    /// How STOR opens a file: [`Write`](Self::Write) for an
    /// [upload](super::FSState::is_upload). The file should keep its bytes until
    /// [`FSFile::begin`], and be removed if it was made by the open and the upload never begins.
    /// The files of [`local`](super::local) do both. A file system of your own that empties the
    /// file in [`open`](super::AbstractedFS::open) truncates early: a STOR whose data connection
    /// does not come leaves an empty file.
    ///
    /// This is another name of `Write` and no variant of its own, because file systems match on
    /// the four variants.
    #[allow(
        non_upper_case_globals,
        reason = "it is used and read as the variants are"
    )]
    pub const Store: Self = Self::Write;
}

//! What goes over a data connection.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::strerror;
use crate::filesystems::FSFile;
use crate::producers::{FileProducer, Producer};
use crate::proto::transfer_type::TransferType;
use crate::uploads::Claim;

/// What a command sends on the data connection.
pub enum Outgoing {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The output of a producer.
    Producer(Box<dyn Producer>),
    /// A file: its real path, and the producer of its bytes. The transfer is logged, and
    /// [`on_file_sent`](crate::FTPHandler::on_file_sent) or
    /// [`on_incomplete_file_sent`](crate::FTPHandler::on_incomplete_file_sent) is called.
    File(PathBuf, Box<dyn Producer>),
}

impl Outgoing {
    /// A file whose position is `position`, in bytes.
    #[must_use]
    pub fn file(file: Box<dyn FSFile>, position: u64, transfer_type: TransferType) -> Self {
        let name = file.name().to_owned();
        let producer = FileProducer::new(file, position, transfer_type);
        Self::File(name, Box::new(producer))
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Producer(_) => f.write_str("Producer"),
            Self::File(name, _) => write!(f, "File({})", name.display()),
        }
    }
}

/// What a command receives on the data connection.
pub struct Upload {
    /// The file that the bytes are written to.
    pub file: Box<dyn FSFile>,
    /// The position of the file, in bytes; `None` if each write goes to its end.
    pub position: Option<u64>,
    /// The representation type.
    pub transfer_type: TransferType,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("file", &self.file.name())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// A transfer whose data connection is not open yet. Its command was replied to with 150.
pub(crate) enum PendingTransfer {
    /// The path is that of a stock listing.
    Send(Outgoing, Cow<'static, str>, TransferType, Option<PathBuf>),
    /// The claim is that of the file, if there is one.
    Receive(Upload, Cow<'static, str>, Option<Claim>),
    /// An upload whose file is closed already, since the same session stores it anew. This is
    /// its real path.
    Closed(PathBuf, Cow<'static, str>),
}

impl PendingTransfer {
    pub(crate) fn is_upload(&self) -> bool {
        matches!(self, Self::Receive(..))
    }

    /// Whether this is an upload to the file at `path`, which is open.
    pub(crate) fn is_upload_to(&self, path: &Path) -> bool {
        matches!(self, Self::Receive(upload, ..) if upload.file.name() == path)
    }

    /// The command, and the path that it has named.
    pub(crate) fn subject(&self) -> (&str, Option<&Path>) {
        match self {
            Self::Send(Outgoing::File(name, _), cmd, ..) => (cmd, Some(name)),
            Self::Send(_, cmd, _, listed) => (cmd, listed.as_deref()),
            Self::Receive(upload, cmd, _) => (cmd, Some(upload.file.name())),
            Self::Closed(name, cmd) => (cmd, Some(name)),
        }
    }

    /// The file, if the transfer is one of a file.
    pub(crate) fn file_name(&self) -> Option<&Path> {
        match self {
            Self::Send(Outgoing::File(name, _), ..) | Self::Closed(name, _) => Some(name),
            Self::Receive(upload, ..) => Some(upload.file.name()),
            Self::Send(..) => None,
        }
    }

    /// Closes the file of an upload.
    pub(crate) fn close(self) -> Self {
        match self {
            Self::Receive(mut upload, cmd, _claim) => {
                // It has failed already, so an error of the file changes nothing.
                let _ = upload.file.finish(false);
                Self::Closed(upload.file.name().to_owned(), cmd)
            }
            other => other,
        }
    }

    /// The claim of an upload.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Receive(_, _, claim) => claim.as_ref(),
            _ => None,
        }
    }

    /// Whether this is an upload that another session of its user takes over.
    pub(crate) fn is_taken_over(&mut self, now: Instant) -> bool {
        match self {
            Self::Receive(_, _, Some(claim)) => claim.is_asked_to_end(now),
            _ => false,
        }
    }
}

/// The result of [`DTPHandler::handle_read`](super::DTPHandler::handle_read).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// This many bytes were received.
    Bytes(usize),
    /// There was nothing to receive; an event will come when there is.
    Nothing,
    /// The client has closed the connection.
    End,
}

/// The error that a transfer failed with.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// An error of the connection.
    Connection(io::Error),
    /// An error of the file or of the producer.
    File(io::Error),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(err) | Self::File(err) => f.write_str(&strerror(err)),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(err) | Self::File(err) => Some(err),
        }
    }
}

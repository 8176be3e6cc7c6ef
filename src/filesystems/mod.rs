//! The files that a session works on: FTP paths in front, "real" paths behind.
//!
//! [`AbstractedFS`] is the behaviour, whose methods can be overridden one by one.
//! [`FSState`] is the state of one session: its root and its current directory. The
//! functions of [`local`] are the stock bodies, to be called as "super". [`NoFS`] refuses
//! everything: what file systems are made of that are not on the disk, with [`BytesFile`] and
//! [`NameList`].
//!
//! An FTP path is an `&OsStr`, has `/` between its parts and starts at the user's root. A
//! real path is a `&Path` of the system. The two are never mixed; both are bytes, not
//! necessarily UTF-8.
//!
//! This module knows nothing of sessions, replies or permissions. Before an operation uses a
//! file, it asks the question that the caller has left in [`FSState`] about the path of the
//! command, if there is one.

mod abstracted;
mod checks;
mod fenced;
mod file;
mod held;
mod jail;
pub mod local;
mod login_fs;
mod names;
mod no_fs;
pub mod path;
mod ready;
mod state;
mod unix;
mod way;

pub use crate::proto::listing::Stat;
pub use abstracted::{AbstractedFS, LocalFS};
pub(crate) use fenced::Fenced;

pub use file::{FSDir, FSFile, OpenMode};
pub use held::Held;
pub use local::LocalFile;
pub(crate) use login_fs::LoginFS;
pub(crate) use names::NameRules;
pub use no_fs::NoFS;
pub use ready::{BytesFile, NameList};
pub use state::FSState;
pub use unix::UnixFilesystem;

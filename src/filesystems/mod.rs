//! What the server sees of the files: a file system with "real" paths behind
//! it and "FTP" paths before it.
//!
//! [`AbstractedFS`] is the behaviour, to be overridden method by method;
//! [`FSState`] the state of one session in it (its root and its current
//! directory); the functions of [`local`] are the stock bodies, to be called
//! as "super". An FTP path is an `&OsStr` with `/` between its parts and starts
//! at the user's root; a real path is a `&Path`. The two are never mixed.
//!
//! This module knows nothing of sessions, replies or permissions.

mod abstracted;
mod file;
mod jail;
pub mod local;
mod local_fs;
pub mod path;
mod state;
mod unix;

pub use crate::proto::listing::Stat;
pub use abstracted::AbstractedFS;
pub use file::{FSDir, FSFile, OpenMode};
pub use local::LocalFile;
pub use local_fs::LocalFS;
pub use state::FSState;
pub use unix::UnixFilesystem;

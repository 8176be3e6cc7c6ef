//! The jailed local file system: the stock bodies of [`AbstractedFS`](super::AbstractedFS).
//!
//! A user sees the files below the root and nothing else, also when somebody
//! with an account on this machine swaps a directory for a link at the worst
//! moment. So no path is checked first and used later: a handle of the root is
//! held, and each operation goes from there to a handle of the file or of its
//! directory, by a look-up that cannot leave the root.
//!
//! Symbolic links work as long as their destination is inside, also absolute
//! ones and ones that leave the root and come back, as in pyftpdlib. Hard links
//! and mounts are what they are: part of the tree.
//!
//! The parts: `home` holds the root's handle, `resolve` does the look-ups,
//! `ops` the operations, `dir` the listing of a directory. This module knows
//! nothing of FTP paths.

mod dir;
mod file;
pub(super) mod ops;
pub(super) mod stock;
#[cfg(test)]
pub(super) mod tests;

pub use super::local_fs::LocalFS;
pub use file::LocalFile;
pub use stock::{
    check_directory, chmod, group_by_gid, listdir, lstat, mkdir, mkstemp, open, readlink, realpath,
    remove, rename, resolved, rmdir, stat, user_by_uid, utime, validpath,
};

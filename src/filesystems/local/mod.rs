//! The local file system with each user jailed in a root directory: the stock bodies of
//! [`AbstractedFS`](super::AbstractedFS), to be called as "super".
//!
//! A user sees the files below the root and nothing else, even if somebody with an account
//! on this machine replaces a directory by a link at the worst moment. Therefore no path is
//! checked first and used later. Each operation starts from an open handle of the root and
//! gets a handle of the file, or of its directory, by a look-up that cannot leave the root.
//!
//! Symbolic links work as long as their destination is inside the root, as in pyftpdlib:
//! also absolute ones, and ones that leave the root and come back. Hard links and mounts
//! are part of the tree.
//!
//! Real paths given to these functions start with the root as [`FSState`](super::FSState)
//! has it. Each function that says so may block on the disk, or on the network if the files
//! are there.

// `stock` holds the public functions. `ops` holds the operations behind them, relative to the
// handle of a root from `jail`. `dir` and `file` hold the types of what they open, `upload`
// what a file knows about its upload.
mod dir;
mod file;
pub(super) mod ops;
pub(super) mod stock;
#[cfg(test)]
pub(super) mod tests;
mod upload;

pub use super::abstracted::LocalFS;
pub use file::LocalFile;
pub use stock::{
    check_directory, chmod, free_space, group_by_gid, hold, lexists, listdir, lstat, mkdir,
    mkstemp, open, readlink, realpath, remove, rename, rename_new, resolved, rmdir, stat,
    user_by_uid, utime, validpath,
};

//! Every unsafe block of the crate: system calls that std does not have, behind safe signatures.

mod attributes;
mod dir;
mod openat;
mod passwd;

pub(crate) use attributes::{fchmod, fstat, fstatat, futime};
pub(crate) use dir::DirReader;
pub(crate) use openat::{
    O_PATH, mkdirat, openat, openat_beneath, readlinkat, renameat, rmdirat, unlinkat,
};
pub(crate) use passwd::{group_name, user_name};

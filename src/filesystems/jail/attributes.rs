//! The attributes of files, as the [`Stat`] that listings use.

use std::io;
use std::os::fd::BorrowedFd;

use crate::proto::listing::Stat;
use crate::sys;

/// fstat(2). `fd` may be an `O_PATH` handle.
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    Ok(from_raw(&sys::fstat(fd)?))
}

/// fstatat(2) of the name itself: a link is not followed.
pub(crate) fn fstatat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Stat> {
    Ok(from_raw(&sys::fstatat(dir, name)?))
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    reason = "the types of these fields differ between systems, and none is wider than that of Stat"
)]
fn from_raw(stat: &libc::stat) -> Stat {
    Stat {
        mode: stat.st_mode as u32,
        nlink: stat.st_nlink as u64,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: stat.st_mtime as i64,
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
    }
}

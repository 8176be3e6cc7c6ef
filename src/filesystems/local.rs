//! The jailed local file system.
use super::{AbstractedFS, FSDir, FSFile, FSState, OpenMode, Stat};
use crate::error::FSError;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
/// Stub.
pub struct Home;
/// Stub.
#[derive(Debug)]
pub struct LocalFS;
impl LocalFS {
    /// New.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}
impl AbstractedFS for LocalFS {}
/// Stub.
pub fn validpath(_fs: &FSState, _path: &Path) -> bool {
    unreachable!()
}
/// Stub.
pub fn open(_fs: &FSState, _path: &Path, _mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
    unreachable!()
}
/// Stub.
pub fn mkstemp(_fs: &FSState, _dir: &Path, _prefix: &OsStr) -> Result<Box<dyn FSFile>, FSError> {
    unreachable!()
}
/// Stub.
pub fn check_directory(_fs: &FSState, _path: &Path) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn mkdir(_fs: &FSState, _path: &Path) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn listdir(_fs: &FSState, _path: &Path) -> Result<Box<dyn FSDir>, FSError> {
    unreachable!()
}
/// Stub.
pub fn rmdir(_fs: &FSState, _path: &Path) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn remove(_fs: &FSState, _path: &Path) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn rename(_fs: &FSState, _src: &Path, _dst: &Path) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn chmod(_fs: &FSState, _path: &Path, _mode: u32) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn stat(_fs: &FSState, _path: &Path) -> Result<Stat, FSError> {
    unreachable!()
}
/// Stub.
pub fn lstat(_fs: &FSState, _path: &Path) -> Result<Stat, FSError> {
    unreachable!()
}
/// Stub.
pub fn utime(_fs: &FSState, _path: &Path, _seconds: i64) -> Result<(), FSError> {
    unreachable!()
}
/// Stub.
pub fn readlink(_fs: &FSState, _path: &Path) -> Result<PathBuf, FSError> {
    unreachable!()
}
/// Stub.
pub fn realpath(_fs: &FSState, _path: &Path) -> PathBuf {
    unreachable!()
}
/// Stub.
pub fn user_by_uid(_uid: u32) -> String {
    unreachable!()
}
/// Stub.
pub fn group_by_gid(_gid: u32) -> String {
    unreachable!()
}

//! Paths as text.
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
/// Stub.
pub fn ftpnorm(_cwd: &OsStr, _path: &OsStr) -> OsString {
    OsString::new()
}
/// Stub.
pub fn ftp2fs(_root: &Path, _path: &OsStr) -> PathBuf {
    PathBuf::new()
}
/// Stub.
pub fn fs2ftp(_root: &Path, _path: &Path) -> OsString {
    OsString::new()
}

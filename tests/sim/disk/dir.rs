//! An open directory of the disk.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use ftpdlib::FSError;
use ftpdlib::filesystems::{FSDir, Stat};

use super::Disk;
use super::fs::{io_error, stat_of};
use super::nodes::{Body, Ino};

/// An open directory. What is made while it is read may be missed; what is removed is not there.
pub struct OpenDir {
    pub disk: Disk,
    pub home: usize,
    /// The real path by which it was opened.
    pub path: Vec<u8>,
    pub ino: Ino,
    /// The names that are still to be read, the next one last.
    pub names: Vec<Vec<u8>>,
}

impl OpenDir {
    fn entry(&self, operation: &'static str, name: &OsStr) -> Result<Ino, FSError> {
        let name = name.as_bytes();
        if name == b".." || name.contains(&b'/') {
            return Err(FSError::Outside);
        }
        let path = [&self.path, b"/".as_slice(), name].concat();
        let mut state = self.disk.lock();
        state.enter(operation, self.home, &path)?;
        if name == b"." {
            return Ok(self.ino);
        }
        let entries = state.nodes.entries(self.ino);
        let ino = entries.and_then(|entries| entries.get(name)).copied();
        ino.ok_or_else(|| FSError::from_errno(libc::ENOENT))
    }
}

impl FSDir for OpenDir {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        let mut state = self.disk.lock();
        if let Err(err) = state.enter("readdir", self.home, &self.path) {
            return Some(Err(io_error(err)));
        }
        let entries = state.nodes.entries(self.ino)?;
        let name = loop {
            let name = self.names.pop()?;
            if entries.contains_key(&name) {
                break name;
            }
        };
        Some(Ok(OsString::from_vec(name)))
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        let ino = self.entry("lstat", name)?;
        Ok(stat_of(&self.disk.lock().nodes, ino))
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        let ino = self.entry("stat", name)?;
        let state = self.disk.lock();
        if !matches!(state.nodes.get(ino).body, Body::Link(_)) {
            return Ok(stat_of(&state.nodes, ino));
        }
        let path = [&self.path, b"/".as_slice(), name.as_bytes()].concat();
        let walk = state.nodes.walk(&path, true);
        if !walk.is_inside(state.home_ino(self.home)) {
            return Err(FSError::Outside);
        }
        match walk.found {
            Ok(Some(ino)) => Ok(stat_of(&state.nodes, ino)),
            Ok(None) => Err(FSError::from_errno(libc::ENOENT)),
            Err(errno) => Err(FSError::from_errno(errno)),
        }
    }

    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError> {
        let ino = self.entry("readlink", name)?;
        match &self.disk.lock().nodes.get(ino).body {
            Body::Link(target) => Ok(PathBuf::from(OsString::from_vec(target.clone()))),
            _ => Err(FSError::from_errno(libc::EINVAL)),
        }
    }
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        self.disk.lock().open -= 1;
    }
}

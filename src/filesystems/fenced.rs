//! A file system without the names that clients may not use.
//!
//! Each method with a path refuses one that has such a name in it, or leads to one by a link, and
//! calls the method of the file system otherwise. For [`LocalFS`](super::LocalFS) the look-up in
//! the home finds out where links lead, so that nobody can swap them in between; for others their
//! `realpath` does, before the operation.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::abstracted::AbstractedFS;
use super::file::{FSDir, FSFile, OpenMode};
use super::held::Held;
use super::names::NameRules;
use super::path::below;
use super::state::FSState;
use crate::error::FSError;
use crate::proto::listing::{ListEntry, ListingStyle, MlsxFacts, Stat};

/// A file system without the names that clients may not use.
pub(crate) struct Fenced<'a> {
    fs: &'a dyn AbstractedFS,
    rules: &'a Arc<NameRules>,
}

impl<'a> Fenced<'a> {
    pub(crate) fn new(fs: &'a dyn AbstractedFS, rules: &'a Arc<NameRules>) -> Self {
        Self { fs, rules }
    }

    /// Refuses the path of an operation that follows links.
    fn check(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.check_text(fs, path)?;
        self.check_real(fs, path)
    }

    /// Refuses the path of an operation on a name itself.
    fn check_name(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.check_text(fs, path)?;
        path.parent().map_or(Ok(()), |dir| self.check_real(fs, dir))
    }

    fn check_text(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.rules.check(self.fs.fs2ftp(fs, path).as_bytes())
    }

    fn check_real(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        if self.fs.is_stock() {
            return Ok(());
        }
        let (root, real) = (self.fs.realpath(fs, fs.root()), self.fs.realpath(fs, path));
        let real = real.as_os_str().as_bytes();
        let rel = below(root.as_os_str().as_bytes(), real);
        self.rules.check(rel.unwrap_or(real))
    }
}

impl AbstractedFS for Fenced<'_> {
    /// Each method is here, and none leads around the fence.
    fn inner(&self) -> &dyn AbstractedFS {
        self
    }

    fn initial_cwd(&self, root: &Path) -> OsString {
        self.fs.initial_cwd(root)
    }

    fn ftpnorm(&self, fs: &FSState, ftppath: &OsStr) -> OsString {
        self.fs.ftpnorm(fs, ftppath)
    }

    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        self.fs.ftp2fs(fs, ftppath)
    }

    fn fs2ftp(&self, fs: &FSState, path: &Path) -> OsString {
        self.fs.fs2ftp(fs, path)
    }

    /// A path that is refused counts as inside, as one that does not exist: the operation fails.
    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        self.check(fs, path).is_err() || self.fs.validpath(fs, path)
    }

    fn is_stock(&self) -> bool {
        self.fs.is_stock()
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        self.check(fs, path)?;
        self.fs.open(fs, path, mode)
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        self.check(fs, dir)?;
        self.fs.mkstemp(fs, dir, prefix)
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        self.check(fs, path)?;
        self.fs.chdir(fs, path)
    }

    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.check_name(fs, path)?;
        self.fs.mkdir(fs, path)
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        self.check(fs, path)?;
        let rules = Arc::clone(self.rules);
        let dir = self.fs.listdir(fs, path)?;
        Ok(Box::new(FencedDir { dir, rules }))
    }

    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.check_name(fs, path)?;
        self.fs.rmdir(fs, path)
    }

    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        self.check_name(fs, path)?;
        self.fs.remove(fs, path)
    }

    fn hold(&self, fs: &FSState, path: &Path) -> Result<Held, FSError> {
        self.check_name(fs, path)?;
        self.fs.hold(fs, path)
    }

    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        self.check_name(fs, src)?;
        self.check_name(fs, dst)?;
        self.fs.rename(fs, src, dst)
    }

    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        self.check_name(fs, src)?;
        self.check_name(fs, dst)?;
        self.fs.rename_new(fs, src, dst)
    }

    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        self.check(fs, path)?;
        self.fs.chmod(fs, path, mode)
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.check(fs, path)?;
        self.fs.stat(fs, path)
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        self.check_name(fs, path)?;
        self.fs.lstat(fs, path)
    }

    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        self.check(fs, path)?;
        self.fs.free_space(fs, path)
    }

    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        self.check(fs, path)?;
        self.fs.utime(fs, path, seconds)
    }

    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        self.check_name(fs, path)?;
        self.fs.readlink(fs, path)
    }

    fn isfile(&self, fs: &FSState, path: &Path) -> bool {
        self.check(fs, path).is_ok() && self.fs.isfile(fs, path)
    }

    fn islink(&self, fs: &FSState, path: &Path) -> bool {
        self.check_name(fs, path).is_ok() && self.fs.islink(fs, path)
    }

    fn isdir(&self, fs: &FSState, path: &Path) -> bool {
        self.check(fs, path).is_ok() && self.fs.isdir(fs, path)
    }

    fn getsize(&self, fs: &FSState, path: &Path) -> Result<u64, FSError> {
        self.check(fs, path)?;
        self.fs.getsize(fs, path)
    }

    fn getmtime(&self, fs: &FSState, path: &Path) -> Result<i64, FSError> {
        self.check(fs, path)?;
        self.fs.getmtime(fs, path)
    }

    fn realpath(&self, fs: &FSState, path: &Path) -> PathBuf {
        self.fs.realpath(fs, path)
    }

    fn lexists(&self, fs: &FSState, path: &Path) -> bool {
        self.check_name(fs, path).is_ok() && self.fs.lexists(fs, path)
    }

    fn get_user_by_uid(&self, uid: u32) -> String {
        self.fs.get_user_by_uid(uid)
    }

    fn get_group_by_gid(&self, gid: u32) -> String {
        self.fs.get_group_by_gid(gid)
    }

    fn format_list(&self, style: &mut ListingStyle, entry: &ListEntry<'_>, out: &mut Vec<u8>) {
        self.fs.format_list(style, entry, out);
    }

    fn format_mlsx(
        &self,
        style: &mut ListingStyle,
        facts: &MlsxFacts,
        entry: &ListEntry<'_>,
        out: &mut Vec<u8>,
    ) {
        self.fs.format_mlsx(style, facts, entry, out);
    }
}

/// A directory without its hidden names. Denied ones are listed.
struct FencedDir {
    dir: Box<dyn FSDir>,
    rules: Arc<NameRules>,
}

impl FencedDir {
    fn check(&self, name: &OsStr) -> Result<(), FSError> {
        match self.rules.hides_in(name.as_bytes()) {
            true => Err(FSError::from_errno(libc::ENOENT)),
            false => Ok(()),
        }
    }
}

impl FSDir for FencedDir {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        loop {
            match self.dir.next_name()? {
                Ok(name) if self.rules.hides_in(name.as_bytes()) => {}
                next => return Some(next),
            }
        }
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.check(name)?;
        self.dir.lstat(name)
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.check(name)?;
        self.dir.stat(name)
    }

    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError> {
        self.check(name)?;
        self.dir.readlink(name)
    }
}

#[cfg(test)]
mod tests {
    /// A method that is missing here would have the stock body, whatever the file system is.
    #[test]
    fn every_method_is_passed_on() {
        let names = |source: &str| -> Vec<String> {
            let methods = source
                .lines()
                .filter_map(|line| line.strip_prefix("    fn "));
            let names = methods.map(|line| line.split(['(', '<']).next().unwrap_or("").to_owned());
            names.collect()
        };
        let (_, of_trait) = include_str!("abstracted.rs")
            .split_once("pub trait AbstractedFS")
            .unwrap();
        let (of_trait, _) = of_trait.split_once("\n}\n").unwrap();
        let (_, of_fence) = include_str!("fenced.rs")
            .split_once("impl AbstractedFS for Fenced")
            .unwrap();
        let own = names(of_fence);
        let of_trait = names(of_trait);
        assert!(of_trait.len() > 20);
        for name in of_trait {
            assert!(own.contains(&name), "{name}");
        }
    }
}

//! A home with files in it, and assertions, which all tests use.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::error::FSError;
use crate::filesystems::file::OpenMode;
use crate::filesystems::jail::home::Home;
use crate::filesystems::jail::resolve::Resolver;
use crate::filesystems::local::stock::{listdir, open};
use crate::filesystems::state::FSState;

/// A home `top/home` with some files, and `top/outside/secret` next to it.
pub(crate) struct Fixture {
    pub(super) top: TempDir,
    pub(crate) fs: FSState,
    resolver: Resolver,
}

impl Fixture {
    pub(crate) fn new(resolver: Resolver) -> Self {
        let top = tempfile::tempdir().unwrap();
        let home = top.path().join("home");
        fs::create_dir_all(home.join("sub/deep")).unwrap();
        fs::create_dir(top.path().join("outside")).unwrap();
        fs::write(top.path().join("outside/secret"), "secret").unwrap();
        fs::write(home.join("file"), "content").unwrap();
        fs::write(home.join("sub/inner"), "inner").unwrap();
        let opened = Home::open(&home, resolver).unwrap();
        let fs = FSState::with_home(&home, opened);
        Self { top, fs, resolver }
    }

    /// Another session with this home.
    pub(super) fn state(&self) -> FSState {
        let root = self.fs.root();
        FSState::with_home(root, Home::open(root, self.resolver).unwrap())
    }

    pub(crate) fn path(&self, rel: &str) -> PathBuf {
        self.fs.root().join(rel)
    }

    pub(crate) fn outside(&self, rel: &str) -> PathBuf {
        self.top.path().join("outside").join(rel)
    }

    pub(crate) fn link(&self, target: impl AsRef<Path>, rel: &str) {
        symlink(target, self.path(rel)).unwrap();
    }

    pub(crate) fn read(&self, rel: &str) -> Result<String, FSError> {
        let mut text = String::new();
        open(&self.fs, &self.path(rel), OpenMode::Read)?
            .read_to_string(&mut text)
            .unwrap();
        Ok(text)
    }
}

/// Runs a test with both ways to look up a path.
pub(crate) fn both(test: impl Fn(&Fixture)) {
    for resolver in [Resolver::Beneath, Resolver::Walk] {
        test(&Fixture::new(resolver));
    }
}

#[track_caller]
pub(crate) fn errno<T>(result: Result<T, FSError>) -> i32 {
    match result {
        Err(err) => err.raw_os_error().expect("an error of the system"),
        Ok(_) => panic!("it worked"),
    }
}

#[track_caller]
pub(crate) fn assert_outside<T>(result: Result<T, FSError>) {
    assert!(matches!(result, Err(FSError::Outside)));
}

/// The names in a directory, sorted.
pub(crate) fn names(fs: &FSState, path: &Path) -> Vec<String> {
    let mut dir = listdir(fs, path).unwrap();
    let mut names: Vec<String> = std::iter::from_fn(|| dir.next_name())
        .map(|name| name.unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Ends the other thread of a race even if an assertion fails.
pub(crate) struct StopOnDrop<'a>(pub(super) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

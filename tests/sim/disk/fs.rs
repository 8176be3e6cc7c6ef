//! The disk as the file system of the server.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use ftpdlib::filesystems::{AbstractedFS, FSDir, FSFile, FSState, OpenMode, Stat};
use ftpdlib::{FSError, FilesystemError};

use super::Disk;
use super::dir::OpenDir;
use super::file::{OpenFile, Upload};
use super::nodes::{Body, Ino, Nodes, Walk, split};
use super::state::State;

/// An operation that has begun: the state, and the number of its home.
struct Step<'a> {
    state: MutexGuard<'a, State>,
    home: usize,
}

impl Disk {
    fn begin(
        &self,
        operation: &'static str,
        fs: &FSState,
        path: &Path,
    ) -> Result<Step<'_>, FSError> {
        let mut state = self.lock();
        let home = state
            .home(fs.root().as_os_str().as_bytes())
            .ok_or_else(|| errno(libc::ENOENT))?;
        let path = path.as_os_str().as_bytes();
        state.enter(operation, home, path)?;
        if path.contains(&0) {
            return Err(FilesystemError::new("Embedded null byte").into());
        }
        Ok(Step { state, home })
    }
}

impl Step<'_> {
    /// Looks up a path that must not leave the home.
    fn walk(&self, path: &Path, follow_last: bool) -> Result<Walk, FSError> {
        let path = path.as_os_str().as_bytes();
        let walk = self.state.nodes.walk(path, follow_last);
        match walk.is_inside(self.state.home_ino(self.home)) {
            true => Ok(walk),
            false => Err(FSError::Outside),
        }
    }

    fn find(&self, path: &Path, follow_last: bool) -> Result<Ino, FSError> {
        let walk = self.walk(path, follow_last)?;
        walk.found
            .map_err(errno)?
            .ok_or_else(|| errno(libc::ENOENT))
    }

    fn find_dir(&self, path: &Path) -> Result<Ino, FSError> {
        let ino = self.find(path, true)?;
        match self.state.nodes.entries(ino) {
            Some(_) => Ok(ino),
            None => Err(errno(libc::ENOTDIR)),
        }
    }

    /// The directory and the name of a path, and what is there. `of_root` is the error for the
    /// home itself.
    fn place(&self, path: &Path, of_root: i32) -> Result<Place, FSError> {
        let bytes = path.as_os_str().as_bytes();
        if self.state.ftp_path(self.home, bytes) == b"/" {
            return Err(errno(of_root));
        }
        let (parent, name) = split(bytes);
        let dir = self.find_dir(Path::new(OsStr::from_bytes(parent)))?;
        if name.len() > 255 {
            return Err(errno(libc::ENAMETOOLONG));
        }
        let there = self.state.nodes.entries(dir).and_then(|dir| dir.get(name));
        Ok(Place {
            dir,
            name: name.to_vec(),
            there: there.copied(),
        })
    }

    fn is_dir(&self, ino: Ino) -> bool {
        self.state.nodes.entries(ino).is_some()
    }

    fn is_empty(&self, ino: Ino) -> bool {
        self.state
            .nodes
            .entries(ino)
            .is_some_and(BTreeMap::is_empty)
    }

    fn unlink(&mut self, place: &Place) {
        let wall = self.state.wall;
        let gone = self.state.nodes.unlink(place.dir, &place.name, wall);
        if let Some(ino) = gone {
            self.state.forget(ino);
        }
    }

    fn make(&mut self, place: &Place, body: Body, mode: u32) -> Ino {
        let wall = self.state.wall;
        let nodes = &mut self.state.nodes;
        nodes.make(place.dir, &place.name, body, mode, wall)
    }

    /// rename(2).
    fn rename(&mut self, from: &Place, to: &Place) -> Result<(), FSError> {
        let moved = from.there.ok_or_else(|| errno(libc::ENOENT))?;
        // A directory does not go into itself.
        if self.is_dir(moved) && self.is_below(to.dir, moved) {
            return Err(errno(libc::EINVAL));
        }
        if let Some(there) = to.there {
            if there == moved {
                return Ok(());
            }
            match (self.is_dir(moved), self.is_dir(there)) {
                (true, false) => return Err(errno(libc::ENOTDIR)),
                (_, true) if self.is_below(from.dir, there) => {
                    return Err(errno(libc::ENOTEMPTY));
                }
                (false, true) => return Err(errno(libc::EISDIR)),
                (true, true) if !self.is_empty(there) => return Err(errno(libc::ENOTEMPTY)),
                _ => {}
            }
            self.unlink(to);
        }
        let wall = self.state.wall;
        self.state.nodes.unlink(from.dir, &from.name, wall);
        self.state.nodes.link(to.dir, &to.name, moved, wall);
        Ok(())
    }

    /// Whether `dir` is `above` or below it.
    fn is_below(&self, dir: Ino, above: Ino) -> bool {
        let nodes = &self.state.nodes;
        dir == above
            || nodes
                .entries(above)
                .is_some_and(|entries| entries.values().any(|ino| self.is_below(dir, *ino)))
    }
}

/// A name in a directory.
struct Place {
    dir: Ino,
    name: Vec<u8>,
    there: Option<Ino>,
}

impl AbstractedFS for Disk {
    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        let state = self.lock();
        let bytes = path.as_os_str().as_bytes();
        let home = state.home(fs.root().as_os_str().as_bytes());
        home.is_some_and(|home| {
            let walk = state.nodes.walk(bytes, true);
            !bytes.contains(&0) && walk.is_inside(state.home_ino(home))
        })
    }

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        let mut step = self.begin("open", fs, path)?;
        let walk = step.walk(path, true)?;
        let makes = matches!(mode, OpenMode::Write | OpenMode::Append);
        let is_upload = fs.is_upload();
        let mut made = None;
        let ino = match walk.found.map_err(errno)? {
            Some(ino) if step.is_dir(ino) => return Err(errno(libc::EISDIR)),
            Some(ino) => {
                if mode == OpenMode::Write && !is_upload {
                    step.state.used -= step.state.nodes.file(ino).len();
                    step.state.nodes.file_mut(ino).clear();
                }
                ino
            }
            None if !makes => return Err(errno(libc::ENOENT)),
            None => {
                let (dir, name) = (walk.dir(), walk.name.clone());
                made = Some((dir, name.clone()));
                let place = Place {
                    dir,
                    name,
                    there: None,
                };
                step.make(&place, Body::File(Vec::new()), 0o644)
            }
        };
        let upload = is_upload.then_some(Upload {
            empties: mode == OpenMode::Write,
            made,
            begun: false,
        });
        Ok(self.file(step, path, ino, mode == OpenMode::Append, upload))
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        let mut step = self.begin("mkstemp", fs, dir)?;
        if prefix.as_bytes().contains(&b'/') {
            return Err(errno(libc::EINVAL));
        }
        let ino = step.find_dir(dir)?;
        let name = loop {
            let name = step.state.random_name(prefix.as_bytes());
            let entries = step.state.nodes.entries(ino);
            if entries.is_none_or(|entries| !entries.contains_key(&name)) {
                break name;
            }
        };
        if name.len() > 255 {
            return Err(errno(libc::ENAMETOOLONG));
        }
        let place = Place {
            dir: ino,
            name: name.clone(),
            there: None,
        };
        let made = step.make(&place, Body::File(Vec::new()), 0o600);
        let upload = fs.is_upload().then_some(Upload {
            empties: false,
            made: Some((ino, name.clone())),
            begun: false,
        });
        let path = dir.join(OsStr::from_bytes(&name));
        Ok(self.file(step, &path, made, false, upload))
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        self.begin("chdir", fs, path)?.find_dir(path)?;
        fs.set_cwd(self.fs2ftp(fs, path));
        Ok(())
    }

    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        let mut step = self.begin("mkdir", fs, path)?;
        let place = step.place(path, libc::EEXIST)?;
        if place.there.is_some() {
            return Err(errno(libc::EEXIST));
        }
        step.make(&place, Body::Dir(BTreeMap::new()), 0o755);
        Ok(())
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        let mut step = self.begin("listdir", fs, path)?;
        let ino = step.find_dir(path)?;
        let entries = step.state.nodes.entries(ino);
        let mut names: Vec<_> = entries
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        // In no order, and the next time in another one.
        step.state.random = step.state.random.wrapping_add(1);
        fastrand::Rng::with_seed(step.state.random).shuffle(&mut names);
        step.state.open += 1;
        Ok(Box::new(OpenDir {
            disk: self.clone(),
            home: step.home,
            path: path.as_os_str().as_bytes().to_vec(),
            ino,
            names,
        }))
    }

    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        let mut step = self.begin("rmdir", fs, path)?;
        let place = step.place(path, libc::EBUSY)?;
        let ino = place.there.ok_or_else(|| errno(libc::ENOENT))?;
        match (step.is_dir(ino), step.is_empty(ino)) {
            (false, _) => Err(errno(libc::ENOTDIR)),
            (true, false) => Err(errno(libc::ENOTEMPTY)),
            (true, true) => {
                step.unlink(&place);
                Ok(())
            }
        }
    }

    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        let mut step = self.begin("unlink", fs, path)?;
        let place = step.place(path, libc::EISDIR)?;
        let ino = place.there.ok_or_else(|| errno(libc::ENOENT))?;
        if step.is_dir(ino) {
            return Err(errno(libc::EISDIR));
        }
        step.unlink(&place);
        Ok(())
    }

    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        let mut step = self.begin("rename", fs, src)?;
        let from = step.place(src, libc::EBUSY)?;
        let to = step.place(dst, libc::EBUSY)?;
        step.rename(&from, &to)
    }

    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        let mut step = self.begin("rename", fs, src)?;
        let from = step.place(src, libc::EBUSY)?;
        let to = step.place(dst, libc::EBUSY)?;
        if from.there.is_some() && to.there.is_some() && to.there != from.there {
            return Err(errno(libc::EEXIST));
        }
        step.rename(&from, &to)
    }

    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        let mut step = self.begin("chmod", fs, path)?;
        let ino = step.find(path, true)?;
        step.state.nodes.get_mut(ino).mode = mode & 0o7777;
        Ok(())
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        let step = self.begin("stat", fs, path)?;
        Ok(stat_of(&step.state.nodes, step.find(path, true)?))
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        let step = self.begin("lstat", fs, path)?;
        Ok(stat_of(&step.state.nodes, step.find(path, false)?))
    }

    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        let mut step = self.begin("utime", fs, path)?;
        let ino = step.find(path, true)?;
        step.state.nodes.get_mut(ino).mtime = seconds;
        Ok(())
    }

    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        let step = self.begin("readlink", fs, path)?;
        let place = step.place(path, libc::EINVAL)?;
        let ino = place.there.ok_or_else(|| errno(libc::ENOENT))?;
        match &step.state.nodes.get(ino).body {
            Body::Link(target) => Ok(PathBuf::from(OsString::from_vec(target.clone()))),
            _ => Err(errno(libc::EINVAL)),
        }
    }

    /// The path as it is: only the jail needs more, and it is in each operation.
    fn realpath(&self, _: &FSState, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn get_user_by_uid(&self, _: u32) -> String {
        "owner".to_owned()
    }

    fn get_group_by_gid(&self, _: u32) -> String {
        "group".to_owned()
    }
}

impl Disk {
    fn file(
        &self,
        mut step: Step<'_>,
        path: &Path,
        ino: Ino,
        appends: bool,
        upload: Option<Upload>,
    ) -> Box<dyn FSFile> {
        step.state.open += 1;
        let named = (path.to_owned(), upload.is_some());
        step.state.transfers.entry(named).or_default();
        if upload.is_some() {
            *step.state.uploads.entry(ino).or_default() += 1;
        }
        Box::new(OpenFile {
            disk: self.clone(),
            home: step.home,
            name: path.to_owned(),
            ino,
            at: 0,
            appends,
            size_when_opened: step.state.nodes.file(ino).len() as u64,
            upload,
            moved: (0, 0),
        })
    }
}

pub fn stat_of(nodes: &Nodes, ino: Ino) -> Stat {
    let inode = nodes.get(ino);
    let size = match &inode.body {
        Body::Dir(_) => 4096,
        Body::File(bytes) | Body::Link(bytes) => bytes.len() as u64,
    };
    Stat {
        mode: inode.body.kind() | inode.mode,
        nlink: if inode.names > 0 { 1 } else { 0 },
        uid: 1000,
        gid: 1000,
        size,
        mtime: inode.mtime,
        dev: 1,
        ino: ino as u64 + 1,
    }
}

fn errno(errno: i32) -> FSError {
    FSError::from_errno(errno)
}

pub fn io_error(err: FSError) -> io::Error {
    match err {
        FSError::Io(err) => err,
        other => io::Error::other(other),
    }
}

//! The nodes of a disk, and how a path is looked up among them.

use std::collections::BTreeMap;

use crate::plan::scene::{Kind, Node, Tree};

/// The number of a node. A node keeps its number, and the number is not used again.
pub type Ino = usize;

pub const ROOT: Ino = 0;

/// Something on the disk.
#[derive(Debug, Clone)]
pub struct Inode {
    pub body: Body,
    pub mode: u32,
    pub mtime: i64,
    /// How many names lead to it: 0 after it was removed.
    pub names: usize,
}

#[derive(Debug, Clone)]
pub enum Body {
    Dir(BTreeMap<Vec<u8>, Ino>),
    File(Vec<u8>),
    Link(Vec<u8>),
}

impl Body {
    pub fn kind(&self) -> u32 {
        match self {
            Self::Dir(_) => 0o040_000,
            Self::File(_) => 0o100_000,
            Self::Link(_) => 0o120_000,
        }
    }
}

/// All nodes, from `/` on.
#[derive(Debug)]
pub struct Nodes {
    all: Vec<Inode>,
}

/// Where a path has led.
#[derive(Debug)]
pub struct Walk {
    /// The directories from `/` to the one that the last name is in. A directory that does not
    /// exist is [`NOWHERE`].
    pub dirs: Vec<Ino>,
    /// The last name after all links; empty if the path has led to a directory by `/`, `.` or `..`.
    pub name: Vec<u8>,
    /// What is there, or why nothing can be.
    pub found: Result<Option<Ino>, i32>,
    /// How many links were followed.
    pub links: usize,
}

/// A directory that does not exist.
pub const NOWHERE: Ino = usize::MAX;

impl Walk {
    /// The directory that the last name is in.
    pub fn dir(&self) -> Ino {
        *self.dirs.last().unwrap_or(&ROOT)
    }

    /// Whether the path has led to `dir`, or to something below it.
    pub fn is_inside(&self, dir: Ino) -> bool {
        self.dirs.contains(&dir) || self.found == Ok(Some(dir))
    }
}

impl Nodes {
    pub fn new() -> Self {
        let root = Inode {
            body: Body::Dir(BTreeMap::new()),
            mode: 0o755,
            mtime: 0,
            names: 1,
        };
        Self { all: vec![root] }
    }

    pub fn get(&self, ino: Ino) -> &Inode {
        &self.all[ino]
    }

    pub fn get_mut(&mut self, ino: Ino) -> &mut Inode {
        &mut self.all[ino]
    }

    pub fn entries(&self, dir: Ino) -> Option<&BTreeMap<Vec<u8>, Ino>> {
        match &self.all.get(dir)?.body {
            Body::Dir(entries) => Some(entries),
            _ => None,
        }
    }

    fn entries_mut(&mut self, dir: Ino) -> &mut BTreeMap<Vec<u8>, Ino> {
        match &mut self.all[dir].body {
            Body::Dir(entries) => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    pub fn file(&self, ino: Ino) -> &Vec<u8> {
        match &self.all[ino].body {
            Body::File(bytes) => bytes,
            other => panic!("{other:?} is no file"),
        }
    }

    pub fn file_mut(&mut self, ino: Ino) -> &mut Vec<u8> {
        match &mut self.all[ino].body {
            Body::File(bytes) => bytes,
            other => panic!("{other:?} is no file"),
        }
    }

    /// Gives a new node a name.
    pub fn make(&mut self, dir: Ino, name: &[u8], body: Body, mode: u32, now: i64) -> Ino {
        let ino = self.all.len();
        self.all.push(Inode {
            body,
            mode,
            mtime: now,
            names: 0,
        });
        self.link(dir, name, ino, now);
        ino
    }

    /// Gives a node a name, which is free.
    pub fn link(&mut self, dir: Ino, name: &[u8], ino: Ino, now: i64) {
        self.all[ino].names += 1;
        self.all[dir].mtime = now;
        let before = self.entries_mut(dir).insert(name.to_vec(), ino);
        assert!(before.is_none(), "the name was in use");
    }

    /// Takes a name away. An open file lives on.
    pub fn unlink(&mut self, dir: Ino, name: &[u8], now: i64) -> Option<Ino> {
        let ino = self.entries_mut(dir).remove(name)?;
        self.all[ino].names -= 1;
        self.all[dir].mtime = now;
        Some(ino)
    }

    /// Puts a tree below a directory.
    pub fn plant(&mut self, dir: Ino, tree: &Tree) {
        for (path, node) in tree {
            let (parent, name) = split(path);
            let walk = self.walk_from(vec![dir], parent, true);
            let Ok(Some(parent)) = walk.found else {
                panic!("no parent of {}", path.escape_ascii());
            };
            let body = match &node.kind {
                Kind::Dir => Body::Dir(BTreeMap::new()),
                Kind::File(bytes) => Body::File(bytes.clone()),
                Kind::Link(target) => Body::Link(target.clone()),
            };
            let ino = self.make(parent, name, body, node.mode, node.mtime);
            self.all[ino].mtime = node.mtime;
        }
        // What was put there last has changed the times of directories.
        for (path, node) in tree {
            if let Ok(Some(ino)) = self.walk_from(vec![dir], path, false).found {
                self.all[ino].mtime = node.mtime;
            }
        }
    }

    /// What is below a directory.
    pub fn tree(&self, dir: Ino) -> Tree {
        let mut tree = Tree::new();
        self.collect(dir, &[], &mut tree);
        tree
    }

    fn collect(&self, dir: Ino, path: &[u8], tree: &mut Tree) {
        for (name, ino) in self.entries(dir).into_iter().flatten() {
            let path = [path, b"/", name].concat();
            let inode = &self.all[*ino];
            let kind = match &inode.body {
                Body::Dir(_) => Kind::Dir,
                Body::File(bytes) => Kind::File(bytes.clone()),
                Body::Link(target) => Kind::Link(target.clone()),
            };
            if kind == Kind::Dir {
                self.collect(*ino, &path, tree);
            }
            let (mode, mtime) = (inode.mode, inode.mtime);
            tree.insert(path, Node { kind, mode, mtime });
        }
    }

    /// Looks a path up, from `/`.
    pub fn walk(&self, path: &[u8], follow_last: bool) -> Walk {
        self.walk_from(vec![ROOT], path, follow_last)
    }

    /// As [`walk`](Self::walk), from other directories. It goes on, as text, behind what does not
    /// exist; the first error is the result.
    fn walk_from(&self, dirs: Vec<Ino>, path: &[u8], follow_last: bool) -> Walk {
        let mut walk = Walk {
            dirs,
            name: Vec::new(),
            found: Ok(None),
            links: 0,
        };
        if path.len() >= PATH_MAX {
            walk.found = Err(libc::ENAMETOOLONG);
        }
        // The parts that are still to come, the next one last.
        let mut parts: Vec<&[u8]> = path.rsplit(|byte| *byte == b'/').collect();
        let mut ends_at_name = false;
        while let Some(part) = parts.pop() {
            match part {
                b"" | b"." => continue,
                b".." => {
                    if walk.dirs.len() > 1 {
                        walk.dirs.pop();
                    }
                    ends_at_name = false;
                    continue;
                }
                _ => {}
            }
            let is_last = parts.iter().all(|part| matches!(*part, b"" | b"."));
            let there = self.look(walk.dir(), part, &mut walk.found);
            if let Some(Body::Link(target)) = there.map(|ino| &self.all[ino].body)
                && (!is_last || follow_last)
            {
                walk.links += 1;
                if walk.links <= LINKS_MAX {
                    if target.starts_with(b"/") {
                        walk.dirs.truncate(1);
                    }
                    parts.extend(target.rsplit(|byte| *byte == b'/'));
                    ends_at_name = false;
                    continue;
                }
                fail(&mut walk.found, libc::ELOOP);
            }
            if is_last {
                walk.name = part.to_vec();
                ends_at_name = true;
                if walk.found.is_ok() {
                    walk.found = Ok(there);
                }
                break;
            }
            match there.map(|ino| (ino, &self.all[ino].body)) {
                Some((ino, Body::Dir(_))) => walk.dirs.push(ino),
                Some(_) => {
                    fail(&mut walk.found, libc::ENOTDIR);
                    walk.dirs.push(NOWHERE);
                }
                None => {
                    fail(&mut walk.found, libc::ENOENT);
                    walk.dirs.push(NOWHERE);
                }
            }
        }
        if !ends_at_name && walk.found.is_ok() {
            walk.found = Ok(Some(walk.dir()));
        }
        walk
    }

    /// What has a name in a directory.
    fn look(&self, dir: Ino, name: &[u8], found: &mut Result<Option<Ino>, i32>) -> Option<Ino> {
        if name.len() > NAME_MAX {
            fail(found, libc::ENAMETOOLONG);
            return None;
        }
        self.entries(dir)?.get(name).copied()
    }
}

fn fail(found: &mut Result<Option<Ino>, i32>, errno: i32) {
    if found.is_ok() {
        *found = Err(errno);
    }
}

/// Splits a path into that of its directory and its last name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let name = path.get(slash + 1..).unwrap_or_default();
    (&path[..slash], name)
}

const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;
const LINKS_MAX: usize = 40;

//! The tree of a home, as the model knows it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::names;
use crate::plan::scene::{Home, Kind, Tree};

/// What a name leads to.
#[derive(Clone, Debug)]
pub struct Node {
    /// The same file under another name has the same number.
    pub id: u32,
    pub what: What,
    /// `None` is not known.
    pub mode: Option<u32>,
    pub mtime: Mtime,
}

#[derive(Clone, Debug)]
pub enum What {
    Dir,
    File(Rc<Vec<u8>>),
    /// A file that an upload writes: its bytes are known when the upload has ended.
    Flux,
    Link(Vec<u8>),
}

/// The time of the last modification, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtime {
    pub low: i64,
    pub high: i64,
}

impl Mtime {
    pub const ANY: Self = Self {
        low: i64::MIN,
        high: i64::MAX,
    };

    pub fn exactly(seconds: i64) -> Self {
        Self {
            low: seconds,
            high: seconds,
        }
    }

    pub fn permits(self, seconds: i64) -> bool {
        (self.low..=self.high).contains(&seconds)
    }
}

/// Why a path leads to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    NoEntry,
    NotDirectory,
    Loop,
    Outside,
    TooLong,
}

#[derive(Clone, Debug)]
pub struct Model {
    /// The real path of the home.
    pub root: Vec<u8>,
    nodes: BTreeMap<Vec<u8>, Node>,
    next: u32,
}

impl Model {
    pub fn new(home: &Home) -> Self {
        let mut model = Self {
            root: home.root.clone().into_bytes(),
            nodes: BTreeMap::new(),
            next: 1,
        };
        model.replace(&home.tree);
        model
    }

    /// Whether a name in this path is a link.
    pub fn leads_through_link(&self, path: &[u8]) -> bool {
        let ends = memchr::memchr_iter(b'/', path).skip(1).chain([path.len()]);
        let mut names = ends.map(|end| self.get(&path[..end]));
        names.any(|node| node.is_some_and(|node| matches!(node.what, What::Link(_))))
    }

    /// Takes over what is on the disk.
    pub fn replace(&mut self, tree: &Tree) {
        self.nodes.clear();
        for (path, node) in tree {
            let what = match &node.kind {
                Kind::Dir => What::Dir,
                Kind::File(bytes) => What::File(Rc::new(bytes.clone())),
                Kind::Link(to) => What::Link(to.clone()),
            };
            let id = self.next;
            self.next += 1;
            let node = Node {
                id,
                what,
                mode: Some(node.mode),
                mtime: Mtime::exactly(node.mtime),
            };
            self.nodes.insert(path.clone(), node);
        }
    }

    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub fn get_mut(&mut self, path: &[u8]) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    pub fn all(&self) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        self.nodes.iter()
    }

    /// Whether a normal path without links before its last part is a directory.
    pub fn is_dir(&self, path: &[u8]) -> bool {
        path == b"/" || matches!(self.get(path), Some(node) if matches!(node.what, What::Dir))
    }

    pub fn find_id(&self, id: u32) -> Option<Vec<u8>> {
        let found = self.nodes.iter().find(|(_, node)| node.id == id);
        found.map(|(path, _)| path.clone())
    }

    /// The entries of a directory: names and nodes, sorted by the bytes of the names.
    pub fn entries(&self, dir: &[u8]) -> impl Iterator<Item = (&[u8], &Node)> {
        let mut from = dir.to_vec();
        if !from.ends_with(b"/") {
            from.push(b'/');
        }
        let skip = from.len();
        let prefix = from.clone();
        let after = self.nodes.range(from..);
        let below = after.take_while(move |(path, _)| path.starts_with(&prefix));
        below
            .filter(move |(path, _)| path.len() > skip && !path[skip..].contains(&b'/'))
            .map(move |(path, node)| (&path[skip..], node))
    }

    pub fn make(&mut self, path: &[u8], what: What, mode: Option<u32>, mtime: Mtime) -> u32 {
        let id = self.next;
        self.next += 1;
        let node = Node {
            id,
            what,
            mode,
            mtime,
        };
        self.nodes.insert(path.to_vec(), node);
        self.touch_parent(path);
        id
    }

    pub fn remove(&mut self, path: &[u8]) {
        self.nodes.remove(path);
        self.touch_parent(path);
    }

    /// Moves a file, or a directory with all that is below it.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) {
        if from == to {
            return;
        }
        let below: Vec<_> = self
            .nodes
            .keys()
            .filter(|path| names::is_below(from, path))
            .cloned()
            .collect();
        self.nodes.remove(to);
        for path in below {
            let Some(node) = self.nodes.remove(&path) else {
                continue;
            };
            self.nodes.insert([to, &path[from.len()..]].concat(), node);
        }
        self.touch_parent(from);
        self.touch_parent(to);
    }

    pub fn touch_parent(&mut self, path: &[u8]) {
        let (dir, _) = names::split(path);
        if let Some(node) = self.nodes.get_mut(dir) {
            node.mtime = Mtime::ANY;
        }
    }

    /// Follows a normal path to the real one. The last part need not exist, and is followed if it
    /// is a link and `follow` says so.
    pub fn resolve(&self, path: &[u8], follow: bool) -> Result<Vec<u8>, Lost> {
        let (mut at, mut left) = (b"/".to_vec(), 40);
        self.walk(&mut at, path, follow, &mut left)?;
        Ok(at)
    }

    fn walk(&self, at: &mut Vec<u8>, path: &[u8], last: bool, left: &mut u32) -> Result<(), Lost> {
        let mut parts = path.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            match part {
                b"" | b"." => continue,
                b".." => {
                    // Only the text of a link has it; above the home is outside.
                    if at == b"/" {
                        return self.come_back(
                            at,
                            parts.collect::<Vec<_>>().join(&b'/'),
                            last,
                            left,
                        );
                    }
                    *at = names::split(at).0.to_vec();
                    continue;
                }
                _ => {}
            }
            if part.len() > 255 {
                return Err(Lost::TooLong);
            }
            if at != b"/" {
                match self.get(at).map(|node| &node.what) {
                    None => return Err(Lost::NoEntry),
                    Some(What::Dir) => {}
                    Some(_) => return Err(Lost::NotDirectory),
                }
            }
            let next = names::join(at, part);
            let is_last = parts.clone().all(|part| part.is_empty() || part == b".");
            match self.get(&next).map(|node| &node.what) {
                Some(What::Link(to)) if !is_last || last => {
                    if *left == 0 {
                        return Err(Lost::Loop);
                    }
                    *left -= 1;
                    match to.strip_prefix(b"/") {
                        None => self.walk(at, to, true, left)?,
                        Some(_) => {
                            *at = b"/".to_vec();
                            let inside = to.strip_prefix(&self.root[..]).ok_or(Lost::Outside)?;
                            if !inside.is_empty() && inside[0] != b'/' {
                                return Err(Lost::Outside);
                            }
                            self.walk(at, inside, true, left)?;
                        }
                    }
                }
                _ => *at = next,
            }
        }
        Ok(())
    }

    /// A link has left the home by `..`: is it inside again?
    fn come_back(
        &self,
        at: &mut Vec<u8>,
        rest: Vec<u8>,
        last: bool,
        left: &mut u32,
    ) -> Result<(), Lost> {
        let (above, _) = names::split(&self.root);
        let real = names::normal(above, &rest);
        let inside = real.strip_prefix(&self.root[..]).ok_or(Lost::Outside)?;
        if !inside.is_empty() && inside[0] != b'/' {
            return Err(Lost::Outside);
        }
        *at = b"/".to_vec();
        let inside = inside.to_vec();
        self.walk(at, &inside, last, left)
    }
}

//! The state of a disk: its nodes, its faults, and what the world wants to know about it.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ftpdlib::FSError;

use super::Harm;
use super::nodes::{Body, Ino, Nodes, ROOT, Walk};
use crate::model::{Callback, Damage, Work};
use crate::plan::scene::{Home, Tree};
use crate::trace::Trace;
use crate::world::Kind;

/// Something that happened inside a turn of the server.
#[derive(Debug)]
pub enum Note {
    Callback {
        client: usize,
        callback: Callback,
    },
    /// The handler of a client has panicked, as the world has asked for.
    Panic {
        client: usize,
    },
    Damage {
        home: usize,
        path: Vec<u8>,
        damage: Damage,
    },
}

/// The state of a disk. It also collects what happens inside of the server: the file system, the
/// handler and the authorizer write there.
pub struct State {
    pub nodes: Nodes,
    homes: Vec<Homed>,
    /// Seconds since 1970.
    pub wall: i64,
    /// What happened since the world looked.
    pub notes: Vec<Note>,
    pub trace: Trace,
    /// The faults that are still to come, by home and number of the operation.
    harms: BTreeMap<(usize, usize), Harm>,
    /// Bytes of all files, and how many there may be.
    pub used: usize,
    pub capacity: usize,
    /// The most bytes of a read from a file.
    pub reads: usize,
    /// Open files and directories.
    pub open: usize,
    /// The transfers under each real path, for uploads and for downloads.
    pub transfers: BTreeMap<(PathBuf, bool), Transfers>,
    /// Uploads that have a file open.
    pub uploads: BTreeMap<Ino, usize>,
    /// What was done in this turn.
    pub work: Work,
    /// The number of the turn.
    pub turn: u64,
    /// How many steps run as a user now: 0 or 1.
    pub identities: usize,
    /// The first operation that ran as nobody, and the like.
    pub broken: Option<(Kind, String)>,
    /// What the names of STOU are drawn from.
    pub random: u64,
}

/// The transfers of a file.
#[derive(Default)]
pub struct Transfers {
    /// How often the file was closed.
    pub closed: usize,
    /// How many callbacks there were.
    pub over: usize,
}

struct Homed {
    root: Vec<u8>,
    private: bool,
    ino: Ino,
    operations: usize,
}

impl State {
    pub fn new(homes: &[Home], harms: BTreeMap<(usize, usize), Harm>, trace: Trace) -> Self {
        let mut nodes = Nodes::new();
        let mut used = 0;
        let homed = homes.iter().map(|home| {
            let mut dir = ROOT;
            for name in home.root.as_bytes().split(|byte| *byte == b'/') {
                if !name.is_empty() {
                    let there = nodes.entries(dir).and_then(|x| x.get(name)).copied();
                    let new = Body::Dir(BTreeMap::new());
                    dir = there.unwrap_or_else(|| nodes.make(dir, name, new, 0o755, 0));
                }
            }
            nodes.plant(dir, &home.tree);
            used += home.tree.values().map(size_of_node).sum::<usize>();
            Homed {
                root: home.root.clone().into_bytes(),
                private: home.private,
                ino: dir,
                operations: 0,
            }
        });
        let homes = homed.collect();
        Self {
            nodes,
            homes,
            wall: 0,
            notes: Vec::new(),
            trace,
            harms,
            used,
            capacity: usize::MAX,
            reads: usize::MAX,
            open: 0,
            transfers: BTreeMap::new(),
            uploads: BTreeMap::new(),
            work: Work::default(),
            turn: 0,
            identities: 0,
            broken: None,
            random: 0,
        }
    }

    /// The file of a transfer is closed before the callback that tells of its end. Others may
    /// have the same file open if the home is not private.
    pub fn check_closed(&mut self, callback: &Callback) {
        let (path, is_upload) = match callback {
            Callback::FileSent(path) | Callback::IncompleteFileSent(path) => (path, false),
            Callback::FileReceived(path) | Callback::IncompleteFileReceived(path) => (path, true),
            _ => return,
        };
        let bytes = path.as_os_str().as_bytes();
        let is_private = self.homes.iter().any(|home| {
            home.private
                && bytes
                    .strip_prefix(&*home.root)
                    .is_some_and(|below| below.starts_with(b"/"))
        });
        let Some(transfers) = self.transfers.get_mut(&(path.clone(), is_upload)) else {
            return;
        };
        // Another transfer of the same file may have begun.
        transfers.over += 1;
        if is_private && transfers.closed < transfers.over {
            let text = format!("{callback:?} came before the file was closed");
            self.broken.get_or_insert((Kind::Order, text));
        }
    }

    pub fn tree(&self, home: usize) -> Tree {
        self.nodes.tree(self.homes[home].ino)
    }

    /// The number of the home with this root.
    pub fn home(&self, root: &[u8]) -> Option<usize> {
        self.homes.iter().position(|home| home.root == root)
    }

    pub fn home_ino(&self, home: usize) -> Ino {
        self.homes[home].ino
    }

    /// The FTP path of a real path.
    pub fn ftp_path<'a>(&self, home: usize, path: &'a [u8]) -> &'a [u8] {
        match path.strip_prefix(&*self.homes[home].root) {
            Some([]) | None => b"/",
            Some(below) => below,
        }
    }

    /// The real path of an FTP path.
    pub fn real_path(&self, home: usize, path: &[u8]) -> Vec<u8> {
        [&self.homes[home].root, path].concat()
    }

    /// Begins an operation on a real path: counts it, and does to it what is planned. Returns
    /// whether it has to be short.
    pub fn enter(
        &mut self,
        operation: &'static str,
        home: usize,
        path: &[u8],
    ) -> Result<bool, FSError> {
        let number = self.homes[home].operations;
        self.homes[home].operations += 1;
        self.work.operations += 1;
        if self.identities == 0 {
            let path = path.escape_ascii();
            self.break_identity(format!("{operation} of {path} ran as nobody"));
        }
        let Self { trace, homes, .. } = self;
        trace.disk(operation, path.strip_prefix(&*homes[home].root));
        match self.harms.remove(&(home, number)) {
            None => Ok(false),
            Some(Harm::Fail(errno)) => Err(self.failed(operation, home, path, errno)),
            Some(Harm::Short) => {
                self.damaged(home, path, Damage::Short);
                Ok(true)
            }
            Some(harm) => {
                let path = self.ftp_path(home, path).to_vec();
                self.strike(home, &path, &harm);
                Ok(false)
            }
        }
    }

    /// Something did not run as its user.
    pub fn break_identity(&mut self, text: String) {
        self.broken.get_or_insert((Kind::Identity, text));
    }

    /// Says that an operation fails, and makes its error.
    pub fn failed(
        &mut self,
        operation: &'static str,
        home: usize,
        path: &[u8],
        errno: i32,
    ) -> FSError {
        self.damaged(home, path, Damage::Failed { operation, errno });
        FSError::from_errno(errno)
    }

    fn damaged(&mut self, home: usize, path: &[u8], damage: Damage) {
        let path = self.ftp_path(home, path).to_vec();
        self.trace.damage(home, &path, &damage);
        self.notes.push(Note::Damage { home, path, damage });
    }

    /// Changes a file as another program would. A path through links is left alone, and so is a
    /// file that cannot be changed in this way.
    pub fn strike(&mut self, home: usize, path: &[u8], harm: &Harm) {
        let real = self.real_path(home, path);
        let walk = self.nodes.walk(&real, false);
        let there = walk.found.ok().flatten();
        let Some(ino) = there.filter(|ino| !walk.name.is_empty() && self.is_plain(&walk, *ino))
        else {
            return;
        };
        let wall = self.wall;
        match harm {
            Harm::Fail(_) | Harm::Short => return,
            Harm::Vanish => {
                self.nodes.unlink(walk.dir(), &walk.name, wall);
                self.forget(ino);
            }
            Harm::Replace(bytes) => {
                if self.nodes.entries(ino).is_some() {
                    return;
                }
                self.nodes.unlink(walk.dir(), &walk.name, wall);
                self.forget(ino);
                let new = Body::File(bytes.clone());
                self.used += bytes.len();
                self.nodes.make(walk.dir(), &walk.name, new, 0o644, wall);
            }
            Harm::Grow(bytes) => {
                let Body::File(content) = &mut self.nodes.get_mut(ino).body else {
                    return;
                };
                content.extend_from_slice(bytes);
                self.used += bytes.len();
                self.nodes.get_mut(ino).mtime = wall;
            }
            Harm::Shrink(size) => {
                let Body::File(content) = &mut self.nodes.get_mut(ino).body else {
                    return;
                };
                self.used -= content.len().saturating_sub(*size);
                content.truncate(*size);
                self.nodes.get_mut(ino).mtime = wall;
            }
        }
        self.damaged(home, &real, Damage::Changed);
    }

    /// Whether a node is a file, a link or an empty directory, and the walk followed no links.
    fn is_plain(&self, walk: &Walk, ino: Ino) -> bool {
        let is_empty = self.nodes.entries(ino).is_none_or(BTreeMap::is_empty);
        let is_home = self.homes.iter().any(|home| home.ino == ino);
        is_empty && !is_home && walk.links == 0
    }

    /// A name of the node was taken away. The bytes of an open file count until it is closed.
    pub fn forget(&mut self, ino: Ino) {
        if let Body::File(bytes) = &self.nodes.get(ino).body
            && self.nodes.get(ino).names == 0
        {
            self.used = self.used.saturating_sub(bytes.len());
        }
    }

    /// A name for STOU.
    pub fn random_name(&mut self, prefix: &[u8]) -> Vec<u8> {
        const CHARACTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
        let mut name = prefix.to_vec();
        for _ in 0..8 {
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let drawn = usize::try_from((self.random >> 33) % 37).unwrap_or(0);
            name.push(CHARACTERS[drawn]);
        }
        name
    }

    /// Begins a turn of the server.
    pub fn begin_turn(&mut self, wall: i64) {
        self.turn += 1;
        self.wall = wall;
        self.work = Work::default();
    }
}

fn size_of_node(node: &crate::plan::scene::Node) -> usize {
    match &node.kind {
        crate::plan::scene::Kind::File(bytes) => bytes.len(),
        _ => 0,
    }
}

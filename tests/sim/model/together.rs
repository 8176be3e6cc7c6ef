//! What has happened in a home in which several clients work.

use std::collections::BTreeSet;

use super::names;
use super::transfer::{Mode, Upload};
use crate::plan::scene::{Home, Kind};

/// What has happened in a shared home.
#[derive(Debug, Default)]
pub struct Together {
    /// All that was there at the start.
    pub first: Vec<Vec<u8>>,
    /// The last names that commands may have made, and those that may lead to nothing any more,
    /// or to something else.
    pub made: BTreeSet<Vec<u8>>,
    pub gone: BTreeSet<Vec<u8>>,
    /// It is not known what was done here: another hand was at work, or a session.
    pub was_tainted: bool,
    pub since: Since,
    /// When the home was last taken over from the disk: the number of the event.
    pub settled: u64,
}

/// What has happened since no command that changes the home was in progress.
#[derive(Debug, Default)]
pub struct Since {
    pub is_tainted: bool,
    /// Something was renamed.
    pub moved: bool,
    /// The last names of files and links that were removed.
    pub removed: BTreeSet<Vec<u8>>,
    pub written: Vec<Written>,
    /// Whether anything was changed, and whether a command has done so whose effect is not known
    /// exactly.
    pub any: bool,
    pub is_unsure: bool,
}

/// An upload that is over.
#[derive(Debug)]
pub struct Written {
    pub paths: Paths,
    pub mode: Mode,
    pub ascii: bool,
    /// What is written if all is.
    pub bytes: Vec<u8>,
    /// It got 226.
    pub complete: bool,
    /// When its command was sent, when it was announced, and when its final reply was read: the
    /// numbers of the events.
    pub asked: u64,
    pub began: u64,
    pub ended: u64,
}

/// The path of an upload, as it was named, and where that led when nothing was in progress.
#[derive(Debug)]
pub struct Paths {
    pub named: Vec<u8>,
    pub real: Vec<u8>,
}

impl Paths {
    pub fn of(upload: &Upload) -> Self {
        Self {
            named: upload.named.clone(),
            real: upload.path.clone(),
        }
    }

    pub fn may_be(&self, path: &[u8]) -> bool {
        self.named == path || self.real == path
    }
}

impl Together {
    pub fn new(home: &Home) -> Self {
        let first = match home.private {
            true => Vec::new(),
            false => home.tree.keys().cloned().collect(),
        };
        // An upload through a link that leads to nothing makes what the link names.
        let targets = home.tree.values().filter_map(|node| match &node.kind {
            Kind::Link(to) => to.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec),
            Kind::Dir | Kind::File(_) => None,
        });
        Self {
            first,
            made: targets.collect(),
            ..Self::default()
        }
    }

    pub fn taint(&mut self) {
        self.was_tainted = true;
        self.since.is_tainted = true;
        self.since.is_unsure = true;
        self.since.any = true;
    }

    pub fn made(&mut self, path: &[u8]) {
        self.made.insert(last(path));
        self.since.any = true;
        if path.contains(&b'?') {
            // It may stand for a name that cannot be shown.
            self.taint();
        }
    }

    /// A directory is removed only when it is empty, and so no file goes with it.
    pub fn removed(&mut self, path: &[u8], is_file: bool) {
        self.gone.insert(last(path));
        self.since.any = true;
        if is_file {
            self.since.removed.insert(last(path));
        }
        if path.contains(&b'?') {
            self.taint();
        }
    }

    pub fn moved(&mut self, from: Option<&[u8]>, to: &[u8]) {
        if let Some(from) = from {
            self.removed(from, false);
        }
        // Something else may have had the name.
        self.removed(to, false);
        self.made(to);
        self.since.moved = true;
    }
}

/// Whether one of the others may have been to the same file at the same time: by another path.
pub fn may_share<'a>(a: &Written, others: impl IntoIterator<Item = &'a Written>) -> bool {
    let mut others = others.into_iter();
    others.any(|b| a.paths.named != b.paths.named && a.asked < b.ended && b.asked < a.ended)
}

pub fn last(path: &[u8]) -> Vec<u8> {
    names::split(path).1.to_vec()
}

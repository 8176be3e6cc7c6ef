//! A disk in memory, which fails, fills up and changes under the server's feet.
//!
//! It behaves as the local file system of the library does. Its times come from the clock of the
//! world. What it does to the server it also tells the judge.

mod dir;
mod file;
mod fs;
pub mod nodes;
mod state;
pub mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::state::{Note, State};
use crate::model;
use crate::plan::scene::Tree;

/// A handle of a disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// What the disk knows. A panic of a hook leaves a state that can still be looked at.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl model::Disk for Disk {
    fn tree(&self, home: usize) -> Tree {
        self.lock().tree(home)
    }
}

/// What another hand, or a fault of the disk, does to an operation, or at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The operation fails.
    Fail(i32),
    /// A read or a write moves less than it could.
    Short,
    /// The file or the empty directory is removed.
    Vanish,
    /// The file is replaced by another one with these bytes.
    Replace(Vec<u8>),
    /// These bytes are added to the file.
    Grow(Vec<u8>),
    /// The file is cut to so many bytes.
    Shrink(usize),
}

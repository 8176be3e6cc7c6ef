//! How a session of this process, or of one that it has forked, is asked to leave.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use signal_hook::consts::SIGTERM;

use super::table::Index;
use crate::ioloop::{ChannelId, Remote};
use crate::sys;

/// The message to a session that is asked to leave, because others need its slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MakeRoom;

/// The sessions of this process, by their slots.
#[derive(Default)]
pub(super) struct Doors(Mutex<HashMap<Index, Door>>);

/// How a session is reached.
pub(super) enum Door {
    /// It is on a loop of this process.
    Loop(Remote, ChannelId),
    /// It has a process of its own, which was not waited for yet.
    Process(sys::Pid),
}

impl Doors {
    pub(super) fn set(&self, index: Index, door: Door) {
        self.lock().insert(index, door);
    }

    pub(super) fn remove(&self, index: Index) {
        self.lock().remove(&index);
    }

    /// Asks a session to leave. Returns whether there is such a session.
    pub(super) fn ask(&self, index: Index) -> bool {
        match self.lock().get(&index) {
            Some(Door::Loop(remote, id)) => remote.send(*id, Box::new(MakeRoom)),
            // A session at rest says goodbye at this signal.
            Some(Door::Process(pid)) => sys::kill(*pid, SIGTERM),
            None => return false,
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Index, Door>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! How a session of this process, or of one that it has forked, is asked to leave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::SIGTERM;

use super::table::Index;
use crate::ioloop::{ChannelId, Remote};
use crate::sys;

/// The message to a session that is asked to leave, because others need its slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MakeRoom;

/// The sessions of this process, by their slots.
#[derive(Default)]
pub(super) struct Doors {
    /// The loop of most sessions.
    first: OnceLock<Remote>,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    /// Those on that loop, by index.
    on_first: Vec<ChannelId>,
    others: HashMap<Index, Door>,
}

/// How a session is reached.
pub(super) enum Door {
    /// It is on a loop of this process.
    Loop(Remote, ChannelId),
    /// It has a process of its own, which was not waited for yet, and this client.
    Process(sys::Pid, IpAddr),
}

/// What came of asking a session to leave.
pub(super) enum Asked {
    /// There is no session yet.
    Nobody,
    /// The session counts itself when it leaves.
    Session,
    /// A process, which counts for this client.
    Process(IpAddr),
}

impl Doors {
    pub(super) fn set(&self, index: Index, door: Door) {
        let mut sessions = self.lock();
        match door {
            Door::Loop(remote, id)
                if self.first.get_or_init(|| remote.clone()).is_same(&remote) =>
            {
                let (number, on_first) = (index as usize, &mut sessions.on_first);
                if number >= on_first.len() {
                    // By little, since an idle session is to take little memory.
                    let more = number + 1 - on_first.len();
                    if number >= on_first.capacity() {
                        on_first.reserve_exact(more + number / 8 + 16);
                    }
                    on_first.resize(number + 1, ChannelId::NOBODY);
                }
                on_first[number] = id;
            }
            door => drop(sessions.others.insert(index, door)),
        }
    }

    pub(super) fn remove(&self, index: Index) {
        let mut sessions = self.lock();
        if let Some(id) = sessions.on_first.get_mut(index as usize) {
            *id = ChannelId::NOBODY;
        }
        sessions.others.remove(&index);
    }

    /// Asks a session to leave.
    pub(super) fn ask(&self, index: Index) -> Asked {
        let sessions = self.lock();
        let on_first = sessions.on_first.get(index as usize).copied();
        let on_first = on_first.filter(|id| *id != ChannelId::NOBODY);
        if let (Some(id), Some(remote)) = (on_first, self.first.get()) {
            remote.send(id, Box::new(MakeRoom));
            return Asked::Session;
        }
        match sessions.others.get(&index) {
            None => Asked::Nobody,
            Some(Door::Loop(remote, id)) => {
                remote.send(*id, Box::new(MakeRoom));
                Asked::Session
            }
            Some(Door::Process(pid, ip)) => {
                // A session at rest says goodbye at this signal.
                sys::kill(*pid, SIGTERM);
                Asked::Process(*ip)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

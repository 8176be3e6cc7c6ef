//! Which client may have the last slots, and which session leaves for a new connection.
//!
//! From [`FAIR_FROM`] slots on, the last eighth is for the sockets of sessions: data connections
//! and their listeners. A connection that would get one of them is admitted only if a session of
//! another client leaves for it. This takes the same time however many slots there are.

use super::groups::FEW;
use super::words::{
    GREATEST, Index, LEAVING, MAX_RANK, Origin, Owner, STATE, State, Table, to_usize,
};

/// The most slots, and the most connections of an address; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub(in crate::limits) struct Bounds {
    pub(in crate::limits) slots: usize,
    pub(in crate::limits) of_ip: usize,
}

/// Whether a new connection is within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// There are too many sockets.
    MaxCons,
    /// There are too many connections from its address.
    MaxConsPerIp,
    /// Clients at its address are not served.
    Address,
}

/// A session that is asked to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limits) struct Leaver {
    pub(in crate::limits) index: Index,
    pub(in crate::limits) owner: Owner,
}

impl Table<'_> {
    /// Takes a slot for a new connection, and says whether it is within the limits. If it is only
    /// because a session leaves, returns that one. `None` if the table is full.
    ///
    /// The listening socket of the server counts, too.
    pub(in crate::limits) fn admit(
        &mut self,
        owner: Owner,
        origin: Origin,
        now: u32,
        bounds: Bounds,
    ) -> Option<(Index, Admission, Option<Leaver>)> {
        let index = self.take(owner, origin, now)?;
        let sockets = self.taken() + 1;
        let admission = match () {
            () if bounds.slots > 0 && sockets > bounds.slots => Admission::MaxCons,
            () if bounds.of_ip > 0 && self.count(origin.ip) > bounds.of_ip => {
                Admission::MaxConsPerIp
            }
            () => Admission::Admitted,
        };
        if admission != Admission::Admitted {
            return Some((index, admission, None));
        }
        let staying = sockets.saturating_sub(to_usize(self.words[LEAVING]));
        let mut leaver = None;
        if bounds.slots > 0 && staying > bounds.slots - reserve(bounds.slots) {
            let group = self.group_of(index as usize);
            let Some(found) = group.and_then(|group| self.find_leaver(group, now, bounds)) else {
                return Some((index, Admission::MaxCons, None));
            };
            leaver = Some(self.ask_to_leave(found));
        }
        self.set_state(index, State::New);
        Some((index, Admission::Admitted, leaver))
    }

    /// Whether a session of this group may have another socket. The new one does not count yet,
    /// as in pyftpdlib.
    pub(in crate::limits) fn has_room(&self, origin: Origin, bounds: Bounds) -> bool {
        if self.is_full() {
            return false;
        }
        let (sockets, slots) = (self.taken() + 1, bounds.slots);
        if slots == 0 {
            return true;
        }
        // Others find half of the reserve free, whatever the greatest group does.
        let group = to_usize(self.value(origin.group)).checked_sub(1);
        let is_great = group.is_some_and(|group| self.total(group) > slots / 2);
        let kept = if is_great { reserve(slots) / 2 } else { 0 };
        sockets <= slots - kept
    }

    /// Whether so many slots are taken that connections which are over must not keep theirs: half.
    pub(in crate::limits) fn is_crowded(&self, bounds: Bounds) -> bool {
        bounds.slots >= FAIR_FROM && self.taken() > bounds.slots / 2
    }

    /// The sessions of a process that are asked to leave.
    pub(in crate::limits) fn leavers(&self, pid: u32) -> Vec<Index> {
        let list = self.leaving_list();
        let mut found = Vec::new();
        let mut next = self.first(list);
        while let Some(index) = next {
            if self.owner(index).pid == pid {
                found.extend(Index::try_from(index));
            }
            next = self.next(list, index);
        }
        found
    }

    /// Whether a session is asked to leave.
    pub(in crate::limits) fn is_leaving(&self, index: Index) -> bool {
        self.state(index as usize) == State::Leaving
    }

    /// Finds a session that leaves for a new connection of `group`.
    fn find_leaver(&self, group: usize, now: u32, bounds: Bounds) -> Option<usize> {
        let is_old = |index: usize| now.saturating_sub(self.born(index)) >= SAFE_FOR;
        // In its own group a connection replaces only what is older than a login takes.
        let oldest_of = |crowd: usize| {
            let oldest = self.first(self.new_list_of(crowd));
            oldest.filter(|oldest| crowd != group || is_old(*oldest))
        };
        // The group with more than half of all pays first: with its oldest without a user, or the
        // longest idle.
        let greatest = to_usize(self.words[GREATEST]).checked_sub(1);
        let greatest = greatest.filter(|greatest| self.total(*greatest) > bounds.slots / 2);
        if let Some(greatest) = greatest {
            let found = oldest_of(greatest);
            if greatest == group || found.is_some() {
                return found;
            }
            let idle = self.first(self.idle_list_of(greatest));
            if idle.is_some() {
                return idle;
            }
        }
        // The oldest without a user, of the group that has most of them.
        let rank = to_usize(self.words[MAX_RANK]);
        let crowd = self.first(self.groups_of(rank)).filter(|_| rank > 0);
        if let Some(found) = crowd.and_then(oldest_of) {
            return Some(found);
        }
        // The oldest without a user of all, for one that has few connections itself.
        let oldest = self.first(self.new_list());
        oldest.filter(|oldest| self.total(group) <= FEW && is_old(*oldest))
    }

    fn ask_to_leave(&mut self, index: usize) -> Leaver {
        let owner = self.owner(index);
        let index = Index::try_from(index).unwrap_or_default();
        self.set_state(index, State::Leaving);
        Leaver { index, owner }
    }

    fn owner(&self, index: usize) -> Owner {
        let slot = self.slot(index);
        let worker = self.words[slot + STATE] >> 8 & 0xffff;
        Owner {
            pid: self.pid(index),
            worker: u16::try_from(worker).unwrap_or_default(),
        }
    }
}

/// How many of the slots are for the sockets of sessions.
fn reserve(slots: usize) -> usize {
    if slots < FAIR_FROM { 0 } else { slots / 8 }
}

/// With fewer slots, there is no reserve, and no session leaves for others.
const FAIR_FROM: usize = 32;

/// How long a connection without a user is safe, in tenths of a second, if its group has few slots or
/// the new one is of the same group.
pub(super) const SAFE_FOR: u32 = 50;

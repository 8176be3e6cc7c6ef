//! The groups of addresses: how many slots each has, and which of its sessions may be asked to
//! leave.
//!
//! The *rank* of a group is the number of its sessions without a user if it has more than
//! [`FEW`] slots, and 0 otherwise. The groups of a rank are in a list, so that one of the
//! greatest rank is found at once.

use super::words::{
    COUNT_BITS, COUNTS, FREE_GROUP, FRESH_GROUP, GREATEST, GROUP, GROUP_KEY, Index, LEAVING,
    LEAVING_ENDS, MAX_RANK, NEW_ENDS, NEXT_GROUP, OWNER, RANK, STATE, State, Table, When, to_usize,
};

impl Table<'_> {
    pub(super) fn state(&self, index: usize) -> State {
        match self.words[self.slot(index) + STATE] & 0xff {
            1 => State::New,
            2 => State::Idle,
            3 => State::Busy,
            4 => State::Leaving,
            _ => State::Bound,
        }
    }

    /// The state of a session changes. It goes to the end of the list of its new state.
    pub(in crate::limits) fn set_state(&mut self, index: Index, state: State) {
        let index = index as usize;
        if self.state(index) != state && self.words[self.slot(index) + OWNER] != 0 {
            self.leave_list(index);
            let word = self.slot(index) + STATE;
            self.words[word] = self.words[word] & !0xff | state as u64;
            self.enter_list(index);
        }
    }

    /// The same, under a condition.
    pub(in crate::limits) fn set_state_if(&mut self, index: Index, state: State, when: When) {
        if when == When::Always || self.is_leaving(index) == (when == When::Leaving) {
            self.set_state(index, state);
        }
    }

    /// The number of slots of a group.
    pub(super) fn total(&self, group: usize) -> usize {
        self.get(group, TOTAL)
    }

    /// The number of sessions without a user that a group has.
    pub(super) fn news(&self, group: usize) -> usize {
        self.get(group, NEWS)
    }

    fn get(&self, group: usize, which: usize) -> usize {
        let word = self.words[self.group(group) + COUNTS];
        to_usize(word >> (which * COUNT_BITS)) & COUNT_MASK
    }

    fn set(&mut self, group: usize, which: usize, count: usize) {
        let word = self.group(group) + COUNTS;
        let shift = which * COUNT_BITS;
        let others = self.words[word] & !((COUNT_MASK as u64) << shift);
        self.words[word] = others | (count.min(COUNT_MASK) as u64) << shift;
    }

    /// The group of a slot.
    pub(super) fn group_of(&self, index: usize) -> Option<usize> {
        to_usize(self.words[self.slot(index) + STATE] >> 32).checked_sub(1)
    }

    /// A slot counts for its group from now on.
    pub(super) fn join_group(&mut self, index: usize) {
        let slot = self.slot(index);
        let key = self.words[slot + GROUP_KEY];
        let group = match key {
            0 => None,
            key => self.find_group(key),
        };
        let number = group.map_or(0, |group| group as u64 + 1);
        self.words[slot + STATE] = self.words[slot + STATE] & 0xffff_ffff | number << 32;
        if let Some(group) = group {
            self.set(group, TOTAL, self.total(group) + 1);
            let greatest = to_usize(self.words[GREATEST]).checked_sub(1);
            if greatest.is_none_or(|greatest| self.total(group) > self.total(greatest)) {
                self.words[GREATEST] = number;
            }
            self.change_rank(group);
        }
        self.enter_list(index);
    }

    /// A slot does not count for its group any more.
    pub(super) fn leave_group(&mut self, index: usize) {
        self.leave_list(index);
        let Some(group) = self.group_of(index) else {
            return;
        };
        self.set(group, TOTAL, self.total(group).saturating_sub(1));
        self.change_rank(group);
        if self.total(group) == 0 {
            let at = self.group(group);
            self.set_value(self.words[self.slot(index) + GROUP_KEY], 0);
            self.words[at..at + GROUP].fill(0);
            self.words[at + NEXT_GROUP] = self.words[FREE_GROUP];
            self.words[FREE_GROUP] = group as u64 + 1;
            if self.words[GREATEST] == group as u64 + 1 {
                self.words[GREATEST] = 0;
            }
        }
    }

    /// Forgets all groups and lists. The slots keep their states.
    pub(super) fn clear_groups(&mut self) {
        let used = self.used();
        let groups = self.group(0)..self.group(used);
        self.words[groups].fill(0);
        let ranks = self.rank(0)..self.rank(used) + RANK;
        self.words[ranks].fill(0);
        self.words[FREE_GROUP..=NEW_ENDS].fill(0);
    }

    /// The group with this key. It is made if there is none.
    fn find_group(&mut self, key: u64) -> Option<usize> {
        if let Some(group) = to_usize(self.value(key)).checked_sub(1) {
            return Some(group);
        }
        let group = match to_usize(self.words[FREE_GROUP]) {
            // Each group has a slot, so there cannot be too many.
            0 if to_usize(self.words[FRESH_GROUP]) >= self.capacity => return None,
            0 => {
                self.words[FRESH_GROUP] += 1;
                to_usize(self.words[FRESH_GROUP]) - 1
            }
            free => {
                self.words[FREE_GROUP] = self.words[self.group(free - 1) + NEXT_GROUP];
                free - 1
            }
        };
        let at = self.group(group);
        self.words[at..at + GROUP].fill(0);
        self.set_value(key, group as u64 + 1);
        Some(group)
    }

    fn enter_list(&mut self, index: usize) {
        match (self.state(index), self.group_of(index)) {
            (State::New, Some(group)) => {
                self.append(self.new_list(), index);
                self.append(self.new_list_of(group), index);
                self.set(group, NEWS, self.news(group) + 1);
                self.change_rank(group);
            }
            (State::Idle, Some(group)) => self.append(self.idle_list_of(group), index),
            (State::Leaving, _) => {
                self.append(self.leaving_list(), index);
                self.words[LEAVING] += 1;
            }
            _ => {}
        }
    }

    fn leave_list(&mut self, index: usize) {
        match (self.state(index), self.group_of(index)) {
            (State::New, Some(group)) => {
                self.remove(self.new_list(), index);
                self.remove(self.new_list_of(group), index);
                self.set(group, NEWS, self.news(group).saturating_sub(1));
                self.change_rank(group);
            }
            (State::Idle, Some(group)) => self.remove(self.idle_list_of(group), index),
            (State::Leaving, _) => {
                self.remove(self.leaving_list(), index);
                self.words[LEAVING] = self.words[LEAVING].saturating_sub(1);
            }
            _ => {}
        }
    }

    /// Computes the rank of a group again, which differs by little from the one before. So the
    /// search for the greatest rank is short.
    fn change_rank(&mut self, group: usize) {
        let before = self.get(group, ITS_RANK);
        let rank = match self.total(group) > FEW {
            true => self.news(group).min(self.capacity),
            false => 0,
        };
        if rank == before {
            return;
        }
        if before > 0 {
            self.remove(self.groups_of(before), group);
        }
        self.set(group, ITS_RANK, rank);
        if rank > 0 {
            self.append(self.groups_of(rank), group);
        }
        let mut greatest = to_usize(self.words[MAX_RANK]).max(rank);
        while greatest > 0 && self.words[self.rank(greatest)] == 0 {
            greatest -= 1;
        }
        self.words[MAX_RANK] = greatest as u64;
    }
}

// The counts of a group:
const TOTAL: usize = 0;
const NEWS: usize = 1;
const ITS_RANK: usize = 2;
const COUNT_MASK: usize = (1 << COUNT_BITS) - 1;
const _: () = assert!(3 * COUNT_BITS <= 64);

// What `clear_groups` resets.
const _: () = assert!(LEAVING > FREE_GROUP && LEAVING_ENDS < NEW_ENDS && MAX_RANK > FREE_GROUP);

/// A group with at most so many slots loses none to others for five seconds.
pub(super) const FEW: usize = 8;

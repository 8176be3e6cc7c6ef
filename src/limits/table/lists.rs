//! Lists of slots or groups: their neighbours are in a word of each, and the ends in a word of
//! the list. To append, to remove and to find the first takes the same time however long a
//! list is.

use super::words::{
    GROUP, GROUP_NEW_ENDS, IDLE_ENDS, LEAVING_ENDS, LINKS, NEW_ENDS, NEW_LINKS, RANK_LINKS, SLOT,
    Table, to_usize,
};

/// A list, by the positions of its words.
#[derive(Clone, Copy)]
pub(super) struct List {
    ends: usize,
    /// The position of the links of the first slot or group.
    links: usize,
    /// How far those of the next one are from there.
    step: usize,
}

impl Table<'_> {
    /// All sessions that are asked to leave.
    pub(super) fn leaving_list(&self) -> List {
        self.slots_in(LEAVING_ENDS, LINKS)
    }

    /// All sessions without a user.
    pub(super) fn new_list(&self) -> List {
        self.slots_in(NEW_ENDS, NEW_LINKS)
    }

    /// Those of a group.
    pub(super) fn new_list_of(&self, group: usize) -> List {
        self.slots_in(self.group(group) + GROUP_NEW_ENDS, LINKS)
    }

    /// The idle sessions of a group.
    pub(super) fn idle_list_of(&self, group: usize) -> List {
        self.slots_in(self.group(group) + IDLE_ENDS, LINKS)
    }

    /// The groups of a rank.
    pub(super) fn groups_of(&self, rank: usize) -> List {
        List {
            ends: self.rank(rank),
            links: self.group(0) + RANK_LINKS,
            step: GROUP,
        }
    }

    fn slots_in(&self, ends: usize, links: usize) -> List {
        List {
            ends,
            links: self.slot(0) + links,
            step: SLOT,
        }
    }

    /// The first of a list.
    pub(super) fn first(&self, list: List) -> Option<usize> {
        self.pair(list.ends).1.checked_sub(1)
    }

    /// The one after `index`.
    pub(super) fn next(&self, list: List, index: usize) -> Option<usize> {
        self.pair(list.of(index)).1.checked_sub(1)
    }

    pub(super) fn append(&mut self, list: List, index: usize) {
        let (last, first) = self.pair(list.ends);
        self.set_pair(list.of(index), (last, 0));
        match last {
            0 => self.set_pair(list.ends, (index + 1, index + 1)),
            last => {
                let links = list.of(last - 1);
                self.set_pair(links, (self.pair(links).0, index + 1));
                self.set_pair(list.ends, (index + 1, first));
            }
        }
    }

    pub(super) fn remove(&mut self, list: List, index: usize) {
        let (before, after) = self.pair(list.of(index));
        let (mut last, mut first) = self.pair(list.ends);
        match before {
            0 => first = after,
            before => {
                let links = list.of(before - 1);
                self.set_pair(links, (self.pair(links).0, after));
            }
        }
        match after {
            0 => last = before,
            after => {
                let links = list.of(after - 1);
                self.set_pair(links, (before, self.pair(links).1));
            }
        }
        self.set_pair(list.ends, (last, first));
    }

    /// The two numbers of a word, counted from 1: the last and the first, or the one before and
    /// the one after.
    fn pair(&self, word: usize) -> (usize, usize) {
        let word = self.words[word];
        (to_usize(word >> 32), to_usize(word & u64::from(u32::MAX)))
    }

    fn set_pair(&mut self, word: usize, (before, after): (usize, usize)) {
        self.words[word] = (before as u64) << 32 | after as u64;
    }
}

impl List {
    /// The position of the links of a slot or group.
    fn of(self, index: usize) -> usize {
        self.links + index * self.step
    }
}

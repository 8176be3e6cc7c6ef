//! What a process could not write to the table, because another one held the lock.

use std::collections::{BTreeMap, HashMap};

use super::table::{Index, Key, Origin, Owner, State, Table, When};

/// A slot that was not taken yet. The number is small, since each session keeps one.
pub(super) type Token = u32;

/// The changes that wait for the lock: at most one for each slot of this process.
#[derive(Default)]
pub(super) struct Later {
    slots: BTreeMap<Index, Change>,
    takes: BTreeMap<Token, Origin>,
    /// The slots of those that were taken since; `None`: the table was full.
    taken: HashMap<Token, Option<Index>>,
    tokens: Token,
}

#[derive(Default)]
pub(super) struct Change {
    pub(super) user: Option<Key>,
    pub(super) state: Option<(State, When)>,
    pub(super) is_gone: bool,
}

impl Later {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.takes.is_empty()
    }

    /// The change of a slot, to which a later one is added.
    pub(super) fn change(&mut self, index: Index) -> &mut Change {
        self.slots.entry(index).or_default()
    }

    /// A slot of a session's socket is to be taken.
    pub(super) fn take(&mut self, origin: Origin) -> Token {
        self.tokens = self.tokens.wrapping_add(1);
        self.takes.insert(self.tokens, origin);
        self.tokens
    }

    /// The slot that was taken, if it was.
    pub(super) fn index(&self, token: Token) -> Option<Index> {
        self.taken.get(&token).copied().flatten()
    }

    /// The socket is closed. Returns the slot to give back, if it was taken.
    pub(super) fn forget(&mut self, token: Token) -> Option<Index> {
        self.takes.remove(&token);
        self.taken.remove(&token).flatten()
    }

    /// Makes all changes.
    pub(super) fn apply(&mut self, table: &mut Table<'_>, owner: Owner) {
        for (index, change) in std::mem::take(&mut self.slots) {
            if change.is_gone {
                table.give_back(index, owner.pid);
                continue;
            }
            if let Some(user) = change.user {
                table.set_user(index, user);
            }
            if let Some((state, when)) = change.state {
                table.set_state_if(index, state, when);
            }
        }
        for (token, origin) in std::mem::take(&mut self.takes) {
            self.taken.insert(token, table.take(owner, origin, 0));
        }
    }
}

//! The channels of a loop by their names, and what the loop remembers of each: whether it waits
//! for the next round, and its deadline.
//!
//! A channel that runs is taken out, so that it may add others meanwhile. What a channel does is
//! not known here.

use std::collections::VecDeque;
use std::time::Instant;

use slab::Slab;

use super::deadlines::DeadlineHeap;
use super::event::ChannelId;

/// Channels of type `C`.
pub(super) struct Slots<C> {
    slots: Slab<Slot<C>>,
    generation: u32,
    next_round: VecDeque<ChannelId>,
    deadlines: DeadlineHeap<ChannelId>,
    /// Above this number, deadlines of channels that are gone are removed.
    deadlines_max: usize,
}

struct Slot<C> {
    id: ChannelId,
    /// Absent while it runs.
    channel: Option<C>,
    /// Whether it waits for the next round.
    queued: bool,
    /// The earliest of its entries in the heap of deadlines.
    armed: Option<Instant>,
}

impl<C> Slots<C> {
    pub(super) fn new() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
            next_round: VecDeque::new(),
            deadlines: DeadlineHeap::new(),
            deadlines_max: DEADLINES_MIN,
        }
    }

    // --- channels

    /// Adds the channel that `make` makes, which is given its name.
    pub(super) fn add(&mut self, make: impl FnOnce(ChannelId) -> C) -> ChannelId {
        self.generation = (self.generation + 1) % ChannelId::GENERATIONS;
        let entry = self.slots.vacant_entry();
        let id = ChannelId {
            // No system has descriptors for more channels than fit in 32 bits.
            slot: u32::try_from(entry.key()).unwrap_or(u32::MAX),
            generation: self.generation,
        };
        entry.insert(Slot {
            id,
            channel: Some(make(id)),
            queued: false,
            armed: None,
        });
        id
    }

    /// Takes a channel out to run it. `None`: it is gone, or it runs already.
    pub(super) fn take(&mut self, id: ChannelId) -> Option<C> {
        self.get_mut(id)?.channel.take()
    }

    /// Puts a channel back after a call. `again`: it is called in the next round; `deadline`: its
    /// nearest one.
    pub(super) fn put_back(
        &mut self,
        id: ChannelId,
        channel: C,
        again: bool,
        deadline: Option<Instant>,
    ) {
        let Some(slot) = self.get_mut(id) else { return };
        slot.channel = Some(channel);
        let queue = again && !slot.queued;
        slot.queued |= again;
        // Only an earlier deadline needs an entry: a later one is found when the present entry
        // comes up.
        let arm = deadline.filter(|deadline| slot.armed.is_none_or(|armed| *deadline < armed));
        if arm.is_some() {
            slot.armed = arm;
        }
        if queue {
            self.next_round.push_back(id);
        }
        if let Some(deadline) = arm {
            self.deadlines.push(deadline, id);
            self.clean_deadlines();
        }
    }

    /// Frees the slot of a channel that was taken out.
    pub(super) fn remove(&mut self, id: ChannelId) {
        self.slots.try_remove(id.slot as usize);
    }

    pub(super) fn contains(&self, id: ChannelId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn ids(&self) -> Vec<ChannelId> {
        self.slots.iter().map(|(_, slot)| slot.id).collect()
    }

    /// All channels, but the one that runs.
    pub(super) fn iter(&self) -> impl Iterator<Item = &C> {
        self.slots
            .iter()
            .filter_map(|(_, slot)| slot.channel.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Drops all channels.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.next_round.clear();
    }

    fn get(&self, id: ChannelId) -> Option<&Slot<C>> {
        let slot = self.slots.get(id.slot as usize);
        slot.filter(|slot| slot.id == id)
    }

    fn get_mut(&mut self, id: ChannelId) -> Option<&mut Slot<C>> {
        let slot = self.slots.get_mut(id.slot as usize);
        slot.filter(|slot| slot.id == id)
    }

    // --- the next round

    /// How many calls of the next round are waiting.
    pub(super) fn round_len(&self) -> usize {
        self.next_round.len()
    }

    /// Takes the channel that has waited longest for its round. It may be gone.
    pub(super) fn pop_round(&mut self) -> Option<ChannelId> {
        let id = self.next_round.pop_front()?;
        if let Some(slot) = self.get_mut(id) {
            slot.queued = false;
        }
        Some(id)
    }

    // --- deadlines

    /// How many entries the heap has, those of channels that are gone included.
    pub(super) fn deadlines_len(&self) -> usize {
        self.deadlines.len()
    }

    /// The nearest deadline, which may have been put off.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next_deadline()
    }

    /// Puts off the entries of deadlines up to `until` that were put off meanwhile, so that the
    /// loop does not wake up for them.
    pub(super) fn put_off(&mut self, until: Instant, deadline_of: impl Fn(&C) -> Option<Instant>) {
        while let Some((deadline, id)) = self.deadlines.peek() {
            if deadline > until {
                return;
            }
            let id = *id;
            let Some(slot) = self.get_mut(id) else {
                self.deadlines.pop();
                continue;
            };
            if slot.armed != Some(deadline) {
                self.deadlines.pop();
                continue;
            }
            let next = slot.channel.as_ref().and_then(&deadline_of);
            if next.is_some_and(|next| next <= deadline) {
                return;
            }
            slot.armed = next;
            self.deadlines.pop();
            if let Some(next) = next {
                self.deadlines.push(next, id);
            }
        }
    }

    /// Takes the next channel whose deadline has come. `deadline_of` returns the present deadline of
    /// a channel: if it was put off meanwhile, it gets a new entry.
    pub(super) fn pop_due(
        &mut self,
        now: Instant,
        deadline_of: impl Fn(&C) -> Option<Instant>,
    ) -> Option<ChannelId> {
        while let Some((deadline, id)) = self.deadlines.pop_due(now) {
            let Some(slot) = self.get_mut(id) else {
                continue;
            };
            if slot.armed != Some(deadline) {
                continue;
            }
            slot.armed = None;
            match slot.channel.as_ref().and_then(&deadline_of) {
                Some(next) if next <= now => return Some(id),
                Some(next) => {
                    slot.armed = Some(next);
                    self.deadlines.push(next, id);
                }
                None => {}
            }
        }
        None
    }

    /// Removes the deadlines of channels that are gone, and those that an earlier deadline has
    /// replaced, each time the heap has doubled: they would stay there for minutes otherwise.
    fn clean_deadlines(&mut self) {
        if self.deadlines.len() <= self.deadlines_max {
            return;
        }
        let slots = &self.slots;
        self.deadlines.retain_by(|deadline, id| {
            let slot = slots.get(id.slot as usize).filter(|slot| slot.id == *id);
            slot.is_some_and(|slot| slot.armed == Some(deadline))
        });
        self.deadlines_max = DEADLINES_MIN.max(2 * self.deadlines.len());
    }
}

/// Up to this number, deadlines of channels that are gone are not removed.
const DEADLINES_MIN: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_is_never_used_again() {
        let mut slots = Slots::new();
        let old = slots.add(|_| "old");
        assert_eq!(slots.take(old), Some("old"));
        assert_eq!(slots.take(old), None, "it runs");
        slots.remove(old);
        let new = slots.add(|_| "new");
        assert_eq!(old.slot, new.slot);
        assert!(slots.contains(new) && !slots.contains(old));
        assert_eq!((slots.take(old), slots.take(new)), (None, Some("new")));
    }

    #[test]
    fn a_channel_is_queued_once() {
        let mut slots = Slots::new();
        let id = slots.add(|_| ());
        for again in [true, true, false] {
            slots.take(id);
            slots.put_back(id, (), again, None);
        }
        assert_eq!(slots.round_len(), 1);
        assert_eq!((slots.pop_round(), slots.pop_round()), (Some(id), None));
    }

    #[test]
    fn replaced_deadlines_do_not_pile_up() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut slots = Slots::new();
        let id = slots.add(|_| at(0));
        for step in 0..10 * DEADLINES_MIN as u64 {
            for deadline in [at(step + 2), at(step + 300_000)] {
                *slots.take(id).as_mut().unwrap() = deadline;
                slots.put_back(id, deadline, false, Some(deadline));
            }
            slots.put_off(at(step + 10), |deadline| Some(*deadline));
            assert_eq!(
                slots.next_deadline().max(Some(at(step + 11))),
                slots.next_deadline()
            );
        }
        assert!(slots.deadlines_len() <= DEADLINES_MIN + 1);
    }

    #[test]
    fn a_deadline_that_is_put_off_has_one_entry() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut slots = Slots::new();
        let id = slots.add(|_| at(1));
        for deadline in [at(1), at(3), at(2)] {
            slots.take(id);
            slots.put_back(id, deadline, false, Some(deadline));
        }
        assert_eq!(slots.deadlines_len(), 1);
        let deadline_of = |deadline: &Instant| Some(*deadline);
        assert_eq!(slots.pop_due(at(1), deadline_of), None);
        assert_eq!(slots.next_deadline(), Some(at(2)));
        assert_eq!(slots.pop_due(at(2), deadline_of), Some(id));
        assert_eq!(slots.deadlines_len(), 0);
    }
}

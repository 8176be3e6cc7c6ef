//! The table against a simple model.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::groups::FEW;
use super::room::SAFE_FOR;
use super::words::{BUCKET, FREE, FREE_GROUP, KEYS, MAX_RANK, TAKEN};
use super::*;

const CAPACITY: usize = 100;

fn words() -> Vec<u64> {
    vec![0; Table::words(CAPACITY)]
}

fn by(pid: u32) -> Owner {
    Owner { pid, worker: 0 }
}

fn from(ip: Key, group: Key) -> Origin {
    Origin { ip, group }
}

#[test]
fn a_table_of_zeros_is_empty() {
    let mut words = words();
    let table = Table::new(&mut words, CAPACITY);
    assert_eq!((table.taken(), table.count(7)), (0, 0));
    assert!(!table.is_full());
}

#[test]
fn a_full_table_gives_no_slot() {
    let mut words = words();
    let mut table = Table::new(&mut words, CAPACITY);
    for number in 0..CAPACITY {
        assert_eq!(
            table.take(by(1), from(0, 3), 0),
            Index::try_from(number).ok()
        );
    }
    assert!(table.is_full());
    assert_eq!(table.take(by(1), from(5, 5), 0), None);
    assert_eq!(table.count(5), 0);
    table.give_back(50, 1);
    assert_eq!(table.take(by(2), from(5, 6), 0), Some(50));
    assert_eq!(table.take(by(2), from(5, 6), 0), None);
}

#[test]
fn a_slot_is_given_back_by_its_owner_only() {
    let mut words = words();
    let mut table = Table::new(&mut words, CAPACITY);
    let slot = table.take(by(1), from(5, 0), 0).unwrap();
    table.give_back(slot, 2);
    assert_eq!((table.taken(), table.count(5)), (1, 1));
    table.give_back(slot, 1);
    table.give_back(slot, 1);
    assert_eq!((table.taken(), table.count(5)), (0, 0));
}

/// A table of 64 slots, of which eight are in the reserve.
struct Small(Vec<u64>);

const BOUNDS: Bounds = Bounds {
    slots: 64,
    of_ip: 0,
};

impl Small {
    fn new() -> Self {
        Self(words())
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut Table<'_>) -> T) -> T {
        work(&mut Table::new(&mut self.0, CAPACITY))
    }

    /// A connection from a group that is the address as well.
    fn admit(&mut self, group: Key, now: u32) -> (Index, Admission, Option<Index>) {
        let admitted = self.with(|table| table.admit(by(1), from(group, group << 8), now, BOUNDS));
        let (index, admission, leaver) = admitted.unwrap();
        (index, admission, leaver.map(|leaver| leaver.index))
    }

    /// Takes so many slots for a group, which fit.
    fn fill(&mut self, group: Key, count: usize, state: State) -> Vec<Index> {
        let admitted = (0..count).map(|_| {
            let (index, admission, leaver) = self.admit(group, 0);
            assert_eq!((admission, leaver), (Admission::Admitted, None));
            self.with(|table| table.set_state(index, state));
            index
        });
        admitted.collect()
    }

    fn leave(&mut self, index: Index) {
        self.with(|table| table.give_back(index, 1));
    }
}

#[test]
fn the_oldest_of_the_greatest_crowd_leaves() {
    let mut table = Small::new();
    table.fill(1, 8, State::New);
    table.fill(2, 10, State::New);
    let many = table.fill(3, 37, State::New);
    let (_, admission, leaver) = table.admit(4, 0);
    assert_eq!((admission, leaver), (Admission::Admitted, Some(many[0])));
    // It has not left yet; the next one must leave, too.
    assert_eq!(table.admit(1, 1).2, Some(many[1]));
    table.leave(many[0]);
    table.leave(many[1]);
    let refused = table.admit(3, 1);
    assert_eq!((refused.1, refused.2), (Admission::MaxCons, None));
    table.leave(refused.0);
    // In its own group a connection replaces what is older.
    assert_eq!(table.admit(3, SAFE_FOR).2, Some(many[2]));
}

#[test]
fn a_few_connections_are_safe_at_first() {
    let mut table = Small::new();
    let few = table.fill(1, 8, State::New);
    let some = table.fill(2, 9, State::New);
    table.fill(3, 38, State::Busy);
    assert_eq!(table.admit(4, 1).2, Some(some[0]));
    assert_eq!(table.admit(4, 1).2, Some(some[1]));
    table.leave(some[0]);
    table.leave(some[1]);
    let refused = table.admit(5, 1);
    assert_eq!((refused.1, refused.2), (Admission::MaxCons, None));
    table.leave(refused.0);
    let refused = table.admit(3, SAFE_FOR);
    assert_eq!((refused.1, refused.2), (Admission::MaxCons, None));
    table.leave(refused.0);
    assert_eq!(table.admit(5, SAFE_FOR).2, Some(few[0]));
}

#[test]
fn idle_users_leave_if_they_have_more_than_half() {
    let mut table = Small::new();
    let most = table.fill(1, 33, State::Idle);
    table.fill(2, 22, State::Idle);
    // The longest idle is the first.
    table.with(|table| table.set_state(most[0], State::Busy));
    assert_eq!(table.admit(3, 0).2, Some(most[1]));
    table.leave(most[1]);
    // It has no more than half now.
    let refused = table.admit(3, SAFE_FOR - 1);
    assert_eq!((refused.1, refused.2), (Admission::MaxCons, None));
}

#[test]
fn an_idle_user_does_not_leave_for_one_of_the_same_group() {
    let mut table = Small::new();
    table.fill(1, 55, State::Idle);
    let refused = table.admit(1, 99_999);
    assert_eq!((refused.1, refused.2), (Admission::MaxCons, None));
    table.leave(refused.0);
    assert!(table.admit(2, 0).2.is_some());
}

#[test]
fn a_session_that_stays_is_as_before() {
    let mut table = Small::new();
    let most = table.fill(1, 55, State::New);
    assert_eq!(table.admit(2, 0).2, Some(most[0]));
    assert!(table.with(|table| table.is_leaving(most[0])));
    assert_eq!(table.with(|table| table.leavers(1)), [most[0]]);
    assert_eq!(table.with(|table| table.leavers(2)), []);
    table.with(|table| table.set_state(most[0], State::New));
    assert!(table.with(|table| table.leavers(1)).is_empty());
    // It goes to the end of the list.
    assert_eq!(table.admit(2, 0).2, Some(most[1]));
}

/// The last slots are for data connections, and half of them not for the greatest group.
#[test]
fn the_reserve_is_for_sockets_of_sessions() {
    let mut table = Small::new();
    table.fill(1, 55, State::Busy);
    let more = |table: &mut Small, group: Key| {
        let origin = from(0, group << 8);
        let has_room = table.with(|table| table.has_room(origin, BOUNDS));
        has_room.then(|| table.with(|table| table.take(by(1), origin, 0)).unwrap())
    };
    let taken: Vec<_> = std::iter::from_fn(|| more(&mut table, 1)).collect();
    // As in pyftpdlib, the new one does not count yet.
    assert_eq!(taken.len(), 5);
    assert!(more(&mut table, 2).is_some());
    let refused = table.admit(2, 99_999);
    assert_eq!((refused.1, refused.2), (Admission::MaxCons, None));
}

#[derive(Debug, Clone)]
enum Step {
    Take(u32, Key),
    Admit(u32, Key),
    GiveBack(usize),
    SetUser(usize, Key),
    SetState(usize, State),
    Forget(u32),
    /// A process has died and left nonsense in this word.
    Break(usize),
    /// The table is copied to another one.
    Copy,
}

/// Keys with few homes, so that they collide, also at the end.
fn key() -> impl Strategy<Value = Key> {
    (0..12_u64, 1..12_u64).prop_map(|(home, tail)| match home {
        0 => 0,
        1..6 => home | tail << 40,
        _ => u64::MAX >> 32 ^ home | tail << 40,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![
        Just(State::New),
        Just(State::Idle),
        Just(State::Busy),
        Just(State::Bound)
    ];
    prop_oneof![
        6 => (1..4_u32, key()).prop_map(|(owner, key)| Step::Take(owner, key)),
        12 => (1..4_u32, key()).prop_map(|(owner, key)| Step::Admit(owner, key)),
        5 => any::<usize>().prop_map(Step::GiveBack),
        5 => (any::<usize>(), key()).prop_map(|(slot, key)| Step::SetUser(slot, key)),
        5 => (any::<usize>(), state).prop_map(|(slot, state)| Step::SetState(slot, state)),
        1 => (1..4_u32).prop_map(Step::Forget),
        1 => any::<usize>().prop_map(Step::Break),
        1 => Just(Step::Copy),
    ]
}

/// The slots by index, with the owner, address and user of each.
type Model = HashMap<Index, (u32, Key, Key)>;

/// The group of an address: three addresses share one. No address has the number of a group.
fn group(ip: Key) -> Key {
    if ip == 0 { 0 } else { (ip % 5 + 1) | (1 << 60) }
}

fn apply(step: &Step, table: &mut Table<'_>, model: &mut Model) {
    let mut taken: Vec<_> = model.keys().copied().collect();
    taken.sort_unstable();
    let pick = |number: usize| taken.get(number % taken.len().max(1)).copied();
    match *step {
        Step::Take(owner, ip) => match table.take(by(owner), from(ip, group(ip)), 0) {
            Some(index) => assert!(model.insert(index, (owner, ip, 0)).is_none()),
            None => assert_eq!(model.len(), CAPACITY),
        },
        Step::Admit(owner, ip) => {
            let bounds = Bounds {
                slots: 90,
                of_ip: 0,
            };
            match table.admit(by(owner), from(ip, group(ip)), 0, bounds) {
                Some((index, admission, leaver)) => {
                    assert!(model.insert(index, (owner, ip, 0)).is_none());
                    assert!(leaver.is_none() || admission == Admission::Admitted);
                }
                None => assert_eq!(model.len(), CAPACITY),
            }
        }
        Step::GiveBack(number) => {
            let Some(index) = pick(number) else { return };
            table.give_back(index, model.remove(&index).unwrap().0);
        }
        Step::SetUser(number, user) => {
            let Some(index) = pick(number) else { return };
            let count = table.set_user(index, user);
            model.get_mut(&index).unwrap().2 = user;
            assert_eq!(count, counts(model).get(&user).copied().unwrap_or(0));
        }
        Step::SetState(number, state) => {
            let Some(index) = pick(number) else { return };
            table.set_state(index, state);
        }
        Step::Forget(owner) => {
            let before = model.len();
            model.retain(|_, slot| slot.0 != owner);
            assert_eq!(table.forget(owner), before - model.len());
        }
        Step::Break(number) => {
            let word = match number % 8 {
                0 => TAKEN,
                1 => FREE,
                2 => KEYS,
                3 => FREE_GROUP + number % 7,
                4 => table.group(number / 8 % table.used().max(1)) + number % 4,
                5 => table.rank(number / 8 % table.used().max(1)),
                _ => table.first_bucket() + number % (table.buckets() * BUCKET),
            };
            table.words[word] = number as u64;
            table.recount();
        }
        Step::Copy => {
            let mut words = vec![0; Table::words(2 * CAPACITY)];
            table.copy_to(&mut words, 2 * CAPACITY);
            let mut copy = Table::new(&mut words, 2 * CAPACITY);
            check(&mut copy, model);
        }
    }
}

fn counts(model: &Model) -> HashMap<Key, usize> {
    let mut counts = HashMap::new();
    for (_, ip, user) in model.values() {
        for key in [ip, user] {
            if *key != 0 {
                *counts.entry(*key).or_default() += 1;
            }
        }
    }
    counts
}

/// Compares what is derived with the slots.
fn check(table: &mut Table<'_>, model: &Model) {
    assert_eq!(table.taken(), model.len());
    let counts = counts(model);
    for (key, count) in &counts {
        assert_eq!(table.count(*key), *count);
    }
    let mut totals = HashMap::<Key, usize>::new();
    for (_, ip, _) in model.values().filter(|slot| slot.1 != 0) {
        *totals.entry(group(*ip)).or_default() += 1;
    }
    assert_eq!(table.words[KEYS], (counts.len() + totals.len()) as u64);
    // Each session is in the list of its state, and in no other.
    let of_state = |table: &Table<'_>, state: State, group: Option<usize>| {
        let indexes = model.keys().map(|index| *index as usize);
        let is_there = |index: &usize| {
            let of_group = group.is_none_or(|group| table.group_of(*index) == Some(group));
            table.state(*index) == state && of_group && table.group_of(*index).is_some()
        };
        indexes.filter(is_there).count()
    };
    let length = |table: &Table<'_>, list| {
        let mut length = 0;
        let mut next = table.first(list);
        while let Some(index) = next {
            length += 1;
            next = table.next(list, index);
        }
        length
    };
    let news = of_state(table, State::New, None);
    assert_eq!(length(table, table.new_list()), news);
    let mut greatest = 0;
    for (key, total) in totals {
        let group = usize::try_from(table.value(key)).unwrap() - 1;
        assert_eq!(table.total(group), total);
        let news = of_state(table, State::New, Some(group));
        assert_eq!(table.news(group), news);
        assert_eq!(length(table, table.new_list_of(group)), news);
        let idle = of_state(table, State::Idle, Some(group));
        assert_eq!(length(table, table.idle_list_of(group)), idle);
        if total > FEW {
            greatest = greatest.max(news);
        }
    }
    assert_eq!(table.words[MAX_RANK], greatest as u64);
    if greatest > 0 {
        let first = table.first(table.groups_of(greatest)).unwrap();
        assert_eq!(table.news(first), greatest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn does_as_a_list_of_slots(steps in vec(step(), 0..600)) {
        let mut words = words();
        let mut table = Table::new(&mut words, CAPACITY);
        let mut model = Model::new();
        for (number, step) in steps.iter().enumerate() {
            apply(step, &mut table, &mut model);
            prop_assert_eq!(table.taken(), model.len());
            if number % 16 == 0 {
                check(&mut table, &model);
            }
        }
        for owner in 1..4 {
            table.forget(owner);
        }
        prop_assert_eq!(table.taken(), 0);
        prop_assert!(table.words[table.first_bucket()..].iter().all(|word| *word == 0));
        prop_assert!(table.words[table.rank(0)..table.first_bucket()].iter().all(|word| *word == 0));
    }
}

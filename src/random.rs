//! Numbers that a client cannot guess, and hash keys that it cannot choose. In a test they come
//! from a seed instead.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A source of random numbers. Clones draw from the same source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Random(
    /// `None`: the system.
    Option<Arc<AtomicU64>>,
);

impl Random {
    /// A source whose numbers depend on the seed only.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(seed))))
    }

    /// The next number; `None` if the system has none.
    pub(crate) fn next(&self) -> Option<u64> {
        match &self.0 {
            None => getrandom::u64().ok(),
            // SplitMix64.
            Some(state) => Some(mix(state.fetch_add(STEP, Relaxed).wrapping_add(STEP))),
        }
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        let random = self.next().unwrap_or_default();
        usize::try_from(random % bound.max(1) as u64).unwrap_or_default()
    }

    /// Keys for hashes.
    pub(crate) fn keys(&self) -> Keys {
        match (&self.0, self.next()) {
            (Some(_), Some(seed)) => Keys::Seeded(seed),
            _ => Keys::System(RandomState::new()),
        }
    }
}

/// Keys for hashes that stand for something a client has sent.
#[derive(Debug)]
pub(crate) enum Keys {
    System(RandomState),
    Seeded(u64),
}

impl Keys {
    pub(crate) fn hash_one(&self, of: impl Hash) -> u64 {
        match self {
            Self::System(state) => state.hash_one(of),
            Self::Seeded(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, of).hash(&mut hasher);
                hasher.finish()
            }
        }
    }
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The golden ratio, in 64 bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_all() {
        let draw = |seed| {
            let random = Random::seeded(seed);
            let keys = random.keys();
            let hashes = ["a", "b"].map(|name| keys.hash_one(name));
            (0..4)
                .map(|_| random.below(1000) as u64)
                .chain(hashes)
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        // The first numbers of SplitMix64 for the seed 1234567, as published with it.
        let random = Random::seeded(1_234_567);
        assert_eq!(random.next(), Some(6_457_827_717_110_365_317));
        assert_eq!(random.next(), Some(3_203_168_211_198_807_973));
    }

    #[test]
    fn the_system_gives_other_keys_each_time() {
        let random = Random::default();
        assert_ne!(random.next(), random.next());
        assert_ne!(random.keys().hash_one(1), random.keys().hash_one(1));
        assert_eq!(random.below(0), 0);
    }
}

//! The order of training examples as a function of the step: no table, no state. Position p of
//! training (`step * batch + place in the batch`) is example `permutation(epoch)(p mod n)` of epoch
//! `p / n`, so that every epoch reads each of the n unique examples once.

use crate::random::{Purpose, Random, mix};

/// One place of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Draw {
    /// Example of the train stream, below `unique_examples`.
    pub index: u64,
    /// How often all examples have been read before; with `index` the key of augmentation.
    pub epoch: u64,
}

/// The examples of batch `step` (from 0), of n = `unique_examples`.
///
/// # Panics
/// When `unique_examples` is 0.
pub fn batch(seed: u64, unique_examples: u64, batch: u32, step: u64) -> Vec<Draw> {
    let first = step * u64::from(batch);
    let mut epoch = first / unique_examples;
    let mut permutation = Permutation::of_epoch(seed, epoch, unique_examples);
    let draw = |position: u64| {
        if position / unique_examples != epoch {
            epoch = position / unique_examples;
            permutation = Permutation::of_epoch(seed, epoch, unique_examples);
        }
        Draw { index: permutation.at(position % unique_examples), epoch }
    };
    (first..first + u64::from(batch)).map(draw).collect()
}

/// A keyed permutation of 0..n: a Feistel network over the next even power of two, walked along its
/// cycle until it is back below n (Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    n: u64,
    /// Bits of one half of the network's domain.
    half: u32,
    keys: [u64; ROUNDS],
}

/// Four make a network's output pseudo-random (Luby & Rackoff 1988); the rest is for halves of few bits.
const ROUNDS: usize = 6;

/// Smallest half, bits: a network over fewer than 64 values reaches too few permutations.
const MIN_HALF: u32 = 3;

impl Permutation {
    /// # Panics
    /// When `n` is 0.
    pub fn new(n: u64, mut key: Random) -> Self {
        assert!(n > 0, "there is no permutation of nothing");
        let bits = u64::BITS - (n - 1).leading_zeros();
        Self { n, half: bits.div_ceil(2).max(MIN_HALF), keys: std::array::from_fn(|_| key.bits()) }
    }

    fn of_epoch(seed: u64, epoch: u64, n: u64) -> Self {
        Self::new(n, Random::new(seed, Purpose::Order, epoch, 0))
    }

    /// Where `index` goes.
    ///
    /// # Panics
    /// When `index` is not below n: outside of it the walk might not end.
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.n, "{index} is outside of a permutation of {}", self.n);
        let mut value = self.network(index);
        while value >= self.n {
            value = self.network(value);
        }
        value
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let start = (value >> self.half, value & mask);
        let (left, right) = self
            .keys
            .iter()
            .fold(start, |(left, right), key| (right, left ^ (mix(right ^ key) & mask)));
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn epoch(seed: u64, epoch: u64, n: u64) -> Vec<u64> {
        let permutation = Permutation::of_epoch(seed, epoch, n);
        (0..n).map(|position| permutation.at(position)).collect()
    }

    fn is_permutation(values: &[u64]) -> bool {
        let seen: HashSet<u64> = values.iter().copied().collect();
        seen.len() == values.len() && values.iter().all(|value| *value < values.len() as u64)
    }

    #[test]
    fn every_small_n_is_permuted() {
        for n in 1..600 {
            assert!(is_permutation(&epoch(n % 5, n % 3, n)), "{n}");
        }
    }

    proptest! {
        #[test]
        fn every_n_is_permuted(seed: u64, number in 0_u64..1000, n in 1_u64..20_000) {
            prop_assert!(is_permutation(&epoch(seed, number, n)));
        }

        #[test]
        fn epochs_and_seeds_differ(seed: u64, number in 0_u64..1000, n in 20_u64..5000) {
            prop_assert_ne!(epoch(seed, number, n), epoch(seed, number + 1, n));
            prop_assert_ne!(epoch(seed, number, n), epoch(seed.wrapping_add(1), number, n));
        }

        #[test]
        fn a_step_alone_is_the_step_reached_by_iterating(seed: u64, n in 1_u64..200, size in 1_u32..70, step in 0_u64..40) {
            let all: Vec<Draw> = (0..step * u64::from(size) + u64::from(size))
                .map(|position| Draw { index: epoch(seed, position / n, n)[(position % n) as usize], epoch: position / n })
                .collect();
            prop_assert_eq!(&batch(seed, n, size, step)[..], &all[(step * u64::from(size)) as usize..]);
        }

        #[test]
        fn the_largest_sets_stay_in_range(seed: u64, n in 1_u64..=u64::MAX, at: u64) {
            prop_assert!(Permutation::of_epoch(seed, 0, n).at(at % n) < n);
        }
    }

    /// All 120 orders of five examples, 60,000 epochs: chi-squared with 119 degrees of freedom is above
    /// 185 once in 10,000 tries.
    #[test]
    fn every_order_of_a_small_set_is_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        (0..60_000).for_each(|number| *counts.entry(epoch(3, number, 5)).or_insert(0.0) += 1.0);
        assert_eq!(counts.len(), 120);
        let chi_squared: f64 =
            counts.values().map(|count: &f64| (count - 500.0).powi(2) / 500.0).sum();
        assert!(chi_squared < 185.0, "{chi_squared}");
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        assert_eq!(epoch(0, 0, 10), [3, 8, 1, 0, 9, 2, 4, 6, 7, 5]);
    }
}

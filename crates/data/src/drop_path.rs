//! Which residual branches an example skips under stochastic depth (Huang et al. 2016, 1603.09382).

use std::ops::Range;

use crate::random::{Purpose, Random};

/// Whether each residual branch is kept for the examples at `places` of the batch of `step`:
/// `[branches, places]`, true where kept. `rates` are the branches' probabilities of being dropped.
///
/// A place and a branch alone decide: parts of a batch make up the whole, further branches change
/// nothing for those before them, and what is dropped at one rate is dropped at every larger one.
pub fn keeps(seed: u64, rates: &[f64], step: u64, places: Range<u32>) -> Vec<bool> {
    let count = places.len();
    let mut keeps = vec![true; rates.len() * count];
    for (column, place) in places.enumerate() {
        let mut random = Random::new(seed, Purpose::DropPath, step, place.into());
        for (branch, rate) in rates.iter().enumerate() {
            keeps[branch * count + column] = random.uniform() >= *rate;
        }
    }
    keeps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_of_a_batch_make_up_the_whole(
            seed: u64, step: u64, rates in prop::collection::vec(0.0..=1.0, 0..6), cut in 0_u32..=20, first in 0_u32..1000,
        ) {
            let part = |places| keeps(seed, &rates, step, places);
            let whole = part(first..first + 20);
            let (left, right) = (part(first..first + cut), part(first + cut..first + 20));
            for branch in 0..rates.len() {
                let row = |keeps: &[bool], n: usize| keeps[branch * n..(branch + 1) * n].to_vec();
                let joined = [row(&left, cut as usize), row(&right, 20 - cut as usize)].concat();
                prop_assert_eq!(row(&whole, 20), joined);
            }
        }

        #[test]
        fn further_branches_change_nothing_for_those_before(seed: u64, step: u64, more in 0.0..=1.0) {
            let (few, many) = ([0.3, 0.6], [0.3, 0.6, more]);
            prop_assert_eq!(&keeps(seed, &few, step, 0..50)[..], &keeps(seed, &many, step, 0..50)[..100]);
        }

        #[test]
        fn what_is_dropped_at_a_rate_is_dropped_at_a_larger(seed: u64, step: u64, rate in 0.0..=1.0, share in 0.0..=1.0) {
            let (large, small) = (keeps(seed, &[rate], step, 0..50), keeps(seed, &[rate * share], step, 0..50));
            prop_assert!(large.iter().zip(&small).all(|(large, small)| *small || !large));
        }
    }

    #[test]
    fn rates_of_zero_and_one_keep_all_and_none() {
        let keeps = keeps(1, &[0.0, 1.0], 4, 0..100);
        assert!(keeps[..100].iter().all(|kept| *kept) && !keeps[100..].iter().any(|kept| *kept));
    }

    /// Both branches of 400 examples in 100 batches: each joint outcome within 5 deviations.
    #[test]
    fn branches_are_dropped_at_their_rates_and_apart() {
        let mut counts = [0.0_f64; 4];
        for step in 0..100 {
            let keeps = keeps(0, &[0.1, 0.4], step, 0..400);
            for (first, second) in keeps[..400].iter().zip(&keeps[400..]) {
                counts[2 * usize::from(*first) + usize::from(*second)] += 1.0;
            }
        }
        for (count, share) in counts.iter().zip([0.04, 0.06, 0.36, 0.54]) {
            let deviation = f64::sqrt(4e4 * share * (1.0 - share));
            assert!((count - 4e4 * share).abs() < 5.0 * deviation, "{counts:?}");
        }
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        let bits =
            |keeps: Vec<bool>| keeps.iter().fold(0_u32, |bits, kept| bits << 1 | u32::from(*kept));
        assert_eq!(bits(keeps(0, &[0.5, 0.25], 3, 0..16)), 0x8882_e3ea);
    }
}

//! Which patches of an example are corrupted for masked patch prediction, and how (Dosovitskiy et al.
//! 2021, 2010.11929, appendix B.1.2). A function of (seed, example, epoch): not of the step, so that
//! no batch size changes what an example is asked.

use crate::order::Draw;
use crate::random::{Purpose, Random};

/// One corrupted patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Place of the patch among the example's, row by row.
    pub patch: u32,
    pub change: Change,
}

/// What takes the place of a patch's embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The learnt mask embedding: 80%.
    Mask,
    /// The embedding of this other patch of the image, as it was before any change: 10%.
    Replace(u32),
    /// Nothing: 10%. The patch's colour is asked for all the same.
    Keep,
}

/// The corrupted ones of an example's `patches`, by place: `round(share patches)`, at least 1 and at
/// most all. Each is changed independently of the others; of a single patch there is no other, and
/// it is kept instead. A larger share corrupts the same patches in the same way, and more.
pub fn corrupt(seed: u64, draw: Draw, patches: u32, share: f64) -> Vec<Corruption> {
    let count = (share * f64::from(patches)).round().max(1.0) as u32; // saturates
    let mut random = Random::new(seed, Purpose::Corruption, draw.index, draw.epoch);
    let mut order: Vec<u32> = (0..patches).collect();
    let mut corruption = |first: u32| {
        // One step of Fisher and Yates: what comes before `first` has been drawn.
        order.swap(first as usize, (first + below(&mut random, patches - first)) as usize);
        let patch = order[first as usize];
        Corruption { patch, change: change(&mut random, patch, patches) }
    };
    let mut all: Vec<Corruption> = (0..count.min(patches)).map(&mut corruption).collect();
    all.sort_unstable_by_key(|corruption| corruption.patch);
    all
}

/// How `patch` is changed. Both numbers are drawn always: no outcome moves the next patch's.
fn change(random: &mut Random, patch: u32, patches: u32) -> Change {
    let kind = below(random, 10);
    let other = below(random, patches - 1);
    match kind {
        0..8 => Change::Mask,
        8 if patches > 1 => Change::Replace(other + u32::from(other >= patch)),
        _ => Change::Keep,
    }
}

/// Uniform in 0..n.
fn below(random: &mut Random, n: u32) -> u32 {
    u32::try_from(random.below(n.into())).expect("below 2^32, as n is")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn draw(index: u64) -> Draw {
        Draw { index, epoch: index / 7 }
    }

    proptest! {
        #[test]
        fn exactly_the_share_is_corrupted_and_no_patch_twice(seed: u64, index: u64, patches in 1_u32..300, share in 0.0..=1.0) {
            let all = corrupt(seed, draw(index), patches, share);
            let expected = (share * f64::from(patches)).round().max(1.0);
            prop_assert_eq!(all.len() as f64, expected);
            prop_assert!(all.is_sorted_by(|a, b| a.patch < b.patch));
            for Corruption { patch, change } in all {
                prop_assert!(patch < patches);
                if let Change::Replace(other) = change {
                    prop_assert!(other < patches && other != patch);
                }
            }
        }

        #[test]
        fn a_larger_share_corrupts_the_same_and_more(seed: u64, index: u64, patches in 1_u32..100, large in 0.0..=1.0, part in 0.0..=1.0) {
            let more = corrupt(seed, draw(index), patches, large);
            prop_assert!(corrupt(seed, draw(index), patches, large * part).iter().all(|one| more.contains(one)));
        }
    }

    #[test]
    fn examples_epochs_and_seeds_differ() {
        let of = |seed, index, epoch| corrupt(seed, Draw { index, epoch }, 64, 0.5);
        let all = [of(0, 0, 0), of(1, 0, 0), of(0, 1, 0), of(0, 0, 1)];
        let patches = |all: &Vec<Corruption>| all.iter().map(|one| one.patch).collect::<Vec<_>>();
        assert_eq!(all.iter().map(patches).collect::<HashSet<_>>().len(), 4);
    }

    #[test]
    fn no_patch_and_shares_beyond_all_are_no_panic() {
        assert_eq!(corrupt(0, draw(0), 0, 0.5), []);
        assert_eq!(corrupt(0, draw(0), 3, 1e300).len(), 3);
    }

    #[test]
    fn a_single_patch_is_masked_or_kept() {
        let changes = (0..1000).map(|index| corrupt(0, draw(index), 1, 0.5)[0].change);
        let masked = changes.filter(|change| *change == Change::Mask).count();
        assert!((760..840).contains(&masked), "{masked}");
    }

    fn chi_squared(counts: &[f64], shares: &[f64]) -> f64 {
        let total: f64 = counts.iter().sum();
        let part = |(count, share): (&f64, &f64)| (count - total * share).powi(2) / (total * share);
        counts.iter().zip(shares).map(part).sum()
    }

    /// Limits are exceeded once in 10,000 tries.
    #[test]
    fn patches_changes_and_replacements_come_at_their_shares() {
        let mut patches = [0.0; 16];
        let (mut changes, mut distances) = ([0.0; 3], [0.0; 15]);
        for one in (0..20_000).flat_map(|index| corrupt(5, draw(index), 16, 0.5)) {
            patches[one.patch as usize] += 1.0;
            match one.change {
                Change::Mask => changes[0] += 1.0,
                Change::Replace(other) => {
                    changes[1] += 1.0;
                    distances[((other + 15 - one.patch) % 16) as usize] += 1.0;
                }
                Change::Keep => changes[2] += 1.0,
            }
        }
        assert!(chi_squared(&changes, &[0.8, 0.1, 0.1]) < 18.4, "{changes:?}");
        assert!(chi_squared(&distances, &[1.0 / 15.0; 15]) < 42.6, "{distances:?}");
        // Half are drawn without replacement, which only makes it smaller.
        assert!(chi_squared(&patches, &[1.0 / 16.0; 16]) < 44.3, "{patches:?}");
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        use Change::{Keep, Mask, Replace};
        let all = |index| {
            let all = corrupt(0, Draw { index, epoch: 2 }, 16, 0.3);
            all.iter().map(|one| (one.patch, one.change)).collect::<Vec<_>>()
        };
        assert_eq!(all(1), [(1, Mask), (2, Mask), (5, Mask), (9, Mask), (11, Replace(0))]);
        assert_eq!(all(4), [(3, Mask), (4, Mask), (7, Mask), (10, Mask), (14, Keep)]);
    }
}

//! Which examples a few-shot evaluation learns from: as many of every class, drawn from a pool.

use crate::order::Permutation;
use crate::random::{Purpose, Random};

/// A pool with too few examples of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "class {class} has {count} examples in the pool where {shots} shots were asked for; enlarge `pool` or ask for fewer"
)]
pub struct TooFewShots {
    /// The first class that has too few.
    pub class: u32,
    pub count: usize,
    pub shots: u32,
}

/// Places in `labels` of `shots` examples of each class, class after class, by a permutation of the
/// class's examples that (seed, draw, class) names (big_vision's `fewshot_lsr`). Nested: a class's first
/// s places are those of a draw with s shots.
///
/// # Errors
/// The first class of which the pool has fewer.
///
/// # Panics
/// When a label is not below `classes`.
pub fn shots(
    labels: &[u32],
    classes: u32,
    shots: u32,
    seed: u64,
    draw: u32,
) -> Result<Vec<usize>, TooFewShots> {
    let members = members(labels, classes);
    let mut places = Vec::with_capacity(classes as usize * shots as usize);
    for (class, members) in (0..).zip(&members) {
        let count = members.len();
        if count < shots as usize {
            return Err(TooFewShots { class, count, shots });
        }
        if shots > 0 {
            let key = Random::new(seed, Purpose::Shots, draw.into(), class.into());
            let order = Permutation::new(count as u64, key);
            places.extend((0..shots.into()).map(|rank| members[order.at(rank) as usize]));
        }
    }
    Ok(places)
}

/// Places of the examples of each class, in order.
fn members(labels: &[u32], classes: u32) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); classes as usize];
    for (place, label) in labels.iter().enumerate() {
        members[*label as usize].push(place);
    }
    members
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// A pool of at least 8 examples of each of 5 classes, in some order.
    fn pool() -> impl Strategy<Value = Vec<u32>> {
        let all = prop::collection::vec(0_u32..5, 0..100).prop_map(|more| {
            let eight = (0..40).map(|place| place % 5);
            more.into_iter().chain(eight).collect::<Vec<u32>>()
        });
        all.prop_shuffle()
    }

    proptest! {
        #[test]
        fn every_class_has_its_shots_and_none_is_drawn_twice(labels in pool(), n in 0_u32..=8, seed: u64, draw: u32) {
            let places = shots(&labels, 5, n, seed, draw).unwrap();
            prop_assert_eq!(places.iter().collect::<HashSet<_>>().len(), 5 * n as usize);
            let drawn: Vec<u32> = places.iter().map(|place| labels[*place]).collect();
            let expected: Vec<u32> = (0..5).flat_map(|class| std::iter::repeat_n(class, n as usize)).collect();
            prop_assert_eq!(drawn, expected);
        }

        #[test]
        fn fewer_shots_are_the_first_of_more(labels in pool(), few in 1_usize..8, seed: u64, draw: u32) {
            let of = |n: usize| shots(&labels, 5, n as u32, seed, draw).unwrap();
            let first: Vec<usize> = of(8).chunks(8).flat_map(|class| class[..few].to_vec()).collect();
            prop_assert_eq!(of(few), first);
        }
    }

    #[test]
    fn seeds_and_draws_differ() {
        let labels: Vec<u32> = (0..1000).map(|place| place % 2).collect();
        let of = |seed, draw| shots(&labels, 2, 10, seed, draw).unwrap();
        assert_ne!(of(0, 0), of(0, 1));
        assert_ne!(of(0, 0), of(1, 0));
        // Classes are permuted apart: their ranks within the class are not the same.
        let ranks: Vec<usize> = of(0, 0).iter().map(|place| place / 2).collect();
        assert_ne!(ranks[..10], ranks[10..]);
    }

    /// 20 examples, 10,000 draws of 5: chi-squared with 19 degrees of freedom is above 50 once in 10,000
    /// tries, and drawing without replacement makes it smaller.
    #[test]
    fn every_example_is_drawn_equally_often() {
        let mut counts = [0.0; 20];
        for draw in 0..10_000 {
            shots(&[0; 20], 1, 5, 9, draw).unwrap().iter().for_each(|place| counts[*place] += 1.0);
        }
        let chi_squared: f64 =
            counts.iter().map(|count: &f64| (count - 2500.0).powi(2) / 2500.0).sum();
        assert!(chi_squared < 50.0, "{chi_squared}");
    }

    #[test]
    fn a_class_with_too_few_is_named_with_its_count() {
        let error = shots(&[0, 0, 0, 1, 2, 2], 3, 2, 0, 0).unwrap_err();
        assert_eq!(error, TooFewShots { class: 1, count: 1, shots: 2 });
        assert!(error.to_string().starts_with("class 1 has 1 examples"), "{error}");
        assert_eq!(shots(&[], 3, 1, 0, 0).unwrap_err().class, 0);
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        let labels: Vec<u32> = (0..30).map(|place| place % 3).collect();
        assert_eq!(shots(&labels, 3, 3, 0, 0).unwrap(), [27, 6, 0, 19, 4, 16, 14, 17, 8]);
    }
}

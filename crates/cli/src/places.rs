//! What to run next of an imported sweep: sizes and lengths of its own, which nothing here can train.

use std::collections::{BTreeMap, HashSet};

use analysis::law::{Axis, Law};
use analysis::suggest::{Candidate, Pick, Suggestion};
use serde_json::json;
use store::TrialResult;

use crate::output::Rows;

/// A size at a length.
struct Place {
    shape: String,
    params: u64,
    examples_seen: u64,
    train_flops: f64,
}

/// Every size at lengths that double.
pub struct Places(Vec<Place>);

/// How often the longest length may be doubled, as of our own sweeps.
const MAX_DOUBLINGS: i32 = 12;
/// Sizes closer than this are one: those read off a figure are never quite the same.
const SAME_SIZE: f64 = 1.1;

impl Places {
    /// Lengths are doublings from the shortest on; FLOPs are as those of the trials, per parameter and
    /// example. None costs more than the budget: no trunk pays for a part of it.
    pub fn new(results: &[TrialResult], flops_per: f64, budget: f64) -> Self {
        let measured: HashSet<(u64, u64)> =
            results.iter().map(|result| (result.params, result.examples_seen)).collect();
        let lengths = || results.iter().map(|result| result.examples_seen as f64);
        let shortest = lengths().fold(f64::INFINITY, f64::min);
        let longest = lengths().fold(0.0, f64::max) * 2_f64.powi(MAX_DOUBLINGS);
        let doubled: Vec<f64> = std::iter::successors(Some(shortest), |length| Some(2.0 * length))
            .take_while(|length| *length <= longest)
            .collect();
        let place = |(params, shape): (u64, &str), length: f64| Place {
            shape: shape.to_owned(),
            params,
            examples_seen: length as u64,
            train_flops: flops_per * params as f64 * length,
        };
        let all = sizes(results)
            .into_iter()
            .flat_map(|size| doubled.iter().map(move |length| place(size, *length)));
        let is_new = |place: &Place| {
            place.train_flops <= budget && !measured.contains(&(place.params, place.examples_seen))
        };
        Self(all.filter(is_new).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn candidates(&self, law: &dyn Law) -> Vec<Candidate> {
        let candidate = |(index, place): (usize, &Place)| {
            let mut x = [1.0; 3];
            law.axes().iter().zip(&mut x).for_each(|(axis, x)| *x = place.on_axis(*axis));
            Candidate::alone(index, x, place.train_flops)
        };
        self.0.iter().enumerate().map(candidate).collect()
    }

    /// A row per pick.
    pub fn rows(&self, chosen: &Suggestion) -> Rows {
        let columns = ["shape", "params", "examples_seen", "flops", "width_before", "width_after"];
        let row = |pick: &Pick| {
            let place = &self.0[pick.index];
            vec![
                json!(place.shape),
                json!(place.params),
                json!(place.examples_seen),
                json!(pick.flops),
                json!(pick.width_before),
                json!(pick.width_after),
            ]
        };
        Rows::new(columns.map(str::to_owned).into(), chosen.picks.iter().map(row).collect())
    }
}

/// The smallest of every group of sizes that are nearly the same, with its shape.
fn sizes(results: &[TrialResult]) -> Vec<(u64, &str)> {
    let all: BTreeMap<u64, &str> =
        results.iter().map(|result| (result.params, result.shape.as_str())).collect();
    let mut sizes: Vec<(u64, &str)> = Vec::new();
    for (params, shape) in all {
        if sizes.last().is_none_or(|(last, _)| params as f64 > SAME_SIZE * *last as f64) {
            sizes.push((params, shape));
        }
    }
    sizes
}

impl Place {
    fn on_axis(&self, axis: Axis) -> f64 {
        match axis {
            Axis::X => self.train_flops,
            Axis::N => self.params as f64,
            Axis::D => self.examples_seen as f64,
            Axis::Unique => self.examples_seen as f64, // nothing is repeated
        }
    }
}

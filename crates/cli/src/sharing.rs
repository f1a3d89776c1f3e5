//! What trials share of their training, and why some share nothing.

use std::collections::{BTreeMap, HashMap};

use scheduler::{Plan, PlannedTrial};
use serde::Serialize;
use spec::{Decay, SegmentId, SweepSpec};

/// Trials of one variant and schedule that share no training with another trial, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unshared {
    pub variant: Option<String>,
    pub schedule: &'static str,
    pub reason: Reason,
    pub n_trials: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The rate at every step depends on how many there will be.
    DependsOnLength,
    /// The rate falls from the first step on.
    AllCooldown,
    /// No other trial has the recipe and another length.
    OneLength,
}

impl Reason {
    pub const fn words(self) -> &'static str {
        match self {
            Self::DependsOnLength => "the rate at each step depends on the trial's length",
            Self::AllCooldown => "the cooldown is all there is",
            Self::OneLength => "no recipe has two lengths",
        }
    }
}

/// Trials that share nothing, by variant and schedule.
pub fn unshared(sweep: &SweepSpec, plan: &Plan) -> Vec<Unshared> {
    let n_trials: HashMap<SegmentId, usize> =
        plan.segments.iter().map(|segment| (segment.id, segment.n_trials)).collect();
    let is_alone = |trial: &&PlannedTrial| trial.chain.iter().all(|id| n_trials[id] == 1);
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for trial in plan.trials.iter().filter(is_alone) {
        let decay = &trial.spec.recipe.train.schedule.decay;
        let variant = sweep.variants.get(&trial.id).cloned();
        *counts.entry((variant, name(decay), reason(trial))).or_default() += 1;
    }
    let row =
        |((variant, schedule, reason), n_trials)| Unshared { variant, schedule, reason, n_trials };
    counts.into_iter().map(row).collect()
}

fn reason(trial: &PlannedTrial) -> Reason {
    if trial.spec.recipe.train.schedule.decay.depends_on_length() {
        Reason::DependsOnLength
    } else if trial.spec.cooldown == trial.spec.steps {
        Reason::AllCooldown
    } else {
        Reason::OneLength
    }
}

const fn name(decay: &Decay) -> &'static str {
    match decay {
        Decay::Constant => "constant",
        Decay::Rsqrt { .. } => "rsqrt",
        Decay::Cosine => "cosine",
        Decay::Linear => "linear",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: &str = r#"
name = "test"
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }]
[axes]
unique_examples = [1024]
examples_seen = [16000, 32000]
[train]
batch = 16
learning_rate = 3e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

    fn check(overrides: &[&str], expected: &[(&str, Reason, usize)]) {
        let overrides: Vec<_> = overrides.iter().map(|&pair| pair.to_owned()).collect();
        let sweep = SweepSpec::parse("test.toml", SWEEP, &overrides).unwrap();
        let found = unshared(&sweep, &Plan::new(&sweep.trials, &[]));
        let found: Vec<_> =
            found.iter().map(|row| (row.schedule, row.reason, row.n_trials)).collect();
        assert_eq!(found, expected, "{overrides:?}");
    }

    #[test]
    fn trials_that_share_nothing_say_why() {
        check(&[], &[]);
        check(&["axes.examples_seen=[16000]"], &[("constant", Reason::OneLength, 1)]);
        check(
            &["train.schedule={decay=\"cosine\", warmup=10}"],
            &[("cosine", Reason::DependsOnLength, 2)],
        );
    }
}

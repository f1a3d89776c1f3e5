//! A segment: the stretch of training between two checkpoints, the unit that a trainer executes.

use serde::{Deserialize, Serialize};

use crate::id::{Id, SegmentId};
use crate::trial::Recipe;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentKind {
    /// Warm-up, then a rate that does not depend on the length: shared by trials of any length.
    Trunk,
    /// The linear cooldown to zero over the whole segment.
    Cooldown,
    /// A whole trial under a schedule that depends on its length, and so shares nothing.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentSpec {
    /// The segment whose checkpoint this one starts from. None: from initialisation.
    pub parent: Option<SegmentId>,
    pub recipe: Recipe,
    pub kind: SegmentKind,
    /// First step, counted from the beginning of the trial.
    pub start: u64,
    /// One past the last step.
    pub end: u64,
}

impl SegmentSpec {
    pub fn id(&self) -> SegmentId {
        SegmentId(Id::of(self))
    }

    pub const fn steps(&self) -> u64 {
        self.end - self.start
    }

    /// FLOPs of training this segment once.
    pub fn train_flops(&self) -> f64 {
        self.steps() as f64 * self.recipe.step_flops()
    }

    /// Learning rate of the step with this index.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let schedule = &self.recipe.train.schedule;
        let multiplier = match self.kind {
            SegmentKind::Trunk | SegmentKind::Whole => schedule.multiplier(step, self.end),
            SegmentKind::Cooldown => schedule.cooldown_multiplier(step, self.start, self.end),
        };
        self.recipe.train.learning_rate * multiplier
    }

    /// Whether the segment evaluates after its step number `done` (a count of finished steps).
    pub fn evaluates_after(&self, done: u64) -> bool {
        done == self.end || self.recipe.eval.every.is_some_and(|every| done.is_multiple_of(every))
    }
}

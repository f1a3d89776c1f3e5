//! A segment: the stretch of training between two checkpoints, the unit that a trainer executes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Id, SegmentId};
use crate::transfer::TransferSpec;
use crate::trial::Recipe;

/// What a segment does, and so how its learning rate runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentKind {
    /// Warm-up, then a rate that does not depend on the length: shared by trials of any length.
    Trunk,
    /// The linear cooldown to zero over the whole segment.
    Cooldown,
    /// A whole trial under a schedule that depends on its length, and so shares nothing.
    Whole,
    /// An evaluation of a finished trial on another task; see [`SegmentSpec::transfer`].
    Transfer,
}

/// One segment, complete: what a trainer needs beside checkpoints and folders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentSpec {
    /// The segment whose checkpoint this one starts from. None: from initialisation.
    pub parent: Option<SegmentId>,
    #[serde(with = "crate::shared")]
    pub recipe: Arc<Recipe>,
    pub kind: SegmentKind,
    /// First step, counted from the beginning of the trial.
    pub start: u64,
    /// One past the last step.
    pub end: u64,
    /// Of a whole trial: the steps at its end over which the rate falls to zero besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cooldown: u64,
    /// Of an evaluation: the task, and what is done with it. `recipe` then tells of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferSpec>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl SegmentSpec {
    /// The recipe, to be changed for this segment alone.
    pub fn recipe_mut(&mut self) -> &mut Recipe {
        Arc::make_mut(&mut self.recipe)
    }

    pub fn id(&self) -> SegmentId {
        SegmentId(Id::of(self))
    }

    pub const fn steps(&self) -> u64 {
        self.end - self.start
    }

    /// FLOPs of training this segment once.
    pub fn train_flops(&self) -> f64 {
        match &self.transfer {
            None => self.steps() as f64 * self.recipe.step_flops(),
            Some(transfer) => transfer.flops(&self.recipe.model),
        }
    }

    /// Learning rate of the step with this index.
    pub fn learning_rate(&self, step: u64) -> f64 {
        self.recipe.train.learning_rate * self.multiplier(step)
    }

    fn multiplier(&self, step: u64) -> f64 {
        let schedule = &self.recipe.train.schedule;
        match self.kind {
            SegmentKind::Trunk => schedule.multiplier(step, self.end),
            SegmentKind::Transfer => schedule.multiplier(step - self.start, self.steps()),
            SegmentKind::Whole => {
                let left = self.end.saturating_sub(step) as f64 / self.cooldown.max(1) as f64;
                schedule.multiplier(step, self.end) * left.min(1.0)
            }
            SegmentKind::Cooldown => schedule.cooldown_multiplier(step, self.start, self.end),
        }
    }

    /// Whether the segment evaluates after its step number `done` (a count of finished steps).
    pub fn evaluates_after(&self, done: u64) -> bool {
        done == self.end || self.recipe.eval.every.is_some_and(|every| done.is_multiple_of(every))
    }
}

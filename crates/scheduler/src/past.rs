//! What became of a plan before this coordinator looks at it, beside the states of its segments.

use spec::SegmentId;

use crate::policy::Charge;

#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The examples of a pass that earlier attempts at segments came down to.
    pub micro_batches: Vec<(SegmentId, u32)>,
    /// Steps of the trial that are done in each segment's newest checkpoint.
    pub checkpoints: Vec<(SegmentId, u64)>,
    /// By all attempts that have ended.
    pub spent: Charge,
}

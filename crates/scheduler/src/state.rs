//! Where a segment stands. States hold their data; outcomes are states; a move that makes no sense
//! is an error, never ignored.

use std::collections::HashMap;

use spec::SegmentId;

/// Where each segment of a plan stands; one that is absent is pending and was never tried.
pub type States = HashMap<SegmentId, SegmentState>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// To be executed; `lost` attempts in a row have ended without a word since the coordinator
    /// started.
    Pending {
        lost: u32,
    },
    Running {
        attempt: u32,
        slot: usize,
        lost: u32,
    },
    Finished,
    /// The loss became non-finite. A result: never tried again, and its children end with it.
    Diverged {
        step: u64,
    },
    /// Not tried again until somebody asks for it.
    Failed {
        reason: String,
    },
}

/// What can happen to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentChange {
    Launched {
        attempt: u32,
        slot: usize,
    },
    Finished,
    Diverged {
        step: u64,
    },
    /// Stopped on request, with a checkpoint.
    Interrupted,
    /// The trainer said why it cannot go on.
    Failed {
        reason: String,
    },
    /// The trainer ended without a last word: killed, crashed, out of memory.
    Lost {
        how: String,
    },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a segment that is {state:?} cannot become {change:?}")]
pub struct InvalidChange {
    state: SegmentState,
    change: SegmentChange,
}

/// Attempts that may be lost in a row before the segment counts as failed: a trainer that dies
/// three times at the same place will die again.
const MAX_LOST: u32 = 3;

impl SegmentState {
    pub const NEW: Self = Self::Pending { lost: 0 };

    /// The state after `change`.
    ///
    /// # Errors
    /// A change that this state cannot see.
    pub fn apply(self, change: SegmentChange) -> Result<Self, InvalidChange> {
        use {SegmentChange as C, SegmentState as S};
        Ok(match (self, change) {
            (S::Pending { lost }, C::Launched { attempt, slot }) => {
                S::Running { attempt, slot, lost }
            }
            (S::Running { .. }, C::Finished) => S::Finished,
            (S::Running { .. }, C::Diverged { step }) => S::Diverged { step },
            (S::Running { .. }, C::Interrupted) => S::NEW,
            (S::Running { .. }, C::Failed { reason }) => S::Failed { reason },
            (S::Running { lost, .. }, C::Lost { .. }) if lost + 1 < MAX_LOST => {
                S::Pending { lost: lost + 1 }
            }
            (S::Running { .. }, C::Lost { how }) => {
                S::Failed { reason: format!("its trainer died {MAX_LOST} times, last {how}") }
            }
            (state, change) => return Err(InvalidChange { state, change }),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn launched() -> SegmentState {
        SegmentState::NEW.apply(SegmentChange::Launched { attempt: 1, slot: 0 }).unwrap()
    }

    #[test]
    fn a_lost_attempt_is_tried_again_but_not_for_ever() {
        let mut state = SegmentState::NEW;
        for attempt in 1..=MAX_LOST {
            assert!(matches!(state, SegmentState::Pending { .. }));
            state = state.apply(SegmentChange::Launched { attempt, slot: 0 }).unwrap();
            state = state.apply(SegmentChange::Lost { how: "by signal 9".into() }).unwrap();
        }
        assert!(matches!(state, SegmentState::Failed { reason } if reason.contains("signal 9")));
    }

    #[test]
    fn results_are_final() {
        for result in [SegmentChange::Finished, SegmentChange::Diverged { step: 3 }] {
            let state = launched().apply(result).unwrap();
            assert!(state.apply(SegmentChange::Launched { attempt: 2, slot: 0 }).is_err());
        }
    }

    fn any_change() -> impl Strategy<Value = SegmentChange> {
        prop_oneof![
            (1_u32..9, 0_usize..3)
                .prop_map(|(attempt, slot)| SegmentChange::Launched { attempt, slot }),
            Just(SegmentChange::Finished),
            (0_u64..9).prop_map(|step| SegmentChange::Diverged { step }),
            Just(SegmentChange::Interrupted),
            Just(SegmentChange::Failed { reason: "no".into() }),
            Just(SegmentChange::Lost { how: "by signal 9".into() }),
        ]
    }

    proptest! {
        #[test]
        fn only_pending_segments_start_and_only_running_ones_end(changes in proptest::collection::vec(any_change(), 0..40)) {
            let mut state = SegmentState::NEW;
            for change in changes {
                let before = state.clone();
                let starts = matches!(change, SegmentChange::Launched { .. });
                match before.clone().apply(change) {
                    Ok(after) => {
                        let allowed = match before {
                            SegmentState::Pending { .. } => starts,
                            SegmentState::Running { .. } => !starts,
                            SegmentState::Finished | SegmentState::Diverged { .. } | SegmentState::Failed { .. } => false,
                        };
                        prop_assert!(allowed);
                        state = after;
                    }
                    Err(error) => prop_assert_eq!(error.state, before),
                }
            }
        }
    }
}

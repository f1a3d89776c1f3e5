//! Where a segment stands. States hold their data; outcomes are states; a move that makes no sense
//! is an error, never ignored.

use std::collections::HashMap;

use spec::SegmentId;

/// Where each segment of a plan stands; one that is absent is pending and was never tried.
pub type States = HashMap<SegmentId, SegmentState>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// To be executed; `lost` attempts in a row have ended without a word, and without a checkpoint
    /// further on, since the coordinator started.
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
    /// A checkpoint beyond the one it began with: what was lost before was not in vain.
    Advanced,
    Finished,
    Diverged {
        step: u64,
    },
    /// Ended without blame, to be tried again: stopped on request, never begun, or for want of
    /// memory or disk.
    Returned,
    /// The trainer ended without a last word: killed, crashed, hung.
    Lost {
        how: String,
    },
    /// It would happen again.
    Failed {
        reason: String,
    },
    /// Its checkpoint is gone, and another segment needs it.
    Reopened,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a segment that is {state:?} cannot become {change:?}")]
pub struct InvalidChange {
    state: SegmentState,
    change: SegmentChange,
}

impl SegmentState {
    pub const NEW: Self = Self::Pending { lost: 0 };

    /// The state after `change`, where `max_lost` attempts may be lost in a row: a trainer that dies
    /// so often at the same place will die again.
    ///
    /// # Errors
    /// A change that this state cannot see.
    pub fn apply(self, change: SegmentChange, max_lost: u32) -> Result<Self, InvalidChange> {
        use {SegmentChange as C, SegmentState as S};
        Ok(match (self, change) {
            (S::Pending { lost }, C::Launched { attempt, slot }) => {
                S::Running { attempt, slot, lost }
            }
            (S::Running { attempt, slot, .. }, C::Advanced) => {
                S::Running { attempt, slot, lost: 0 }
            }
            (S::Running { .. }, C::Finished) => S::Finished,
            (S::Running { .. }, C::Diverged { step }) => S::Diverged { step },
            (S::Running { lost, .. }, C::Returned) => S::Pending { lost },
            (S::Running { lost, .. }, C::Lost { .. }) if lost + 1 < max_lost => {
                S::Pending { lost: lost + 1 }
            }
            (S::Running { lost, .. }, C::Lost { how }) => {
                S::Failed { reason: format!("lost {} times in a row, last {how}", lost + 1) }
            }
            (S::Running { .. } | S::Pending { .. }, C::Failed { reason }) => S::Failed { reason },
            (S::Finished, C::Reopened) => S::NEW,
            (state, change) => return Err(InvalidChange { state, change }),
        })
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed { reason } => Some(reason),
            Self::Pending { .. }
            | Self::Running { .. }
            | Self::Finished
            | Self::Diverged { .. } => None,
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub const fn has_ended(&self) -> bool {
        match self {
            Self::Finished | Self::Diverged { .. } | Self::Failed { .. } => true,
            Self::Pending { .. } | Self::Running { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_LOST: u32 = 3;

    fn apply(state: SegmentState, change: SegmentChange) -> SegmentState {
        state.apply(change, MAX_LOST).unwrap()
    }

    fn launched(state: SegmentState) -> SegmentState {
        apply(state, SegmentChange::Launched { attempt: 1, slot: 0 })
    }

    fn lost(state: SegmentState) -> SegmentState {
        apply(launched(state), SegmentChange::Lost { how: "by signal 9".into() })
    }

    #[test]
    fn a_lost_attempt_is_tried_again_but_not_for_ever() {
        let twice = lost(lost(SegmentState::NEW));
        assert_eq!(twice, SegmentState::Pending { lost: 2 });
        assert!(
            matches!(lost(twice), SegmentState::Failed { reason } if reason.contains("signal 9"))
        );
    }

    #[test]
    fn attempts_that_get_further_may_be_lost_for_ever() {
        let mut state = SegmentState::NEW;
        for _ in 0..5 * MAX_LOST {
            state = apply(launched(state), SegmentChange::Advanced);
            state = apply(state, SegmentChange::Lost { how: "by signal 9".into() });
        }
        assert_eq!(state, SegmentState::Pending { lost: 1 });
    }

    #[test]
    fn results_are_final_unless_what_they_left_is_gone() {
        for result in [SegmentChange::Finished, SegmentChange::Diverged { step: 3 }] {
            let state = apply(launched(SegmentState::NEW), result);
            let again = SegmentChange::Launched { attempt: 2, slot: 0 };
            assert!(state.apply(again, MAX_LOST).is_err());
        }
        let finished = apply(launched(SegmentState::NEW), SegmentChange::Finished);
        assert_eq!(apply(finished, SegmentChange::Reopened), SegmentState::NEW);
    }

    fn any_change() -> impl Strategy<Value = SegmentChange> {
        prop_oneof![
            (1_u32..9, 0_usize..3)
                .prop_map(|(attempt, slot)| SegmentChange::Launched { attempt, slot }),
            Just(SegmentChange::Advanced),
            Just(SegmentChange::Finished),
            (0_u64..9).prop_map(|step| SegmentChange::Diverged { step }),
            Just(SegmentChange::Returned),
            Just(SegmentChange::Failed { reason: "no".into() }),
            Just(SegmentChange::Lost { how: "by signal 9".into() }),
            Just(SegmentChange::Reopened),
        ]
    }

    proptest! {
        #[test]
        fn only_pending_segments_start_and_only_running_ones_end(changes in proptest::collection::vec(any_change(), 0..40)) {
            use SegmentChange as C;
            let mut state = SegmentState::NEW;
            for change in changes {
                let before = state.clone();
                let allowed = match before {
                    SegmentState::Pending { .. } => matches!(change, C::Launched { .. } | C::Failed { .. }),
                    SegmentState::Running { .. } => !matches!(change, C::Launched { .. } | C::Reopened),
                    SegmentState::Finished => change == C::Reopened,
                    SegmentState::Diverged { .. } | SegmentState::Failed { .. } => false,
                };
                match before.clone().apply(change, MAX_LOST) {
                    Ok(after) => {
                        prop_assert!(allowed);
                        state = after;
                    }
                    Err(error) => {
                        prop_assert!(!allowed);
                        prop_assert_eq!(error.state, before);
                    }
                }
            }
        }
    }
}

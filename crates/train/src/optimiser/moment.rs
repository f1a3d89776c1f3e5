//! The first moment of the optimisers, in f32 or, at half the memory, in bf16.

use std::ops::Range;

use spec::Moment;
use tch::{Kind, Tensor};

use super::piece;
use crate::flat::Flat;

/// A buffer that is laid out as the parameters are, zero at first.
#[derive(Debug)]
pub(super) struct FirstMoment {
    kept: Tensor,
}

impl FirstMoment {
    /// What is not bf16 is of the parameters' kind.
    pub(super) fn new(moment: Moment, flat: &Flat) -> Self {
        let kept = flat.params.zeros_like();
        Self {
            kept: match moment {
                Moment::F32 => kept,
                Moment::Bf16 => kept.to_kind(Kind::BFloat16),
            },
        }
    }

    /// Of a stretch, what an update computes with, of the parameters' kind, to be handed to
    /// [`Self::keep`] afterwards: what is kept itself, or a copy of it.
    pub(super) fn widened(&self, range: &Range<i64>, kind: Kind) -> Tensor {
        piece(&self.kept, range).to_kind(kind)
    }

    /// Rounds an updated moment to what is kept of it.
    pub(super) fn keep(&mut self, range: &Range<i64>, widened: &Tensor) {
        if widened.kind() != self.kept.kind() {
            piece(&self.kept, range).copy_(widened);
        }
    }

    /// Moves what is kept of a stretch towards `update`, both rounded, and returns it in the kind of
    /// `update`.
    pub(super) fn take_in(&mut self, range: &Range<i64>, update: &Tensor, weight: f64) -> Tensor {
        let mut kept = piece(&self.kept, range);
        let _ = kept.lerp_(&update.to_kind(kept.kind()), weight);
        kept.to_kind(update.kind())
    }

    pub(super) fn named(&self, flat: &Flat) -> Vec<(String, Tensor)> {
        flat.named("exp_avg.", &self.kept)
    }
}

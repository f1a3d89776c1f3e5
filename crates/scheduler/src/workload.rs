//! Segments whose steps cost the same: what is learnt from one holds for the others.

use std::collections::BTreeSet;

use spec::{SegmentSpec, TransferMethod};

/// What is ready to start comes out of a set in this order: training before evaluations, then the
/// longest path first, then the plan's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    is_evaluation: bool,
    /// Bits of the negated seconds: floats that are not negative order as their bits do.
    remaining: std::cmp::Reverse<u64>,
    pub(crate) segment: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Workload {
    /// One of its segments has finished, or has diverged by itself.
    pub(crate) is_proved: bool,
    pub(crate) ready: BTreeSet<Rank>,
    pub(crate) n_running: usize,
    /// All its segments.
    pub(crate) members: Vec<usize>,
    /// Segments that failed before any had finished, with their reasons.
    failures: Vec<(usize, String)>,
    /// Where memory has run out: what is tried instead of the recipe's.
    pub(crate) micro_batch: Option<u32>,
}

/// Segments that fail alike before the others are not tried any more.
const FAILURES_ALIKE: usize = 2;

impl Rank {
    pub(crate) fn new(is_evaluation: bool, remaining_s: f64, segment: usize) -> Self {
        let remaining = std::cmp::Reverse(remaining_s.max(0.0).to_bits());
        Self { is_evaluation, remaining, segment }
    }

    pub(crate) const fn is_evaluation(self) -> bool {
        self.is_evaluation
    }
}

impl Workload {
    /// Notes a failure. Returns why the others are not to be tried, if they fail as this one.
    pub(crate) fn fail(&mut self, segment: usize, reason: &str) -> Option<String> {
        if self.is_proved {
            return None;
        }
        self.failures.retain(|(failed, _)| *failed != segment);
        self.failures.push((segment, reason.to_owned()));
        let alike = self.failures.iter().filter(|(_, other)| is_like(other, reason)).count();
        (alike >= FAILURES_ALIKE).then(|| {
            format!("not tried: {alike} segments of its shape failed at their start, and none finished: {reason}")
        })
    }

    pub(crate) fn prove(&mut self) {
        self.is_proved = true;
        self.failures.clear();
    }

    /// Halves what one pass holds after memory ran out with `used`. None where it cannot be less. Another
    /// segment may have halved it in the meantime; then that is tried first.
    pub(crate) fn halve(&mut self, used: u32) -> Option<u32> {
        let less = match self.micro_batch {
            Some(tried) if tried < used => tried,
            Some(_) | None if used > 1 => used / 2,
            Some(_) | None => return None,
        };
        self.micro_batch = Some(less);
        Some(less)
    }
}

/// Examples that one pass of a segment holds, by its recipe; None where memory cannot be saved so.
pub(crate) fn examples_at_once(spec: &SegmentSpec) -> Option<u32> {
    let train = &spec.recipe.train;
    let batch = match spec.transfer.as_ref().map(|transfer| &transfer.method) {
        None => train.batch,
        Some(TransferMethod::FineTune(tune)) => tune.batch,
        Some(TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_)) => return None,
    };
    Some(train.micro_batch.map_or(batch, |micro| micro.min(batch)))
}

/// Whether two reasons differ at most in their numbers: of a step, a file, an address.
fn is_like(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    letters(a) == letters(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_alike_are_enough_but_not_of_one_segment_and_not_after_a_success() {
        let mut workload = Workload::default();
        assert_eq!(workload.fail(0, "no file 17"), None);
        assert_eq!(workload.fail(0, "no file 18"), None);
        assert_eq!(workload.fail(1, "another thing"), None);
        assert!(workload.fail(2, "no file 3").unwrap().contains("no file 3"));
        workload.prove();
        assert_eq!(workload.fail(3, "no file 4"), None);
        assert_eq!(workload.fail(4, "no file 5"), None);
    }

    #[test]
    fn a_micro_batch_is_halved_down_to_one_example() {
        let mut workload = Workload::default();
        assert_eq!(workload.halve(12), Some(6));
        // What began before that and failed for the same reason asks for no more.
        assert_eq!(workload.halve(12), Some(6));
        assert_eq!(
            [workload.halve(6), workload.halve(3), workload.halve(1)],
            [Some(3), Some(1), None]
        );
    }

    #[test]
    fn ranks_put_training_first_and_then_the_longest_path() {
        let mut ranks = [
            Rank::new(true, 9.0, 0),
            Rank::new(false, 1.0, 1),
            Rank::new(false, 5.0, 3),
            Rank::new(false, 5.0, 2),
        ];
        ranks.sort_unstable();
        assert_eq!(ranks.iter().map(|rank| rank.segment).collect::<Vec<_>>(), [2, 3, 1, 0]);
    }
}

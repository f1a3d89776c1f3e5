//! Attempts that a queue pauses before they get anywhere: they would be started again for ever.

use std::fs;

use spec::{Order, TrainerEvent, TrainerLine};

/// Pauses in a row at one step after which an attempt is given up.
const MOST: usize = 3;

#[derive(Debug, thiserror::Error)]
#[error(
    "paused {MOST} times in a row at step {step}: a job's time is not enough to prepare the data and take a step; ask for more (`time` in [slurm])"
)]
pub struct Stalled {
    step: u64,
}

/// # Errors
/// An attempt that has been paused too often without getting further.
pub(crate) fn check(order: &Order) -> Result<(), Stalled> {
    let text = fs::read_to_string(order.attempt_dir.join("events.jsonl")).unwrap_or_default();
    let pauses = text.lines().rev().filter_map(paused_at).take(MOST).collect::<Vec<_>>();
    match pauses.as_slice() {
        [step, others @ ..] if pauses.len() == MOST && others.iter().all(|other| other == step) => {
            Err(Stalled { step: *step })
        }
        _ => Ok(()),
    }
}

fn paused_at(line: &str) -> Option<u64> {
    match TrainerLine::parse(line).ok()? {
        TrainerLine::Event { event: TrainerEvent::Paused { step, .. }, .. } => Some(step),
        TrainerLine::Event { .. } | TrainerLine::Ready(_) => None,
    }
}

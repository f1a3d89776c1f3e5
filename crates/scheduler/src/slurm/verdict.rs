//! How a job ended whose attempts have not all said their last word, told from what it left behind.

use super::queue::Standing;
use crate::engine::Exit;

/// What is known of a job that is not going on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Evidence<'a> {
    /// Whether its script began to execute.
    pub began: bool,
    /// Whether it ended between two orders: some have ended, and no other was begun.
    pub is_between: bool,
    /// The trainer's exit code, where the script came to its end.
    pub code: Option<i32>,
    /// What the queue shows; None: no such job.
    pub standing: Option<&'a Standing>,
}

/// An exit code of a shell: the trainer was killed.
pub(super) const KILLED: i32 = 128 + 9;

pub(super) fn verdict(evidence: &Evidence<'_>) -> Exit {
    let state = match evidence.standing {
        Some(Standing::Over { state, reason }) => Some((state.as_str(), reason.as_deref())),
        Some(Standing::Alive | Standing::Dependent) | None => None,
    };
    let out_of_memory = matches!(state, Some(("OUT_OF_MEMORY", _)));
    let how = match (evidence.code, evidence.began) {
        _ if out_of_memory && evidence.began => {
            "out of memory (Slurm says OUT_OF_MEMORY)".to_owned()
        }
        (Some(code), _) => of_code(code),
        (None, true) => of_state(state),
        (None, false) => format!("before it began: {}", before(state)),
    };
    // A job that Slurm started and that could not even begin would not the next time either.
    let was_started = state.is_some_and(|(state, _)| !is_taken_back(state));
    let ran = (evidence.began || was_started) && !evidence.is_between;
    Exit { how, out_of_memory, ran }
}

/// Final states of jobs that nobody need have started.
fn is_taken_back(state: &str) -> bool {
    matches!(state, "CANCELLED" | "DEADLINE" | "PREEMPTED" | "REVOKED")
}

fn of_code(code: i32) -> String {
    match code {
        KILLED => "by signal 9 (killed, or out of memory)".to_owned(),
        129.. => format!("by signal {}", code - 128),
        _ => format!("with exit code {code}"),
    }
}

fn of_state(state: Option<(&str, Option<&str>)>) -> String {
    match state {
        None => "with its job, which vanished from the queue".to_owned(),
        Some(("TIMEOUT", _)) => "at the time limit of its job".to_owned(),
        Some(("NODE_FAIL", _)) => "with its node".to_owned(),
        Some(("CANCELLED", _)) => "with its job, which was cancelled".to_owned(),
        Some(("PREEMPTED", _)) => "with its job, which was preempted".to_owned(),
        Some((state, reason)) => format!("with its job: {}", named(state, reason)),
    }
}

fn before(state: Option<(&str, Option<&str>)>) -> String {
    match state {
        None => "its job is not in the queue".to_owned(),
        Some((state, reason)) => format!("its job is {}", named(state, reason)),
    }
}

fn named(state: &str, reason: Option<&str>) -> String {
    match reason {
        None => state.to_owned(),
        Some(reason) => format!("{state} ({reason})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_end_are_told_apart() {
        let over = |state: &str, reason: Option<&str>| Standing::Over {
            state: state.into(),
            reason: reason.map(str::to_owned),
        };
        for (began, code, standing, how, out_of_memory) in [
            (false, None, None, "before it began: its job is not in the queue", false),
            (
                false,
                None,
                Some(over("CANCELLED", Some("Dependency"))),
                "before it began: its job is CANCELLED (Dependency)",
                false,
            ),
            (true, None, None, "with its job, which vanished from the queue", false),
            (true, None, Some(over("TIMEOUT", None)), "at the time limit of its job", false),
            (true, None, Some(over("NODE_FAIL", None)), "with its node", false),
            (true, None, Some(over("CANCELLED", None)), "with its job, which was cancelled", false),
            (true, None, Some(over("FAILED", Some("X"))), "with its job: FAILED (X)", false),
            (true, Some(137), None, "by signal 9 (killed, or out of memory)", false),
            (true, Some(139), None, "by signal 11", false),
            (true, Some(1), Some(over("FAILED", None)), "with exit code 1", false),
            (
                true,
                Some(137),
                Some(over("OUT_OF_MEMORY", None)),
                "out of memory (Slurm says OUT_OF_MEMORY)",
                true,
            ),
        ] {
            let evidence = Evidence { began, is_between: false, code, standing: standing.as_ref() };
            let expected = Exit { how: how.into(), out_of_memory, ran: began };
            assert_eq!(verdict(&evidence), expected, "{standing:?}");
        }
    }

    #[test]
    fn what_was_never_begun_is_not_blamed_but_what_cannot_begin_is() {
        let failed = Standing::Over { state: "FAILED".into(), reason: None };
        let ran = |began, is_between, standing| {
            verdict(&Evidence { began, is_between, code: Some(1), standing }).ran
        };
        assert!(
            !ran(true, true, Some(&failed)),
            "the parent failed, and the child was passed over"
        );
        assert!(ran(false, false, Some(&failed)), "the node could not start the script");
        assert!(!ran(false, false, None));
    }
}

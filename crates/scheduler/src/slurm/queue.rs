//! What squeue says of jobs. A job that it does not show is unknown, not failed: finished ones leave
//! the queue after minutes.

use std::collections::HashMap;
use std::time::Duration;

use tokio::process::Command;

use super::name::JobName;

/// squeue gives up by itself before this, unless a file system hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job as the queue shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QueuedJob {
    /// What other jobs may depend on: `12`, or `12_3` for a task of an array.
    pub id: String,
    pub standing: Standing,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// Waiting, executing, or on the way from one to the other.
    Alive,
    /// Waiting for another job to end.
    Dependent,
    /// Its state by Slurm's name, and Slurm's reason where it gives one.
    Over { state: String, reason: Option<String> },
}

impl Standing {
    /// How much is still to be expected.
    const fn rank(&self) -> u8 {
        match self {
            Self::Over { .. } => 0,
            Self::Dependent => 1,
            Self::Alive => 2,
        }
    }
}

pub(super) type Queue = HashMap<JobName, QueuedJob>;

/// Asks for all jobs of this user.
///
/// # Errors
/// Text that says why there is no answer; then nothing is known of any job.
pub(super) async fn ask(squeue: &str) -> Result<Queue, String> {
    let mut command = Command::new(squeue);
    command
        .args(["--me", "--noheader", "--array", "--states=all", "--format=%F|%A|%K|%T|%r|%j"])
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    match output {
        Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(format!("cannot start `{squeue}`: {error}")),
        Ok(Ok(output)) if output.status.success() => {
            Ok(parse(&String::from_utf8_lossy(&output.stdout)))
        }
        Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Of several jobs of one name, the one that can still do most counts.
fn parse(text: &str) -> Queue {
    let mut queue = Queue::new();
    for (name, job) in text.lines().filter_map(parse_line) {
        let known = queue.get(&name).map(|known| known.standing.rank());
        if known.is_none_or(|known| job.standing.rank() > known) {
            queue.insert(name, job);
        }
    }
    queue
}

/// None for jobs that are none of isoflop's.
fn parse_line(line: &str) -> Option<(JobName, QueuedJob)> {
    let mut fields = line.splitn(6, '|');
    let [array, id, index, state, reason, name] = std::array::from_fn(|_| fields.next());
    let (array, id, index, name) = (array?, id?, index?, name?);
    let (name, id) = match index.parse() {
        Ok(index) => (JobName { batch: name.to_owned(), index }, format!("{array}_{index}")),
        Err(_) => (JobName::parse(name)?, id.to_owned()),
    };
    Some((name, QueuedJob { id, standing: standing(state?, reason?) }))
}

/// States that Slurm calls final. One that this list does not know is taken for alive: nothing is ever
/// started again because of a word that is not understood.
fn standing(state: &str, reason: &str) -> Standing {
    const FINAL: [&str; 10] = [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ];
    match (FINAL.contains(&state), state, reason) {
        (true, ..) => Standing::Over {
            state: state.to_owned(),
            reason: (reason != "None").then(|| reason.to_owned()),
        },
        (false, "PENDING", "Dependency") => Standing::Dependent,
        (false, ..) => Standing::Alive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_arrays_and_single_jobs_are_found_by_name() {
        let text = "12|14|13|RUNNING|None|a-b-0\n\
                    15|15|N/A|PENDING|Dependency|a-b-0-7\n\
                    16|16|N/A|TIMEOUT|TimeLimit|a-b-0-8\n\
                    17|17|N/A|RUNNING|None|somebody's notebook\n";
        let queue = parse(text);
        let of = |index| queue.get(&JobName { batch: "a-b-0".into(), index });
        let alive = |id: &str| QueuedJob { id: id.into(), standing: Standing::Alive };
        assert_eq!(of(13), Some(&alive("12_13")));
        let dependent = QueuedJob { id: "15".into(), standing: Standing::Dependent };
        assert_eq!(of(7), Some(&dependent));
        let over = Standing::Over { state: "TIMEOUT".into(), reason: Some("TimeLimit".into()) };
        assert_eq!(of(8).map(|job| &job.standing), Some(&over));
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn of_two_jobs_of_one_name_the_living_one_counts_and_unknown_states_live() {
        for order in [["FAILED", "MOVING"], ["MOVING", "FAILED"]] {
            let line = |state: &str| format!("1|1|N/A|{state}|None|a-0-1\n");
            let queue = parse(&order.map(line).concat());
            assert!(queue.values().all(|job| job.standing == Standing::Alive), "{order:?}");
        }
    }
}

//! The coordinator's loop against a trainer that only pretends, over real processes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use scheduler::{
    Consequence, DriveError, End, Ended, Journal, Launch, LocalEngine, Past, Plan, PlannedSegment,
    Policy, Said, Schedule, SegmentState, Slot, States, Stop, drive,
};
use spec::{FORMAT, Order, Ready, SegmentId, TrainerEvent};
use test_support::{few_shot, program, trial};
use tokio::sync::watch;

/// A journal in memory that counts what it is told.
struct Memory {
    folder: PathBuf,
    attempts: HashMap<SegmentId, u32>,
    finished: Vec<SegmentId>,
    lost: Vec<String>,
}

impl Memory {
    fn new(folder: &Path) -> Self {
        let (attempts, finished, lost) = (HashMap::new(), Vec::new(), Vec::new());
        Self { folder: folder.to_owned(), attempts, finished, lost }
    }

    fn order(&mut self, segment: &PlannedSegment, micro_batch: Option<u32>) -> Order {
        let attempt = self.attempts.entry(segment.id).or_default();
        *attempt += 1;
        let checkpoints = |id: SegmentId| self.folder.join("checkpoints").join(id.to_string());
        Order {
            format: FORMAT,
            segment_id: segment.id,
            attempt: *attempt,
            segment: segment.spec.clone(),
            parent_checkpoints: segment.spec.parent.map(checkpoints),
            checkpoints: checkpoints(segment.id),
            attempt_dir: self.folder.join(format!("{}-{attempt}", segment.id)),
            cache: self.folder.join("cache"),
            micro_batch,
        }
    }
}

impl Journal for Memory {
    type Error = Infallible;

    async fn begin(&mut self, launch: &Launch<'_>) -> Result<Vec<Order>, Infallible> {
        let launched = launch.segments.iter().zip(&launch.micro_batches);
        Ok(launched.map(|(segment, micro)| self.order(segment, *micro)).collect())
    }

    async fn record(&mut self, said: &[Said]) -> Result<Vec<bool>, Infallible> {
        let mut current = Vec::new();
        for Said { segment_id, attempt, event } in said {
            current.push(self.attempts[segment_id] == *attempt);
            if self.attempts[segment_id] == *attempt
                && matches!(event, TrainerEvent::Finished { .. })
            {
                self.finished.push(*segment_id);
            }
        }
        Ok(current)
    }

    async fn conclude(&mut self, consequence: &Consequence) -> Result<(), Infallible> {
        match consequence {
            Consequence::Lost { how, .. } => self.lost.push(how.clone()),
            Consequence::GivenUp { .. } | Consequence::Reopened { .. } => {}
        }
        Ok(())
    }

    async fn ready(&mut self, _slot: usize, ready: &Ready) -> Result<(), Infallible> {
        assert_eq!(ready.trainer_version, "fake");
        Ok(())
    }

    fn look(&mut self, _schedule: &Schedule<'_>, _now: f64) {}
}

fn slots(n: usize) -> Vec<Slot> {
    vec![Slot { device: "cpu".into(), visible_gpu: None, threads: 1 }; n]
}

/// A trainer that pretends, with variables that its engine does not set.
fn trainer(folder: &Path, environment: &[(&str, &str)]) -> PathBuf {
    let path = folder.join("trainer");
    let variables: String =
        environment.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    let program = program("fake-trainer");
    let text = format!("#!/bin/sh\n{variables}exec '{}' \"$@\"\n", program.display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Executes a plan on two slots, with little patience.
async fn execute(
    plan: &Plan,
    folder: &Path,
    trainer: PathBuf,
) -> (Result<Ended, DriveError<Infallible>>, Memory) {
    let policy = Policy { backoff_s: 0.01, time_out_s: Some(1.0), ..Policy::default() };
    let schedule = Schedule::new(plan, &States::new(), policy, &Past::default());
    let mut engine = LocalEngine::new(trainer, folder.join("logs"), slots(2));
    let mut journal = Memory::new(folder);
    let (_sender, stop) = watch::channel(Stop::No);
    let ended = drive(schedule, 0.0, &mut engine, &mut journal, stop).await;
    (ended, journal)
}

fn four_seeds() -> Plan {
    let trials: Vec<_> = (0..4)
        .flat_map(|seed| [100, 200, 400].map(|steps| trial(seed, steps, steps / 5)))
        .collect();
    Plan::new(&trials, &[few_shot(&[5])])
}

fn assert_each_finished_once(plan: &Plan, ended: &Ended, mut finished: Vec<SegmentId>) {
    assert_eq!(ended.why, End::Done);
    assert!(ended.states.values().all(|state| *state == SegmentState::Finished));
    finished.sort_unstable();
    let mut ids: Vec<_> = plan.segments.iter().map(|segment| segment.id).collect();
    ids.sort_unstable();
    assert_eq!(finished, ids);
}

#[tokio::test]
async fn every_segment_finishes_once_though_trainers_crash() {
    let folder = tempfile::tempdir().unwrap();
    let deaths = folder.path().join("deaths");
    std::fs::create_dir(&deaths).unwrap();
    let plan = four_seeds();
    let trainer = trainer(folder.path(), &[("FAKE_TRAINER_DIE", deaths.to_str().unwrap())]);
    let (ended, journal) = execute(&plan, folder.path(), trainer).await;
    assert_each_finished_once(&plan, &ended.unwrap(), journal.finished);
    assert!(journal.lost.iter().all(|how| how.contains("signal 6")), "{:?}", journal.lost);
    assert_eq!(journal.lost.len(), std::fs::read_dir(&deaths).unwrap().count());
    assert!(!journal.lost.is_empty(), "the test must see a crash");
}

#[tokio::test]
async fn trainers_that_hang_are_ended_and_their_segments_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let hung = folder.path().join("hung");
    std::fs::create_dir(&hung).unwrap();
    let plan = Plan::new(&[trial(0, 100, 20), trial(1, 100, 20)], &[]);
    let trainer = trainer(folder.path(), &[("FAKE_TRAINER_HANG", hung.to_str().unwrap())]);
    let (ended, journal) = execute(&plan, folder.path(), trainer).await;
    assert_each_finished_once(&plan, &ended.unwrap(), journal.finished);
    assert!(!journal.lost.is_empty(), "the test must see one hang");
    assert!(journal.lost.iter().all(|how| how.contains("silent")), "{:?}", journal.lost);
}

#[tokio::test]
async fn memory_that_runs_out_is_answered_with_smaller_passes() {
    let folder = tempfile::tempdir().unwrap();
    let plan = four_seeds();
    let trainer = trainer(folder.path(), &[("FAKE_TRAINER_OOM", "2")]);
    let (ended, journal) = execute(&plan, folder.path(), trainer).await;
    let finished: Vec<_> =
        plan.segments.iter().filter(|segment| !segment.is_evaluation()).collect();
    let ended = ended.unwrap();
    assert!(finished.iter().all(|segment| ended.states[&segment.id] == SegmentState::Finished));
    // 8 at once, then 4, then 2; what ran beside the first may have failed as well.
    assert!(journal.attempts.values().all(|attempts| *attempts <= 3));
}

#[tokio::test]
async fn no_op_segments_pass_and_their_rate_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let trials: Vec<_> = (0..500).map(|seed| trial(seed, 10, 0)).collect();
    let plan = Plan::new(&trials, &[]);
    let start = std::time::Instant::now();
    let (ended, journal) = execute(&plan, folder.path(), program("fake-trainer")).await;
    println!("{:.0} no-op segments a second", 500.0 / start.elapsed().as_secs_f64());
    assert_each_finished_once(&plan, &ended.unwrap(), journal.finished);
}

#[tokio::test]
async fn a_missing_trainer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(&[trial(0, 10, 0)], &[]);
    let (ended, _) = execute(&plan, folder.path(), folder.path().join("no-such")).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("no-such"), "{error}");
}

#[tokio::test]
async fn a_trainer_that_never_gets_ready_ends_the_sweep_and_says_where_to_look() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(&[trial(0, 10, 0), trial(1, 10, 0), trial(2, 10, 0)], &[]);
    let (ended, _) = execute(&plan, folder.path(), "/bin/false".into()).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("before it was ready") && error.contains("slot-"), "{error}");
}

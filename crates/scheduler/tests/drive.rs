//! The coordinator's loop against a trainer that only pretends, over real processes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use scheduler::{
    Journal, LocalEngine, Plan, PlannedSegment, SegmentState, Slot, States, Stop, drive,
};
use spec::{FORMAT, Order, Ready, SegmentId, TrainerEvent};
use test_support::{few_shot, program, trial};
use tokio::sync::watch;

/// A journal in memory that counts what it is told.
struct Memory {
    folder: PathBuf,
    attempts: HashMap<SegmentId, u32>,
    finished: Vec<SegmentId>,
    lost: usize,
}

impl Memory {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), attempts: HashMap::new(), finished: Vec::new(), lost: 0 }
    }
}

impl Journal for Memory {
    type Error = Infallible;

    async fn begin(
        &mut self,
        segment: &PlannedSegment,
        _slot: usize,
        _pid: u32,
    ) -> Result<Order, Infallible> {
        let attempt = self.attempts.entry(segment.id).or_default();
        *attempt += 1;
        Ok(Order {
            format: FORMAT,
            segment_id: segment.id,
            attempt: *attempt,
            segment: segment.spec.clone(),
            parent_checkpoints: None,
            checkpoints: self.folder.join("checkpoints"),
            attempt_dir: self.folder.join(format!("{}-{attempt}", segment.id)),
            cache: self.folder.join("cache"),
            micro_batch: None,
        })
    }

    async fn record(
        &mut self,
        segment_id: SegmentId,
        attempt: u32,
        event: &TrainerEvent,
    ) -> Result<bool, Infallible> {
        let is_current = self.attempts[&segment_id] == attempt;
        if is_current && matches!(event, TrainerEvent::Finished { .. }) {
            self.finished.push(segment_id);
        }
        Ok(is_current)
    }

    async fn lose(
        &mut self,
        _: SegmentId,
        _: u32,
        how: &str,
        _: &SegmentState,
    ) -> Result<(), Infallible> {
        assert!(how.contains("signal 6"), "{how}");
        self.lost += 1;
        Ok(())
    }

    async fn ready(&mut self, _slot: usize, ready: &Ready) -> Result<(), Infallible> {
        assert_eq!(ready.trainer_version, "fake");
        Ok(())
    }
}

fn slots(n: usize) -> Vec<Slot> {
    vec![Slot { device: "cpu".into(), visible_gpu: None, threads: 1 }; n]
}

#[tokio::test]
async fn every_segment_finishes_once_though_trainers_crash() {
    let folder = tempfile::tempdir().unwrap();
    let deaths = folder.path().join("deaths");
    std::fs::create_dir(&deaths).unwrap();
    let trials: Vec<_> = (0..4)
        .flat_map(|seed| [100, 200, 400].map(|steps| trial(seed, steps, steps / 5)))
        .collect();
    let plan = Plan::new(&trials, &[few_shot(&[5])]);

    // The engine starts its trainers with the environment of this process; `env` sets it for them.
    let script = folder.path().join("crashing-trainer");
    let text = format!(
        "#!/bin/sh\nFAKE_TRAINER_DIE='{}' exec '{}' \"$@\"\n",
        deaths.display(),
        program("fake-trainer").display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let mut engine = LocalEngine::new(script, folder.path().join("logs"), slots(2));
    let mut journal = Memory::new(folder.path());
    let (_sender, stop) = watch::channel(Stop::No);
    let ended = drive(&plan, States::new(), &mut engine, &mut journal, stop).await.unwrap();

    assert!(ended.states.values().all(|state| *state == SegmentState::Finished));
    assert!(!ended.interrupted);
    journal.finished.sort_unstable();
    let mut ids: Vec<_> = plan.segments.iter().map(|segment| segment.id).collect();
    ids.sort_unstable();
    assert_eq!(journal.finished, ids, "each segment finishes exactly once");
    assert_eq!(journal.lost, std::fs::read_dir(&deaths).unwrap().count());
    assert!(journal.lost > 0, "the test must see a crash");
}

#[tokio::test]
async fn no_op_segments_pass_and_their_rate_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let trials: Vec<_> = (0..500).map(|seed| trial(seed, 10, 0)).collect();
    let plan = Plan::new(&trials, &[]);
    let mut engine =
        LocalEngine::new(program("fake-trainer"), folder.path().join("logs"), slots(2));
    let mut journal = Memory::new(folder.path());
    let (_sender, stop) = watch::channel(Stop::No);
    let start = std::time::Instant::now();
    let ended = drive(&plan, States::new(), &mut engine, &mut journal, stop).await.unwrap();
    println!("{:.0} no-op segments a second", 500.0 / start.elapsed().as_secs_f64());
    assert_eq!(ended.states.len(), 500);
}

#[tokio::test]
async fn a_missing_trainer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(&[trial(0, 10, 0)], &[]);
    let mut engine =
        LocalEngine::new(folder.path().join("no-such"), folder.path().join("logs"), slots(1));
    let mut journal = Memory::new(folder.path());
    let (_sender, stop) = watch::channel(Stop::No);
    let error = drive(&plan, States::new(), &mut engine, &mut journal, stop).await.unwrap_err();
    assert!(error.to_string().contains("no-such"), "{error}");
}

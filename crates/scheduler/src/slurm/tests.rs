//! The engine against an sbatch and a squeue that only pretend: what a real cluster does rarely.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use spec::{FORMAT, Spent, SweepSpec, TrainerEvent, TrainerLine};
use test_support::trial;

use super::*;
use crate::plan::Plan;

struct Pretended {
    folder: tempfile::TempDir,
    engine: SlurmEngine,
}

const SWEEP: &str = r#"
name = "a"
[data]
source = "procedural"
[model]
family = "vit"
patch = 8
shapes = ["mu"]
[axes]
unique_examples = [1024]
examples_seen = [320]
[train]
batch = 32
learning_rate = 1e-3
schedule = { decay = "constant" }
[slurm]
ask_s = 0.05
grace_s = 2
max_jobs = 4
"#;

impl Pretended {
    /// `sbatch` is what that does when it is asked for `$n`, the number of this request from 1; `$@` are
    /// its arguments. What it writes into `queue` is what squeue shows.
    fn new(sbatch: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display();
        let count = format!("cd '{home}'\necho \"$@\" >>asked\nn=$(wc -l <asked)\n");
        let programs = SlurmPrograms {
            sbatch: program(folder.path(), "sbatch", &format!("{count}{sbatch}")),
            squeue: program(
                folder.path(),
                "squeue",
                &format!("cat '{home}/queue' 2>/dev/null; exit 0"),
            ),
        };
        let spec = SweepSpec::parse("test.toml", SWEEP, &[]).unwrap().slurm.unwrap();
        let engine = SlurmEngine::new(SlurmSetting {
            spec,
            jobs: folder.path().join("jobs"),
            trainer: "/trainer".into(),
            prefix: "p".to_owned(),
            programs,
            fits_share: Box::new(|_| false),
            tell: Box::new(|_| {}),
        });
        Self { folder, engine }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Hands one order to each of the first `n` slots.
    async fn launch(&mut self, n: usize) {
        let trials: Vec<_> = (0..n as u64).map(|seed| trial(seed, 10, 0)).collect();
        let plan = Plan::new(&trials, &[]);
        for (slot, segment) in plan.segments.iter().enumerate() {
            self.engine.wake(slot).unwrap();
            let order = Order {
                format: FORMAT,
                segment_id: segment.id,
                attempt: 1,
                segment: segment.spec.clone(),
                parent_checkpoints: None,
                checkpoints: self.path("checkpoints"),
                attempt_dir: self.path(&format!("attempts/{slot}")),
                cache: self.path("cache"),
                micro_batch: None,
            };
            self.engine.launch(slot, &[order]).await.unwrap();
        }
    }

    /// Writes down that the attempt on a slot has finished.
    fn finish(&self, slot: usize) {
        let job = self.engine.slots[slot].as_ref().unwrap();
        let (segment_id, attempt) = (job.tails[0].segment_id, job.tails[0].attempt);
        let event = TrainerEvent::Finished { step: 10, spent: Spent::default() };
        let line = TrainerLine::Event { format: FORMAT, segment_id, attempt, event };
        let folder = self.path(&format!("attempts/{slot}"));
        fs::create_dir_all(&folder).unwrap();
        let line = serde_json::to_string(&line).unwrap() + "\n";
        fs::write(folder.join("events.jsonl"), line).unwrap();
    }

    /// Listens until every job is in the queue's hands, and finishes them all.
    async fn see_through(&mut self, n: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_queued = |job: &Job| matches!(job.stage, Stage::Queued { .. });
        while self.engine.slots.iter().flatten().filter(|job| is_queued(job)).count() < n {
            assert!(Instant::now() < deadline, "{}", self.asked());
            let event = tokio::time::timeout(Duration::from_millis(50), self.engine.next()).await;
            assert!(event.is_err(), "{event:?}");
        }
        for slot in 0..n {
            self.finish(slot);
        }
        for _ in 0..n {
            let event = self.engine.next().await;
            assert!(matches!(event, EngineEvent::Said(said) if said.event.is_last()));
        }
        assert_eq!(self.engine.n_alive(), 0);
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.path("asked")).unwrap_or_default()
    }
}

fn program(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn jobs_that_were_queued_though_sbatch_did_not_say_so_are_found_and_not_asked_for_again() {
    let mut pretended = Pretended::new(
        "printf '7|7|0|PENDING|None|p-0\\n7|8|1|PENDING|None|p-0\\n' >queue
         echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
         exit 1",
    );
    pretended.launch(2).await;
    pretended.see_through(2).await;
    assert_eq!(pretended.asked().lines().count(), 1, "{}", pretended.asked());
}

#[tokio::test]
async fn jobs_that_were_not_queued_are_asked_for_again() {
    let mut pretended = Pretended::new(
        "if [ $n = 1 ]; then echo 'Unable to contact slurm controller' >&2; exit 1; fi
         echo $n",
    );
    pretended.launch(2).await;
    pretended.see_through(2).await;
    assert_eq!(pretended.asked().lines().count(), 3, "{}", pretended.asked());
}

#[tokio::test]
async fn an_array_that_is_refused_is_asked_for_job_by_job() {
    let mut pretended = Pretended::new(
        "case \"$*\" in *--array*) echo 'Invalid job array specification' >&2; exit 1;; esac
         echo $n",
    );
    pretended.launch(3).await;
    pretended.see_through(3).await;
    assert_eq!(pretended.asked().lines().count(), 4, "{}", pretended.asked());
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let mut pretended = Pretended::new(
        "if [ $n -lt 3 ]; then echo 'job violates policy (job submit limit, ..)' >&2; exit 1; fi
         echo $n",
    );
    pretended.launch(1).await;
    pretended.see_through(1).await;
    assert_eq!(pretended.asked().lines().count(), 3, "{}", pretended.asked());
}

#[tokio::test]
async fn what_is_never_taken_is_an_exit_and_then_an_error() {
    let mut pretended = Pretended::new("echo 'Invalid partition name specified' >&2; exit 1");
    pretended.launch(1).await;
    let EngineEvent::Exited { slot: 0, exit } = pretended.engine.next().await else {
        panic!("an exit was expected")
    };
    assert!(!exit.ran && exit.how.contains("Invalid partition"), "{exit:?}");
    let error = pretended.engine.wake(0).unwrap_err().to_string();
    assert!(error.contains("Invalid partition"), "{error}");
}

#[tokio::test]
async fn a_job_that_the_queue_loses_is_lost_after_a_while_and_told_to_end_should_it_live() {
    let mut pretended = Pretended::new("echo $n");
    pretended.launch(1).await;
    let start = Instant::now();
    let EngineEvent::Exited { slot: 0, exit } = pretended.engine.next().await else {
        panic!("an exit was expected")
    };
    assert!(start.elapsed() >= Duration::from_secs(2), "too soon");
    assert_eq!(
        (exit.how.as_str(), exit.ran),
        ("before it began: its job is not in the queue", false)
    );
    assert!(pretended.path("jobs/p-0-0/revoked").exists());
}

#[tokio::test]
async fn a_job_that_waits_for_what_is_done_is_asked_for_without_that() {
    let mut pretended = Pretended::new(
        "if [ $n = 1 ]; then echo '9|9|N/A|PENDING|Dependency|p-0-0' >queue; fi
         echo 9",
    );
    pretended.launch(1).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while pretended.asked().lines().count() < 2 {
        assert!(Instant::now() < deadline);
        let _nothing_yet =
            tokio::time::timeout(Duration::from_millis(50), pretended.engine.next()).await;
    }
    pretended.see_through(1).await;
}

#[tokio::test]
async fn an_exit_follows_when_a_slot_is_told_to_end_though_all_was_said() {
    let mut pretended = Pretended::new("echo $n");
    pretended.launch(2).await;
    while !matches!(pretended.engine.slots[1].as_ref().unwrap().stage, Stage::Queued { .. }) {
        let _nothing_yet =
            tokio::time::timeout(Duration::from_millis(20), pretended.engine.next()).await;
    }
    pretended.engine.end(0);
    pretended.finish(0);
    pretended.finish(1);
    let mut exits = Vec::new();
    for _ in 0..3 {
        match pretended.engine.next().await {
            EngineEvent::Exited { slot, .. } => exits.push(slot),
            EngineEvent::Said(_) => {}
            event @ EngineEvent::Ready { .. } => panic!("{event:?}"),
        }
    }
    pretended.engine.end(1);
    let event = pretended.engine.next().await;
    assert!(matches!(event, EngineEvent::Exited { slot: 1, .. }), "{event:?}");
    assert_eq!(exits, [0]);
}

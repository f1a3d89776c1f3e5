//! Builders for this crate's tests.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::path::PathBuf;

use spec::{SegmentId, SegmentKind, SegmentSpec, Spent, TrainerEvent, TrialSpec};
use tempfile::TempDir;
use test_support::{few_shot, recipe};

use crate::error::Result;
use crate::{
    LearningCurve, NewAttempt, PlannedSegment, PlannedTrial, Report, Store, SweepRecord,
    UnixSeconds,
};

pub(crate) struct TestStore {
    pub store: Store,
    pub path: PathBuf,
    _folder: TempDir,
}

pub(crate) async fn empty_store() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).await.unwrap();
    TestStore { store, path, _folder: folder }
}

/// A store with the sweep `small` of [`two_trials`].
pub(crate) async fn planned_store() -> (TestStore, Plan) {
    let test = empty_store().await;
    let plan = two_trials(0);
    test.save_trials("small", &plan, ..).await;
    (test, plan)
}

pub(crate) fn sweep(name: &str) -> SweepRecord {
    SweepRecord { name: name.into(), source: format!("name = \"{name}\""), spec: "{}".into() }
}

pub(crate) struct Plan {
    pub trials: Vec<Trial>,
    pub segments: Vec<SegmentSpec>,
}

pub(crate) struct Trial {
    pub spec: TrialSpec,
    pub chain: Vec<SegmentId>,
    pub evaluations: Vec<SegmentId>,
    pub variant: Option<String>,
}

impl Plan {
    pub fn id(&self, segment: usize) -> SegmentId {
        self.segments[segment].id()
    }

    pub fn trials(&self) -> Vec<PlannedTrial<'_>> {
        self.trials.iter().map(Trial::planned).collect()
    }

    pub fn segments(&self) -> Vec<PlannedSegment<'_>> {
        self.segments.iter().map(planned_segment).collect()
    }
}

impl Trial {
    fn planned(&self) -> PlannedTrial<'_> {
        PlannedTrial {
            id: self.spec.id(),
            spec: &self.spec,
            chain: &self.chain,
            evaluations: &self.evaluations,
            variant: self.variant.as_deref(),
        }
    }
}

fn planned_segment(spec: &SegmentSpec) -> PlannedSegment<'_> {
    let workload = spec.recipe.workload_id(spec.transfer.as_ref());
    PlannedSegment { id: spec.id(), spec, workload }
}

/// Two lengths over one trunk. Segments: 0 trunk to 80, 1 its cooldown to 100 (trial 0), 2 trunk
/// to 160, 3 its cooldown to 200 (trial 1).
pub(crate) fn two_trials(seed: u64) -> Plan {
    let recipe = std::sync::Arc::new(recipe(seed));
    let segment = |parent: Option<&SegmentSpec>, kind, end| SegmentSpec {
        parent: parent.map(SegmentSpec::id),
        recipe: recipe.clone(),
        kind,
        start: parent.map_or(0, |parent| parent.end),
        end,
        cooldown: 0,
        transfer: None,
    };
    let trunk = segment(None, SegmentKind::Trunk, 80);
    let short = segment(Some(&trunk), SegmentKind::Cooldown, 100);
    let longer = segment(Some(&trunk), SegmentKind::Trunk, 160);
    let long = segment(Some(&longer), SegmentKind::Cooldown, 200);
    let trial = |steps, cooldown, chain: &[&SegmentSpec]| Trial {
        spec: TrialSpec { recipe: recipe.clone(), steps, cooldown },
        chain: chain.iter().map(|segment| segment.id()).collect(),
        evaluations: Vec::new(),
        variant: None,
    };
    let trials = vec![
        trial(100, 20, &[&trunk, &short]), //
        trial(200, 40, &[&trunk, &longer, &long]),
    ];
    Plan { trials, segments: vec![trunk, short, longer, long] }
}

/// [`two_trials`] of the variant `plain`, the first of them with a few-shot evaluation: segment 4.
pub(crate) fn with_evaluation(seed: u64) -> Plan {
    let mut plan = two_trials(seed);
    let leaf = &plan.segments[1];
    let evaluation = SegmentSpec {
        parent: Some(leaf.id()),
        recipe: leaf.recipe.clone(),
        kind: SegmentKind::Transfer,
        start: leaf.end,
        end: leaf.end + 1,
        cooldown: 0,
        transfer: Some(few_shot(&[5])),
    };
    plan.trials[0].evaluations.push(evaluation.id());
    plan.segments.push(evaluation);
    plan.trials.iter_mut().for_each(|trial| trial.variant = Some("plain".into()));
    plan
}

pub(crate) fn on_cpu() -> NewAttempt {
    NewAttempt {
        device: "cpu".into(),
        device_name: "a processor".into(),
        threads: 1,
        pid: Some(42),
        job: None,
        micro_batch: None,
        above: 0,
    }
}

pub(crate) fn progress(step: u64, train_loss: f64) -> TrainerEvent {
    TrainerEvent::Progress {
        step,
        train_loss,
        gradient_norm: 1.0,
        learning_rate: 1e-3,
        examples_per_s: 100.0,
    }
}

pub(crate) fn evaluated(step: u64, val_loss: f64) -> TrainerEvent {
    let metrics =
        BTreeMap::from([("val_loss".into(), val_loss), ("val_error".into(), val_loss / 4.0)]);
    TrainerEvent::Evaluated { step, metrics }
}

pub(crate) fn finished(step: u64, steps: u64, device_s: f64) -> TrainerEvent {
    let spent = Spent { steps, device_s, data_s: 0.1, peak_bytes: Some(1000) };
    TrainerEvent::Finished { step, spent }
}

/// One attempt and one event, which the program stores by the batch; and curves of every trial.
impl Store {
    pub async fn all_curves(&self, sweep: &str, metric: &str) -> Vec<LearningCurve> {
        let results = self.trial_results(sweep).await.unwrap();
        let trials: Vec<_> = results.iter().map(|result| result.trial_id).collect();
        self.learning_curves(sweep, metric, &trials).await.unwrap()
    }

    pub async fn begin_attempt(
        &self,
        segment_id: SegmentId,
        attempt: &NewAttempt,
        now: UnixSeconds,
    ) -> Result<u32> {
        Ok(self.begin_attempts(&[(segment_id, attempt.clone())], now).await?[0])
    }

    pub async fn record(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        event: &TrainerEvent,
        now: UnixSeconds,
    ) -> Result<bool> {
        let report = Report { segment_id, attempt, event: event.clone() };
        Ok(self.record_batch(&[report], now).await? == [true])
    }
}

impl TestStore {
    /// Saves a sweep of some of a plan's trials.
    pub async fn save_trials(&self, name: &str, plan: &Plan, range: impl RangeBounds<usize>) {
        let trials = plan.trials();
        let trials = &trials[(range.start_bound().cloned(), range.end_bound().cloned())];
        self.store.save_sweep(&sweep(name), trials, &plan.segments(), 1.0).await.unwrap();
    }

    /// Runs a segment from its first step to its last.
    pub async fn finish(&self, segment: &SegmentSpec, val_loss: f64, device_s: f64) {
        let (store, id) = (&self.store, segment.id());
        let fence = store.begin_attempt(id, &on_cpu(), 2.0).await.unwrap();
        let started = TrainerEvent::Started { step: segment.start };
        let last = finished(segment.end, segment.steps(), device_s);
        for event in [started, evaluated(segment.end, val_loss), last] {
            assert!(store.record(id, fence, &event, 3.0).await.unwrap());
        }
    }

    pub async fn begin(&self, segment: SegmentId) -> u32 {
        self.store.begin_attempt(segment, &on_cpu(), 2.0).await.unwrap()
    }

    /// One value from a query that answers one.
    pub async fn value(&self, sql: &str) -> crate::Value {
        crate::query(&self.path, sql).await.unwrap().rows[0][0].clone()
    }
}

//! Whatever attempts say, in whatever portions it is heard and however often the coordinator dies
//! meanwhile: every step, second and measurement counts once.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spec::{Failure, Spent, TrainerEvent};

use crate::testing::{TestStore, evaluated, planned_store, progress};
use crate::{Report, Store, Value};

/// What a trainer does next in the segment from step 0 to 80.
#[derive(Clone, Copy, Debug)]
enum Act {
    Train(u64),
    Evaluate,
    /// Seconds that the stretch took.
    Pause(u32),
    /// The stretch is cut off, and the next begins so many steps further back.
    CutOff(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Finished(u32),
    Interrupted(u32),
    Failed,
    Lost,
}

/// All that an attempt says, and the sums that it should leave.
#[derive(Default)]
struct History {
    events: Vec<TrainerEvent>,
    step: u64,
    /// Steps of the stretch so far.
    stretch: u64,
    steps: u64,
    device_s: f64,
    train_steps: BTreeSet<u64>,
}

impl History {
    fn of(start: u64, acts: &[Act], end: End) -> Self {
        let mut history = Self { step: start, ..Self::default() };
        history.start();
        for act in acts {
            match *act {
                Act::Train(steps) => history.train(steps),
                Act::Evaluate => history.events.push(evaluated(history.step, 1.0)),
                Act::Pause(seconds) => {
                    let spent = history.stop(seconds);
                    history.events.push(TrainerEvent::Paused { step: history.step, spent });
                    history.start();
                }
                Act::CutOff(back) => {
                    history.step -= back.min(history.step);
                    history.start();
                }
            }
        }
        history.end(end);
        history
    }

    fn start(&mut self) {
        self.stretch = 0;
        self.events.push(TrainerEvent::Started { step: self.step });
    }

    fn train(&mut self, steps: u64) {
        let steps = steps.min(80 - self.step);
        (self.step, self.stretch) = (self.step + steps, self.stretch + steps);
        self.steps += steps;
        self.train_steps.insert(self.step);
        self.events.push(progress(self.step, 1.0));
    }

    fn stop(&mut self, seconds: u32) -> Spent {
        let device_s = f64::from(seconds);
        self.device_s += device_s;
        Spent { steps: self.stretch, device_s, data_s: 0.0, peak_bytes: None }
    }

    fn end(&mut self, end: End) {
        let last = match end {
            End::Finished(seconds) => {
                self.train(80);
                TrainerEvent::Finished { step: 80, spent: self.stop(seconds) }
            }
            End::Interrupted(seconds) => {
                TrainerEvent::Interrupted { step: self.step, spent: self.stop(seconds) }
            }
            End::Failed => {
                TrainerEvent::Failed { reason: "full".into(), failure: Failure::DiskFull }
            }
            End::Lost => return,
        };
        self.events.push(last);
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_u64..30).prop_map(Act::Train),
        1 => Just(Act::Evaluate),
        2 => (0_u32..9).prop_map(Act::Pause),
        1 => (0_u64..20).prop_map(Act::CutOff),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        (0_u32..9).prop_map(End::Finished),
        (0_u32..9).prop_map(End::Interrupted),
        Just(End::Failed),
        Just(End::Lost),
    ]
}

/// Lets an attempt say its history: in portions of these sizes, and after every odd one the coordinator
/// dies, and its successor reads what the attempt has written down, which is further.
async fn hear(test: &TestStore, id: spec::SegmentId, events: &[TrainerEvent], sizes: &[usize]) {
    let attempt = test.begin(id).await;
    let mut sizes = sizes.iter().cycle();
    let mut heard = 0;
    while heard < events.len() {
        let size = *sizes.next().unwrap();
        let until = (heard + size).min(events.len());
        if size % 2 == 1 {
            let store = Store::open(&test.path).await.unwrap();
            let stored = store.running_attempts().await.unwrap()[0].events;
            assert_eq!(stored, heard as u64);
            assert!(store.catch_up(id, attempt, &events[..until], 3.0).await.unwrap());
        } else {
            let report =
                |event: &TrainerEvent| Report { segment_id: id, attempt, event: event.clone() };
            let reports: Vec<_> = events[heard..until].iter().map(report).collect();
            let accepted = test.store.record_batch(&reports, 3.0).await.unwrap();
            assert!(accepted.into_iter().all(|accepted| accepted));
        }
        heard = until;
    }
    test.store.lose_attempt(id, attempt, "killed", 4.0).await.unwrap();
    // It is over, whatever it still says.
    assert!(!test.store.catch_up(id, attempt, events, 5.0).await.unwrap());
    assert!(!test.store.record(id, attempt, &progress(1, 9.0), 5.0).await.unwrap());
}

async fn check(attempts: Vec<(Vec<Act>, End)>, sizes: Vec<usize>) {
    let (test, plan) = planned_store().await;
    let (mut start, mut steps, mut device_s) = (0, 0, 0.0);
    let mut train_steps = BTreeSet::new();
    for (acts, end) in attempts {
        let history = History::of(start, &acts, end);
        hear(&test, plan.id(0), &history.events, &sizes).await;
        (start, steps) = (history.step, steps + history.steps);
        device_s += history.device_s;
        train_steps.extend(history.train_steps);
        if matches!(end, End::Finished(_)) {
            break;
        }
    }
    let spent = test.store.spent("small").await.unwrap();
    let flops = steps as f64 * plan.segments[0].recipe.step_flops();
    assert!((spent.train_flops - flops).abs() <= 1e-9 * flops, "{spent:?} {flops}");
    assert_eq!(spent.device_s, device_s);
    assert!(spent.charged_s >= device_s);
    let counted = "select sum(steps) || '' from attempt";
    assert_eq!(test.value(counted).await, Value::Text(steps.to_string()));
    let view = "select train_flops || ' ' || device_s || ' ' || charged_s from sweep_spent";
    let own = format!("{:?} {:?} {:?}", spent.train_flops, spent.device_s, spent.charged_s);
    assert_eq!(test.value(view).await, Value::Text(own));
    let measured = "select count(*) || '' from measurement where metric = 'train_loss'";
    assert_eq!(test.value(measured).await, Value::Text(train_steps.len().to_string()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_counts_twice_and_nothing_is_forgotten(
        attempts in proptest::collection::vec((proptest::collection::vec(act(), 0..12), end()), 1..5),
        sizes in proptest::collection::vec(1_usize..6, 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(attempts, sizes));
    }
}

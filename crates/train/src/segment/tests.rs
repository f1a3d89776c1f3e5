use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use spec::{FORMAT, Failure, Id, Precision, Recipe, SegmentId, SegmentKind};
use tch::{Kind, Tensor};

use super::*;
use crate::evaluate::BATCH;
use crate::failure::failed;

/// Standard output that does something when it has seen a text, as asking for a stop.
struct Output<'a> {
    text: String,
    stop: Stop,
    at: Option<&'a str>,
    act: &'a dyn Fn(&Stop),
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push_str(std::str::from_utf8(bytes).unwrap());
        if self.at.is_some_and(|text| self.text.contains(text)) {
            (self.act)(&self.stop);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What one call of the loop gave.
struct Seen {
    last: Result<TrainerEvent, SegmentError>,
    text: String,
    log: Vec<String>,
}

fn order(
    folder: &Path,
    name: &str,
    parent: Option<&str>,
    kind: SegmentKind,
    steps: (u64, u64),
    recipe: Recipe,
) -> Order {
    let checkpoints = |name: &str| folder.join("checkpoints").join(name);
    Order {
        format: FORMAT,
        segment_id: SegmentId(Id::of(&name)),
        attempt: 1,
        segment: SegmentSpec {
            parent: parent.map(|name| SegmentId(Id::of(&name))),
            recipe: recipe.into(),
            kind,
            start: steps.0,
            end: steps.1,
            cooldown: 0,
            transfer: None,
        },
        parent_checkpoints: parent.map(checkpoints),
        checkpoints: checkpoints(name),
        attempt_dir: folder.join("attempts").join(name),
        cache: folder.join("cache"),
        micro_batch: None,
    }
}

fn opened<'a>(kept: &'a mut Option<Examples>, recipe: &Recipe, cache: &Path) -> &'a Examples {
    let mut log = |text: &str| panic!("{text}");
    Examples::reopen(kept, recipe, cache, Device::Cpu, &Stop::default(), &mut log).unwrap()
}

fn execute(order: &Order, stop_at: Option<&str>) -> Seen {
    execute_warm(&mut None, order, stop_at)
}

fn execute_warm(kept: &mut Option<Examples>, order: &Order, stop_at: Option<&str>) -> Seen {
    execute_and(kept, order, stop_at, &Stop::request)
}

fn execute_and(
    kept: &mut Option<Examples>,
    order: &Order,
    at: Option<&str>,
    act: &dyn Fn(&Stop),
) -> Seen {
    let stop = Stop::default();
    let mut out = Output { text: String::new(), stop: stop.clone(), at, act };
    let mut lines = Vec::new();
    let mut record = Record::open(order, &mut out).unwrap();
    let mut log = |text: &str| lines.push(text.to_owned());
    let last = train_segment(order, kept, Device::Cpu, &stop, &mut record, &mut log);
    Seen { last, text: out.text, log: lines }
}

/// A recipe in which every part of the state matters: augmentation, decay, clipping, a falling rate.
fn recipe() -> Recipe {
    let mut recipe = test_support::recipe(3);
    recipe.train.augmentation.crop_padding = 3;
    recipe.train.weight_decay =
        spec::WeightDecay { body: 0.1, head: 0.3, ..spec::WeightDecay::NONE };
    recipe.train.clip = Some(0.5);
    recipe.train.schedule.warmup = 5;
    recipe
}

/// The state that a finished order left on disk, as its digest.
fn digest(order: &Order) -> String {
    let learner = Learner::new(&order.segment.recipe, Device::Cpu).unwrap();
    let mut complain = |error: &CheckpointError| panic!("{error}");
    let manifest = checkpoint::load_newest(
        &order.checkpoints,
        &learner.flat,
        learner.update.state(),
        &mut complain,
    );
    let manifest = manifest.unwrap().expect("a finished segment has a checkpoint");
    assert_eq!(manifest.step, order.segment.end);
    manifest.digest
}

/// What there is beside a segment's checkpoints, and these.
fn left(order: &Order) -> Vec<String> {
    let entries = std::fs::read_dir(&order.checkpoints).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_finished(seen: &Seen, steps: u64) {
    match &seen.last {
        Ok(TrainerEvent::Finished { spent, .. }) => assert_eq!(spent.steps, steps),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_interrupted_segment_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        for stop_after in [1, 7, 13, 29] {
            let mut recipe = recipe();
            recipe.train.precision = precision;
            recipe.eval.every = Some(stop_after);
            let name = |kind: &str| format!("{kind}-{stop_after}-{precision:?}");
            let whole = order(
                folder.path(),
                &name("whole"),
                None,
                SegmentKind::Trunk,
                (0, 30),
                recipe.clone(),
            );
            assert_finished(&execute(&whole, None), 30);

            let parts =
                order(folder.path(), &name("parts"), None, SegmentKind::Trunk, (0, 30), recipe);
            let first = execute(&parts, Some(r#""event":"evaluated""#));
            assert!(
                matches!(first.last, Ok(TrainerEvent::Interrupted { step, .. }) if step == stop_after)
            );
            assert_finished(&execute(&parts, None), 30 - stop_after);
            assert_eq!(digest(&whole), digest(&parts), "{precision:?}, stopped after {stop_after}");
        }
    }
}

/// The largest difference between the tensors that two finished orders left.
fn largest_difference(left: &Order, right: &Order) -> f64 {
    let parameters = |order: &Order| {
        let layout =
            Flat::new(&models::initial(&order.segment.recipe.model, 0), &|_| 1.0, Device::Cpu);
        checkpoint::load_parameters(&order.checkpoints, &layout.spans, order.segment.end).unwrap()
    };
    let pairs = parameters(left).into_iter().zip(parameters(right));
    pairs
        .map(|(left, right)| (left.tensor - right.tensor).abs().max().double_value(&[]))
        .fold(0.0, f64::max)
}

#[test]
fn smaller_passes_give_the_same_numbers_to_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let order = |name: &str, micro_batch| Order {
        micro_batch,
        ..order(folder.path(), name, None, SegmentKind::Trunk, (0, 20), recipe())
    };
    let whole = order("whole", None);
    assert_finished(&execute(&whole, None), 20);
    for micro in [4, 1] {
        let parts = order(&format!("parts-{micro}"), Some(micro));
        assert_finished(&execute(&parts, None), 20);
        let difference = largest_difference(&whole, &parts);
        assert!(0.0 < difference && difference < 1e-3, "{micro}: {difference:e}");
    }
    let unlimited = order("unlimited", Some(1 << 20));
    assert_finished(&execute(&unlimited, None), 20);
    assert_eq!(digest(&whole), digest(&unlimited), "no larger than the batch");
}

#[test]
fn passes_of_every_kind_are_as_small_as_memory_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut order = order(folder.path(), "any", None, SegmentKind::Trunk, (0, 20), recipe());
    let micro = |order: &Order, batch: u32, own: Option<u32>| {
        let mut recipe = recipe();
        (recipe.train.batch, recipe.train.micro_batch) = (batch, own);
        training(order, recipe).segment.recipe.train.micro_batch
    };
    assert_eq!((micro(&order, 8, Some(4)), pass_size(&order)), (Some(4), BATCH));
    order.micro_batch = Some(6);
    let found = [micro(&order, 8, None), micro(&order, 8, Some(4)), micro(&order, 2, None)];
    assert_eq!((found, pass_size(&order)), ([Some(6), Some(4), Some(2)], 6));
}

/// Every optimiser in turn.
fn optimisers() -> Vec<spec::Optimiser> {
    use spec::{Adafactor, AdamW, Moment, Optimiser, Sgd};
    vec![
        Optimiser::Adamw(AdamW::default()),
        Optimiser::Adamw(AdamW { first_moment: Moment::Bf16, ..AdamW::default() }),
        Optimiser::Adafactor(Adafactor { min_dim: 8, ..Adafactor::default() }),
        Optimiser::Adafactor(Adafactor { first_moment: Moment::F32, ..Adafactor::default() }),
        Optimiser::Sgd(Sgd::default()),
        Optimiser::Sgd(Sgd { nesterov: true, first_moment: Moment::Bf16, ..Sgd::default() }),
    ]
}

fn objectives() -> [spec::Objective; 3] {
    [
        spec::Objective::Softmax { label_smoothing: 0.1 },
        spec::Objective::Sigmoid { head_bias: -3.0, label_smoothing: 0.0 },
        spec::Objective::MaskedPatch { share: 0.5 },
    ]
}

/// A recipe with every source of randomness: dropout, stochastic depth, mixup or corrupted patches.
fn noisy(optimiser: &spec::Optimiser, objective: spec::Objective) -> Recipe {
    let mut recipe = recipe();
    let spec::ModelSpec::Vit(vit) = &mut recipe.model else { panic!("a vit") };
    (vit.dropout, vit.drop_path, vit.shape.shape.depth) = (0.1, 0.2, 2);
    (recipe.train.optimiser, recipe.train.objective) = (optimiser.clone(), objective);
    recipe.train.polyak = Some(0.9);
    recipe.train.micro_batch = Some(4);
    match objective {
        spec::Objective::MaskedPatch { .. } => {
            (vit.pool, vit.mask_token, vit.classes) = (spec::Pool::None, true, 512);
        }
        spec::Objective::Softmax { .. } | spec::Objective::Sigmoid { .. } => {
            recipe.train.mixup = 0.5;
        }
    }
    recipe
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4))]
    #[test]
    fn every_optimiser_and_objective_continues_bit_for_bit(stop_after in 1_u64..12) {
        let folder = tempfile::tempdir().unwrap();
        for (number, optimiser) in optimisers().iter().enumerate() {
            for objective in objectives() {
                let mut recipe = noisy(optimiser, objective);
                recipe.eval.every = Some(stop_after);
                let name = |kind: &str| format!("{kind}-{number}-{objective:?}");
                let order = |kind: &str| {
                    order(folder.path(), &name(kind), None, SegmentKind::Trunk, (0, 12), recipe.clone())
                };
                let (whole, parts) = (order("whole"), order("parts"));
                assert_finished(&execute(&whole, None), 12);
                let first = execute(&parts, Some(r#""event":"evaluated""#));
                let is_cut = matches!(first.last, Ok(TrainerEvent::Interrupted { step, .. }) if step == stop_after);
                proptest::prop_assert!(is_cut, "{:?}", first.last);
                assert_finished(&execute(&parts, None), 12 - stop_after);
                proptest::prop_assert_eq!(digest(&whole), digest(&parts), "{:?}, {:?}", optimiser, objective);
            }
        }
    }
}

#[test]
fn a_cooldown_branched_from_a_trunk_is_the_trial_trained_alone() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 20), recipe());
    let further =
        order(folder.path(), "further", Some("trunk"), SegmentKind::Trunk, (20, 28), recipe());
    let cooldown = order(
        folder.path(),
        "cooldown",
        Some("further"),
        SegmentKind::Cooldown,
        (28, 35),
        recipe(),
    );
    for order in [&trunk, &further, &cooldown] {
        assert_finished(&execute(order, None), order.segment.steps());
    }

    let mut kept = None;
    let recipe = recipe();
    let examples = opened(&mut kept, &recipe, &trunk.cache);
    let mut feed = Feed::start(examples, &recipe, 0..35, Device::Cpu);
    let mut alone = Learner::new(&recipe, Device::Cpu).unwrap();
    for step in 0..35 {
        let segment = if step < 28 { &trunk.segment } else { &cooldown.segment };
        alone.step(&feed.batch(step).unwrap(), step, segment.learning_rate(step)).unwrap();
    }
    let branched = Learner::new(&recipe, Device::Cpu).unwrap();
    let state = branched.update.state();
    checkpoint::load_parent(&cooldown.checkpoints, &branched.flat, state, 35).unwrap();
    assert!(alone.flat.params.equal(&branched.flat.params));
    for ((name, alone), (_, branched)) in alone.update.state().iter().zip(branched.update.state()) {
        assert!(alone.equal(branched), "{name}");
    }
    assert!(!alone.flat.params.equal(&Learner::new(&recipe, Device::Cpu).unwrap().flat.params));
}

#[test]
fn divergence_is_a_result_with_its_step_and_leaves_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.train.learning_rate = 1e38;
    recipe.train.schedule.warmup = 0;
    let order = order(folder.path(), "wild", None, SegmentKind::Trunk, (0, 200), recipe);
    let seen = execute(&order, None);
    // The first update breaks the parameters; the loss of the step after it shows that.
    assert!(matches!(seen.last, Ok(TrainerEvent::Diverged { step: 1, .. })), "{:?}", seen.last);
    assert_eq!(left(&order), ["fence"]);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_parents_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe());
    let cooldown =
        order(folder.path(), "cooldown", Some("trunk"), SegmentKind::Cooldown, (6, 12), recipe());
    execute(&trunk, None);
    execute(&cooldown, None);
    let expected = digest(&cooldown);
    let file = damage(&cooldown.checkpoints.join("step-00000012"));
    let again = execute(&cooldown, None);
    assert_finished(&again, 6);
    assert_eq!(again.log.len(), 1);
    assert!(again.log[0].contains(file.to_str().unwrap()), "{:?}", again.log);
    assert_eq!(digest(&cooldown), expected);
}

#[test]
fn a_damaged_parent_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe());
    let cooldown =
        order(folder.path(), "cooldown", Some("trunk"), SegmentKind::Cooldown, (6, 12), recipe());
    let missing = execute(&cooldown, None).last.unwrap_err();
    assert!(missing.to_string().contains("step 6"), "{missing}");
    assert_eq!(kind(&missing), Failure::ParentCheckpoint);
    execute(&trunk, None);
    let file = damage(&trunk.checkpoints.join("step-00000006"));
    let damaged = execute(&cooldown, None).last.unwrap_err();
    assert!(damaged.to_string().contains(file.to_str().unwrap()), "{damaged}");
    assert_eq!(kind(&damaged), Failure::ParentCheckpoint);
    assert!(!trunk.checkpoints.join("step-00000006").exists(), "it is out of the way");
    execute(&trunk, None);
    assert_finished(&execute(&cooldown, None), 6);
}

fn kind(error: &SegmentError) -> Failure {
    match failed(error) {
        TrainerEvent::Failed { failure, .. } => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attempt_that_was_replaced_trains_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe());
    let second = Order { attempt: 2, ..first.clone() };
    assert_finished(&execute(&second, None), 6);
    let replaced = execute(&first, None).last.unwrap_err();
    assert_eq!(kind(&replaced), Failure::Replaced, "{replaced}");
    assert_eq!(left(&first), ["fence", "step-00000006"]);
}

#[test]
fn an_attempt_that_is_replaced_while_it_trains_does_not_save() {
    let folder = tempfile::tempdir().unwrap();
    let first = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 60), recipe());
    let second = Fence { attempt: 2, ..Fence::of(&first) };
    let act = |_: &Stop| second.hold().unwrap();
    let replaced = execute_and(&mut None, &first, Some(r#""event":"progress""#), &act);
    assert_eq!(kind(&replaced.last.unwrap_err()), Failure::Replaced);
    assert_eq!(left(&first), ["fence"]);
}

#[test]
fn a_paused_attempt_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        let mut recipe = recipe();
        recipe.eval.every = Some(7);
        order(folder.path(), name, None, SegmentKind::Trunk, (0, 30), recipe)
    };
    let (whole, parts) = (of("whole"), of("parts"));
    assert_finished(&execute(&whole, None), 30);
    let at = Some(r#""event":"evaluated""#);
    let last = execute_and(&mut None, &parts, at, &Stop::request_pause).last.unwrap();
    assert!(matches!(last, TrainerEvent::Paused { step: 7, .. }), "{last:?}");
    assert_finished(&execute(&parts, None), 23);
    assert_eq!(digest(&whole), digest(&parts));
}

/// Changes one byte in the middle of the tensors.
fn damage(checkpoint: &Path) -> std::path::PathBuf {
    let file = checkpoint.join("tensors.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_finished_segment_is_finished_again_without_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe());
    execute(&order, None);
    let (expected, checkpoint) = (digest(&order), order.checkpoints.join("step-00000006"));
    let identity = |path: &Path| std::fs::metadata(path).unwrap().ino();
    let before = identity(&checkpoint);
    // What a trainer leaves that is killed right after its last checkpoint got its name.
    std::fs::create_dir(order.checkpoints.join("step-00000003")).unwrap();

    let again = execute(&order, None);
    assert_finished(&again, 0);
    let told = format!(r#""event":"checkpointed","step":6,"digest":"{expected}""#);
    assert!(again.text.contains(&told), "{}", again.text);
    assert!(again.text.contains(r#""event":"evaluated","step":6"#), "{}", again.text);
    assert_eq!(identity(&checkpoint), before, "the good checkpoint stays as it is");
    assert_eq!(left(&order), ["fence", "step-00000006"]);
}

#[test]
fn a_stop_while_examples_are_prepared_interrupts_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    // Hours of rendering.
    recipe.unique_examples = 1 << 28;
    recipe.eval.examples = 1 << 28;
    let order = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe);
    let stop = Stop::default();
    let mut out = Output { text: String::new(), stop: stop.clone(), at: None, act: &Stop::request };
    let mut record = Record::open(&order, &mut out).unwrap();
    let asked = std::thread::spawn({
        let stop = stop.clone();
        move || {
            std::thread::sleep(Duration::from_millis(200));
            stop.request();
            Instant::now()
        }
    });
    let mut log = |text: &str| panic!("{text}");
    let last = train_segment(&order, &mut None, Device::Cpu, &stop, &mut record, &mut log).unwrap();
    assert!(asked.join().unwrap().elapsed() < Duration::from_secs(1));
    assert_eq!(last, TrainerEvent::Interrupted { step: 0, spent: Spent::default() });
    assert_eq!(left(&order), ["fence"]);
    let left = std::fs::read_dir(&order.cache).unwrap().map(|entry| entry.unwrap().path());
    assert!(left.into_iter().all(|path| path.extension().is_none()), "a lock and no cache");
}

/// One grey pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\
    \0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
    \0\0\0\x0cIDATx\xdachhh\0\0\x03\x04\x01\x81u.\x01\xbc\
    \0\0\0\0IEND\xaeB`\x82";

/// An image folder in which one class has a train image that is no image.
fn photographs(folder: &Path, resolution: u32) -> spec::DataSpec {
    for class in ["a", "b", "c", "d"] {
        for split in ["train", "val"] {
            std::fs::create_dir_all(folder.join(split).join(class)).unwrap();
            for number in 0..4 {
                let image = folder.join(split).join(class).join(format!("{number}.png"));
                std::fs::write(image, PNG).unwrap();
            }
        }
    }
    std::fs::write(folder.join("train/a/2.png"), "no image").unwrap();
    spec::DataSpec::ImageFolder(spec::ImageFolderSpec {
        path: folder.to_owned(),
        resolution,
        on_corrupt: spec::OnCorrupt::Skip,
    })
}

#[test]
fn skipped_images_are_told_with_their_stream_and_from_an_old_cache_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.data = photographs(&folder.path().join("data"), recipe.model.resolution());
    (recipe.unique_examples, recipe.eval.examples) = (16, 16);
    recipe.train.batch = 16;
    let order = |name| order(folder.path(), name, None, SegmentKind::Trunk, (0, 2), recipe.clone());
    let told = ["skipped 1 corrupt image of the train stream; others stand in their places"];
    let mut kept = None;
    for name in ["first", "second"] {
        kept = None;
        let seen = execute_warm(&mut kept, &order(name), None);
        assert_finished(&seen, 2);
        assert_eq!(seen.log, told);
    }
    assert!(execute_warm(&mut kept, &order("warm"), None).log.is_empty(), "once per opening");

    // A set too large for memory is known only after it was read.
    let examples = kept.as_mut().unwrap();
    (examples.source, examples.train) = (data::open(&recipe.data).unwrap().into(), None);
    assert_eq!(execute_warm(&mut kept, &order("streamed"), None).log, told);
}

#[test]
fn events_come_in_order_and_at_the_steps_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.eval.every = Some(40);
    let order = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 90), recipe);
    let seen = execute(&order, None);
    let written: Vec<_> = std::fs::read_to_string(order.attempt_dir.join("events.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", value["event"]["event"].as_str().unwrap(), value["event"]["step"])
        })
        .collect();
    let expected = [
        "started 0",
        "progress 40",
        "evaluated 40",
        "progress 50",
        "progress 80",
        "evaluated 80",
        "progress 90",
        "evaluated 90",
        "checkpointed 90",
    ];
    assert_eq!(written, expected);
    assert_eq!(seen.text.lines().count(), expected.len());
}

#[test]
fn the_loss_falls_on_the_procedural_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = test_support::recipe(0);
    recipe.train.learning_rate = 5e-3;
    recipe.eval.examples = 512;
    recipe.unique_examples = 2048;
    recipe.train.batch = 32;
    let cache = folder.path().join("cache");
    let mut kept = None;
    let examples = opened(&mut kept, &recipe, &cache);
    let mut learner = Learner::new(&recipe, Device::Cpu).unwrap();
    let mut feed = Feed::start(examples, &recipe, 0..400, Device::Cpu);
    let before = evaluate(&learner, &examples.validation, BATCH, false).unwrap();
    for step in 0..400 {
        learner.step(&feed.batch(step).unwrap(), step, 5e-3).unwrap();
    }
    let after = evaluate(&learner, &examples.validation, BATCH, false).unwrap();
    assert!(
        (before["val_loss"] - 4f64.ln()).abs() < 1e-6,
        "an untrained model knows nothing: {before:?}"
    );
    assert!(after["val_loss"] < 0.95 * before["val_loss"], "{before:?} to {after:?}");
    assert!(after["val_error"] < before["val_error"] - 0.05, "{before:?} to {after:?}");
}

#[test]
fn evaluation_is_the_mean_over_all_examples() {
    // 300 is more than one batch and no multiple of it.
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.eval.examples = 300;
    let mut kept = None;
    let examples = opened(&mut kept, &recipe, folder.path());
    let learner = Learner::new(&recipe, Device::Cpu).unwrap();
    let mut params = learner.flat.params.shallow_clone();
    // The classifier starts at zero, and would hide what the rest does.
    params.copy_(&(params.ones_like().cumsum(0, Kind::Float) * 0.7).sin());
    let metrics = evaluate(&learner, &examples.validation, BATCH, false).unwrap();
    let pixels =
        Tensor::from_data_size(examples.validation.pixels(), &[300, 3, 32, 32], Kind::Uint8);
    let images = crate::feed::images(&pixels);
    let labels = crate::examples::labels(examples.validation.labels());
    let (logits, _) = learner.evaluated().unwrap().logits(&images, labels.copy(), 0, None).unwrap();
    let log_likelihood = logits.log_softmax(1, Kind::Double).gather(1, &labels.unsqueeze(1), false);
    let loss = -log_likelihood.mean(Kind::Double).double_value(&[]);
    let right = logits
        .argmax(1, false)
        .eq_tensor(&labels)
        .to_kind(Kind::Double)
        .mean(Kind::Double)
        .double_value(&[]);
    assert!((metrics["val_loss"] - loss).abs() < 1e-5, "{metrics:?}, not {loss}");
    assert!((metrics["val_error"] - (1.0 - right)).abs() < 1e-12);
}

/// A task over classes that [`recipe`] does not train on, at a resolution of its own.
fn transfer(method: spec::TransferMethod, resolution: u32) -> spec::TransferSpec {
    let spec::DataSpec::Procedural(data) = test_support::recipe(0).data else {
        panic!("procedural")
    };
    spec::TransferSpec {
        name: Some("held-out".into()),
        data: spec::DataSpec::Procedural(spec::ProceduralSpec {
            first_class: 4,
            resolution,
            ..data
        }),
        classes: 4,
        examples: 300,
        method,
    }
}

fn evaluation(folder: &Path, name: &str, transfer: spec::TransferSpec, recipe: Recipe) -> Order {
    let steps = (6, 6 + transfer.steps());
    let mut order = order(folder, name, Some("trunk"), SegmentKind::Transfer, steps, recipe);
    order.segment.transfer = Some(transfer);
    order
}

fn fine_tune() -> spec::TransferMethod {
    spec::TransferMethod::FineTune(spec::FineTune {
        unique_examples: 64,
        steps: 10,
        batch: 16,
        learning_rate: 0.03,
        warmup: 2,
        resample: spec::Resample::Bilinear,
    })
}

/// The metrics that an order measured, by name.
fn measured(seen: &Seen) -> std::collections::BTreeMap<String, f64> {
    let mut metrics = seen.text.lines().filter_map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        serde_json::from_value(value["event"]["metrics"].clone()).ok()
    });
    metrics.next_back().expect("something was measured")
}

#[test]
fn a_checkpoint_is_evaluated_on_other_tasks() {
    let folder = tempfile::tempdir().unwrap();
    for objective in objectives() {
        let name = format!("{objective:?}");
        let folder = folder.path().join(&name);
        let recipe = noisy(&optimisers()[0], objective);
        let trunk = order(&folder, "trunk", None, SegmentKind::Trunk, (0, 6), recipe.clone());
        assert_finished(&execute(&trunk, None), 6);
        let few = spec::TransferMethod::FewShot(spec::FewShot {
            shots: vec![1, 5],
            draws: 2,
            l2: 1024.0,
            pool: 256,
        });
        let probe = spec::TransferMethod::LinearProbe(spec::LinearProbe {
            unique_examples: 128,
            steps: 20,
            batch: 16,
            learning_rate: 0.1,
        });
        for (method, names, steps) in [
            (few, vec!["held_out_few_shot_1_error", "held_out_few_shot_5_error"], 0),
            (probe, vec!["held_out_linear_probe_error", "held_out_linear_probe_loss"], 0),
            (fine_tune(), vec!["held_out_fine_tune_error", "held_out_fine_tune_loss"], 10),
        ] {
            let order = evaluation(&folder, names[0], transfer(method, 48), recipe.clone());
            let seen = execute(&order, None);
            assert_finished(&seen, steps);
            let metrics = measured(&seen);
            assert_eq!(metrics.keys().collect::<Vec<_>>(), names, "{name}");
            assert!(metrics[names[0]] > 0.0 && metrics[names[0]] < 1.0, "{name}: {metrics:?}");
        }
    }
}

#[test]
fn fine_tuning_continues_bit_for_bit_and_begins_with_the_trials_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe();
    let trunk = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe.clone());
    execute(&trunk, None);
    let tuned =
        |name: &str| evaluation(folder.path(), name, transfer(fine_tune(), 32), recipe.clone());
    let file = |order: &Order| {
        let path = order.checkpoints.join("step-00000016/tensors.safetensors");
        std::fs::read(path).unwrap()
    };
    let (whole, parts) = (tuned("whole"), tuned("parts"));
    assert_finished(&execute(&whole, None), 10);
    let first = execute(&parts, Some(r#""event":"started""#));
    assert!(
        matches!(first.last, Ok(TrainerEvent::Interrupted { step: 6, .. })),
        "{:?}",
        first.last
    );
    assert_finished(&execute(&parts, None), 10);
    assert!(file(&whole) == file(&parts));

    let other = tuned("other");
    let Some(spec::TransferSpec { method: spec::TransferMethod::FineTune(tune), .. }) =
        &other.segment.transfer
    else {
        panic!("fine-tuning")
    };
    let transfer = other.segment.transfer.as_ref().unwrap();
    let parameters = || models::initial(&recipe.model, 99);
    let initial = transfer::initial(&transfer::recipe(transfer, tune, &recipe), tune, parameters());
    for (initial, given) in initial.iter().zip(parameters()) {
        assert_eq!(initial.name, given.name);
        let is_head = initial.name.starts_with("head.");
        assert!(is_head || initial.tensor.equal(&given.tensor), "{}", initial.name);
    }
}

#[test]
fn a_task_with_too_few_examples_of_a_class_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe());
    execute(&trunk, None);
    let few = spec::FewShot { shots: vec![25], draws: 1, l2: 1.0, pool: 32 };
    let method = spec::TransferMethod::FewShot(few);
    let order = evaluation(folder.path(), "few", transfer(method, 32), recipe());
    let error = execute(&order, None).last.unwrap_err().to_string();
    assert!(error.contains("25 shots") && error.contains("pool"), "{error}");
}

#[test]
fn attention_is_measured_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe();
    recipe.eval.attention = true;
    let order = order(folder.path(), "trunk", None, SegmentKind::Trunk, (0, 6), recipe);
    let metrics = measured(&execute(&order, None));
    let names: Vec<_> = metrics.keys().map(String::as_str).collect();
    let expected = [
        "attention_entropy",
        "attention_entropy_00",
        "attention_logit_max",
        "attention_logit_max_00",
        "val_error",
        "val_loss",
    ];
    assert_eq!(names, expected);
}

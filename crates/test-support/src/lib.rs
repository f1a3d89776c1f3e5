//! What tests share: small valid specs, a known law, and the places of built programs.

mod cluster;

use std::path::PathBuf;
use std::sync::Arc;

pub use cluster::Cluster;

use spec::{
    AdamW, Augmentation, DataSpec, Decay, EvalSpec, FORMAT, FewShot, FineTune, ModelSpec,
    NamedShape, Objective, Optimiser, Precision, ProceduralSpec, Recipe, Resample, Schedule, Shape,
    TrainSpec, TransferMethod, TransferSpec, TrialSpec, VitSpec, WeightDecay,
};

/// A tiny procedural recipe: 8 wide, 1 deep, 4 classes, batch 8, constant rate, warm-up of 0.
pub fn recipe(seed: u64) -> Recipe {
    let shape = NamedShape::spelt_out(Shape { width: 8, depth: 1, mlp: 32, heads: 1 });
    Recipe {
        format: FORMAT,
        data: DataSpec::Procedural(ProceduralSpec {
            resolution: 32,
            classes: 4,
            first_class: 0,
            difficulty: 1.0,
            seed: 0,
        }),
        unique_examples: 64,
        model: ModelSpec::Vit(VitSpec::new(shape, 16, 32, 4)),
        train: TrainSpec {
            batch: 8,
            micro_batch: None,
            checkpoint_activations: false,
            objective: Objective::default(),
            mixup: 0.0,
            optimiser: Optimiser::Adamw(AdamW::default()),
            learning_rate: 1e-3,
            weight_decay: WeightDecay::NONE,
            clip: Some(1.0),
            polyak: None,
            schedule: Schedule { decay: Decay::Constant, warmup: 0 },
            augmentation: Augmentation::default(),
            precision: Precision::F32,
        },
        eval: EvalSpec { examples: 64, every: None, attention: false },
        seed,
    }
}

/// A trial of [`recipe`].
pub fn trial(seed: u64, steps: u64, cooldown: u64) -> TrialSpec {
    TrialSpec { recipe: Arc::new(recipe(seed)), steps, cooldown }
}

/// Evaluation of a trial of [`recipe`] by few shots, on classes behind those that it is trained on.
pub fn few_shot(shots: &[u32]) -> TransferSpec {
    let shots = shots.to_vec();
    transfer(TransferMethod::FewShot(FewShot { shots, draws: 1, l2: 1024.0, pool: 128 }))
}

/// As [`few_shot`], by fine-tuning for some steps.
pub fn fine_tune(steps: u64) -> TransferSpec {
    transfer(TransferMethod::FineTune(FineTune {
        unique_examples: 64,
        steps,
        batch: 8,
        learning_rate: 1e-2,
        warmup: 0,
        resample: Resample::default(),
    }))
}

fn transfer(method: TransferMethod) -> TransferSpec {
    let data = DataSpec::Procedural(ProceduralSpec {
        resolution: 32,
        classes: 4,
        first_class: 4,
        difficulty: 1.0,
        seed: 0,
    });
    TransferSpec { name: None, data, classes: 4, examples: 64, method }
}

/// The error that a fake trainer reports: `0.1 + 50 C^-0.2`, a saturating power law of the training
/// FLOPs, with a wiggle of at most 1% that depends on the seed alone.
pub fn known_error(train_flops: f64, seed: u64) -> f64 {
    let wiggle = (seed as f64 * 2.399).sin() * 0.01;
    (0.1 + 50.0 * train_flops.powf(-0.2)) * (1.0 + wiggle)
}

/// A program of this workspace, built into the folder that the calling test was built into.
///
/// # Panics
/// It has not been built: tests that start other programs are started by `make test`, which builds
/// them all first.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder =
        test.parent().and_then(|deps| deps.parent()).expect("tests are built into target/*/deps");
    let path = folder.join(name);
    assert!(path.exists(), "`{}` is not built; use `make test`", path.display());
    path
}

/// What a sweep found, whatever happened on the way: nothing of it may depend on when, how often, in
/// which order or where segments were executed.
pub const RESULTS: [&str; 3] = [
    "select trial_id, state, val_loss, val_error, params, steps, train_flops
     from trial_result order by trial_id",
    "select segment_id, metric, step, value from measurement
     where metric like 'val_%' or metric like 'few_shot_%' order by segment_id, metric, step",
    "select segment_id, state, end_step, checkpoint_step, checkpoint_digest
     from segment order by segment_id",
];

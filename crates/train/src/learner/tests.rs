use spec::{Optimiser, Sgd};
use tch::Kind;

use super::*;

const BATCH: i64 = 8;

/// Numbers in [-1, 1] without a pattern; libtorch's generator is one for all tests.
fn scattered(size: &[i64], seed: f64) -> Tensor {
    let count: i64 = size.iter().product();
    let i = Tensor::arange(count, (Kind::Double, Device::Cpu)) + 1.0;
    ((i.square() * 0.37).remainder(1009.0) + seed).sin().view(size)
}

/// Images and labels that depend on nothing else.
fn batch(kind: Kind) -> Batch {
    Batch {
        images: scattered(&[BATCH, 3, 32, 32], 0.0).to_kind(kind),
        labels: Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)).remainder(4),
        draws: (0..BATCH as u64).map(|index| Draw { index, epoch: 0 }).collect(),
    }
}

/// A recipe over any family, trained by SGD: one step's change of the parameters is its gradient.
fn recipe(model: &serde_json::Value, objective: Objective) -> Recipe {
    let mut recipe = test_support::recipe(3);
    recipe.model = spec::model_from_json("test", &model.to_string()).unwrap();
    recipe.train.objective = objective;
    recipe.train.optimiser = Optimiser::Sgd(Sgd { momentum: 0.0, ..Sgd::default() });
    recipe.train.clip = None;
    recipe
}

fn vit(options: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let mut spec = serde_json::json!({
        "family": "vit", "patch": 8, "resolution": 32, "classes": 4,
        "shape": { "width": 16, "depth": 3, "mlp": 32, "heads": 2 },
    });
    for (key, value) in options {
        spec[*key] = value.clone();
    }
    spec
}

fn families() -> Vec<serde_json::Value> {
    let noisy = [("dropout", 0.2.into()), ("drop_path", 0.3.into())];
    let mut parallel = noisy.to_vec();
    parallel.extend([
        ("block", "parallel".into()),
        ("qk_norm", true.into()),
        ("pool", "map".into()),
    ]);
    vec![
        vit(&noisy),
        vit(&parallel),
        serde_json::json!({
            "family": "hybrid", "resolution": 32, "classes": 4, "stem": { "layers": [1], "width": 4, "groups": 2 },
            "shape": { "width": 16, "depth": 1, "mlp": 32, "heads": 2 }, "patch": 2,
        }),
        serde_json::json!({
            "family": "bit", "resolution": 32, "classes": 4, "groups": 2,
            "shape": { "layers": [1, 2], "width": 4 },
        }),
        serde_json::json!({
            "family": "mixer", "patch": 8, "resolution": 32, "classes": 4, "drop_path": 0.3,
            "shape": { "width": 12, "depth": 2, "mlp": 24, "tokens": 8 },
        }),
    ]
}

/// Parameters that are nowhere zero, in f64: classifiers that start at zero hide errors.
fn learner(recipe: &Recipe) -> Learner {
    let mut parameters = models::initial(&recipe.model, 5);
    for (number, parameter) in parameters.iter_mut().enumerate() {
        let noise = scattered(&parameter.tensor.size(), number as f64) * 0.05;
        parameter.tensor = parameter.tensor.to_kind(Kind::Double) + noise;
    }
    Learner::of(&recipe.model, &recipe.train, recipe.seed, &parameters, Device::Cpu).unwrap()
}

/// Loss, norm and parameters after one step.
fn stepped(recipe: &Recipe) -> (f64, f64, Tensor) {
    let mut learner = learner(recipe);
    let measured = learner.step(&batch(Kind::Double), 2, 0.1).unwrap();
    let scalar = |tensor: &Tensor| tensor.double_value(&[]);
    (scalar(&measured.loss), scalar(&measured.gradient_norm), learner.flat.params.copy())
}

fn assert_equal(left: &Recipe, right: &Recipe) {
    let ((loss, norm, params), (other_loss, other_norm, other_params)) =
        (stepped(left), stepped(right));
    let what = &left.model;
    assert!((loss - other_loss).abs() < 1e-12, "{what:?}: {loss} and {other_loss}");
    assert!((norm - other_norm).abs() < 1e-11 * norm, "{what:?}: {norm} and {other_norm}");
    let error = (params - other_params).abs().max().double_value(&[]);
    assert!(error < 1e-12, "{what:?}: {error:e}");
}

fn objectives() -> Vec<Objective> {
    vec![
        Objective::Softmax { label_smoothing: 0.1 },
        Objective::Sigmoid { head_bias: -2.0, label_smoothing: 0.1 },
    ]
}

#[test]
fn gradients_of_parts_add_up_to_those_of_the_batch() {
    for model in families() {
        for objective in objectives() {
            let mut whole = recipe(&model, objective);
            whole.train.mixup = 0.4;
            for micro in [1, 2, 4] {
                let mut parts = whole.clone();
                parts.train.micro_batch = Some(micro);
                assert_equal(&whole, &parts);
            }
        }
    }
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    for model in families() {
        for objective in objectives() {
            let kept = recipe(&model, objective);
            let mut recomputed = kept.clone();
            recomputed.train.checkpoint_activations = true;
            assert_equal(&kept, &recomputed);
            recomputed.train.micro_batch = Some(2);
            assert_equal(&kept, &recomputed);
        }
    }
}

#[test]
fn masked_patches_may_be_split_and_recomputed_too() {
    let mut model = vit(&[("pool", "none".into()), ("dropout", 0.1.into())]);
    model["classes"] = Objective::COLOURS.into();
    let mut whole = recipe(&model, Objective::MaskedPatch { share: 0.4 });
    let ModelSpec::Vit(vit) = &mut whole.model else { panic!("a vit") };
    vit.mask_token = true;
    let mut parts = whole.clone();
    (parts.train.micro_batch, parts.train.checkpoint_activations) = (Some(2), true);
    assert_equal(&whole, &parts);
}

/// Central differences of the loss along random directions.
#[test]
fn gradients_are_those_of_the_loss() {
    for model in families() {
        for objective in objectives() {
            let recipe = recipe(&model, objective);
            let (_, _, after) = stepped(&recipe);
            let base = learner(&recipe);
            let gradient = (&base.flat.params - after) / 0.1;
            let direction = scattered(&gradient.size(), 0.5);
            let loss_at = |h: f64| {
                let mut moved = learner(&recipe);
                let _ = moved.flat.params.shallow_clone().g_add_(&(&direction * h));
                moved.step(&batch(Kind::Double), 2, 0.1).unwrap().loss.double_value(&[])
            };
            // So small that hardly a rectifier switches between the two sides.
            let h = 1e-7;
            let slope = (loss_at(h) - loss_at(-h)) / (2.0 * h);
            let expected = (gradient * &direction).sum(Kind::Double).double_value(&[]);
            let scale = slope.abs().max(1.0);
            assert!((slope - expected).abs() < 1e-6 * scale, "{model}: {slope} and {expected}");
        }
    }
}

#[test]
fn noise_depends_on_the_step_and_on_nothing_before_it() {
    let recipe = recipe(&families()[0], Objective::default());
    let loss_at = |step: u64| {
        learner(&recipe).step(&batch(Kind::Double), step, 0.1).unwrap().loss.double_value(&[])
    };
    assert_eq!(loss_at(4), loss_at(4));
    assert_ne!(loss_at(4), loss_at(5));
}

#[test]
fn sigmoid_starts_with_the_classifiers_bias() {
    for model in families() {
        let recipe = recipe(&model, Objective::Sigmoid { head_bias: -7.0, label_smoothing: 0.0 });
        let learner = Learner::new(&recipe, Device::Cpu).unwrap();
        let views = learner.flat.views(&learner.flat.params);
        let is_bias = |p: &&Parameter| p.is_head() && p.name.ends_with(".bias");
        let bias = views.iter().find(is_bias).unwrap();
        assert_eq!(bias.tensor.mean(Kind::Float).double_value(&[]), -7.0);
    }
}

#[test]
fn the_average_is_what_is_evaluated() {
    let mut averaged = recipe(&families()[3], Objective::default());
    averaged.train.polyak = Some(0.0);
    let mut still = averaged.clone();
    still.train.polyak = Some(0.999_999);
    let logits = |recipe: &Recipe, steps: u64| {
        let mut learner = learner(recipe);
        for step in 0..steps {
            learner.step(&batch(Kind::Double), step, 0.5).unwrap();
        }
        let batch = batch(Kind::Double);
        learner.evaluated().unwrap().logits(&batch.images, batch.labels, 0, None).unwrap().0
    };
    assert!(!logits(&averaged, 5).allclose(&logits(&averaged, 0), 1e-3, 1e-3, false));
    assert!(logits(&still, 5).allclose(&logits(&averaged, 0), 1e-3, 1e-3, false));
}

const WIDTHS: [u32; 4] = [32, 64, 128, 256];

/// Mean size of what each block puts out after ten steps at one rate, for a model of this width.
fn sizes(width: u32, mup: bool) -> Vec<f64> {
    let shape =
        serde_json::json!({ "width": width, "depth": 2, "mlp": 4 * width, "heads": width / 16 });
    let mut model = vit(&[("shape", shape)]);
    if mup {
        model["mup"] = serde_json::json!({ "base_width": WIDTHS[0], "base_head": 16 });
    }
    let mut recipe = recipe(&model, Objective::default());
    recipe.train.optimiser = Optimiser::Adamw(spec::AdamW::default());
    let mut learner = Learner::new(&recipe, Device::Cpu).unwrap();
    let batch = batch(Kind::Float);
    for step in 0..10 {
        let _measured = learner.step(&batch, step, 1e-2).unwrap();
    }
    let mut x = batch.images.shallow_clone();
    let size = |stage: usize| {
        x = learner.model.stage(stage, &x, &Pass::PLAIN);
        x.abs().mean(Kind::Double).double_value(&[])
    };
    (0..learner.model.n_stages() - 1).map(size).collect()
}

/// The coordinate check of 2203.03466, appendix D.1: under maximal update parametrisation what blocks
/// put out has one size at every width; otherwise it grows with the width.
#[test]
fn mup_keeps_activations_at_one_size_over_widths() {
    let spread = |mup: bool| {
        let all = WIDTHS.map(|width| sizes(width, mup));
        println!("mup {mup}: {all:.3?}");
        let of_stage = |stage: usize| {
            let sizes = all.iter().map(|sizes| sizes[stage]);
            let (low, high) = sizes.fold((f64::MAX, 0.0), |(low, high): (f64, f64), size| {
                (low.min(size), high.max(size))
            });
            high / low
        };
        (0..all[0].len()).map(of_stage).fold(0.0, f64::max)
    };
    let (with, without) = (spread(true), spread(false));
    assert!(with < 1.6, "{with}");
    assert!(without > 3.0 * with, "{without}");
}

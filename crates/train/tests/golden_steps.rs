//! Our training steps against those of torch's AdamW and SGD and of timm's Adafactor. `make parity` makes
//! golden/steps.json anew, and tries random configurations besides: tools/parity/README.md.

#[path = "../../models/tests/golden/formulas.rs"]
mod formulas;

use std::collections::BTreeMap;

use data::Draw;
use models::Parameter;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use train::{Batch, Learner};

#[derive(Deserialize)]
struct Golden {
    steps: u64,
    labels: Vec<i64>,
    models: BTreeMap<String, serde_json::Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    train: serde_json::Value,
    f64: Expected,
}

#[derive(Deserialize)]
struct Expected {
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
    /// By name, a digest of the values after the last step: sum, sum of squares, eight elements.
    parameters: BTreeMap<String, Vec<f64>>,
}

/// What some steps left behind.
struct Found {
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
    parameters: Vec<Parameter>,
}

fn take_steps(golden: &Golden, case: &Case, kind: Kind) -> Found {
    let spec = spec::model_from_json("spec", &golden.models[&case.model].to_string()).unwrap();
    let batch = i64::try_from(golden.labels.len()).unwrap();
    let train =
        spec::train_from_json("train", &case.train.to_string(), u32::try_from(batch).unwrap())
            .unwrap();
    let mut weights = models::initial(&spec, 0);
    weights.sort_by(|a, b| a.name.cmp(&b.name));
    for (n, weight) in weights.iter_mut().enumerate() {
        let shape = weight.tensor.size();
        weight.tensor = formulas::weight(n, &weight.name, &shape).to_kind(kind);
    }
    let mut learner = Learner::of(&spec, &train, 0, &weights, Device::Cpu).unwrap();
    let side = i64::from(spec.resolution());
    let batch = Batch {
        images: formulas::images(batch, side).to_kind(kind),
        labels: Tensor::from_slice(&golden.labels),
        draws: (0..golden.labels.len() as u64).map(|index| Draw { index, epoch: 0 }).collect(),
    };
    let (mut losses, mut gradient_norms) = (Vec::new(), Vec::new());
    for step in 0..golden.steps {
        let rate = train.learning_rate * train.schedule.multiplier(step, golden.steps);
        let measured = learner.step(&batch, step, rate).unwrap();
        losses.push(measured.loss.double_value(&[]));
        gradient_norms.push(measured.gradient_norm.double_value(&[]));
    }
    Found { losses, gradient_norms, parameters: learner.parameters() }
}

/// The largest difference: of losses and norms relative, of parameters absolute (of their sums, for
/// each element).
fn difference(found: &Found, expected: &Expected) -> f64 {
    let relative = |(found, expected): (&f64, &f64)| (found - expected).abs() / expected.abs();
    let losses = found.losses.iter().zip(&expected.losses).map(relative);
    let norms = found.gradient_norms.iter().zip(&expected.gradient_norms).map(relative);
    let parameters = found.parameters.iter().flat_map(|parameter| {
        let count = parameter.tensor.numel() as f64;
        let expected = &expected.parameters[&parameter.name];
        let scales = [count, count].into_iter().chain(std::iter::repeat(1.0));
        let found = formulas::digest(&parameter.tensor);
        assert_eq!(found.len(), expected.len());
        let one = |((found, expected), scale): ((f64, &f64), f64)| (found - expected).abs() / scale;
        found.into_iter().zip(expected).zip(scales).map(one).collect::<Vec<_>>()
    });
    losses.chain(norms).chain(parameters).fold(0.0, f64::max)
}

#[test]
fn every_optimiser_takes_the_references_steps() {
    let golden: Golden = serde_json::from_str(include_str!("golden/steps.json")).unwrap();
    assert!(golden.cases.len() >= 30);
    for case in &golden.cases {
        // A moment in bf16 may round the other way; weight-standardised kernels of this size are
        // ill-conditioned in f32.
        let is_half = case.train.to_string().contains("bf16") || case.name.starts_with("adafactor");
        let is_convolutional = ["bit", "hybrid"].contains(&case.model.as_str());
        let tolerances = [
            (Kind::Double, if is_half { 1e-6 } else { 1e-9 }),
            (Kind::Float, if is_convolutional { 1e-5 } else { 2e-6 }),
        ];
        for (kind, tolerance) in tolerances {
            let error = difference(&take_steps(&golden, case, kind), &case.f64);
            println!("{:45} {kind:?} {error:.1e}", case.name);
            assert!(error < tolerance, "{}, {kind:?}: {error:e}", case.name);
        }
    }
}

//! Our forward passes against timm's. `make parity` makes golden/forward.json anew, tries random
//! configurations besides, and says where the numbers are from: tools/parity/README.md.

#[path = "golden/formulas.rs"]
mod formulas;

use std::collections::BTreeMap;

use models::{Model, Parameter, Pass, initial, resample};
use serde::Deserialize;
use spec::{ModelSpec, Resample};
use tch::{Kind, Tensor};

#[derive(Deserialize)]
struct Golden {
    batch: i64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    spec: serde_json::Value,
    /// The weights are those of a model at this resolution.
    weights_resolution: Option<u32>,
    resample: Option<Resample>,
    parameters: BTreeMap<String, Vec<i64>>,
    logits_shape: Vec<i64>,
    logits: Vec<f64>,
    /// A [`digest`]. None: the logits are the features.
    features: Option<Vec<f64>>,
}

fn parameters(case: &Case, spec: &ModelSpec, kind: Kind) -> Vec<Parameter> {
    let fill = |(n, (name, shape)): (usize, (&String, &Vec<i64>))| {
        let tensor = formulas::weight(n, name, shape);
        Parameter { name: name.clone(), tensor: tensor.to_kind(kind) }
    };
    let mut parameters: Vec<_> = case.parameters.iter().enumerate().map(fill).collect();
    if let Some(how) = case.resample {
        resample(spec, &mut parameters, how);
    }
    parameters
}

/// Largest difference, over the largest expected number.
fn relative_error(found: &Tensor, expected: &[f64]) -> f64 {
    let expected = Tensor::from_slice(expected);
    let error = (found.to_kind(Kind::Double).reshape([-1]) - &expected).abs().max();
    error.double_value(&[]) / expected.abs().max().double_value(&[])
}

/// Largest difference of two digests: of sums over what they are sums of, of elements over the largest.
fn digest_error(values: &Tensor, expected: &[f64]) -> f64 {
    let values = values.to_kind(Kind::Double);
    let scalar = |tensor: Tensor| tensor.double_value(&[]);
    let largest = scalar(values.abs().max());
    let scales =
        [scalar(values.abs().sum(Kind::Double)), scalar(values.square().sum(Kind::Double))];
    let found = formulas::digest(&values);
    assert_eq!(found.len(), expected.len());
    let scales = scales.into_iter().chain(std::iter::repeat(largest));
    let error = |((found, expected), scale): ((&f64, &f64), f64)| (found - expected).abs() / scale;
    found.iter().zip(expected).zip(scales).map(error).fold(0.0, f64::max)
}

#[test]
fn every_family_and_option_gives_timms_numbers() {
    let golden: Golden = serde_json::from_str(include_str!("golden/forward.json")).unwrap();
    assert!(golden.cases.len() > 80);
    for case in &golden.cases {
        let spec = spec::model_from_json(&case.name, &case.spec.to_string()).unwrap();
        for (kind, tolerance) in [(Kind::Double, 1e-9), (Kind::Float, 1e-5)] {
            let model = Model::bind(&spec, &parameters(case, &spec, kind))
                .unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let images = formulas::images(golden.batch, spec.resolution().into()).to_kind(kind);
            let logits = model.forward(&images, &Pass::PLAIN);
            assert_eq!(logits.size(), case.logits_shape, "{}", case.name);
            let error = relative_error(&logits, &case.logits);
            assert!(error < tolerance, "{}, logits in {kind:?}: {error:e}", case.name);
            let features = model.features(&images, &Pass::PLAIN);
            let error = match &case.features {
                Some(expected) => digest_error(&features, expected),
                None => relative_error(&features, &case.logits),
            };
            assert!(error < tolerance, "{}, features in {kind:?}: {error:e}", case.name);
        }
    }
}

#[test]
fn names_and_shapes_are_timms() {
    let golden: Golden = serde_json::from_str(include_str!("golden/forward.json")).unwrap();
    for case in golden.cases {
        let mut spec = spec::model_from_json(&case.name, &case.spec.to_string()).unwrap();
        if let Some(resolution) = case.weights_resolution {
            spec = spec.adapted(resolution, spec.classes());
        }
        let ours: BTreeMap<String, Vec<i64>> =
            initial(&spec, 0).into_iter().map(|p| (p.name, p.tensor.size())).collect();
        assert_eq!(ours, case.parameters, "{}", case.name);
    }
}

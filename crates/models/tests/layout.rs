//! Names, counts and binding of parameters.

use models::{Mismatch, Model, Pass, initial};
use serde_json::{Value, json};
use spec::ModelSpec;
use tch::{Device, Kind, Tensor};

fn model(spec: &Value) -> ModelSpec {
    let mut spec = spec.clone();
    let defaults = json!({ "resolution": 32, "classes": 7 });
    for (key, value) in defaults.as_object().unwrap() {
        spec.as_object_mut().unwrap().entry(key).or_insert(value.clone());
    }
    spec::model_from_json("test", &spec.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn vit(options: &Value) -> ModelSpec {
    let mut spec = json!({
        "family": "vit", "patch": 8,
        "shape": { "width": 16, "depth": 2, "mlp": 40, "heads": 2 },
    });
    for (key, value) in options.as_object().unwrap() {
        spec[key] = value.clone();
    }
    model(&spec)
}

/// Every family, and every option of each at least once with each of its values.
fn grid() -> Vec<ModelSpec> {
    let mut all = Vec::new();
    for block in ["sequential", "parallel"] {
        for norm in ["layer-norm", "layer-norm-no-bias", "rms-norm"] {
            for pool in ["gap", "token", "map", "none"] {
                all.push(vit(&json!({ "block": block, "norm": norm, "pool": pool })));
            }
            all.push(vit(&json!({ "block": block, "norm": norm, "qk_norm": true })));
            all.push(vit(&json!({ "block": block, "norm": norm, "qkv_bias": false })));
            all.push(vit(&json!({ "block": block, "norm": norm, "pre_norm": true })));
        }
    }
    all.push(vit(&json!({ "fc_norm": true })));
    all.push(vit(&json!({ "pre_logits": true })));
    all.push(vit(&json!({ "positions": "sincos2d", "pool": "token" })));
    all.push(vit(&json!({ "no_embed_class": true, "pool": "token" })));
    all.push(vit(
        &json!({ "shape": { "width": 24, "depth": 1, "mlp": 8, "heads": 3 }, "patch": 16 }),
    ));
    for layers in [json!([]), json!([1]), json!([2, 1, 1])] {
        all.push(model(&json!({
            "family": "hybrid", "shape": { "width": 16, "depth": 1, "mlp": 32, "heads": 2 },
            "stem": { "layers": layers, "width": 8, "groups": 4 },
        })));
    }
    for (layers, width) in [(json!([1]), 8), (json!([1, 2]), 4), (json!([1, 1, 1, 1]), 8)] {
        let shape = json!({ "layers": layers, "width": width });
        all.push(model(&json!({ "family": "bit", "shape": shape, "groups": 4 })));
        all.push(model(&json!({ "family": "bit", "shape": shape, "groups": 4, "resolution": 37 })));
    }
    let shape = json!({ "width": 12, "depth": 2, "mlp": 20, "tokens": 6 });
    all.push(model(&json!({ "family": "mixer", "shape": shape, "patch": 8, "gelu": "tanh" })));
    all
}

#[test]
fn real_parameters_are_as_many_as_the_closed_form_says() {
    for spec in grid() {
        let real: usize = initial(&spec, 0).iter().map(|parameter| parameter.tensor.numel()).sum();
        assert_eq!(real as u64, spec.params(), "{spec:?}");
    }
}

#[test]
fn every_variant_runs_forward_and_starts_undecided() {
    for spec in grid() {
        let model = Model::bind(&spec, &initial(&spec, 3)).unwrap();
        let side = i64::from(spec.resolution());
        let images = Tensor::randn([2, 3, side, side], (Kind::Float, Device::Cpu));
        let logits = model.forward(&images, &Pass::PLAIN);
        assert_eq!(*logits.size().last().unwrap(), 7, "{spec:?}");
        let largest = logits.abs().max().double_value(&[]);
        assert_eq!(largest, 0.0, "the classifier starts at zero: {spec:?}");
        let features = model.features(&images, &Pass::PLAIN);
        assert_eq!(features.size(), [2, i64::from(spec.features())], "{spec:?}");
    }
}

#[test]
fn without_a_classifier_features_are_the_output() {
    for spec in [vit(&json!({ "classes": 0 })), vit(&json!({ "classes": 0, "pool": "map" }))] {
        let model = Model::bind(&spec, &initial(&spec, 3)).unwrap();
        let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        assert!(model.forward(&images, &Pass::PLAIN).equal(&model.features(&images, &Pass::PLAIN)));
    }
}

#[test]
fn names_and_order_are_timms() {
    let spec = vit(&json!({
        "pool": "token", "shape": { "width": 8, "depth": 1, "mlp": 24, "heads": 2 }
    }));
    let names: Vec<_> = initial(&spec, 0).into_iter().map(|p| p.name).collect();
    let expected = "cls_token pos_embed patch_embed.proj.weight patch_embed.proj.bias \
        blocks.0.norm1.weight blocks.0.norm1.bias blocks.0.attn.qkv.weight blocks.0.attn.qkv.bias \
        blocks.0.attn.proj.weight blocks.0.attn.proj.bias blocks.0.norm2.weight blocks.0.norm2.bias \
        blocks.0.mlp.fc1.weight blocks.0.mlp.fc1.bias blocks.0.mlp.fc2.weight blocks.0.mlp.fc2.bias \
        norm.weight norm.bias head.weight head.bias";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn sincos_positions_are_big_visions() {
    // Only the positions reach the logits: pixels and embedding are zero, and the head reads channel
    // sums. The expected values are big_vision's formula by hand, with w = [1, 1e-4] for width 8.
    let spec = vit(&json!({
        "positions": "sincos2d", "patch": 16,
        "shape": { "width": 8, "depth": 1, "mlp": 24, "heads": 2 },
    }));
    let mut parameters = initial(&spec, 0);
    for parameter in &mut parameters {
        if !parameter.name.contains("norm.") {
            let _ = parameter.tensor.zero_();
        }
        if parameter.name == "head.weight" {
            parameter.tensor.copy_(&Tensor::eye_m(7, 8, (Kind::Float, Device::Cpu)));
        }
    }
    let images = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    let logits = Model::bind(&spec, &parameters).unwrap().forward(&images, &Pass::PLAIN);
    let mut mean = [0.0; 8];
    for (x, y) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0f64)] {
        let waves = |at: f64| [at.sin(), (at * 1e-4).sin(), at.cos(), (at * 1e-4).cos()];
        let row: Vec<f64> = waves(x).into_iter().chain(waves(y)).collect();
        let centre = row.iter().sum::<f64>() / 8.0;
        let variance = row.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / 8.0;
        mean.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += (value - centre) / (variance + 1e-6).sqrt() / 4.0);
    }
    for (channel, expected) in (0..7).zip(mean) {
        let found = logits.double_value(&[0, channel]);
        assert!((found - expected).abs() < 1e-5, "channel {channel}: {found}, not {expected}");
    }
}

#[test]
fn parameters_of_another_model_are_refused_each_by_its_name() {
    let shape = |width: u32, depth: u32| {
        vit(&json!({ "shape": { "width": width, "depth": depth, "mlp": 24, "heads": 2 } }))
    };
    let missing = Model::bind(&shape(8, 2), &initial(&shape(8, 1), 0)).unwrap_err();
    assert_eq!(missing.0.len(), 12);
    let first = Mismatch::Missing { name: "blocks.1.norm1.weight".into(), shape: vec![8] };
    assert_eq!(missing.0[0], first);
    let unknown = Model::bind(&shape(8, 1), &initial(&shape(8, 2), 0)).unwrap_err();
    assert_eq!(unknown.0[0], Mismatch::Unknown { name: "blocks.1.attn.proj.bias".into() });
    let wide = Model::bind(&shape(8, 1), &initial(&shape(16, 1), 0)).unwrap_err();
    let message = wide.to_string();
    for part in ["`pos_embed` has shape [1, 16, 16]", "needs [1, 16, 8]", "`head.weight`"] {
        assert!(message.contains(part), "{message}");
    }
}

//! Names, counts and binding of parameters.

use models::{BindError, Model, initial};
use spec::{ModelSpec, NamedShape, Pool, Positions, Shape, VitSpec};
use tch::{Device, Kind, Tensor};

fn vit(pool: Pool, positions: Positions, width: u32, depth: u32, patch: u32) -> ModelSpec {
    let shape = NamedShape::spelt_out(Shape { width, depth, mlp: 3 * width, heads: 2 });
    ModelSpec::Vit(VitSpec { shape, patch, resolution: 32, classes: 7, pool, positions })
}

fn grid() -> impl Iterator<Item = ModelSpec> {
    [Pool::Gap, Pool::Token].into_iter().flat_map(|pool| {
        [Positions::Learned, Positions::Sincos2d].into_iter().flat_map(move |positions| {
            [(8, 1, 8), (16, 3, 4), (40, 2, 16)]
                .into_iter()
                .map(move |(width, depth, patch)| vit(pool, positions, width, depth, patch))
        })
    })
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
        let logits = model.forward(&Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu)));
        assert_eq!(logits.size(), [2, 7]);
        assert_eq!(
            logits.abs().max().double_value(&[]),
            0.0,
            "the classifier starts at zero: {spec:?}"
        );
    }
}

#[test]
fn names_and_order_are_timms() {
    let names: Vec<_> = initial(&vit(Pool::Token, Positions::Learned, 8, 1, 8), 0)
        .into_iter()
        .map(|p| p.name)
        .collect();
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
    let spec = vit(Pool::Gap, Positions::Sincos2d, 8, 1, 16);
    let mut parameters = initial(&spec, 0);
    for parameter in &mut parameters {
        if !parameter.name.contains("norm.") {
            let _ = parameter.tensor.zero_();
        }
        if parameter.name == "head.weight" {
            parameter.tensor.copy_(&Tensor::eye_m(7, 8, (Kind::Float, Device::Cpu)));
        }
    }
    let logits = Model::bind(&spec, &parameters)
        .unwrap()
        .forward(&Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu)));
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
fn parameters_of_another_model_are_refused_by_name() {
    let (small, deep) =
        (vit(Pool::Gap, Positions::Learned, 8, 1, 8), vit(Pool::Gap, Positions::Learned, 8, 2, 8));
    let missing = Model::bind(&deep, &initial(&small, 0)).unwrap_err();
    assert_eq!(missing, BindError::Missing("blocks.1.norm1.weight".into()));
    let unknown = Model::bind(&small, &initial(&deep, 0)).unwrap_err();
    assert_eq!(unknown, BindError::Unknown("blocks.1.attn.proj.bias".into()));
    let wide = initial(&vit(Pool::Gap, Positions::Learned, 16, 1, 8), 0);
    assert!(matches!(Model::bind(&small, &wide).unwrap_err(), BindError::Shape { .. }));
}

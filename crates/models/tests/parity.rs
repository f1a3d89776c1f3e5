//! Our forward pass against timm 1.0.31's, whose f64 logits `golden_timm.py` prints.

use models::{Model, Parameter, initial};
use spec::{ModelSpec, NamedShape, Pool, Positions, Shape, VitSpec};
use tch::{Device, Kind, Tensor};

fn vit(shape: Shape, patch: u32, pool: Pool) -> ModelSpec {
    let shape = NamedShape::spelt_out(shape);
    ModelSpec::Vit(VitSpec {
        shape,
        patch,
        resolution: 32,
        classes: 5,
        pool,
        positions: Positions::Learned,
    })
}

/// The formula of `golden_timm.py`.
fn filled(spec: &ModelSpec, kind: Kind) -> Vec<Parameter> {
    let fill = |(n, Parameter { name, tensor }): (usize, Parameter)| {
        let i = Tensor::arange(tensor.numel().cast_signed() as i64, (Kind::Double, Device::Cpu));
        let offset = f64::from(name.contains("norm") && name.ends_with("weight"));
        let values = ((i + 1) * 0.37 + n as f64).sin() * 0.1 + offset;
        Parameter { name, tensor: values.view_as(&tensor).to_kind(kind) }
    };
    initial(spec, 0).into_iter().enumerate().map(fill).collect()
}

fn images(kind: Kind) -> Tensor {
    let i = Tensor::arange(2 * 3 * 32 * 32, (Kind::Double, Device::Cpu));
    (i.remainder(257) / 128.5 - 1).view([2, 3, 32, 32]).to_kind(kind)
}

fn check(shape: Shape, patch: u32, pool: Pool, expected: &[f64; 10]) {
    let spec = vit(shape, patch, pool);
    let expected = Tensor::from_slice(expected).view([2, 5]);
    for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
        let model = Model::bind(&spec, &filled(&spec, kind)).unwrap();
        let logits = model.forward(&images(kind)).to_kind(Kind::Double);
        let error = (logits - &expected).abs().max().double_value(&[]);
        assert!(error < tolerance, "{shape:?} {kind:?}: {error:e}");
    }
}

const SMALL: Shape = Shape { width: 48, depth: 2, mlp: 192, heads: 3 };

#[test]
fn the_pooled_mean_gives_timms_logits() {
    let expected = [
        -0.8179758044915085,
        0.22664637219433761,
        0.969056234995075,
        0.6421879041241109,
        -0.3685338566878633,
        -0.8134114476730915,
        0.24972996555698082,
        0.985861701855852,
        0.6346621079388561,
        -0.3923063903738894,
    ];
    check(SMALL, 8, Pool::Gap, &expected);
}

#[test]
fn the_class_token_gives_timms_logits() {
    let expected = [
        -0.6101756114057155,
        -0.06358301603207817,
        0.5812104607231243,
        0.6617020413271204,
        0.11345701842987371,
        -0.6289530010922699,
        -0.07134596038001917,
        0.5928012417504152,
        0.6801952451700233,
        0.11898647077256508,
    ];
    check(SMALL, 8, Pool::Token, &expected);
}

#[test]
fn other_patches_and_mlp_widths_give_timms_logits() {
    let expected = [
        -0.38476969080778534,
        -0.10548438134647796,
        0.22680229774170807,
        -0.5562445963275688,
        0.5525240168058276,
        -0.3508985651120426,
        -0.12479777726545237,
        0.22596644138495275,
        -0.5355014808507307,
        0.5178790903120727,
    ];
    check(Shape { width: 24, depth: 3, mlp: 144, heads: 2 }, 4, Pool::Gap, &expected);
}

//! What passes do besides the arithmetic: noise, corrupted patches, a look at attention.

use models::{Corrupted, Model, Noise, Parameter, Pass, Watch, initial};
use serde_json::{Value, json};
use spec::ModelSpec;
use tch::{Device, Kind, Tensor};

const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

fn vit(options: &Value) -> ModelSpec {
    let mut spec = json!({
        "family": "vit", "patch": 8, "resolution": 32, "classes": 0, "norm": "rms-norm",
        "shape": { "width": 32, "depth": 2, "mlp": 64, "heads": 4 },
    });
    for (key, value) in options.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec::model_from_json("test", &spec.to_string()).unwrap()
}

fn images(batch: i64) -> Tensor {
    let i = Tensor::arange(batch * 3 * 32 * 32, OPTIONS);
    ((i.square() * 0.37).remainder(1009.0)).sin().view([batch, 3, 32, 32])
}

/// Largest attention logit of any block, and mean entropy, with weights of attention multiplied.
fn attention(options: &Value, factor: f64) -> (f64, f64) {
    let spec = vit(options);
    let mut parameters = initial(&spec, 1);
    for Parameter { name, tensor } in &mut parameters {
        if name.contains("qkv.weight") || name.contains("in_proj.weight") {
            let _ = tensor.g_mul_scalar_(factor);
        }
    }
    let watch = Watch::default();
    let pass = Pass { watch: Some(&watch), ..Pass::PLAIN };
    let _features = Model::bind(&spec, &parameters).unwrap().forward(&images(4), &pass);
    let watched = watch.read();
    assert_eq!(watched.len(), 2, "one of each block");
    let largest = watched.iter().map(|block| block.logit_max).fold(0.0, f64::max);
    (largest, watched.iter().map(|block| block.entropy).sum::<f64>() / 2.0)
}

/// 2302.05442, section 2 and appendix B: logits grow with the square of the weights until attention is
/// nearly one-hot. Normed queries and keys do not know the weights' scale, and their product is at
/// most the square root of a head's width, 8.
#[test]
fn large_weights_collapse_attention_unless_queries_and_keys_are_normed() {
    for block in ["sequential", "parallel"] {
        let (plain, normed) =
            (json!({ "block": block }), json!({ "block": block, "qk_norm": true }));
        let (calm, wild) = (attention(&plain, 1.0), attention(&plain, 100.0));
        assert!(wild.0 > 1000.0 * calm.0, "{block}: {calm:?}, {wild:?}");
        assert!(calm.1 > 2.0 && wild.1 < 0.2, "{block}: {calm:?}, {wild:?}");
        for factor in [1.0, 100.0] {
            let (logit, entropy) = attention(&normed, factor);
            assert!(logit <= 8f64.sqrt() + 1e-4, "{block}: {logit}");
            assert!(entropy > 1.5, "{block}: {entropy}");
        }
    }
}

/// Entropy is at most that of looking everywhere alike: ln 16 for 16 tokens.
#[test]
fn attention_to_all_tokens_alike_has_the_logarithm_of_their_number() {
    let (logit, entropy) = attention(&json!({}), 0.0);
    assert!(logit.abs() < 1e-6 && (entropy - 16f64.ln()).abs() < 1e-5, "{logit}, {entropy}");
}

fn noisy(model: &Model, x: &Tensor, seed: i64, keeps: Option<Tensor>) -> Tensor {
    let seed = move |site: u32, block: i64| seed + 100 * i64::from(site) + block;
    let noise = Noise { seed: &seed, first: 0, keeps };
    model.features(x, &Pass { noise: Some(&noise), ..Pass::PLAIN })
}

#[test]
fn dropout_is_a_function_of_its_seed_and_leaves_evaluation_alone() {
    let spec = vit(&json!({ "dropout": 0.3 }));
    let model = Model::bind(&spec, &initial(&spec, 1)).unwrap();
    let x = images(3);
    assert!(noisy(&model, &x, 5, None).equal(&noisy(&model, &x, 5, None)));
    assert!(!noisy(&model, &x, 5, None).equal(&noisy(&model, &x, 6, None)));
    let plain = vit(&json!({}));
    let same = Model::bind(&plain, &initial(&plain, 1)).unwrap();
    assert!(model.features(&x, &Pass::PLAIN).equal(&same.features(&x, &Pass::PLAIN)));
}

/// An example all of whose branches are skipped is its embedding; the others are scaled up.
#[test]
fn a_skipped_branch_leaves_the_residual_and_a_kept_one_is_scaled() {
    let spec = vit(&json!({ "drop_path": 0.5 }));
    let model = Model::bind(&spec, &initial(&spec, 1)).unwrap();
    assert_eq!(model.drop_path_rates(), [0.0, 0.0, 0.5, 0.5]);
    let x = images(2);
    let keeps = Tensor::ones([4, 2], OPTIONS);
    let _ = keeps.narrow(0, 2, 2).narrow(1, 0, 1).fill_(0.0);
    let found = noisy(&model, &x, 5, Some(keeps));
    // The first example has the first block alone: a model of depth one with the same parameters.
    let shallow = vit(&json!({ "shape": { "width": 32, "depth": 1, "mlp": 64, "heads": 4 } }));
    let shallow = Model::bind(&shallow, &initial(&shallow, 1)).unwrap();
    let first = shallow.features(&x.narrow(0, 0, 1), &Pass::PLAIN);
    assert!(found.narrow(0, 0, 1).allclose(&first, 1e-5, 1e-6, false));
    assert!(!found.narrow(0, 1, 1).allclose(
        &model.features(&x, &Pass::PLAIN).narrow(0, 1, 1),
        1e-3,
        1e-3,
        false
    ));
}

#[test]
fn corrupted_patches_are_masked_or_another_patchs() {
    let mut spec = vit(&json!({ "pool": "none" }));
    let ModelSpec::Vit(vit) = &mut spec else { panic!("a vit") };
    vit.mask_token = true;
    let parameters = initial(&spec, 1);
    let model = Model::bind(&spec, &parameters).unwrap();
    let x = images(1);
    let source = Tensor::arange(16, (Kind::Int64, Device::Cpu)).view([1, 16]);
    let nothing = Tensor::zeros([1, 16], (Kind::Bool, Device::Cpu));
    let tokens = |masked: &Tensor, source: &Tensor, x: &Tensor| {
        let corrupted = Corrupted { masked: masked.copy(), source: source.copy() };
        model.forward(x, &Pass { corrupted: Some(&corrupted), ..Pass::PLAIN })
    };
    let plain = model.forward(&x, &Pass::PLAIN);
    assert!(tokens(&nothing, &source, &x).equal(&plain), "nothing is corrupted");
    // Where all patches are masked, pixels make no difference.
    let all = nothing.ones_like();
    assert!(tokens(&all, &source, &x).equal(&tokens(&all, &source, &(&x * -1.0))));
    // Patch 0 in the place of all is the image that shows patch 0 everywhere.
    let first = x.narrow(2, 0, 8).narrow(3, 0, 8).repeat([1, 1, 4, 4]);
    let copied = tokens(&nothing, &source.zeros_like(), &x);
    assert!(copied.allclose(&model.forward(&first, &Pass::PLAIN), 1e-5, 1e-6, false));
}

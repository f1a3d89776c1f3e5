//! A rough upper bound of what a trainer needs on its device.

use spec::{ModelSpec, Recipe, SegmentSpec, TrainSpec, TransferMethod, TransferSpec};

/// Parameters and their gradients, in f32.
const BYTES_PER_PARAM: f64 = 4.0 + 4.0;
/// Activations are counted in f32, whatever the precision.
const BYTES_PER_ACTIVATION: f64 = 4.0;

/// Parameters, gradients, optimiser state and what the backward pass reads, bytes.
pub fn memory_bytes(segment: &SegmentSpec) -> f64 {
    match &segment.transfer {
        None => of_training(&segment.recipe),
        Some(transfer) => of_transfer(transfer, &segment.recipe.model),
    }
}

fn of_training(recipe: &Recipe) -> f64 {
    let train = &recipe.train;
    let activations = match train.checkpoint_activations {
        true => checkpointed(&recipe.model),
        false => recipe.model.activations(),
    };
    let at_once = f64::from(train.micro_batch.unwrap_or(train.batch));
    recipe.model.params() as f64 * (BYTES_PER_PARAM + state_per_param(train))
        + at_once * activations * BYTES_PER_ACTIVATION
}

/// Bytes of optimiser state per parameter, as of a large matrix.
fn state_per_param(train: &TrainSpec) -> f64 {
    const SIDE: u64 = 1 << 15;
    let matrix = train.optimiser.state_bytes(std::iter::once(&[SIDE, SIDE][..]));
    let average = if train.polyak.is_some() { 4.0 } else { 0.0 };
    matrix as f64 / (SIDE * SIDE) as f64 + average
}

/// Numbers kept per example where only what enters each block is: all inputs, and one block whole.
fn checkpointed(model: &ModelSpec) -> f64 {
    let all = model.activations();
    let (blocks, inputs) = match model {
        ModelSpec::Vit(vit) => of_equal_blocks(vit.shape.shape.depth, vit.tokens(), model),
        ModelSpec::Hybrid(hybrid) => {
            of_equal_blocks(hybrid.vit.shape.shape.depth, hybrid.tokens(), model)
        }
        ModelSpec::Mixer(mixer) => of_equal_blocks(mixer.shape.depth, mixer.patches(), model),
        ModelSpec::Bit(bit) => {
            let units = bit.stages().units(bit.resolution);
            let area = |side: u32| f64::from(side).powi(2);
            let inputs = units.iter().map(|unit| area(unit.side) * f64::from(unit.input)).sum();
            (units.len() as f64, inputs)
        }
    };
    (inputs + one_more_block(model)).min(all).max(all / blocks)
}

/// Number of blocks, and numbers that enter them, with what is below the first.
fn of_equal_blocks(depth: u32, tokens: u64, model: &ModelSpec) -> (f64, f64) {
    let depth = f64::from(depth);
    let below = model.activations() - depth * one_more_block(model);
    (depth, below + depth * tokens as f64 * f64::from(model.features()))
}

/// What one block adds; of a ResNet one of its first stage, whose blocks keep most.
fn one_more_block(model: &ModelSpec) -> f64 {
    let mut deeper = model.clone();
    match &mut deeper {
        ModelSpec::Vit(vit) => vit.shape.shape.depth += 1,
        ModelSpec::Hybrid(hybrid) => hybrid.vit.shape.shape.depth += 1,
        ModelSpec::Mixer(mixer) => mixer.shape.depth += 1,
        ModelSpec::Bit(bit) => bit.shape.layers[0] += 1,
    }
    deeper.activations() - model.activations()
}

/// Fine-tuning trains everything by SGD; the other methods keep the features of their examples.
fn of_transfer(transfer: &TransferSpec, of_trial: &ModelSpec) -> f64 {
    let model = transfer.model(of_trial);
    let params = model.params() as f64;
    let features = |examples: u64| {
        4.0 * params + 4.0 * (examples + transfer.examples) as f64 * f64::from(model.features())
    };
    match &transfer.method {
        TransferMethod::FewShot(few) => features(few.pool),
        TransferMethod::LinearProbe(probe) => features(probe.unique_examples),
        TransferMethod::FineTune(tune) => {
            params * (BYTES_PER_PARAM + 4.0)
                + f64::from(tune.batch) * model.activations() * BYTES_PER_ACTIVATION
        }
    }
}

#[cfg(test)]
mod tests {
    use spec::{Adafactor, AdamW, Moment, Optimiser, Sgd};

    use super::*;

    #[test]
    fn micro_batches_and_checkpoints_and_lean_optimisers_save_what_they_say() {
        let mut recipe = test_support::recipe(0);
        let ModelSpec::Vit(vit) = &mut recipe.model else { panic!("recipes are of ViTs") };
        vit.shape.shape.depth = 12;
        let (params, activations) = (recipe.model.params() as f64, recipe.model.activations());
        assert_eq!(of_training(&recipe), 16.0 * params + 8.0 * 4.0 * activations);
        recipe.train.micro_batch = Some(2);
        assert_eq!(of_training(&recipe), 16.0 * params + 2.0 * 4.0 * activations);
        recipe.train.checkpoint_activations = true;
        let tokens_and_width = 4.0 * 8.0;
        let kept = 12.0 * tokens_and_width + activations / 12.0;
        assert_eq!(of_training(&recipe), 16.0 * params + 2.0 * 4.0 * kept);
    }

    #[test]
    fn state_is_counted_by_optimiser_and_moment() {
        let mut train = test_support::recipe(0).train;
        let bf16 = Moment::Bf16;
        for (optimiser, bytes) in [
            (Optimiser::Adamw(AdamW::default()), 8.0),
            (Optimiser::Adamw(AdamW { first_moment: bf16, ..AdamW::default() }), 6.0),
            (Optimiser::Adafactor(Adafactor::default()), 2.0),
            (Optimiser::Sgd(Sgd::default()), 4.0),
            (Optimiser::Sgd(Sgd { first_moment: bf16, ..Sgd::default() }), 2.0),
        ] {
            train.optimiser = optimiser;
            let found = state_per_param(&train);
            assert!((found - bytes).abs() < 1e-3, "{:?}: {found}", train.optimiser);
        }
        train.polyak = Some(0.999);
        assert_eq!(state_per_param(&train), 6.0);
    }

    #[test]
    fn a_checkpointed_model_of_any_family_keeps_less() {
        let of = |text: &str| spec::model_from_json("test", text).unwrap();
        for model in [
            of(r#"{"family": "vit", "patch": 16, "shape": "B", "resolution": 224, "classes": 10}"#),
            of(r#"{"family": "bit", "shape": "R50x1", "resolution": 224, "classes": 10}"#),
            of(
                r#"{"family": "mixer", "patch": 16, "shape": "B", "resolution": 224, "classes": 10}"#,
            ),
            of(
                r#"{"family": "hybrid", "shape": "B", "stem": {"layers": [3, 4, 9]}, "resolution": 224, "classes": 10}"#,
            ),
        ] {
            let (kept, all) = (checkpointed(&model), model.activations());
            assert!(kept > 0.0 && kept < all, "{}: {kept} of {all}", model.family());
        }
    }
}

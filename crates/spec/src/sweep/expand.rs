//! From the tables of a sweep file to its trials.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Problem;
use super::file::{
    AxesTable, DataTable, DecayName, EvalTable, LearningRate, PartTable, ScheduleTable, SourceName,
    SweepFile, TrainTable,
};
use super::model::{ModelTable, ShapeEntry};
use crate::FORMAT;
use crate::data::{DataSpec, ImageFolderSpec, OnCorrupt, ProceduralSpec};
use crate::model::{ModelError, ModelSpec, Pool};
use crate::optimiser::Optimiser;
use crate::schedule::{Cooldown, Decay, Schedule};
use crate::train::{EvalSpec, Objective, TrainSpec};
use crate::trial::{Recipe, TrialSpec};

/// Longest sweep name: it becomes a folder's name.
const MAX_NAME: usize = 64;

/// Longest trial, steps: steps times batch stays far inside 64 bits.
pub(super) const MAX_STEPS: u64 = 1 << 30;

/// One cross product: the base grid, or a part with the grid's axes where it has none of its own.
struct Block<'a> {
    seeds: &'a [u64],
    models: Vec<ModelSpec>,
    unique_examples: &'a [u64],
    lengths: Vec<Length>,
    /// Key of the list that `lengths` came from.
    lengths_key: String,
    learning_rate: &'a LearningRate,
    learning_rate_key: String,
}

#[derive(Clone, Copy)]
enum Length {
    ExamplesSeen(u64),
    Epochs(f64),
    TrainFlops(f64),
}

/// Every trial of the file once, cheapest first.
pub(super) fn trials(file: &SweepFile) -> Result<Vec<TrialSpec>, Problem> {
    check_name(&file.name).map_err(|message| Problem::new("name", message))?;
    let mut trials = BTreeMap::new();
    for block in blocks(file)? {
        for trial in block_trials(file, &block)? {
            trials.entry(trial.id()).or_insert(trial);
        }
    }
    let mut trials: Vec<_> = trials.into_values().collect();
    trials.sort_by(|a, b| a.train_flops().total_cmp(&b.train_flops()));
    Ok(trials)
}

pub(super) fn check_name(name: &str) -> Result<(), String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(sound) {
        true => Ok(()),
        false => {
            Err(format!("a name has 1 to {MAX_NAME} letters, digits, `-` or `_`, not `{name}`"))
        }
    }
}

fn blocks(file: &SweepFile) -> Result<Vec<Block<'_>>, Problem> {
    let parts = file
        .part
        .iter()
        .enumerate()
        .map(|(n, part)| block(file, Some(part), &format!("part[{n}]")));
    std::iter::once(block(file, None, "axes")).chain(parts).collect()
}

/// The base grid (`part` is None), or a part with the grid's axes where it has none of its own.
fn block<'a>(
    file: &'a SweepFile,
    part: Option<&'a PartTable>,
    table: &str,
) -> Result<Block<'a>, Problem> {
    let own = |key: &str, is_own: bool, base: &str| match is_own {
        true => format!("{table}.{key}"),
        false => base.to_owned(),
    };
    let seeds = part.and_then(|part| part.seeds.as_ref());
    let shapes = part.and_then(|part| part.shapes.as_ref());
    let unique_examples = part.and_then(|part| part.unique_examples.as_ref());
    let learning_rate = part.and_then(|part| part.learning_rate.as_ref());

    let seeds_key = own("seeds", seeds.is_some(), "seeds");
    let shapes_key = own("shapes", shapes.is_some(), "model.shapes");
    let unique_key = own("unique_examples", unique_examples.is_some(), "axes.unique_examples");
    let learning_rate_key = own("learning_rate", learning_rate.is_some(), "train.learning_rate");
    let (lengths_key, lengths) = lengths(&file.axes, part, table)?;

    let block = Block {
        seeds: not_empty(&seeds_key, seeds.unwrap_or(&file.seeds))?,
        models: models(file, &shapes_key, shapes.unwrap_or(&file.model.shapes))?,
        unique_examples: not_empty(
            &unique_key,
            unique_examples.unwrap_or(&file.axes.unique_examples),
        )?,
        lengths,
        lengths_key,
        learning_rate: learning_rate.unwrap_or(&file.train.learning_rate),
        learning_rate_key,
    };
    if let Some(position) = block.unique_examples.iter().position(|&unique| unique == 0) {
        return Err(Problem::new(format!("{unique_key}[{position}]"), "must be at least 1"));
    }
    Ok(block)
}

fn not_empty<'a, T>(key: &str, list: &'a [T]) -> Result<&'a [T], Problem> {
    if list.is_empty() { Err(Problem::new(key, "an axis may not be empty")) } else { Ok(list) }
}

/// The one list of lengths that the part, or else the grid, declares, with its key.
fn lengths(
    axes: &AxesTable,
    part: Option<&PartTable>,
    table: &str,
) -> Result<(String, Vec<Length>), Problem> {
    let of_part = part.map(|part| declared(&part.examples_seen, &part.epochs, &part.train_flops));
    let of_axes = declared(&axes.examples_seen, &axes.epochs, &axes.train_flops);
    let (table, mut lists) = match of_part {
        Some(lists) if !lists.is_empty() => (table, lists),
        _ => ("axes", of_axes),
    };
    if lists.len() != 1 {
        let names: Vec<_> = lists.iter().map(|(name, _)| *name).collect();
        let found = if names.is_empty() { "none of them".to_owned() } else { names.join(" and ") };
        let message = format!("give one of examples_seen, epochs and train_flops, not {found}");
        return Err(Problem::new(table, message));
    }
    let (name, list) = lists.remove(0);
    let key = format!("{table}.{name}");
    not_empty(&key, &list)?;
    Ok((key, list))
}

fn declared(
    examples_seen: &Option<Vec<u64>>,
    epochs: &Option<Vec<f64>>,
    train_flops: &Option<Vec<f64>>,
) -> Vec<(&'static str, Vec<Length>)> {
    let examples_seen =
        examples_seen.as_ref().map(|list| list.iter().copied().map(Length::ExamplesSeen).collect());
    let epochs = epochs.as_ref().map(|list| list.iter().copied().map(Length::Epochs).collect());
    let train_flops =
        train_flops.as_ref().map(|list| list.iter().copied().map(Length::TrainFlops).collect());
    [("examples_seen", examples_seen), ("epochs", epochs), ("train_flops", train_flops)]
        .into_iter()
        .filter_map(|(name, list)| Some((name, list?)))
        .collect()
}

/// The model of every shape. Two may not go by one name: tables and figures could not tell them apart.
fn models(file: &SweepFile, key: &str, shapes: &[ShapeEntry]) -> Result<Vec<ModelSpec>, Problem> {
    let mut models: Vec<ModelSpec> = Vec::with_capacity(shapes.len());
    for (position, entry) in not_empty(key, shapes)?.iter().enumerate() {
        let shape_key = format!("{key}[{position}]");
        let model = model(file, entry, &shape_key)?;
        let name = model.shape_name();
        if models.iter().any(|other| other.shape_name() == name) {
            let message = format!("two shapes are called `{name}`: give one a name of its own");
            return Err(Problem::new(shape_key, message));
        }
        models.push(model);
    }
    Ok(models)
}

/// The model of one shape for the sweep's images, objective and optimiser.
fn model(file: &SweepFile, entry: &ShapeEntry, shape_key: &str) -> Result<ModelSpec, Problem> {
    let is_masked = matches!(file.train.objective, Objective::MaskedPatch { .. });
    let classes = match is_masked {
        true => Objective::COLOURS,
        false => classes(&file.data).map_err(|problem| problem.within("data"))?,
    };
    let model = check_model(&file.model, &file.train)
        .and_then(|()| file.model.model(entry, resolution(&file.data), classes));
    let model = match is_masked {
        true => model.and_then(|model| Ok(model.for_masked_patches()?)),
        false => model,
    };
    model.map_err(|problem| match problem.key.as_str() {
        "shape" => Problem { key: shape_key.to_owned(), ..problem },
        "resolution" => problem.within("data"),
        _ => problem.within("model"),
    })
}

/// What a model may not have for the way that it is trained.
fn check_model(model: &ModelTable, train: &TrainTable) -> Result<(), Problem> {
    if model.mup.is_some() && !train.optimiser.is_adam() {
        let message = "the rates of mup are Adam's: use optimiser \"adamw\" or \"adafactor\"";
        return Err(Problem::new("mup", message));
    }
    match (train.objective, model.pool) {
        (Objective::MaskedPatch { .. }, Some(Pool::Gap)) => Err(ModelError::MaskedPool.into()),
        (Objective::Softmax { .. } | Objective::Sigmoid { .. }, Some(Pool::None)) => {
            let message = "pool = \"none\" gives logits for every patch, which objective \"masked-patch\" alone reads";
            Err(Problem::new("pool", message))
        }
        _ => Ok(()),
    }
}

fn block_trials(file: &SweepFile, block: &Block) -> Result<Vec<TrialSpec>, Problem> {
    let mut trials = Vec::new();
    for model in &block.models {
        for learning_rate in learning_rates(block, model.shape_name())? {
            let train =
                train(&file.train, learning_rate).map_err(|problem| problem.within("train"))?;
            for &unique_examples in block.unique_examples {
                for &seed in block.seeds {
                    let recipe = Arc::new(Recipe {
                        format: FORMAT,
                        data: data(&file.data).map_err(|problem| problem.within("data"))?,
                        unique_examples,
                        model: model.clone(),
                        train: train.clone(),
                        eval: eval(&file.eval).map_err(|problem| problem.within("eval"))?,
                        seed,
                    });
                    for (position, &length) in block.lengths.iter().enumerate() {
                        let key = format!("{}[{position}]", block.lengths_key);
                        trials.push(trial(
                            Arc::clone(&recipe),
                            length,
                            file.train.schedule.cooldown,
                            key,
                        )?);
                    }
                }
            }
        }
    }
    Ok(trials)
}

fn trial(
    recipe: Arc<Recipe>,
    length: Length,
    cooldown: Cooldown,
    key: String,
) -> Result<TrialSpec, Problem> {
    let steps = steps(&recipe, length).map_err(|message| Problem::new(&key, message))?;
    if !(1..=MAX_STEPS).contains(&steps) {
        return Err(Problem::new(
            key,
            format!("gives {steps} steps; a trial has 1 to {MAX_STEPS}"),
        ));
    }
    let cooldown = cooldown.steps(steps);
    let warmup = recipe.train.schedule.warmup;
    if warmup.saturating_add(cooldown) > steps {
        let message = format!(
            "{steps} steps are fewer than the warm-up ({warmup}) and the cooldown ({cooldown})"
        );
        return Err(Problem::new(key, message));
    }
    recipe.train.schedule.check(steps).map_err(|error| Problem::new(key, error))?;
    Ok(TrialSpec { recipe, steps, cooldown })
}

/// Optimiser steps of a length. Epochs and FLOPs are rounded to whole steps; examples must fit.
fn steps(recipe: &Recipe, length: Length) -> Result<u64, String> {
    let batch = u64::from(recipe.train.batch);
    match length {
        Length::ExamplesSeen(seen) if !seen.is_multiple_of(batch) => {
            Err(format!("{seen} examples are no whole number of batches of {batch}"))
        }
        Length::ExamplesSeen(seen) => Ok(seen / batch),
        Length::Epochs(epochs) => {
            Ok((positive(epochs)? * recipe.unique_examples as f64 / batch as f64).round() as u64)
        }
        Length::TrainFlops(flops) => Ok((positive(flops)? / recipe.step_flops()).round() as u64),
    }
}

fn learning_rates(block: &Block, shape: &str) -> Result<Vec<f64>, Problem> {
    let key = &block.learning_rate_key;
    let positive =
        |key: String, rate: f64| positive(rate).map_err(|message| Problem::new(key, message));
    match block.learning_rate {
        LearningRate::One(rate) => Ok(vec![positive(key.clone(), *rate)?]),
        LearningRate::Tuned(rates) => not_empty(key, rates)?
            .iter()
            .enumerate()
            .map(|(position, &rate)| positive(format!("{key}[{position}]"), rate))
            .collect(),
        LearningRate::ByShape(rates) => match rates.get(shape) {
            Some(&rate) => Ok(vec![positive(format!("{key}.{shape}"), rate)?]),
            None => Err(Problem::new(key, format!("no learning rate for shape `{shape}`"))),
        },
    }
}

/// # Errors
/// What is wrong with a number that is not positive and finite.
pub(super) fn positive(value: f64) -> Result<f64, String> {
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(format!("must be a positive number, not {value}")),
    }
}

fn resolution(table: &DataTable) -> u32 {
    table.resolution.unwrap_or(32)
}

/// The source that a `data` table describes.
pub(super) fn data(table: &DataTable) -> Result<DataSpec, Problem> {
    let refuse = |setting: &str, given: bool| match given {
        true => Err(Problem::new(setting, "this source has no such setting")),
        false => Ok(()),
    };
    let resolution = resolution(table);
    match table.source {
        SourceName::Procedural => {
            refuse("path", table.path.is_some())?;
            refuse("on_corrupt", table.on_corrupt.is_some())?;
            let difficulty = table.difficulty.unwrap_or(1.0);
            if !(0.0..=2.0).contains(&difficulty) {
                let message = format!("must lie in [0, 2], not {difficulty}");
                return Err(Problem::new("difficulty", message));
            }
            Ok(DataSpec::Procedural(ProceduralSpec {
                resolution,
                classes: classes(table)?,
                first_class: table.first_class.unwrap_or(0),
                difficulty,
                seed: table.seed.unwrap_or(0),
            }))
        }
        SourceName::ImageFolder => {
            refuse("difficulty", table.difficulty.is_some())?;
            refuse("first_class", table.first_class.is_some())?;
            refuse("seed", table.seed.is_some())?;
            let path = table.path.clone();
            let path =
                path.ok_or_else(|| Problem::new("path", "source \"image-folder\" needs a path"))?;
            let on_corrupt = table.on_corrupt.unwrap_or(OnCorrupt::Error);
            Ok(DataSpec::ImageFolder(ImageFolderSpec { path, resolution, on_corrupt }))
        }
    }
}

/// The classifier's size: declared for an image folder, whose files the spec does not look at.
pub(super) fn classes(table: &DataTable) -> Result<u32, Problem> {
    let key = "classes";
    match (table.source, table.classes) {
        (_, Some(0 | 1)) => Err(Problem::new(key, "must be at least 2")),
        (_, Some(classes)) => Ok(classes),
        (SourceName::Procedural, None) => Ok(64),
        (SourceName::ImageFolder, None) => {
            Err(Problem::new(key, "source \"image-folder\" needs its number of classes"))
        }
    }
}

/// `[train]` with one learning rate.
pub(super) fn train(table: &TrainTable, learning_rate: f64) -> Result<TrainSpec, Problem> {
    if table.batch == 0 {
        return Err(Problem::new("batch", "must be at least 1"));
    }
    if table.micro_batch == Some(0) {
        return Err(Problem::new("micro_batch", "must be at least 1"));
    }
    check_numbers(table)?;
    check_optimiser(&table.optimiser)?;
    Ok(TrainSpec {
        batch: table.batch,
        micro_batch: table.micro_batch,
        checkpoint_activations: table.checkpoint_activations,
        objective: table.objective,
        mixup: table.mixup,
        optimiser: table.optimiser.clone(),
        learning_rate,
        weight_decay: table.weight_decay,
        clip: (table.clip > 0.0).then_some(table.clip),
        polyak: table.polyak,
        schedule: schedule(&table.schedule)?,
        augmentation: table.augmentation,
        precision: table.precision,
    })
}

fn check_numbers(table: &TrainTable) -> Result<(), Problem> {
    let decay = table.weight_decay;
    let not_negative = [
        ("weight_decay", decay.body),
        ("weight_decay", decay.head),
        ("clip", table.clip),
        ("mixup", table.mixup),
    ];
    for (key, value) in not_negative {
        if !(value.is_finite() && value >= 0.0) {
            let message = format!("must not be negative, as {value} is");
            return Err(Problem::new(key, message));
        }
    }
    let (smoothing, is_masked) = match table.objective {
        Objective::Softmax { label_smoothing } | Objective::Sigmoid { label_smoothing, .. } => {
            (label_smoothing, false)
        }
        Objective::MaskedPatch { share } => (share, true),
    };
    if !(0.0..=1.0).contains(&smoothing) || (is_masked && smoothing == 0.0) {
        let message = format!("a share lies in [0, 1], not {smoothing}");
        return Err(Problem::new("objective", message));
    }
    if let Objective::Sigmoid { head_bias, .. } = table.objective
        && !head_bias.is_finite()
    {
        let message = format!("head_bias must be a number, not {head_bias}");
        return Err(Problem::new("objective", message));
    }
    if is_masked && table.mixup > 0.0 {
        let message = "objective \"masked-patch\" has no labels to mix: leave mixup out";
        return Err(Problem::new("mixup", message));
    }
    match table.polyak {
        Some(decay) if !(0.0..1.0).contains(&decay) => {
            Err(Problem::new("polyak", format!("a decay lies in [0, 1), not {decay}")))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_optimiser(optimiser: &Optimiser) -> Result<(), Problem> {
    let decays: &[f64] = match optimiser {
        Optimiser::Adamw(adamw) => &[adamw.beta1, adamw.beta2],
        Optimiser::Adafactor(adafactor) => &[adafactor.beta1, adafactor.beta2_cap],
        Optimiser::Sgd(sgd) => &[sgd.momentum],
    };
    let problem = |message: String| Err(Problem::new("optimiser", message));
    if let Some(decay) = decays.iter().find(|decay| !(0.0..1.0).contains(*decay)) {
        return problem(format!("a moment's decay lies in [0, 1), not {decay}"));
    }
    let (eps, exponent) = match optimiser {
        Optimiser::Adamw(adamw) => (adamw.eps, 1.0),
        Optimiser::Adafactor(adafactor) => (adafactor.eps, adafactor.decay_exponent),
        Optimiser::Sgd(_) => return Ok(()),
    };
    for (name, value) in [("eps", eps), ("decay_exponent", exponent)] {
        if let Err(message) = positive(value) {
            return problem(format!("{name} {message}"));
        }
    }
    Ok(())
}

fn schedule(table: &ScheduleTable) -> Result<Schedule, Problem> {
    let key = |key: &str| format!("schedule.{key}");
    if table.decay != DecayName::Rsqrt {
        for (name, given) in [("timescale", table.timescale), ("shift", table.shift)] {
            if given.is_some() {
                return Err(Problem::new(key(name), "only decay = \"rsqrt\" has this setting"));
            }
        }
    }
    let decay = match table.decay {
        DecayName::Constant => Decay::Constant,
        DecayName::Cosine => Decay::Cosine,
        DecayName::Linear => Decay::Linear,
        DecayName::Rsqrt => rsqrt(table)?,
    };
    match table.cooldown {
        Cooldown::Fraction(share) if !(0.0..1.0).contains(&share) => {
            return Err(Problem::new(
                key("cooldown"),
                format!("a share lies in [0, 1), not {share}"),
            ));
        }
        Cooldown::Fraction(_) | Cooldown::Steps(_) => {}
    }
    Ok(Schedule { decay, warmup: table.warmup })
}

fn rsqrt(table: &ScheduleTable) -> Result<Decay, Problem> {
    let timescale = table.timescale.unwrap_or(table.warmup.max(1) as f64);
    let shift = table.shift.unwrap_or(0.0);
    if !(timescale.is_finite() && timescale > 0.0) {
        return Err(Problem::new(
            "schedule.timescale",
            format!("must be positive, not {timescale}"),
        ));
    }
    if !(shift.is_finite() && shift >= 0.0) {
        return Err(Problem::new("schedule.shift", format!("must not be negative, as {shift} is")));
    }
    Ok(Decay::Rsqrt { timescale, shift })
}

fn eval(table: &EvalTable) -> Result<EvalSpec, Problem> {
    if table.examples == 0 {
        return Err(Problem::new("examples", "must be at least 1"));
    }
    if table.every == Some(0) {
        return Err(Problem::new("every", "must be at least 1"));
    }
    Ok(EvalSpec { examples: table.examples, every: table.every, attention: table.attention })
}

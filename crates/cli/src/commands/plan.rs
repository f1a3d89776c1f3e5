//! `isoflop plan`: what a sweep is and costs, before anything is trained.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use scheduler::{Plan, PlannedSegment};
use serde_json::{Value, json};
use spec::{NamedShape, SegmentKind, SweepSpec};

use crate::devices::Devices;
use crate::exit::{ALL_DONE, bad_input};
use crate::output::{Format, Rows};
use crate::sweep_file::SweepFileArgs;

/// Show a sweep's trials, shared segments, FLOPs, memory and hours; trains nothing
///
/// Hours are a guess: on CPU slots from a step's overhead and 4e10 FLOP/s, on GPUs from 1e14 FLOP/s.
/// Give --flops-per-s what your device reaches.
#[derive(clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    sweep: SweepFileArgs,

    /// Where it would train: auto, cpu:N or cuda:0,1
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    devices: Devices,

    /// Training FLOPs a second that one slot reaches
    #[arg(long, value_name = "FLOPS")]
    flops_per_s: Option<f64>,

    /// Output format; json lists every segment
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

const GPU_FLOPS_PER_S: f64 = 1e14;

pub fn plan(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let sweep = args.sweep.read()?;
    crate::source::check_if_present(&sweep)?;
    let plan = Plan::new(&sweep.trials);
    let slots = args.devices.slots().map_err(bad_input)?;
    if let Some(rate) = args.flops_per_s
        && !(rate.is_finite() && rate > 0.0)
    {
        return Err(bad_input(anyhow::anyhow!(
            "--flops-per-s must be a positive number, not {rate}"
        )));
    }
    let on_gpu = slots.iter().any(|slot| slot.slot.visible_gpu.is_some());
    let cost = Cost {
        n_slots: slots.len(),
        flops_per_s: args.flops_per_s.or(on_gpu.then_some(GPU_FLOPS_PER_S)),
    };
    match args.format {
        Format::Json => Rows::one(as_json(&sweep, &plan, &cost)).print(Format::Json)?,
        Format::Csv => by_shape(&plan, &cost).print(Format::Csv)?,
        Format::Table => {
            by_shape(&plan, &cost).print(Format::Table)?;
            print_totals(&sweep, &plan, &cost)?;
        }
    }
    Ok(ExitCode::from(ALL_DONE))
}

/// What segments take on the given slots, when every slot is busy to the end.
struct Cost {
    n_slots: usize,
    /// None: the scheduler's own guess for a CPU core.
    flops_per_s: Option<f64>,
}

impl Cost {
    fn hours<'a>(&self, segments: impl Iterator<Item = &'a PlannedSegment>) -> f64 {
        let seconds = |segment: &PlannedSegment| match self.flops_per_s {
            Some(rate) => segment.spec.train_flops() / rate,
            None => segment.estimated_s(),
        };
        segments.map(seconds).sum::<f64>() / self.n_slots as f64 / 3600.0
    }
}

fn as_json(sweep: &SweepSpec, plan: &Plan, cost: &Cost) -> Value {
    json!({
        "sweep": sweep.name,
        "n_trials": plan.trials.len(),
        "n_segments": plan.segments.len(),
        "train_flops_separate": plan.train_flops_separate(),
        "train_flops_planned": plan.train_flops(),
        "n_slots": cost.n_slots,
        "assumed_flops_per_s": cost.flops_per_s,
        "estimated_hours": cost.hours(plan.segments.iter()),
        "segments": plan.segments.iter().map(segment_json).collect::<Vec<_>>(),
    })
}

fn segment_json(segment: &PlannedSegment) -> Value {
    let spec = &segment.spec;
    json!({
        "segment_id": segment.id,
        "parent_id": spec.parent,
        "kind": spec.kind,
        "shape": spec.recipe.model.shape().name,
        "unique_examples": spec.recipe.unique_examples,
        "learning_rate": spec.recipe.train.learning_rate,
        "seed": spec.recipe.seed,
        "start_step": spec.start,
        "end_step": spec.end,
        "train_flops": spec.train_flops(),
        "n_trials": segment.n_trials,
        "memory_bytes": memory_bytes(segment),
    })
}

fn by_shape(plan: &Plan, cost: &Cost) -> Rows {
    let mut shapes: BTreeMap<(u64, &str), Vec<&PlannedSegment>> = BTreeMap::new();
    for segment in &plan.segments {
        let model = &segment.spec.recipe.model;
        shapes.entry((model.params(), &model.shape().name)).or_default().push(segment);
    }
    let row = |((params, name), segments): ((u64, &str), Vec<&PlannedSegment>)| {
        let flops: f64 = segments.iter().map(|segment| segment.spec.train_flops()).sum();
        let is_this = |shape: &NamedShape| shape.name == name;
        let n_trials =
            plan.trials.iter().filter(|trial| is_this(trial.spec.recipe.model.shape())).count();
        let memory = segments.iter().map(|segment| memory_bytes(segment)).fold(0.0, f64::max);
        vec![
            json!(name),
            json!(params),
            json!(n_trials),
            json!(segments.len()),
            json!(flops),
            json!(cost.hours(segments.iter().copied())),
            json!(memory / 1e9),
        ]
    };
    let columns = ["shape", "params", "trials", "segments", "train_flops", "hours", "memory_gb"];
    Rows::new(columns.map(str::to_owned).into(), shapes.into_iter().map(row).collect())
}

/// A rough upper bound of a trainer's memory on the device: parameters, gradients and two AdamW
/// moments in f32, and for every token and block about 16 widths and 3 MLP widths of activations
/// kept for the backward pass. Attention matrices are not kept: the fused kernel recomputes them.
fn memory_bytes(segment: &PlannedSegment) -> f64 {
    let recipe = &segment.spec.recipe;
    let shape = recipe.model.shape().shape;
    let spec::ModelSpec::Vit(vit) = &recipe.model;
    let per_token =
        f64::from(shape.depth) * (16.0 * f64::from(shape.width) + 3.0 * f64::from(shape.mlp));
    let activations = f64::from(recipe.train.batch) * vit.tokens() as f64 * per_token;
    4.0 * (4.0 * recipe.model.params() as f64 + activations)
}

fn print_totals(sweep: &SweepSpec, plan: &Plan, cost: &Cost) -> anyhow::Result<()> {
    let (separate, planned) = (plan.train_flops_separate(), plan.train_flops());
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    writeln!(
        out,
        "{}: {} trials in {} segments, {planned:.3e} training FLOPs ({separate:.3e} if every trial trained alone: {:.2} x)",
        sweep.name,
        plan.trials.len(),
        plan.segments.len(),
        planned / separate
    )?;
    if plan.segments.iter().any(|segment| segment.spec.kind == SegmentKind::Whole) {
        writeln!(
            out,
            "A cosine or linear schedule depends on the length: those trials share no trunk."
        )?;
    }
    let hours = cost.hours(plan.segments.iter());
    writeln!(out, "About {} on {} slots.", report::duration(3600.0 * hours), cost.n_slots)?;
    Ok(())
}

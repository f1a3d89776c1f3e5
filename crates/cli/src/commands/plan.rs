//! `isoflop plan`: what a sweep is and costs, before anything is trained.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::ExitCode;

use scheduler::{Plan, PlannedSegment};
use serde_json::{Value, json};
use spec::{SegmentId, SegmentKind, SweepSpec, TransferMethod, TransferSpec};

use crate::devices::Devices;
use crate::exit::{ALL_DONE, bad_input};
use crate::memory::memory_bytes;
use crate::output::{Format, Rows};
use crate::sweep_file::SweepFileArgs;

/// Show a sweep's trials, shared segments, evaluations, FLOPs, memory and hours; trains nothing
///
/// A row per shape, and per variant where there are variants. Memory is a rough upper bound of one
/// trainer's: parameters, gradients, optimiser state, and the activations of one micro-batch.
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
    let plan = Plan::new(&sweep.trials, &sweep.transfers);
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
        Format::Csv => by_shape(&sweep, &plan, &cost).print(Format::Csv)?,
        Format::Table => {
            by_shape(&sweep, &plan, &cost).print(Format::Table)?;
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
    let variants = variants(sweep, plan);
    let json = |segment: &PlannedSegment| segment_json(segment, variants.get(&segment.id));
    let training: Vec<_> = training(plan).map(json).collect();
    let evaluations: Vec<_> = plan.evaluations().map(json).collect();
    json!({
        "sweep": sweep.name,
        "n_trials": plan.trials.len(),
        "n_segments": training.len(),
        "n_evaluations": evaluations.len(),
        "train_flops_separate": plan.train_flops_separate(),
        "train_flops_planned": plan.train_flops(),
        "evaluation_flops": plan.evaluation_flops(),
        "n_slots": cost.n_slots,
        "assumed_flops_per_s": cost.flops_per_s,
        "estimated_hours": cost.hours(plan.segments.iter()),
        "segments": training,
        "evaluations": evaluations,
    })
}

fn training(plan: &Plan) -> impl Iterator<Item = &PlannedSegment> {
    plan.segments.iter().filter(|segment| !segment.is_evaluation())
}

fn segment_json(segment: &PlannedSegment, variant: Option<&&str>) -> Value {
    let spec = &segment.spec;
    json!({
        "segment_id": segment.id,
        "parent_id": spec.parent,
        "kind": spec.kind,
        "variant": variant,
        "family": spec.recipe.model.family(),
        "shape": spec.recipe.model.shape_name(),
        "unique_examples": spec.recipe.unique_examples,
        "learning_rate": spec.recipe.train.learning_rate,
        "seed": spec.recipe.seed,
        "start_step": spec.start,
        "end_step": spec.end,
        "train_flops": spec.train_flops(),
        "n_trials": segment.n_trials,
        "memory_bytes": memory_bytes(spec),
        "transfer": spec.transfer,
    })
}

/// The variant of each segment; of one that several share, the first trial's.
fn variants<'a>(sweep: &'a SweepSpec, plan: &Plan) -> HashMap<SegmentId, &'a str> {
    let mut variants = HashMap::new();
    for trial in &plan.trials {
        let Some(variant) = sweep.variants.get(&trial.id) else { continue };
        for segment in trial.chain.iter().chain(&trial.evaluations) {
            variants.entry(*segment).or_insert(variant.as_str());
        }
    }
    variants
}

/// What makes a row of the table: variant, parameters, family and shape.
type Row<'a> = (Option<&'a str>, u64, &'a str, &'a str);

fn by_shape(sweep: &SweepSpec, plan: &Plan, cost: &Cost) -> Rows {
    let variants = variants(sweep, plan);
    let mut rows: BTreeMap<Row, Vec<&PlannedSegment>> = BTreeMap::new();
    for segment in training(plan) {
        let model = &segment.spec.recipe.model;
        let variant = variants.get(&segment.id).copied();
        let row = (variant, model.params(), model.family(), model.shape_name());
        rows.entry(row).or_default().push(segment);
    }
    let mut n_trials: BTreeMap<Row, usize> = BTreeMap::new();
    for trial in &plan.trials {
        let model = &trial.spec.recipe.model;
        let variant = sweep.variants.get(&trial.id).map(String::as_str);
        let row = (variant, model.params(), model.family(), model.shape_name());
        *n_trials.entry(row).or_default() += 1;
    }
    let mut families = rows.keys().map(|(_, _, family, _)| *family);
    let first = families.next();
    let has_families = families.any(|family| Some(family) != first);
    let cells = |(row, segments): (Row, Vec<&PlannedSegment>)| {
        let (variant, params, family, shape) = row;
        let flops: f64 = segments.iter().map(|segment| segment.spec.train_flops()).sum();
        let memory = segments.iter().map(|segment| memory_bytes(&segment.spec)).fold(0.0, f64::max);
        let n_trials = n_trials.get(&row).copied().unwrap_or(0);
        let family = has_families.then(|| json!(family));
        let named = [variant.map(|name| json!(name)), family, Some(json!(shape))];
        let numbers = [
            json!(params),
            json!(n_trials),
            json!(segments.len()),
            json!(flops),
            json!(cost.hours(segments.iter().copied())),
            json!(memory / 1e9),
        ];
        named.into_iter().flatten().chain(numbers).collect()
    };
    let named =
        [(!sweep.variants.is_empty()).then_some("variant"), has_families.then_some("family")];
    let columns = ["shape", "params", "trials", "segments", "train_flops", "hours", "memory_gb"];
    let columns = named.into_iter().flatten().chain(columns).map(str::to_owned);
    Rows::new(columns.collect(), rows.into_iter().map(cells).collect())
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
        training(plan).count(),
        planned / separate
    )?;
    write_evaluations(&mut out, sweep, plan)?;
    if !sweep.variants.is_empty() {
        writeln!(
            out,
            "Rows are of variants; a trial or a trunk that several have in common counts for the first."
        )?;
    }
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

fn write_evaluations(out: &mut impl Write, sweep: &SweepSpec, plan: &Plan) -> anyhow::Result<()> {
    for transfer in &sweep.transfers {
        let is_of_it = |segment: &&PlannedSegment| segment.spec.transfer.as_ref() == Some(transfer);
        let of_it: Vec<_> = plan.evaluations().filter(is_of_it).collect();
        let flops: f64 = of_it.iter().map(|segment| segment.spec.train_flops()).sum();
        writeln!(
            out,
            "Besides {} evaluations, {}: {flops:.3e} FLOPs.",
            of_it.len(),
            describe(transfer)
        )?;
    }
    Ok(())
}

/// `few-shot (5, 10 shots) on 64 classes`.
fn describe(transfer: &TransferSpec) -> String {
    let method = match &transfer.method {
        TransferMethod::FewShot(few) => {
            let shots: Vec<_> = few.shots.iter().map(u32::to_string).collect();
            format!("few-shot ({} shots)", shots.join(", "))
        }
        TransferMethod::LinearProbe(probe) => format!("linear probe ({} steps)", probe.steps),
        TransferMethod::FineTune(tune) => format!("fine-tuning ({} steps)", tune.steps),
    };
    let name = transfer.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
    format!("{name}{method} on {} classes", transfer.classes)
}

//! `isoflop plan`: what a sweep is and costs, before anything is trained.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use scheduler::{Plan, PlannedSegment};
use serde_json::{Value, json};
use spec::{ModelSpec, SegmentId, SweepSpec, TransferMethod, TransferSpec};
use store::{SegmentState, Store, WriterLock};

use crate::calibrate::calibrate;
use crate::checkpoints::stored_trunks;
use crate::costs::{Basis, Costs, Guess};
use crate::devices::{Devices, NamedSlot, devices_in_words, n_devices};
use crate::exit::{ALL_DONE, bad_input};
use crate::outlook::{Outlook, hours};
use crate::output::{Format, Rows};
use crate::paths::{Workplace, trainer_program};
use crate::progress::workload_label;
use crate::sharing::{Unshared, unshared};
use crate::sweep_file::SweepFileArgs;

/// Show a sweep's trials, shared segments, evaluations, FLOPs, memory and hours; trains nothing
///
/// A row per shape, and per variant where there are variants. Hours and memory are of what finished
/// attempts on such a device measured; else of what --calibrate measured there before; else guessed: on
/// CPU slots from a step's overhead and 4e10 FLOP/s, on GPUs from 1e14 FLOP/s, and memory from above.
#[derive(clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    sweep: SweepFileArgs,

    /// The database, for what is known and done already; it need not exist
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Where it would train: auto, cpu:N or cuda:0,1
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    devices: Devices,

    /// Take a few steps of each shape that the device is not known for, and store what they took
    #[arg(long)]
    calibrate: bool,

    /// FLOPs a second that one device reaches, instead of the guess
    #[arg(long, value_name = "FLOPS")]
    flops_per_s: Option<f64>,

    /// Output format; json lists every segment
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn plan(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let sweep = args.sweep.read()?;
    crate::source::check_if_present(&sweep)?;
    let slots = args.devices.slots().map_err(bad_input)?;
    let slot = slots.first().context("there is no slot to train on")?;
    let Known { mut plan, costs, finished } = args.known(&sweep, slot).await?;
    plan.weigh(&|segment| costs.seconds(segment));
    let outlook = Outlook::new(&plan, &costs, n_devices(&slots), &finished);
    let are_gpus = slot.slot.visible_gpu.is_some();
    let shown = Shown { sweep: &sweep, plan: &plan, costs: &costs, outlook: &outlook, are_gpus };
    match args.format {
        Format::Json => Rows::one(shown.json(args.flops_per_s)).print(Format::Json)?,
        Format::Csv => shown.by_shape().print(Format::Csv)?,
        Format::Table => {
            shown.by_shape().print(Format::Table)?;
            shown.write_totals(&mut std::io::stdout().lock())?;
        }
    }
    Ok(ExitCode::from(ALL_DONE))
}

impl PlanArgs {
    fn guess(&self, slot: &NamedSlot) -> anyhow::Result<Guess> {
        match self.flops_per_s {
            None => Ok(Guess::of(slot)),
            Some(rate) if rate.is_finite() && rate > 0.0 => Ok(Guess::of_rate(rate)),
            Some(rate) => {
                Err(bad_input(anyhow!("--flops-per-s must be a positive number, not {rate}")))
            }
        }
    }

    /// The plan, and what the store knows of it.
    async fn known(&self, sweep: &SweepSpec, slot: &NamedSlot) -> anyhow::Result<Known> {
        let guess = self.guess(slot)?;
        if self.calibrate {
            self.calibrate(&Plan::new(&sweep.trials, &sweep.transfers), slot).await?;
        }
        if !self.db.exists() {
            let plan = Plan::new(&sweep.trials, &sweep.transfers);
            let costs = Costs::new(&plan, guess, &HashMap::new(), &HashMap::new());
            return Ok(Known { plan, costs, finished: HashSet::new() });
        }
        let store = Store::open_read_only(&self.db).await.map_err(bad_input)?;
        let trunks = stored_trunks(&store, &Workplace::of(&self.db), &sweep.name).await?;
        let plan = Plan::continuing(&sweep.trials, &sweep.transfers, &trunks);
        let costs = Costs::read(&store, slot, &plan, guess).await?;
        Ok(Known { plan, costs, finished: finished(&store).await? })
    }

    async fn calibrate(&self, plan: &Plan, slot: &NamedSlot) -> anyhow::Result<()> {
        let _lock = WriterLock::acquire(&self.db).map_err(bad_input)?;
        let store = Store::open(&self.db).await.map_err(bad_input)?;
        calibrate(&store, &trainer_program()?, slot, plan).await?;
        store.close().await;
        Ok(())
    }
}

/// A plan that continues what is stored.
struct Known {
    plan: Plan,
    costs: Costs,
    /// Segments of whatever sweep.
    finished: HashSet<SegmentId>,
}

/// Every segment of any sweep that has finished.
async fn finished(store: &Store) -> anyhow::Result<HashSet<SegmentId>> {
    let mut finished = HashSet::new();
    for sweep in store.sweeps().await? {
        let states = store.segment_states(&sweep.record.name).await?;
        let done = states.into_iter().filter(|status| status.state == SegmentState::Finished);
        finished.extend(done.map(|status| status.segment_id));
    }
    Ok(finished)
}

/// What is printed, and from what.
struct Shown<'a> {
    sweep: &'a SweepSpec,
    plan: &'a Plan,
    costs: &'a Costs,
    outlook: &'a Outlook,
    are_gpus: bool,
}

impl Shown<'_> {
    fn json(&self, flops_per_s: Option<f64>) -> Value {
        let Self { sweep, plan, outlook, .. } = self;
        let variants = variants(sweep, plan);
        let json = |segment: &PlannedSegment| self.segment_json(segment, variants.get(&segment.id));
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
            "n_devices": outlook.n_devices,
            "assumed_flops_per_s": flops_per_s,
            "estimated_hours": outlook.busy_hours(),
            "segments": training,
            "evaluations": evaluations,
            "basis": outlook.basis,
            "device_hours": outlook.hours,
            "device_hours_of_training": outlook.training_hours,
            "device_hours_of_training_separate": outlook.separate_hours,
            "n_finished": outlook.n_finished,
            "train_flops_left": outlook.train_flops_left,
            "makespan_hours_left": outlook.makespan_hours,
            "unshared": unshared(sweep, plan),
        })
    }

    fn segment_json(&self, segment: &PlannedSegment, variant: Option<&&str>) -> Value {
        let (spec, cost) = (&segment.spec, self.costs.of(segment));
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
            "memory_bytes": cost.bytes,
            "transfer": spec.transfer,
            "expected_s": cost.seconds,
            "basis": cost.basis,
        })
    }

    fn by_shape(&self) -> Rows {
        let variants = variants(self.sweep, self.plan);
        let mut rows: BTreeMap<Row, Vec<&PlannedSegment>> = BTreeMap::new();
        for segment in training(self.plan) {
            let variant = variants.get(&segment.id).copied();
            rows.entry(row(&segment.spec.recipe.model, variant)).or_default().push(segment);
        }
        let mut n_trials: BTreeMap<Row, usize> = BTreeMap::new();
        for trial in &self.plan.trials {
            let variant = self.sweep.variants.get(&trial.id).map(String::as_str);
            *n_trials.entry(row(&trial.spec.recipe.model, variant)).or_default() += 1;
        }
        let mut families = rows.keys().map(|(_, _, family, _)| *family);
        let first = families.next();
        let has_families = families.any(|family| Some(family) != first);
        let named = [
            (!self.sweep.variants.is_empty()).then_some("variant"),
            has_families.then_some("family"),
        ];
        let columns = named.into_iter().flatten().chain(COLUMNS).map(str::to_owned);
        let cells = |(row, segments): (Row, Vec<&PlannedSegment>)| {
            let (variant, _, family, shape) = row;
            let family = has_families.then(|| json!(family));
            let named = [variant.map(|name| json!(name)), family, Some(json!(shape))];
            let n_trials = n_trials.get(&row).copied().unwrap_or(0);
            named.into_iter().flatten().chain(self.numbers(row, n_trials, &segments)).collect()
        };
        Rows::new(columns.collect(), rows.into_iter().map(cells).collect())
    }

    /// The cells behind a row's name.
    fn numbers(&self, row: Row, n_trials: usize, segments: &[&PlannedSegment]) -> [Value; 7] {
        let flops: f64 = segments.iter().map(|segment| segment.spec.train_flops()).sum();
        let costs = segments.iter().map(|segment| self.costs.of(segment));
        let memory = costs.clone().map(|cost| cost.bytes).fold(0.0, f64::max);
        let hours = hours(segments.iter().copied()) / self.outlook.n_devices as f64;
        [
            json!(row.1),
            json!(n_trials),
            json!(segments.len()),
            json!(flops),
            json!(hours),
            json!(memory / 1e9),
            json!(costs.map(|cost| cost.basis).min()),
        ]
    }

    fn write_totals(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let Self { sweep, plan, outlook, .. } = self;
        writeln!(
            out,
            "\n{}: {} trials in {} segments, {:.3e} training FLOPs",
            sweep.name,
            plan.trials.len(),
            training(plan).count(),
            plan.train_flops()
        )?;
        write_sharing(out, plan, outlook)?;
        write_unshared(out, sweep, plan)?;
        write_evaluations(out, sweep, plan)?;
        if !sweep.variants.is_empty() {
            writeln!(
                out,
                "Rows are of variants; a trial or a trunk that several have in common counts for the first."
            )?;
        }
        self.write_memory(out)?;
        write_time(out, plan, outlook, self.are_gpus)
    }

    fn write_memory(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let is_too_large = |segment: &&PlannedSegment| self.costs.of(segment).is_out_of_memory;
        let labels: BTreeSet<_> = self
            .plan
            .segments
            .iter()
            .filter(is_too_large)
            .map(|segment| workload_label(&segment.spec))
            .collect();
        for label in labels {
            writeln!(
                out,
                "{label} did not fit into memory when it was calibrated: its micro-batch will be halved until it does."
            )?;
        }
        Ok(())
    }
}

/// Behind the names of variant and family, where there are any.
const COLUMNS: [&str; 8] =
    ["shape", "params", "trials", "segments", "train_flops", "hours", "memory_gb", "basis"];

fn write_sharing(out: &mut impl Write, plan: &Plan, outlook: &Outlook) -> anyhow::Result<()> {
    let (separate, planned) = (plan.train_flops_separate(), plan.train_flops());
    if separate > planned {
        writeln!(
            out,
            "Shared trunks save {:.3e} FLOPs and {} of device time: {:.2} x what every trial alone would take.",
            separate - planned,
            report::duration(3600.0 * (outlook.separate_hours - outlook.training_hours).max(0.0)),
            planned / separate
        )?;
    }
    Ok(())
}

fn write_unshared(out: &mut impl Write, sweep: &SweepSpec, plan: &Plan) -> anyhow::Result<()> {
    for Unshared { variant, schedule, reason, n_trials } in unshared(sweep, plan) {
        let of_variant = variant.map_or_else(String::new, |name| format!(" of `{name}`"));
        writeln!(
            out,
            "{n_trials} trials{of_variant} with a {schedule} schedule share no trunk: {}.",
            reason.words()
        )?;
    }
    Ok(())
}

fn write_time(
    out: &mut impl Write,
    plan: &Plan,
    outlook: &Outlook,
    are_gpus: bool,
) -> anyhow::Result<()> {
    let Outlook { n_finished, n_devices, .. } = *outlook;
    let n_segments = plan.segments.len();
    let evaluations = if plan.evaluations().next().is_some() { " and evaluations" } else { "" };
    if n_finished == n_segments {
        writeln!(out, "All segments{evaluations} are finished already in the store.")?;
        return Ok(());
    }
    if n_finished > 0 {
        writeln!(
            out,
            "{n_segments} segments{evaluations}, {n_finished} finished already in the store: {} training FLOPs left.",
            report::scientific(outlook.train_flops_left)
        )?;
    }
    let basis = match outlook.basis {
        Basis::Guessed => "partly guessed; `--calibrate` measures a few steps",
        Basis::Calibrated => "by calibration",
        Basis::Measured => "by what was measured",
    };
    let makespan = report::duration(3600.0 * outlook.makespan_hours);
    let devices = devices_in_words(n_devices, are_gpus);
    writeln!(out, "About {makespan} on {devices}, {basis}.")?;
    Ok(())
}

/// What makes a row of the table: variant, parameters, family and shape.
type Row<'a> = (Option<&'a str>, u64, &'a str, &'a str);

fn row<'a>(model: &'a ModelSpec, variant: Option<&'a str>) -> Row<'a> {
    (variant, model.params(), model.family(), model.shape_name())
}

fn training(plan: &Plan) -> impl Iterator<Item = &PlannedSegment> {
    plan.segments.iter().filter(|segment| !segment.is_evaluation())
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

//! Carrying out a sweep: what `isoflop sweep` and `isoflop retry` have in common.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use scheduler::{
    Budget, Charge, End, Ended, Engine, Lanes, LocalEngine, Past, Plan, PlannedSegment, Policy,
    Schedule, SegmentState, States, Stop, drive, simulate,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spec::{SegmentId, SweepSpec, checkpoint_name};
use store::{PlannedTrial, Spent, Store, StoreError, SweepRecord, WriterLock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::checkpoints::{Keeper, stored_trunks};
use crate::costs::{Costs, Guess};
use crate::devices::{Devices, NamedSlot, lanes, n_devices};
use crate::exit::{ALL_DONE, BUDGET_REACHED, INTERRUPTED, SOME_TRIALS_FAILED, bad_input};
use crate::journal::{StoreJournal, now, stored_states};
use crate::paths::{Workplace, trainer_program};
use crate::progress::{Progress, Show, say};
use crate::recover::{Queued, recover};
use crate::selection::only_failed;
use crate::slurm::{self, Adopted};
use crate::summary;

/// How a sweep is carried out.
#[derive(clap::Args)]
pub struct Options {
    /// The database; figures, checkpoints and caches go beside it
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    pub db: PathBuf,

    /// Who executes: trainers on this machine, or jobs of a Slurm cluster (docs/slurm.md)
    #[arg(long, value_enum, default_value_t = EngineName::Local)]
    engine: EngineName,

    /// Where trainers of this machine train: auto, cpu:N (N slots share the cores) or cuda:0,1
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    devices: Devices,

    /// Start nothing that would take the sweep, all attempts at it counted, beyond so many FLOPs
    #[arg(long, value_name = "FLOPS", value_parser = positive)]
    budget_flops: Option<f64>,

    /// The same in hours of device time, all devices together
    #[arg(long, value_name = "HOURS", value_parser = positive)]
    budget_hours: Option<f64>,

    /// Tries of a segment whose trainer dies without getting further, before it counts as failed
    #[arg(long, value_name = "N", default_value_t = Policy::default().max_lost, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,

    /// Minutes without a word after which a trainer counts as hung, and is ended
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0, value_parser = positive)]
    time_out: f64,

    /// Show no progress, complaints alone
    #[arg(long)]
    quiet: bool,

    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Printed::Table)]
    format: Printed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineName {
    Local,
    Slurm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Printed {
    /// What was found, at the end; progress goes to standard error
    Table,
    /// Events as they happen, a JSON object per line (docs/operations.md), and nothing else
    Json,
}

/// Which part of a sweep is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    /// What failed before, and what waits for it.
    Failed,
}

fn positive(text: &str) -> anyhow::Result<f64> {
    let number: f64 = text.parse()?;
    anyhow::ensure!(number.is_finite() && number > 0.0, "a positive number is expected");
    Ok(number)
}

impl Options {
    fn policy(&self) -> Policy {
        let device_s = self.budget_hours.map(|hours| 3600.0 * hours);
        Policy {
            max_lost: self.tries,
            time_out_s: Some(60.0 * self.time_out),
            budget: Budget { flops: self.budget_flops, device_s },
            ..Policy::default()
        }
    }

    const fn show(&self) -> Show {
        match (self.quiet, self.format) {
            (_, Printed::Json) => Show::Programs,
            (true, Printed::Table) => Show::Quiet,
            (false, Printed::Table) => Show::People,
        }
    }
}

/// Trains what is left of a sweep, and shows what came out.
///
/// # Errors
/// Bad input, a store that another process holds, trainers that cannot be started, a full disk.
pub async fn conduct(sweep: &SweepSpec, options: &Options, part: Part) -> anyhow::Result<ExitCode> {
    carry_out(sweep, options, part).await.map_err(|error| match full_store(&error) {
        Some(reason) => disk_full(&reason),
        None => error,
    })
}

async fn carry_out(sweep: &SweepSpec, options: &Options, part: Part) -> anyhow::Result<ExitCode> {
    crate::source::check(sweep)?;
    let (workplace, slots, guess) = place(sweep, options)?;
    let _lock = WriterLock::acquire(&workplace.db).map_err(bad_input)?;
    let store = Store::open(&workplace.db).await.map_err(bad_input)?;
    // From here on something may be told that somebody answers with Ctrl-C.
    let stop = stop_on_signals(options.engine)?;
    let queued = recover(&store, &workplace).await?;
    let (plan, lanes) = weighed_plan(sweep, &store, &workplace, &slots, guess).await?;
    let conducted =
        Conducted { sweep, options, store: &store, workplace: &workplace, slots: &slots };
    let (plan, ended) = match options.engine {
        EngineName::Local => {
            slurm::take_back(&plan, &queued);
            conducted.train_here(plan, lanes, part, stop).await?
        }
        EngineName::Slurm => conducted.train_in_queue(plan, part, &queued, stop).await?,
    };
    if !matches!(ended.why, End::Interrupted | End::DiskFull { .. }) {
        let is_shown = options.format == Printed::Table;
        summary::conclude(&store, sweep, &plan, &workplace, is_shown).await?;
    }
    store.close().await;
    exit_code(&ended, options.engine)
}

/// Where everything lies, the slots, and what they are guessed to do.
fn place(
    sweep: &SweepSpec,
    options: &Options,
) -> anyhow::Result<(Workplace, Vec<NamedSlot>, Guess)> {
    match options.engine {
        EngineName::Local => {
            let slots = options.devices.slots().map_err(bad_input)?;
            let guess = Guess::of(slots.first().context("there is no slot to train on")?);
            Ok((Workplace::of(&options.db), slots, guess))
        }
        EngineName::Slurm => {
            let spec = slurm::asked(sweep)?;
            let workplace = slurm::workplace(&options.db, spec)?;
            Ok((workplace, slurm::slots(spec), slurm::guess(spec)))
        }
    }
}

/// The plan, with trunks that continue what is stored, and what its segments are expected to take; and
/// which slots may share a device.
async fn weighed_plan(
    sweep: &SweepSpec,
    store: &Store,
    workplace: &Workplace,
    slots: &[NamedSlot],
    guess: Guess,
) -> anyhow::Result<(Plan, Lanes)> {
    let trunks = stored_trunks(store, workplace, &sweep.name).await?;
    let mut plan = Plan::continuing(&sweep.trials, &sweep.transfers, &trunks);
    let slot = slots.first().context("there is no slot to train on")?;
    let costs = Costs::read(store, slot, &plan, guess).await?;
    plan.weigh(&|segment| costs.seconds(segment));
    let lanes = lanes(slots, costs.peak_bytes());
    Ok((plan, lanes))
}

fn local_engine(workplace: &Workplace, slots: &[NamedSlot]) -> anyhow::Result<LocalEngine> {
    let places = slots.iter().map(|slot| slot.slot.clone()).collect();
    Ok(LocalEngine::new(trainer_program()?, workplace.logs(), places))
}

/// Starts trainers where something is left to be done, so that they load their libraries while the plan
/// is stored.
async fn warm_up(
    engine: &mut LocalEngine,
    store: &Store,
    sweep: &str,
    plan: &Plan,
    lanes: &Lanes,
) -> anyhow::Result<()> {
    let states = stored_states(store, sweep, plan).await?;
    let schedule = Schedule::new(plan, &states, Policy::default(), &Past::default());
    let mut schedule = schedule.sharing(lanes.clone());
    while let Some((slot, segment)) = schedule.next_launch(engine.n_slots(), 0.0) {
        engine.wake(slot)?;
        schedule.launch(segment.id, 1, slot, 0.0)?;
    }
    Ok(())
}

async fn save(store: &Store, sweep: &SweepSpec, plan: &Plan) -> anyhow::Result<()> {
    let record = SweepRecord {
        name: sweep.name.clone(),
        source: sweep.text.clone(),
        spec: sweep.as_json().to_string(),
    };
    let trials: Vec<_> = plan.trials.iter().map(|trial| stored_trial(sweep, trial)).collect();
    let segments: Vec<_> = plan.segments.iter().map(stored_segment).collect();
    let saved = store.save_sweep(&record, &trials, &segments, now()).await;
    saved.map_err(|error| match error {
        StoreError::Imported(_) => bad_input(error),
        other => anyhow::Error::new(other).context("cannot store the plan"),
    })?;
    let predicted: Vec<_> =
        plan.segments.iter().map(|segment| (segment.id, segment.estimated_s)).collect();
    store.predict(&predicted).await.context("cannot store the plan")
}

fn stored_trial<'a>(sweep: &'a SweepSpec, trial: &'a scheduler::PlannedTrial) -> PlannedTrial<'a> {
    let scheduler::PlannedTrial { id, spec, chain, evaluations } = trial;
    let variant = sweep.variants.get(id).map(String::as_str);
    PlannedTrial { id: *id, spec, chain, evaluations, variant }
}

fn stored_segment(segment: &PlannedSegment) -> store::PlannedSegment<'_> {
    let PlannedSegment { id, spec, workload, .. } = segment;
    store::PlannedSegment { id: *id, spec, workload: *workload }
}

/// What is tried again: segments that failed before, since somebody has asked for the sweep again,
/// and finished ones whose checkpoint is gone though a segment that is still to be trained starts
/// from it. Returns those that had failed.
async fn reopen(
    store: &Store,
    plan: &Plan,
    states: &mut States,
    workplace: &Workplace,
) -> anyhow::Result<HashSet<SegmentId>> {
    let mut needed = HashSet::new();
    let (mut reopened, mut failed) = (Vec::new(), HashSet::new());
    // Children come after their parents in a plan.
    for PlannedSegment { id, spec, .. } in plan.segments.iter().rev() {
        let is_gone = || !workplace.checkpoints(*id).join(checkpoint_name(spec.end)).exists();
        let is_open = match states.get(id) {
            Some(SegmentState::Failed { .. }) => failed.insert(*id),
            Some(SegmentState::Finished) => needed.contains(id) && is_gone(),
            Some(SegmentState::Diverged { .. }) => continue,
            Some(SegmentState::Pending { .. } | SegmentState::Running { .. }) | None => {
                needed.extend(spec.parent);
                continue;
            }
        };
        if is_open {
            needed.extend(spec.parent);
            reopened.push(*id);
        }
    }
    store.reopen(&reopened).await?;
    states.extend(reopened.into_iter().map(|id| (id, SegmentState::NEW)));
    Ok(failed)
}

/// What training needs beside the plan.
struct Conducted<'a> {
    sweep: &'a SweepSpec,
    options: &'a Options,
    store: &'a Store,
    workplace: &'a Workplace,
    slots: &'a [NamedSlot],
}

impl Conducted<'_> {
    /// By trainers of this machine, which load their libraries while the plan is stored.
    async fn train_here(
        &self,
        plan: Plan,
        lanes: Lanes,
        part: Part,
        stop: watch::Receiver<Stop>,
    ) -> anyhow::Result<(Plan, Ended)> {
        let mut engine = local_engine(self.workplace, self.slots)?;
        warm_up(&mut engine, self.store, &self.sweep.name, &plan, &lanes).await?;
        let (plan, states) = self.open(plan, part).await?;
        let here = Setup { lanes, ..Setup::default() };
        let ended = self.train(&plan, states, here, &mut engine, stop).await?;
        Ok((plan, ended))
    }

    /// By jobs of a queue, those of earlier coordinators among them.
    async fn train_in_queue(
        &self,
        plan: Plan,
        part: Part,
        queued: &[Queued],
        stop: watch::Receiver<Stop>,
    ) -> anyhow::Result<(Plan, Ended)> {
        let spec = slurm::asked(self.sweep)?;
        let mut engine = slurm::engine(self.sweep, spec, self.workplace)?;
        let (plan, states) = self.open(plan, part).await?;
        let adopted = slurm::adopt(&mut engine, self.workplace, &plan, queued).await?;
        let queue = Setup { is_queue: true, bundle_s: spec.least_s, adopted, ..Setup::default() };
        let ended = self.train(&plan, states, queue, &mut engine, stop).await?;
        Ok((plan, ended))
    }

    /// Stores the plan; it, or the part that is asked for, and where its segments stand.
    async fn open(&self, plan: Plan, part: Part) -> anyhow::Result<(Plan, States)> {
        save(self.store, self.sweep, &plan).await?;
        let mut states = stored_states(self.store, &self.sweep.name, &plan).await?;
        let failed = reopen(self.store, &plan, &mut states, self.workplace).await?;
        match part {
            Part::All => Ok((plan, states)),
            Part::Failed => Ok((only_failed(&plan, &states, &failed), states)),
        }
    }

    async fn train<E: Engine>(
        &self,
        plan: &Plan,
        states: States,
        setup: Setup,
        engine: &mut E,
        stop: watch::Receiver<Stop>,
    ) -> anyhow::Result<Ended> {
        let past = self.past(&setup.adopted).await?;
        let schedule = Schedule::new(plan, &states, self.options.policy(), &past);
        let schedule = setup.prepare(schedule)?;
        if !schedule.has_work() {
            return Ok(Ended { states, why: End::Done });
        }
        self.save_provenance(plan, &states).await?;
        let mut journal = self.journal(plan, &states)?;
        setup.show(plan, &mut journal.progress);
        let ended = drive(schedule, setup.bundle_s, engine, &mut journal, stop).await;
        journal.progress.finish();
        ended.with_context(|| self.hint())
    }

    /// What was done before; attempts that go on are charged as they are heard.
    async fn past(&self, adopted: &[Adopted]) -> anyhow::Result<Past> {
        let name = &self.sweep.name;
        let Spent { train_flops, evaluation_flops, charged_s, .. } = self.store.spent(name).await?;
        let all = Charge { flops: train_flops + evaluation_flops, device_s: charged_s };
        let going_on = adopted.iter().map(Adopted::charge).sum();
        let checkpoint =
            |status: store::SegmentStatus| Some((status.segment_id, status.checkpoint?.step));
        let segments = self.store.segment_states(name).await?;
        Ok(Past {
            micro_batches: self.store.micro_batches(name).await?,
            checkpoints: segments.into_iter().filter_map(checkpoint).collect(),
            spent: all - going_on,
        })
    }

    fn hint(&self) -> String {
        let folder = match self.options.engine {
            EngineName::Local => self.workplace.logs(),
            EngineName::Slurm => self.workplace.jobs(),
        };
        format!("logs are in `{}`", folder.display())
    }

    fn journal<'a>(&'a self, plan: &'a Plan, states: &States) -> anyhow::Result<StoreJournal<'a>> {
        let mut progress =
            Progress::new(&self.sweep.name, plan, states, self.slots, self.options.show());
        progress.limit(self.options.policy().budget);
        Ok(StoreJournal {
            store: self.store,
            sweep: &self.sweep.name,
            workplace: self.workplace,
            slots: self.slots,
            keeper: Keeper::new(self.workplace, plan)?,
            progress,
        })
    }

    /// What this invocation runs from and on, and how long it should take; each trainer's own word follows
    /// when it is ready.
    async fn save_provenance(&self, plan: &Plan, states: &States) -> anyhow::Result<()> {
        let slot = |NamedSlot { slot, device_name, .. }: &NamedSlot| json!({ "device": slot.device, "gpu": slot.visible_gpu, "threads": slot.threads, "name": device_name });
        let predicted = simulate(plan, states, n_devices(self.slots));
        let json = json!({
            "isoflop_version": env!("CARGO_PKG_VERSION"),
            "git": crate::git::state(),
            "command": std::env::args().collect::<Vec<_>>(),
            "engine": self.options.engine,
            "slots": self.slots.iter().map(slot).collect::<Vec<_>>(),
            "predicted_makespan_s": predicted.makespan_s,
            "predicted_device_s": predicted.busy_s,
        });
        self.store.save_provenance(&self.sweep.name, &json.to_string(), now()).await?;
        Ok(())
    }
}

/// How segments are handed over, and what goes on already.
#[derive(Default)]
struct Setup {
    /// Which slots of this machine share a device.
    lanes: Lanes,
    /// Whether slots are jobs of a queue.
    is_queue: bool,
    /// Seconds of work that are worth a job; 0 hands segments over one by one.
    bundle_s: f64,
    adopted: Vec<Adopted>,
}

impl Setup {
    fn prepare<'a>(&self, schedule: Schedule<'a>) -> anyhow::Result<Schedule<'a>> {
        if !self.is_queue {
            return Ok(schedule.sharing(self.lanes.clone()));
        }
        let mut schedule = schedule.ahead();
        for adopted in &self.adopted {
            adopted.go_on(&mut schedule)?;
        }
        Ok(schedule)
    }

    /// Shows what goes on already.
    fn show(&self, plan: &Plan, progress: &mut Progress<'_>) {
        let of = |adopted: &Adopted| {
            let attempt = &adopted.queued.attempt;
            (attempt.segment_id, (attempt.attempt, adopted.slot))
        };
        let adopted: HashMap<_, _> = self.adopted.iter().map(of).collect();
        for segment in &plan.segments {
            if let Some((attempt, slot)) = adopted.get(&segment.id) {
                progress.go_on(segment, *attempt, *slot);
            }
        }
    }
}

/// The first Ctrl-C or SIGTERM asks for checkpoints, the second ends at once. Where nothing is trained any more
/// the program itself ends.
fn stop_on_signals(engine: EngineName) -> anyhow::Result<watch::Receiver<Stop>> {
    let (sender, receiver) = watch::channel(Stop::No);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        // Without an end: that of the sender would look like one more signal.
        for level in std::iter::once(Stop::Checkpoint).chain(std::iter::repeat(Stop::Kill)) {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if sender.is_closed() {
                std::process::exit(INTERRUPTED.into());
            }
            if level == Stop::Checkpoint {
                say(match engine {
                    EngineName::Local => {
                        "stopping: trainers write checkpoints; Ctrl-C again to stop at once"
                    }
                    EngineName::Slurm => "stopping: jobs in the queue go on",
                });
            }
            // The drive may just have ended; then nobody needs to hear it.
            let _ = sender.send(level);
        }
    });
    Ok(receiver)
}

fn exit_code(ended: &Ended, engine: EngineName) -> anyhow::Result<ExitCode> {
    match &ended.why {
        End::Done => {
            let has_failed = tell_of_failed(&ended.states);
            Ok(ExitCode::from(if has_failed { SOME_TRIALS_FAILED } else { ALL_DONE }))
        }
        End::Interrupted => {
            say(match engine {
                EngineName::Local => "interrupted; the same command continues",
                EngineName::Slurm => "let go; the same command finds the jobs again",
            });
            Ok(ExitCode::from(INTERRUPTED))
        }
        End::BudgetReached { n_segments } => {
            tell_of_failed(&ended.states);
            say(&format!(
                "the budget is reached: {n_segments} segments that could start are left; the same command with a larger budget continues"
            ));
            Ok(ExitCode::from(BUDGET_REACHED))
        }
        End::DiskFull { reason } => Err(disk_full(reason)),
    }
}

/// Whether it is trainers or the store that found no room, the same is to be done.
fn disk_full(reason: &str) -> anyhow::Error {
    anyhow!(
        "stopped, because the disk is full; nothing that was reported is lost: make room, and the same command continues ({reason})"
    )
}

/// What the store's disk said, where an error is that it is full.
fn full_store(error: &anyhow::Error) -> Option<String> {
    let error = error.chain().find_map(|cause| cause.downcast_ref())?;
    let StoreError::DiskFull(reason) = error else { return None };
    Some(reason.to_string())
}

/// Says how many segments failed and why one of them did; whether any did.
fn tell_of_failed(states: &States) -> bool {
    let reasons: Vec<_> = states.values().filter_map(SegmentState::failure).collect();
    let Some(reason) = reasons.first() else { return false };
    say(&format!(
        "{} segments failed, one of them: {reason}; the same command tries them again, and so does `isoflop retry`",
        reasons.len()
    ));
    true
}

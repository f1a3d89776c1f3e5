//! `isoflop sweep`: train what a sweep file asks for, and show what came out.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use scheduler::{
    Ended, LocalEngine, Plan, PlannedSegment, SegmentState, States, Stop, drive, next_launch,
};
use serde_json::json;
use spec::{SweepSpec, checkpoint_name};
use store::{PlannedTrial, Store, SweepRecord, WriterLock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::devices::{Devices, NamedSlot};
use crate::exit::{ALL_DONE, INTERRUPTED, SOME_TRIALS_FAILED, bad_input};
use crate::journal::{StoreJournal, now, stored_states};
use crate::paths::{Workplace, trainer_program};
use crate::progress::{Progress, Show, say};
use crate::recover::recover;
use crate::summary;
use crate::sweep_file::SweepFileArgs;

/// Train every trial of a sweep, store, fit and draw; run again to continue
///
/// Finished work is never repeated. Ctrl-C lets the trainers write checkpoints first; a second
/// Ctrl-C does not wait. Either way the same command continues.
#[derive(clap::Args)]
pub struct SweepArgs {
    #[command(flatten)]
    sweep: SweepFileArgs,

    /// The database; figures, checkpoints and caches go beside it
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Where to train: auto, cpu:N (N slots share the cores) or cuda:0,1
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    devices: Devices,

    /// Show no progress, complaints alone
    #[arg(long)]
    quiet: bool,

    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Printed::Table)]
    format: Printed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Printed {
    /// What was found, at the end; progress goes to standard error
    Table,
    /// Events as they happen, a JSON object per line (docs/operations.md), and nothing else
    Json,
}

impl Printed {
    const fn show(self) -> Show {
        match self {
            Self::Table => Show::People,
            Self::Json => Show::Programs,
        }
    }
}

pub async fn sweep(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let sweep = args.sweep.read()?;
    crate::source::check(&sweep)?;
    let slots = args.devices.slots().map_err(bad_input)?;
    let workplace = Workplace::of(&args.db);
    let _lock = WriterLock::acquire(&args.db).map_err(bad_input)?;
    let store = Store::open(&args.db).await.map_err(bad_input)?;
    recover(&store, &workplace).await?;
    let plan = Plan::new(&sweep.trials, &sweep.transfers);
    save(&store, &sweep, &plan).await?;
    let mut states = stored_states(&store, &sweep.name, &plan).await?;
    reopen(&store, &plan, &mut states, &workplace).await?;
    let ended = match next_launch(&plan, &states) {
        Some(_) => {
            save_provenance(&store, &sweep.name, &slots).await?;
            train(args, &store, &sweep.name, &workplace, &plan, states, &slots).await?
        }
        None => Ended { states, interrupted: false },
    };
    if !ended.interrupted {
        summary::conclude(&store, &sweep, &plan, &workplace).await?;
    }
    store.close().await;
    exit_code(&ended)
}

/// What is tried again: segments that failed before, since somebody has asked for the sweep again,
/// and finished ones whose checkpoint is gone though a segment that is still to be trained starts
/// from it.
async fn reopen(
    store: &Store,
    plan: &Plan,
    states: &mut States,
    workplace: &Workplace,
) -> anyhow::Result<()> {
    let mut needed = HashSet::new();
    let mut reopened = Vec::new();
    // Children come after their parents in a plan.
    for PlannedSegment { id, spec, .. } in plan.segments.iter().rev() {
        let is_gone = || !workplace.checkpoints(*id).join(checkpoint_name(spec.end)).exists();
        let is_open = match states.get(id) {
            Some(SegmentState::Failed { .. }) => true,
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
    Ok(())
}

async fn save(store: &Store, sweep: &SweepSpec, plan: &Plan) -> anyhow::Result<()> {
    let record = SweepRecord {
        name: sweep.name.clone(),
        source: sweep.text.clone(),
        spec: sweep.as_json().to_string(),
    };
    let trial = |trial: &scheduler::PlannedTrial| PlannedTrial {
        spec: trial.spec.clone(),
        chain: trial.chain.clone(),
        evaluations: trial.evaluations.clone(),
        variant: sweep.variants.get(&trial.id).cloned(),
    };
    let trials: Vec<_> = plan.trials.iter().map(trial).collect();
    let segments: Vec<_> = plan.segments.iter().map(|segment| segment.spec.clone()).collect();
    store.save_sweep(&record, &trials, &segments, now()).await.context("cannot store the plan")
}

/// What this invocation runs from and on; each trainer's own word follows when it is ready.
async fn save_provenance(store: &Store, sweep: &str, slots: &[NamedSlot]) -> anyhow::Result<()> {
    let slots: Vec<_> = slots
        .iter()
        .map(|NamedSlot { slot, device_name }| {
            json!({ "device": slot.device, "gpu": slot.visible_gpu, "threads": slot.threads, "name": device_name })
        })
        .collect();
    let json = json!({
        "isoflop_version": env!("CARGO_PKG_VERSION"),
        "git": crate::git::state(),
        "command": std::env::args().collect::<Vec<_>>(),
        "slots": slots,
    });
    store.save_provenance(sweep, &json.to_string(), now()).await?;
    Ok(())
}

async fn train(
    args: &SweepArgs,
    store: &Store,
    sweep: &str,
    workplace: &Workplace,
    plan: &Plan,
    states: States,
    slots: &[NamedSlot],
) -> anyhow::Result<Ended> {
    let places = slots.iter().map(|slot| slot.slot.clone()).collect();
    let mut engine = LocalEngine::new(trainer_program()?, workplace.logs(), places);
    let show = if args.quiet { Show::Quiet } else { args.format.show() };
    let names: Vec<_> = slots.iter().enumerate().map(|(n, slot)| slot.name(n)).collect();
    let progress = Progress::new(sweep, plan, &states, &names, show);
    let mut journal = StoreJournal { store, sweep, workplace, slots, progress };
    let ended = drive(plan, states, &mut engine, &mut journal, stop_on_signals()?).await;
    journal.progress.finish();
    ended.with_context(|| format!("trainers write their logs to `{}`", workplace.logs().display()))
}

/// The first Ctrl-C or SIGTERM asks for checkpoints, the second ends at once.
fn stop_on_signals() -> anyhow::Result<watch::Receiver<Stop>> {
    let (sender, receiver) = watch::channel(Stop::No);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        for level in [Stop::Checkpoint, Stop::Kill] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if level == Stop::Checkpoint {
                say("stopping: trainers write checkpoints; Ctrl-C again to stop at once");
            }
            // The drive may just have ended; then nobody needs to hear it.
            let _ = sender.send(level);
        }
        // Without this, the end of the sender would look like one more signal.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

fn exit_code(ended: &Ended) -> anyhow::Result<ExitCode> {
    if ended.interrupted {
        say("interrupted; the same command continues");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let reasons: Vec<_> = ended
        .states
        .values()
        .filter_map(|state| match state {
            SegmentState::Failed { reason } => Some(reason),
            SegmentState::Pending { .. }
            | SegmentState::Running { .. }
            | SegmentState::Finished
            | SegmentState::Diverged { .. } => None,
        })
        .collect();
    match reasons.first() {
        None => Ok(ExitCode::from(ALL_DONE)),
        Some(reason) => {
            say(&format!(
                "{} segments failed, the first: {reason}; the same command tries them again",
                reasons.len()
            ));
            Ok(ExitCode::from(SOME_TRIALS_FAILED))
        }
    }
}

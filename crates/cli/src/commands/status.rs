//! `isoflop status`: where sweeps stand, and what they took of what was predicted.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};
use store::{ShapeCounts, Store, StoredSweep, TrialCounts, TrialState};

use crate::exit::{ALL_DONE, bad_input};
use crate::invocations::Invocations;
use crate::output::{Format, Rows};
use crate::stored::find_sweep;

/// Where each sweep of the store stands: trials by state, FLOPs planned and spent, evaluations
///
/// With a sweep's name: trials by state per model shape, and per variant where there are variants;
/// device seconds that were predicted for the segments that have finished, that all attempts at these
/// took, and that are predicted for the others; what was predicted for the last start and what it took,
/// how idle its devices were where each trained one thing at a time, and how much was tried again.
#[derive(clap::Args)]
pub struct StatusArgs {
    /// One sweep only, per shape
    #[arg(value_name = "SWEEP")]
    sweep: Option<String>,

    /// Look again and again, until every trial shown has ended
    #[arg(long)]
    watch: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, requires = "watch")]
    every: f64,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

const STATES: [TrialState; 5] = [
    TrialState::Finished,
    TrialState::Running,
    TrialState::Pending,
    TrialState::Diverged,
    TrialState::Failed,
];

/// What is shown at one look.
struct Look {
    rows: Rows,
    /// Below a table.
    remarks: Vec<String>,
    /// Trials that have not ended.
    n_left: u64,
}

pub async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let every = Duration::try_from_secs_f64(args.every)
        .map_err(|_| bad_input(anyhow!("--every must be a number of seconds")))?;
    let store = Store::open_read_only(&args.db).await.map_err(bad_input)?;
    loop {
        let look = args.look(&store).await?;
        if args.watch && args.format == Format::Table && std::io::stdout().is_terminal() {
            // To the corner, and what is below it away.
            write!(std::io::stdout(), "\x1b[H\x1b[J")?;
        }
        look.print(args.format)?;
        if !args.watch || look.n_left == 0 {
            return Ok(ExitCode::from(ALL_DONE));
        }
        tokio::time::sleep(every).await;
    }
}

impl StatusArgs {
    async fn look(&self, store: &Store) -> anyhow::Result<Look> {
        let sweeps = store.sweeps().await?;
        match &self.sweep {
            None => of_all(store, &sweeps).await,
            Some(name) => of_one(store, find_sweep(&sweeps, &self.db, name)?).await,
        }
    }
}

impl Look {
    fn print(&self, format: Format) -> anyhow::Result<()> {
        self.rows.print(format)?;
        if format == Format::Table && !self.remarks.is_empty() {
            writeln!(std::io::stdout(), "\n{}", self.remarks.join("\n"))?;
        }
        Ok(())
    }
}

fn columns(before: &[&str], after: &[&str]) -> Vec<String> {
    let states = STATES.iter().map(|state| state.word());
    before.iter().copied().chain(states).chain(after.iter().copied()).map(str::to_owned).collect()
}

async fn of_all(store: &Store, sweeps: &[StoredSweep]) -> anyhow::Result<Look> {
    let (mut rows, mut n_left) = (Vec::new(), 0);
    for sweep in sweeps {
        let trials = store.trial_counts(&sweep.record.name).await?;
        n_left += left(&trials);
        rows.push(sweep_row(store, sweep, &trials).await?);
    }
    let measured = [
        "train_flops_planned",
        "train_flops_spent",
        "device_s",
        "evaluations",
        "evaluations_finished",
        "evaluations_failed",
        "attempts",
        "charged_s",
    ];
    Ok(Look { rows: Rows::new(columns(&["sweep"], &measured), rows), remarks: Vec::new(), n_left })
}

async fn sweep_row(
    store: &Store,
    sweep: &StoredSweep,
    trials: &TrialCounts,
) -> anyhow::Result<Vec<Value>> {
    let name = &sweep.record.name;
    let planned = match sweep.train_flops {
        Some(flops) => flops,
        None => store.planned_flops(name).await?,
    };
    let spent = store.spent(name).await?;
    let evaluations = store.evaluation_counts(name).await?;
    let mut row = vec![json!(name)];
    row.extend(counts(trials));
    row.extend([json!(planned), json!(spent.train_flops), json!(spent.device_s)]);
    row.extend([evaluations.planned, evaluations.finished, evaluations.failed].map(|n| json!(n)));
    row.extend([json!(spent.attempts), json!(spent.charged_s)]);
    Ok(row)
}

async fn of_one(store: &Store, sweep: &StoredSweep) -> anyhow::Result<Look> {
    let name = &sweep.record.name;
    let (shapes, invocations, counts) = tokio::try_join!(
        store.shape_counts(name),
        Invocations::read(store, name),
        store.attempt_counts(name)
    )?;
    let n_running: u64 = shapes.iter().map(|shape| shape.trials.running).sum();
    let mut remarks = vec![against_prediction(&shapes)];
    remarks.extend(invocations.remark(n_running > 0));
    remarks.push(format!(
        "{} attempts, {} of them retries; {} attempts lost",
        counts.attempts, counts.retries, counts.lost
    ));
    let n_left = shapes.iter().map(|shape| left(&shape.trials)).sum();
    Ok(Look { rows: by_shape(&shapes), remarks, n_left })
}

fn by_shape(shapes: &[ShapeCounts]) -> Rows {
    let has_variants = shapes.iter().any(|shape| shape.variant.is_some());
    let has_families = shapes.iter().any(|shape| shape.family != shapes[0].family);
    let row = |shape: &ShapeCounts| {
        let named =
            [has_variants.then(|| json!(shape.variant)), has_families.then(|| json!(shape.family))];
        let seconds = &shape.seconds;
        let mut row: Vec<_> = named.into_iter().flatten().collect();
        row.extend([json!(shape.shape), json!(shape.params)]);
        row.extend(counts(&shape.trials));
        row.extend([
            json!(shape.best_val_error),
            json!(seconds.finished_predicted_s),
            json!(seconds.finished_charged_s),
            json!(seconds.predicted_s - seconds.finished_predicted_s),
        ]);
        row
    };
    let named = [has_variants.then_some("variant"), has_families.then_some("family")];
    let named: Vec<_> = named.into_iter().flatten().chain(["shape", "params"]).collect();
    let measured = ["best_val_error", "predicted_s", "charged_s", "left_s"];
    Rows::new(columns(&named, &measured), shapes.iter().map(row).collect())
}

/// What the finished segments took of what was predicted.
fn against_prediction(shapes: &[ShapeCounts]) -> String {
    let sum = |seconds: fn(&ShapeCounts) -> f64| shapes.iter().map(seconds).sum::<f64>();
    let predicted = sum(|shape| shape.seconds.finished_predicted_s);
    let took = sum(|shape| shape.seconds.finished_charged_s);
    format!(
        "device time of what has finished: predicted {}, took {}",
        report::duration(predicted),
        report::duration(took)
    )
}

fn counts(trials: &TrialCounts) -> [Value; 5] {
    STATES.map(|state| json!(trials.of(state)))
}

const fn left(trials: &TrialCounts) -> u64 {
    trials.pending + trials.running
}

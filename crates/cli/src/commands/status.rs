//! `isoflop status`: where sweeps stand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use scheduler::Plan;
use serde_json::{Value, json};
use spec::SweepSpec;
use store::{Store, TrialResult, TrialState};

use crate::exit::{ALL_DONE, bad_input};
use crate::output::{Format, Rows};

/// Where each sweep of the store stands: trials by state, FLOPs planned and spent
///
/// With a sweep's name: the same per model shape.
#[derive(clap::Args)]
pub struct StatusArgs {
    /// One sweep only, per shape
    #[arg(value_name = "SWEEP")]
    sweep: Option<String>,

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

pub async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_read_only(&args.db).await.map_err(bad_input)?;
    let sweeps = store.sweeps().await?;
    let rows = match &args.sweep {
        None => {
            let mut rows = Vec::new();
            for sweep in &sweeps {
                rows.push(sweep_row(&store, &sweep.record.name, &sweep.record.source).await?);
            }
            Rows::new(
                columns(&["sweep"], &["train_flops_planned", "train_flops_spent", "device_s"]),
                rows,
            )
        }
        Some(name) if sweeps.iter().any(|sweep| sweep.record.name == *name) => {
            by_shape(&store, name).await?
        }
        Some(name) => {
            let error = anyhow::anyhow!(
                "no sweep `{name}` in `{}`; see `isoflop status`",
                args.db.display()
            );
            return Err(bad_input(error));
        }
    };
    rows.print(args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

fn columns(before: &[&str], after: &[&str]) -> Vec<String> {
    let states = STATES.iter().map(|state| state.word());
    before.iter().copied().chain(states).chain(after.iter().copied()).map(str::to_owned).collect()
}

async fn sweep_row(store: &Store, name: &str, source: &str) -> anyhow::Result<Vec<Value>> {
    let results = store.trial_results(name).await?;
    let spent = store.spent(name).await?;
    let planned = SweepSpec::parse(name, source, &[])
        .map(|sweep| Plan::new(&sweep.trials).train_flops())
        .ok();
    let mut row = vec![json!(name)];
    row.extend(counts(results.iter()));
    row.extend([json!(planned), json!(spent.train_flops), json!(spent.device_s)]);
    Ok(row)
}

async fn by_shape(store: &Store, name: &str) -> anyhow::Result<Rows> {
    let results = store.trial_results(name).await?;
    let mut shapes: BTreeMap<(u64, &str), Vec<&TrialResult>> = BTreeMap::new();
    for result in &results {
        shapes.entry((result.params, &result.shape)).or_default().push(result);
    }
    let row = |((params, shape), results): ((u64, &str), Vec<&TrialResult>)| {
        let mut row = vec![json!(shape), json!(params)];
        row.extend(counts(results.iter().copied()));
        let best = results.iter().filter_map(|result| result.val_error).reduce(f64::min);
        row.push(json!(best));
        row
    };
    let rows = shapes.into_iter().map(row).collect();
    Ok(Rows::new(columns(&["shape", "params"], &["best_val_error"]), rows))
}

fn counts<'a>(results: impl Iterator<Item = &'a TrialResult> + Clone) -> Vec<Value> {
    STATES
        .iter()
        .map(|state| json!(results.clone().filter(|result| result.state == *state).count()))
        .collect()
}

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

/// Where each sweep of the store stands: trials by state, FLOPs planned and spent, evaluations
///
/// With a sweep's name: trials by state per model shape, and per variant where there are variants.
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
                columns(
                    &["sweep"],
                    &[
                        "train_flops_planned",
                        "train_flops_spent",
                        "device_s",
                        "evaluations",
                        "evaluations_finished",
                        "evaluations_failed",
                    ],
                ),
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
        .map(|sweep| Plan::new(&sweep.trials, &[]).train_flops())
        .ok();
    let mut row = vec![json!(name)];
    row.extend(counts(results.iter()));
    row.extend([json!(planned), json!(spent.train_flops), json!(spent.device_s)]);
    let evaluations = store.evaluation_counts(name).await?;
    row.extend([evaluations.planned, evaluations.finished, evaluations.failed].map(|n| json!(n)));
    Ok(row)
}

async fn by_shape(store: &Store, name: &str) -> anyhow::Result<Rows> {
    let results = store.trial_results(name).await?;
    type Shape<'a> = (Option<&'a str>, u64, &'a str, &'a str);
    let mut shapes: BTreeMap<Shape, Vec<&TrialResult>> = BTreeMap::new();
    for result in &results {
        let variant = result.variant.as_deref();
        let shape = (variant, result.params, result.family.as_str(), result.shape.as_str());
        shapes.entry(shape).or_default().push(result);
    }
    let has_variants = results.iter().any(|result| result.variant.is_some());
    let has_families = results.iter().any(|result| result.family != results[0].family);
    let row = |((variant, params, family, shape), results): (Shape, Vec<&TrialResult>)| {
        let named = [has_variants.then(|| json!(variant)), has_families.then(|| json!(family))];
        let mut row: Vec<_> = named.into_iter().flatten().collect();
        row.extend([json!(shape), json!(params)]);
        row.extend(counts(results.iter().copied()));
        let best = results.iter().filter_map(|result| result.val_error).reduce(f64::min);
        row.push(json!(best));
        row
    };
    let rows = shapes.into_iter().map(row).collect();
    let named = [has_variants.then_some("variant"), has_families.then_some("family")];
    let named: Vec<_> = named.into_iter().flatten().chain(["shape", "params"]).collect();
    Ok(Rows::new(columns(&named, &["best_val_error"]), rows))
}

fn counts<'a>(results: impl Iterator<Item = &'a TrialResult> + Clone) -> Vec<Value> {
    STATES
        .iter()
        .map(|state| json!(results.clone().filter(|result| result.state == *state).count()))
        .collect()
}

//! `isoflop import`: trials of others into the store.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::json;
use store::{Store, StoreError, SweepRecord, WriterLock};

use crate::exit::{ALL_DONE, bad_input};
use crate::foreign::{ColumnArgs, Foreign};
use crate::journal::now;
use crate::progress::say;

/// Bring trials of others into the store, as a sweep: a row of a table is a trial
///
/// A column that is called as one of trial_result is that one; others are named with the options below.
/// fit, predict, frontier, profiles, figures, suggest, query and report then work on the sweep as on one
/// that was trained. Importing the same table again changes nothing; of a changed one, its rows replace
/// those of the sweep.
#[derive(clap::Args)]
pub struct ImportArgs {
    /// The table, CSV or parquet
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,

    /// Name of the sweep that the trials become
    #[arg(long, value_name = "SWEEP")]
    sweep: String,

    #[command(flatten)]
    columns: ColumnArgs,

    /// The database; made if it is not there
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,
}

pub async fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    spec::check_name(&args.sweep).map_err(|message| bad_input(anyhow!("--sweep: {message}")))?;
    let foreign = args.columns.read(&args.csv)?;
    let _lock = WriterLock::acquire(&args.db).map_err(bad_input)?;
    let store = Store::open(&args.db).await.map_err(bad_input)?;
    let imported = store.import(&args.record(&foreign), &foreign.trials, now()).await;
    let n_new = imported.map_err(|error| match error {
        StoreError::Planned(_) => bad_input(error),
        other => anyhow::Error::new(other).context("cannot store the trials"),
    })?;
    store.close().await;
    args.tell(&foreign, n_new);
    Ok(ExitCode::from(ALL_DONE))
}

impl ImportArgs {
    /// The sweep's own file is a comment that says where it is from.
    fn record(&self, foreign: &Foreign) -> SweepRecord {
        let name = self.csv.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let columns = foreign.columns.iter().map(|(name, column)| format!("# {name} = {column}\n"));
        let filter = foreign.filter.iter().map(|filter| format!("# where {filter}\n"));
        let from = format!("# Imported from {name}\n");
        let lines = std::iter::once(from).chain(columns).chain(filter);
        // A line break within a name would end the comment.
        let source = lines.map(|line| line.trim_end().replace(['\n', '\r'], " ") + "\n").collect();
        let imported = json!({
            "imported": { "file": name, "columns": foreign.columns, "where": foreign.filter },
        });
        SweepRecord { name: self.sweep.clone(), source, spec: imported.to_string() }
    }

    fn tell(&self, foreign: &Foreign, n_new: usize) {
        let n = foreign.trials.len();
        let left_out = match foreign.n_filtered + foreign.n_missing {
            0 => String::new(),
            n => format!("; {n} rows left out"),
        };
        say(&format!("{n} trials, {n_new} of them new{left_out}"));
        if foreign.is_one_set {
            say(
                "no column says how many examples are unique: taken to be one set, nothing repeated",
            );
        }
        say(&format!("next: isoflop fit --db {} {}", self.db.display(), self.sweep));
    }
}

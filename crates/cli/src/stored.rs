//! A sweep that is in the store, read-only.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use spec::{Keep, SweepSpec};
use store::{Store, StoredSweep, SweepRecord};

use crate::exit::bad_input;

#[derive(clap::Args)]
pub struct StoredSweepArgs {
    /// Name of the sweep
    #[arg(value_name = "SWEEP")]
    pub name: String,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    pub db: PathBuf,
}

impl StoredSweepArgs {
    /// Opens the store and reads the sweep as it was resolved when it was last saved.
    pub async fn open(&self) -> anyhow::Result<(Store, SweepSpec)> {
        let store = Store::open_read_only(&self.db).await.map_err(bad_input)?;
        let sweep = stored_sweep(&store, &self.db, &self.name).await?;
        Ok((store, sweep))
    }
}

/// A sweep as it was resolved when it was last saved.
///
/// # Errors
/// The store has none of this name.
pub async fn stored_sweep(store: &Store, db: &Path, name: &str) -> anyhow::Result<SweepSpec> {
    let sweeps = store.sweeps().await?;
    let StoredSweep { record, .. } = find_sweep(&sweeps, db, name)?;
    if record.is_import() {
        return imported(store, record).await;
    }
    SweepSpec::parse("stored sweep", &record.source, &[]).context("the store's own sweep file")
}

/// What was imported has results and no trials to train.
async fn imported(store: &Store, record: &SweepRecord) -> anyhow::Result<SweepSpec> {
    let results = store.trial_results(&record.name).await?;
    let variants =
        || results.iter().filter_map(|result| Some((result.trial_id, result.variant.clone()?)));
    let mut variant_names = Vec::new();
    for (_, name) in variants() {
        if !variant_names.contains(&name) {
            variant_names.push(name);
        }
    }
    Ok(SweepSpec {
        name: record.name.clone(),
        text: record.source.clone(),
        trials: Vec::new(),
        variants: variants().collect(),
        variant_names,
        transfers: Vec::new(),
        slurm: None,
        keep: Keep::default(),
    })
}

/// The sweep of this name among all of a store.
///
/// # Errors
/// There is none; says which there are instead.
pub fn find_sweep<'a>(
    sweeps: &'a [StoredSweep],
    db: &Path,
    name: &str,
) -> anyhow::Result<&'a StoredSweep> {
    let unknown = || {
        let names: Vec<_> = sweeps.iter().map(|sweep| sweep.record.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bad_input(anyhow!("no sweep `{name}` in `{}`; it has {known}", db.display()))
    };
    sweeps.iter().find(|sweep| sweep.record.name == name).ok_or_else(unknown)
}

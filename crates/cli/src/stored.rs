//! A sweep that is in the store, read-only.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use spec::SweepSpec;
use store::Store;

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
    let Some(stored) = store.sweep(name).await? else {
        return Err(bad_input(unknown(store, db, name).await?));
    };
    SweepSpec::parse("stored sweep", &stored.record.source, &[])
        .context("the store's own sweep file")
}

/// Says which sweeps there are instead.
async fn unknown(store: &Store, db: &Path, name: &str) -> anyhow::Result<anyhow::Error> {
    let known: Vec<_> = store.sweeps().await?.into_iter().map(|sweep| sweep.record.name).collect();
    let known = match known.as_slice() {
        [] => "it has none".to_owned(),
        known => format!("it has {}", known.join(", ")),
    };
    Ok(anyhow!("no sweep `{name}` in `{}`; {known}", db.display()))
}

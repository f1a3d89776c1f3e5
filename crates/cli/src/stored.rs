//! A sweep that is in the store, read-only.

use std::path::PathBuf;

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
        let sweep = self.read(&store).await?;
        Ok((store, sweep))
    }

    async fn read(&self, store: &Store) -> anyhow::Result<SweepSpec> {
        let Some(stored) = store.sweep(&self.name).await? else {
            let known: Vec<_> =
                store.sweeps().await?.into_iter().map(|sweep| sweep.record.name).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            return Err(bad_input(anyhow!(
                "no sweep `{}` in `{}`; {known}",
                self.name,
                self.db.display()
            )));
        };
        SweepSpec::parse("stored sweep", &stored.record.source, &[])
            .context("the store's own sweep file")
    }
}

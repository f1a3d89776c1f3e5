//! `isoflop gc`: delete what nothing needs any more.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::json;
use store::{Store, WriterLock};

use crate::exit::{ALL_DONE, bad_input};
use crate::garbage::{Garbage, Uses};
use crate::output::{Format, Rows};
use crate::paths::Workplace;
use crate::progress::say;

/// Delete checkpoints that nothing needs, and what was left behind
///
/// Deleted are checkpoints that no unfinished segment of any sweep starts from and no sweep keeps
/// (`[checkpoints] keep` in its file: none, trunks or all), what interrupted writing left, damaged
/// checkpoints that were put aside, folders of segments that no sweep has any more, and folders of Slurm
/// jobs whose attempts have all ended. Results, measurements and what attempts of stored sweeps logged
/// stay.
#[derive(clap::Args)]
pub struct GcArgs {
    /// Only what these sweeps made; without, everything beside the database
    #[arg(value_name = "SWEEP")]
    sweeps: Vec<String>,

    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn gc(args: &GcArgs) -> anyhow::Result<ExitCode> {
    let workplace = Workplace::of(&args.db);
    // Opened for reading first: a store that is not there is not made.
    Store::open_read_only(&args.db).await.map_err(bad_input)?.close().await;
    let _lock = WriterLock::acquire(&args.db).map_err(bad_input)?;
    if let Some(other) = workplace.other_store()? {
        return Err(bad_input(anyhow!(
            "`{}` is another store in the same folder: what it needs is not known here; give each store a folder of its own",
            other.display()
        )));
    }
    let store = Store::open_read_only(&args.db).await.map_err(bad_input)?;
    let uses = Uses::read(&store, &args.db, &args.sweeps).await?;
    let garbage = uses.garbage(&store, &workplace).await?;
    store.close().await;
    let bytes: u64 = garbage.iter().map(|item| item.bytes).sum();
    if !args.dry_run {
        garbage.iter().try_for_each(Garbage::delete)?;
    }
    print(&garbage, args.format)?;
    let verb = if args.dry_run { "would free" } else { "freed" };
    say(&format!("{verb} {:.3} GB in {} folders", bytes as f64 / 1e9, garbage.len()));
    Ok(ExitCode::from(ALL_DONE))
}

fn print(garbage: &[Garbage], format: Format) -> anyhow::Result<()> {
    let row = |item: &Garbage| {
        vec![json!(item.path.display().to_string()), json!(item.why.words()), json!(item.bytes)]
    };
    let columns = ["path", "why", "bytes"].map(str::to_owned);
    Rows::new(columns.into(), garbage.iter().map(row).collect()).print(format)
}

//! `isoflop merge`: one store out of several.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};
use spec::SweepSpec;
use store::{MergeError, Merged, Renamed, Rival, Store, SweepRecord, WriterLock};

use crate::exit::{ALL_DONE, bad_input};
use crate::journal::now;
use crate::output::{Format, Rows};
use crate::progress::say;

/// Join stores, by what trials and segments are
///
/// Trials, segments and sweeps that several stores have become one; what one of them finished is finished. Where
/// two executed the same segment, each without the other, what ended first stands, and the other's measurements
/// are kept in the table other_measurement. The order of the stores makes no difference. Sources are only read,
/// also while a sweep writes to them. Checkpoints and logs stay where they are: docs/query.md.
#[derive(clap::Args)]
pub struct MergeArgs {
    /// Stores; without --into the others are merged into the first
    #[arg(value_name = "STORE", required = true)]
    stores: Vec<PathBuf>,

    /// Merge all of them into this store, which is made if it is not there
    #[arg(long, value_name = "STORE")]
    into: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn merge(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    let (target, sources) = parts(args)?;
    for source in sources {
        readable(source).await?;
    }
    let _lock = WriterLock::acquire(target).map_err(bad_input)?;
    let store = Store::open(target).await.map_err(bad_input)?;
    let mut rows = Vec::new();
    for source in sources {
        let merged = store.merge(target, source, &renamed, now()).await.map_err(coded)?;
        tell(&merged, target, source);
        rows.push(row(source, &merged));
    }
    store.close().await;
    Rows::new(COLUMNS.map(str::to_owned).into(), rows).print(args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

/// The store that is written to, and those that are read.
fn parts(args: &MergeArgs) -> anyhow::Result<(&Path, &[PathBuf])> {
    let (target, sources) = match (&args.into, args.stores.as_slice()) {
        (Some(into), stores) => (into, stores),
        (None, [first, rest @ ..]) if !rest.is_empty() => (first, rest),
        (None, _) => return Err(bad_input(anyhow!("name two stores, or one and --into STORE"))),
    };
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match sources.iter().find(|source| place(source) == place(target)) {
        Some(source) => {
            Err(bad_input(anyhow!("`{}` cannot be merged into itself", source.display())))
        }
        None if args.into.is_none() && !target.exists() => {
            Err(bad_input(anyhow!("no store at `{}`; --into makes one", target.display())))
        }
        None => Ok((target, sources)),
    }
}

/// Before anything is made or changed.
async fn readable(source: &Path) -> anyhow::Result<()> {
    match Store::open_read_only(source).await {
        Ok(store) => store.close().await,
        Err(store::OpenError::Older { .. }) => {}
        Err(error) => return Err(bad_input(error)),
    }
    Ok(())
}

/// A sweep under another name, which its file has too.
fn renamed(record: &SweepRecord, name: &str) -> Result<SweepRecord, String> {
    if record.is_import() {
        return Ok(SweepRecord { name: name.to_owned(), ..record.clone() });
    }
    let set = format!("name=\"{name}\"");
    let sweep = SweepSpec::parse("stored sweep", &record.source, &[set])
        .map_err(|error| error.to_string())?;
    let (source, spec) = (sweep.text.clone(), sweep.as_json().to_string());
    Ok(SweepRecord { name: name.to_owned(), source, spec })
}

fn coded(error: MergeError) -> anyhow::Error {
    match error {
        MergeError::Store(_) | MergeError::Copy { .. } => error.into(),
        MergeError::Open(_) | MergeError::Running { .. } | MergeError::Rename { .. } => {
            bad_input(error)
        }
    }
}

const COLUMNS: [&str; 10] = [
    "store",
    "sweeps",
    "trials",
    "segments",
    "attempts",
    "measurements",
    "fits",
    "executed_twice",
    "differing",
    "renamed",
];

fn row(source: &Path, merged: &Merged) -> Vec<Value> {
    let added = ["sweep", "trial", "segment", "attempt", "measurement", "fit"]
        .map(|table| json!(merged.added.get(table)));
    let differing = merged.rivals.iter().filter(|rival| rival.n_differing > 0).count();
    let names: Vec<_> = merged.renamed.iter().map(|renamed| renamed.to.clone()).collect();
    [json!(source.display().to_string())]
        .into_iter()
        .chain(added)
        .chain([json!(merged.rivals.len()), json!(differing), json!(names.join(", "))])
        .collect()
}

/// What a person should know: names that changed, and results that do not agree.
fn tell(merged: &Merged, target: &Path, source: &Path) {
    for Renamed { from, to, is_source } in &merged.renamed {
        let of = if *is_source { source } else { target };
        say(&format!(
            "two different sweeps are called `{from}`: that of `{}` is now `{to}`",
            of.display()
        ));
    }
    let told = 10;
    let differing: Vec<_> = merged.rivals.iter().filter(|rival| rival.n_differing > 0).collect();
    for rival in differing.iter().take(told) {
        let Rival { segment_id, source_stands, n_compared, n_differing } = rival;
        let stands = if *source_stands { source } else { target };
        say(&format!(
            "segment {segment_id} was executed in both stores and {n_differing} of {n_compared} measurements differ: those of `{}` stand, the others are in other_measurement",
            stands.display()
        ));
    }
    if differing.len() > told {
        say(&format!("and so were {} other segments", differing.len() - told));
    }
}

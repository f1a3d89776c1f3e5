//! `isoflop export`: a sweep as files of other tools.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use export::{File, FolderError, component, mlflow, tensorboard, wandb};
use store::Store;

use crate::exit::{ALL_DONE, bad_input};
use crate::exported;
use crate::paths::Workplace;
use crate::progress::say;
use crate::stored::find_sweep;
use crate::tables::{self, TableFormat};

/// Write a sweep as files that other tools read
///
/// parquet, csv and json are tables: trials (the view trial_result), evaluations and curves, with the
/// sweep's file beside them. tensorboard, mlflow and wandb-offline have a run for every trial that has
/// begun, with its settings and curves. Exporting again replaces what the sweep had in the folder, and
/// nothing else. docs/export.md says what is where.
#[derive(clap::Args)]
pub struct ExportArgs {
    /// Name of the sweep
    #[arg(value_name = "SWEEP")]
    name: String,

    /// What to write
    #[arg(long, value_enum)]
    format: ExportFormat,

    /// Folder of exports; the sweep gets a folder of its own in it. Default exports/FORMAT beside the
    /// database
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    /// Columns with types, for polars, pandas and DuckDB
    Parquet,
    /// Comma-separated values with a header
    Csv,
    /// Arrays of objects
    Json,
    /// Event files with scalars and hparams
    Tensorboard,
    /// A file store: the sweep is an experiment
    Mlflow,
    /// Runs as wandb leaves them without a network, for `wandb sync`: the sweep is a project
    WandbOffline,
}

pub async fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_read_only(&args.db).await.map_err(bad_input)?;
    let sweeps = store.sweeps().await?;
    let sweep = find_sweep(&sweeps, &args.db, &args.name)?;
    let root = args.out.clone();
    let root = root.unwrap_or_else(|| Workplace::of(&args.db).exports(args.format.name()));
    let own = root.join(component(&args.name));
    let folder = match args.format {
        ExportFormat::Parquet => {
            args.write_tables(&own, &sweep.record.source, TableFormat::Parquet).await?
        }
        ExportFormat::Csv => {
            args.write_tables(&own, &sweep.record.source, TableFormat::Csv).await?
        }
        ExportFormat::Json => {
            args.write_tables(&own, &sweep.record.source, TableFormat::Json).await?
        }
        ExportFormat::Tensorboard => {
            let sweep = exported::read(&store, sweep).await?;
            replace(&own, tensorboard::files(&sweep))?
        }
        ExportFormat::Mlflow => {
            let sweep = exported::read(&store, sweep).await?;
            let absolute = std::path::absolute(&root).context("cannot tell where --out is")?;
            let folder = root.join(mlflow::folder(&sweep));
            let location = absolute.join(mlflow::folder(&sweep));
            replace(&folder, mlflow::files(&sweep, &location))?
        }
        ExportFormat::WandbOffline => {
            let sweep = exported::read(&store, sweep).await?;
            replace(&own, wandb::files(&sweep))?
        }
    };
    writeln!(std::io::stdout().lock(), "{}", folder.display())?;
    say(&args.format.hint(&root, &folder));
    Ok(ExitCode::from(ALL_DONE))
}

impl ExportArgs {
    async fn write_tables(
        &self,
        folder: &Path,
        source: &str,
        format: TableFormat,
    ) -> anyhow::Result<PathBuf> {
        let tables = tables::of_sweep(&self.db, &self.name, format).await?;
        let source = File::new("sweep.toml", source);
        replace(folder, tables.into_iter().chain([source]))
    }
}

fn replace(folder: &Path, files: impl IntoIterator<Item = File>) -> anyhow::Result<PathBuf> {
    let n = export::replace(folder, files).map_err(|error| match error {
        FolderError::Foreign(_) => bad_input(error),
        FolderError::Io { .. } => anyhow!(error),
    })?;
    say(&format!("{n} files"));
    Ok(folder.to_owned())
}

impl ExportFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Tensorboard => "tensorboard",
            Self::Mlflow => "mlflow",
            Self::WandbOffline => "wandb-offline",
        }
    }

    /// What to do with it.
    fn hint(self, root: &Path, folder: &Path) -> String {
        let (root, folder) = (root.display(), folder.display());
        match self {
            Self::Parquet => format!("next: duckdb -c \"from '{folder}/trials.parquet'\""),
            Self::Csv => format!("next: {folder}/trials.csv in a spreadsheet"),
            Self::Json => format!("next: jq . {folder}/trials.json"),
            Self::Tensorboard => format!("next: tensorboard --logdir {root}"),
            Self::Mlflow => {
                format!("next: MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {root}")
            }
            Self::WandbOffline => format!("next: wandb sync {folder}"),
        }
    }
}

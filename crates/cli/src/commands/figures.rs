//! `isoflop figures`: figures again, from the store alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use scheduler::Plan;

use crate::analyse::{Analysis, Y};
use crate::exit::{ALL_DONE, too_few_points};
use crate::paths::Workplace;
use crate::stored::StoredSweepArgs;
use crate::summary;

/// Draw a sweep's figures again from what is stored; trains nothing
#[derive(clap::Args)]
pub struct FiguresArgs {
    #[command(flatten)]
    sweep: StoredSweepArgs,

    /// Folder for the figures; default figures/SWEEP beside the database
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub async fn figures(args: &FiguresArgs) -> anyhow::Result<ExitCode> {
    let (store, sweep) = args.sweep.open().await?;
    let analysis =
        Analysis::new(&store.trial_results(&sweep.name).await?, &Plan::new(&sweep.trials), Y)?;
    if analysis.results.is_empty() {
        return Err(too_few_points(anyhow::anyhow!(
            "no trial of `{}` has finished yet",
            sweep.name
        )));
    }
    let fits = analysis.fits();
    let folder =
        args.out.clone().unwrap_or_else(|| Workplace::of(&args.sweep.db).figures(&sweep.name));
    let paths = summary::draw(&store, &sweep, &analysis, fits.first(), &folder).await?;
    let mut out = std::io::stdout().lock();
    for path in paths {
        writeln!(out, "{}", path.display())?;
    }
    Ok(ExitCode::from(ALL_DONE))
}

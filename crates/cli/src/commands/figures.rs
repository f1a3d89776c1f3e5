//! `isoflop figures`: figures again, from the store alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use scheduler::Plan;

use crate::exit::{ALL_DONE, too_few_points};
use crate::figure_file;
use crate::look::LookArgs;
use crate::paths::Workplace;
use crate::stored::StoredSweepArgs;
use crate::summary::{self, Findings};

/// Draw a sweep's figures again from what is stored; trains nothing
///
/// Each as SVG and PNG, with its numbers as CSV beside it. The same store gives the same bytes. Another
/// theme or size goes into files of its own, as scaling-print-column.svg.
#[derive(clap::Args)]
pub struct FiguresArgs {
    #[command(flatten)]
    sweep: StoredSweepArgs,

    /// What the figures of error show: a metric of the sweep's evaluations
    ///
    /// val_error (the default), val_loss, or what an evaluation on another task measures; of those
    /// each has a figure of its own besides, by its name
    #[arg(long, value_name = "METRIC")]
    y: Option<String>,

    /// Folder for the figures; default figures/SWEEP beside the database
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    #[command(flatten)]
    look: LookArgs,
}

pub async fn figures(args: &FiguresArgs) -> anyhow::Result<ExitCode> {
    let (store, sweep) = args.sweep.open().await?;
    let plan = Plan::new(&sweep.trials, &sweep.transfers);
    let y = args.y.as_deref();
    let findings = Findings::read(&store, &sweep, &plan, y).await?;
    if findings.main.results.is_empty() {
        return Err(too_few_points(anyhow::anyhow!(
            "no trial of `{}` has finished yet",
            sweep.name
        )));
    }
    let fits = (&findings.main.fits()[..], &findings.other_fits()[..]);
    let place = (&sweep, args.sweep.db.as_path());
    let figures = summary::every_figure(&store, place, &plan, &findings, fits, y).await?;
    let folder =
        args.out.clone().unwrap_or_else(|| Workplace::of(&args.sweep.db).figures(&sweep.name));
    let paths = figure_file::write_all(&figures, args.look.look(), &folder)?;
    let mut out = std::io::stdout().lock();
    for path in paths {
        writeln!(out, "{}", path.display())?;
    }
    Ok(ExitCode::from(ALL_DONE))
}

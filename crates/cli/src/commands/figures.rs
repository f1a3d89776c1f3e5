//! `isoflop figures`: figures again, from the store alone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use analysis::isoflop::ProfileOptions;
use analysis::law::Axis;
use scheduler::Plan;
use spec::SweepSpec;

use crate::analyse::{Analysis, Y};
use crate::commands::profiles::Approaches;
use crate::exit::{ALL_DONE, too_few_points};
use crate::figure;
use crate::input::InputArgs;
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
    let mut paths = summary::draw(&store, &sweep, &analysis, fits.first(), &folder).await?;
    paths.extend(of_sizes(&sweep, &args.sweep.db, &folder).await?);
    let mut out = std::io::stdout().lock();
    for path in paths {
        writeln!(out, "{}", path.display())?;
    }
    Ok(ExitCode::from(ALL_DONE))
}

/// What the best size is at each compute, where the sweep has sizes and lengths enough to say.
async fn of_sizes(sweep: &SweepSpec, db: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let args = InputArgs::of_largest_set(sweep, db, Y);
    let input = args.read(&[Axis::X, Axis::N, Axis::D], &[]).await?;
    let Ok(approaches) = Approaches::new(&input, &input.curves[0], &ProfileOptions::default())
    else {
        return Ok(Vec::new());
    };
    let figures = [
        ("isoflop", figure::of_profile(&input, &input.curves[0], &approaches.profile)),
        ("optimum", figure::of_optimum(&input, &approaches, None)),
        ("contours", figure::of_parametric(&input, &approaches)),
    ];
    let mut paths = Vec::new();
    for (name, svg) in figures {
        let Ok(svg) = svg else { continue };
        for extension in ["svg", "png"] {
            let path = folder.join(format!("{name}.{extension}"));
            figure::write(&path, &svg)?;
            paths.push(path);
        }
    }
    Ok(paths)
}

//! `isoflop figures`: figures again, from the store alone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use analysis::isoflop::ProfileOptions;
use analysis::law::Axis;
use scheduler::Plan;

use crate::commands::profiles::Approaches;
use crate::exit::{ALL_DONE, too_few_points};
use crate::figure;
use crate::input::InputArgs;
use crate::paths::Workplace;
use crate::stored::StoredSweepArgs;
use crate::summary::{self, Findings};

/// Draw a sweep's figures again from what is stored; trains nothing
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
    let folder =
        args.out.clone().unwrap_or_else(|| Workplace::of(&args.sweep.db).figures(&sweep.name));
    let mut paths = summary::draw(&store, &sweep, &plan, &findings, fits, &folder).await?;
    // A best size is one of a variant, not of all together.
    let variants = &sweep.variant_names;
    let variants = variants.iter().map(|name| Some(name.as_str()));
    for variant in if variants.len() == 0 { vec![None] } else { variants.collect() } {
        let input = InputArgs::of_largest_set(&sweep, &args.sweep.db, y, variant);
        paths.extend(of_sizes(&input, &folder, variant).await?);
    }
    let mut out = std::io::stdout().lock();
    for path in paths {
        writeln!(out, "{}", path.display())?;
    }
    Ok(ExitCode::from(ALL_DONE))
}

/// What the best size is at each compute, where there are sizes and lengths enough to say.
async fn of_sizes(
    args: &InputArgs,
    folder: &Path,
    variant: Option<&str>,
) -> anyhow::Result<Vec<PathBuf>> {
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
    let is_plain = |c: char| c.is_alphanumeric() || c == '-';
    let plain = |name: &str| name.replace(|c| !is_plain(c), "-");
    let suffix = variant.map_or(String::new(), |name| format!("_{}", plain(name)));
    let mut paths = Vec::new();
    for (name, svg) in figures {
        let Ok(svg) = svg else { continue };
        for extension in ["svg", "png"] {
            let path = folder.join(format!("{name}{suffix}.{extension}"));
            figure::write(&path, &svg)?;
            paths.push(path);
        }
    }
    Ok(paths)
}

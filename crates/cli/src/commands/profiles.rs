//! `isoflop profiles`: the best size at each compute by three approaches, side by side.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use analysis::frontier::{Allocated, Allocation, Envelope, allocation};
use analysis::isoflop::{Budgets, Profile, ProfileOptions, Trial, profile};
use analysis::law::{Axis, Chinchilla};
use analysis::{Fit, FitOptions, Labels, Point, fit};
use anyhow::anyhow;
use serde_json::{Value, json};

use crate::analyse::short;
use crate::commands::fit::{group_json, print_json};
use crate::exit::{ALL_DONE, bad_input, too_few_points};
use crate::figure;
use crate::input::{Curve, Input, InputArgs};
use crate::output::Format;

/// Find the best size and data at each compute: IsoFLOP parabolas, the frontier, a parametric law
///
/// Points that share their compute are a budget; a parabola of the loss in ln N has its minimum at the
/// best size. Power laws go through the minima, through the points of the frontier, and follow
/// from Chinchilla's law: the three approaches of arXiv 2203.15556, with what each may get wrong.
#[derive(clap::Args)]
pub struct ProfilesArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Training FLOPs to predict the best size and data for
    #[arg(long, value_name = "C", value_delimiter = ',', allow_negative_numbers = true)]
    target: Vec<f64>,

    /// Budgets in FLOPs; without this they are found
    #[arg(long, value_name = "C", value_delimiter = ',', allow_negative_numbers = true)]
    budget: Vec<f64>,

    /// How far a point's compute may be from its budget's, as a share of it
    #[arg(long, value_name = "SHARE", default_value_t = ProfileOptions::default().tolerance)]
    tolerance: f64,

    /// Bootstrap resamples; 0 gives no intervals
    #[arg(long, value_name = "N", default_value_t = ProfileOptions::default().n_resamples)]
    resamples: usize,

    /// Share of the bootstrap inside an interval
    #[arg(long, default_value_t = ProfileOptions::default().level)]
    level: f64,

    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Draw the parabolas with their minima; .svg or .png
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,

    /// Draw the best size and data against compute by each approach; .svg or .png
    #[arg(long, value_name = "FILE")]
    optimum_figure: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The three approaches, as far as the points allow each.
pub struct Approaches {
    pub frontier: Option<Allocation>,
    /// Compute, size and data of the points on the frontier.
    pub on_frontier: Vec<Allocated>,
    pub profile: Profile,
    pub parametric: Option<Fit>,
    /// Training FLOPs per parameter and example.
    pub flops_per: f64,
}

pub async fn profiles(args: &ProfilesArgs) -> anyhow::Result<ExitCode> {
    if let Some(bad) =
        args.target.iter().chain(&args.budget).find(|c| !(c.is_finite() && **c > 0.0))
    {
        return Err(bad_input(anyhow!("{bad} FLOPs: compute is finite and above 0")));
    }
    let input = args.input.read(&[Axis::X, Axis::N, Axis::D], &[]).await?;
    let approaches = input.curves.iter().map(|curve| args.approaches(&input, curve));
    let approaches = approaches.collect::<anyhow::Result<Vec<_>>>()?;
    for (path, is_optimum) in [(&args.figure, false), (&args.optimum_figure, true)] {
        let Some(path) = path else { continue };
        if approaches.len() != 1 {
            return Err(bad_input(anyhow!("a figure shows one curve; choose it with --where")));
        }
        let svg = match is_optimum {
            false => figure::of_profile(&input, &input.curves[0], &approaches[0].profile)?,
            true => figure::of_optimum(&input, &approaches[0], args.target.first().copied())?,
        };
        figure::write(path, &svg)?;
    }
    let all = input.curves.iter().zip(&approaches);
    match args.format {
        Format::Json => {
            let objects = all.map(|(curve, approaches)| args.json(curve, approaches));
            print_json(&input.curves, objects.collect::<anyhow::Result<_>>()?)?;
        }
        Format::Csv | Format::Table => {
            for (curve, approaches) in all {
                args.print(curve, approaches)?;
            }
        }
    }
    Ok(ExitCode::from(ALL_DONE))
}

impl ProfilesArgs {
    fn approaches(&self, input: &Input, curve: &Curve) -> anyhow::Result<Approaches> {
        let trial = |point: &Point| {
            let [c, n, d] = point.x;
            Trial { n, d, c, loss: point.y, cluster: point.cluster }
        };
        let trials: Vec<_> = curve.points.iter().map(trial).collect();
        let profile = profile(&trials, &self.options()).map_err(|error| match error {
            analysis::isoflop::ProfileError::NoBudget { .. } => too_few_points(error),
            _ => bad_input(error),
        })?;
        let spots: Vec<_> = trials.iter().map(|trial| (trial.c, trial.loss)).collect();
        let best = Envelope::RunningMinimum.of(&spots).map_err(bad_input)?;
        let allocated =
            |&at: &usize| Allocated { n: trials[at].n, d: trials[at].d, c: trials[at].c };
        let on_frontier: Vec<_> = best.iter().map(allocated).collect();
        let mut ratios: Vec<_> = trials.iter().map(|trial| trial.c / (trial.n * trial.d)).collect();
        ratios.sort_by(f64::total_cmp);
        Ok(Approaches {
            frontier: allocation(&on_frontier).ok(),
            on_frontier,
            profile,
            parametric: self.parametric(input, curve),
            flops_per: ratios[ratios.len() / 2],
        })
    }

    fn options(&self) -> ProfileOptions {
        let budgets = if self.budget.is_empty() {
            Budgets::Found
        } else {
            Budgets::Given(self.budget.clone())
        };
        ProfileOptions {
            budgets,
            tolerance: self.tolerance,
            n_resamples: self.resamples,
            level: self.level,
            seed: self.seed,
        }
    }

    /// `None` where the points are too few for the law.
    fn parametric(&self, input: &Input, curve: &Curve) -> Option<Fit> {
        let of_n_and_d = |point: &Point| Point { x: [point.x[1], point.x[2], 1.0], ..*point };
        let points: Vec<_> = curve.points.iter().map(of_n_and_d).collect();
        let labels = Labels { axes: input.labels.axes[1..].to_vec(), ..input.labels.clone() };
        let options = FitOptions {
            n_resamples: self.resamples,
            level: self.level,
            seed: self.seed,
            ..FitOptions::default()
        };
        fit(&Chinchilla, &points, &labels, &options).ok()
    }

    fn json(&self, curve: &Curve, approaches: &Approaches) -> anyhow::Result<Value> {
        let targets = self.target.iter().map(|&target| approaches.at(target));
        Ok(json!({
            "group": group_json(curve),
            "profile": serde_json::to_value(&approaches.profile)?,
            "frontier": serde_json::to_value(approaches.frontier)?,
            "parametric": serde_json::to_value(&approaches.parametric)?,
            "targets": targets.collect::<anyhow::Result<Vec<_>>>()?,
        }))
    }

    fn print(&self, curve: &Curve, approaches: &Approaches) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if !curve.group.is_empty() {
            writeln!(out, "{}", curve.name())?;
        }
        let Profile { budgets, left_over, excluded, warnings, .. } = &approaches.profile;
        for budget in budgets {
            let best =
                |estimate: Option<Value>| estimate.map_or("no minimum".to_owned(), |at| shown(&at));
            writeln!(
                out,
                "{} FLOPs, {} sizes: best N {}, D {}",
                report::scientific(budget.train_flops),
                budget.n_sizes,
                best(serde_json::to_value(budget.n_opt).ok().filter(|value| !value.is_null())),
                best(serde_json::to_value(budget.d_opt).ok().filter(|value| !value.is_null())),
            )?;
            for warning in &budget.warnings {
                writeln!(out, "  warning: {}", warning.message)?;
            }
        }
        writeln!(
            out,
            "{} points belong to no budget; {} budgets are left out of the power laws",
            left_over.len(),
            excluded.len()
        )?;
        for warning in warnings {
            writeln!(out, "warning: {}", warning.message)?;
        }
        for (name, exponent) in approaches.exponents()? {
            writeln!(out, "N_opt ~ C^a by {name}: a = {exponent}")?;
        }
        for &target in &self.target {
            let at = approaches.at(target)?;
            writeln!(out, "at {} FLOPs:", report::scientific(target))?;
            for name in ["frontier", "isoflop", "parametric"] {
                if !at[name].is_null() {
                    let [n, d] = ["n_opt", "d_opt"].map(|key| shown(&at[name][key]));
                    writeln!(out, "  {name}: N {n}, D {d}")?;
                }
            }
        }
        Ok(())
    }
}

impl Approaches {
    /// The exponents of the best size, by the name of their approach.
    fn exponents(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut exponents = Vec::new();
        if let Some(frontier) = &self.frontier {
            exponents.push(("the frontier", short(frontier.n_opt.exponent)));
        }
        if let Some(scaling) = &self.profile.scaling {
            let exponent = serde_json::to_value(scaling.n_opt.exponent)?;
            exponents.push(("IsoFLOP parabolas", shown(&exponent)));
        }
        if let Some(fit) = &self.parametric {
            let derived = &fit.derived[0];
            let (low, high) = derived.interval.unwrap_or((f64::NAN, f64::NAN));
            exponents.push((
                "Chinchilla's law",
                format!("{} [{}, {}]", short(derived.value), short(low), short(high)),
            ));
        }
        Ok(exponents)
    }

    /// The best size and data at a compute, by approach; null where an approach does not say.
    pub fn at(&self, compute: f64) -> anyhow::Result<Value> {
        let frontier = self.frontier.map(|by| {
            json!({"n_opt": {"value": by.n_opt.at(compute)}, "d_opt": {"value": by.d_opt.at(compute)}})
        });
        let isoflop = self.profile.scaling.as_ref().and_then(|by| by.at(compute).ok());
        let parametric = self.parametric.as_ref().map(|fit| fit.optimum(compute, self.flops_per));
        Ok(json!({
            "train_flops": compute,
            "frontier": frontier,
            "isoflop": serde_json::to_value(isoflop)?,
            "parametric": serde_json::to_value(parametric.transpose().map_err(bad_input)?)?,
        }))
    }
}

/// value [low, high]
fn shown(estimate: &Value) -> String {
    let number = |key: &str| estimate[key].as_f64().map(short);
    let value = number("value").unwrap_or_default();
    match (number("low"), number("high")) {
        (Some(low), Some(high)) => format!("{value} [{low}, {high}]"),
        _ => value,
    }
}

//! `isoflop profiles`: the best size at each compute by three approaches, side by side.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use analysis::frontier::{Allocated, Allocation, Envelope, allocation};
use analysis::isoflop::{Budget, Budgets, Profile, ProfileOptions, Trial, profile};
use analysis::law::{Axis, Chinchilla};
use analysis::{Estimate, Fit, FitOptions, Labels, Optimum, Point, fit};
use anyhow::anyhow;
use serde_json::{Value, json};

use crate::analyse::{short, with_interval};
use crate::exit::{ALL_DONE, bad_input, too_few_points};
use crate::figure;
use crate::figure_file;
use crate::input::{Curve, Input, InputArgs};
use crate::look::LookArgs;
use crate::output::{Format, Rows, print_objects};

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

    /// Draw the parabolas with their minima; .svg or .png, or .csv for its numbers
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,

    /// Draw the best size and data against compute by each approach; .svg or .png, or .csv for its numbers
    #[arg(long, value_name = "FILE")]
    optimum_figure: Option<PathBuf>,

    #[command(flatten)]
    look: LookArgs,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub const APPROACHES: [&str; 3] = ["frontier", "isoflop", "parametric"];

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

/// The best size and data for a compute, by approach; `None` where an approach does not say.
#[derive(serde::Serialize)]
pub struct Best {
    pub train_flops: f64,
    frontier: Option<Split>,
    isoflop: Option<Split>,
    parametric: Option<Split>,
}

#[derive(Clone, Copy, serde::Serialize)]
pub struct Split {
    pub n_opt: Estimate,
    pub d_opt: Estimate,
    /// What is reached with them, where the approach predicts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<Estimate>,
}

pub async fn profiles(args: &ProfilesArgs) -> anyhow::Result<ExitCode> {
    if let Some(bad) =
        args.target.iter().chain(&args.budget).find(|c| !(c.is_finite() && **c > 0.0))
    {
        return Err(bad_input(anyhow!("{bad} FLOPs: compute is finite and above 0")));
    }
    let input = args.input.read(&[Axis::X, Axis::N, Axis::D], &[]).await?;
    let approaches =
        input.curves.iter().map(|curve| Approaches::new(&input, curve, &args.options()));
    let approaches = approaches.collect::<anyhow::Result<Vec<_>>>()?;
    args.draw(&input, &approaches)?;
    let all = || input.curves.iter().zip(&approaches);
    match args.format {
        Format::Json => {
            let objects = approaches.iter().map(|approaches| args.json(approaches));
            print_objects(&input.curves, objects.collect::<anyhow::Result<_>>()?)?;
        }
        Format::Csv => {
            let rows = all().flat_map(|(curve, approaches)| rows(curve, &approaches.profile));
            Rows::new(COLUMNS.map(str::to_owned).into(), rows.collect()).print(Format::Csv)?;
        }
        Format::Table => {
            all().try_for_each(|(curve, approaches)| args.print(curve, approaches))?;
        }
    }
    Ok(ExitCode::from(ALL_DONE))
}

impl ProfilesArgs {
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

    fn draw(&self, input: &Input, approaches: &[Approaches]) -> anyhow::Result<()> {
        if self.figure.is_none() && self.optimum_figure.is_none() {
            return Ok(());
        }
        let ([curve], [approaches]) = (input.curves.as_slice(), approaches) else {
            return Err(bad_input(anyhow!("a figure shows one curve; choose it with --where")));
        };
        if let Some(path) = &self.figure {
            let figure = figure::of_profile(input, curve, &approaches.profile);
            figure_file::write(&figure, self.look.look(), path)?;
        }
        if let Some(path) = &self.optimum_figure {
            let target = self.target.first().copied();
            let figure = figure::of_optimum(input, approaches, target)?;
            figure_file::write(&figure, self.look.look(), path)?;
        }
        Ok(())
    }

    fn json(&self, approaches: &Approaches) -> anyhow::Result<Value> {
        let targets = self.target.iter().map(|&target| approaches.at(target));
        Ok(json!({
            "profile": approaches.profile,
            "frontier": approaches.frontier,
            "parametric": approaches.parametric,
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
            let best = |estimate: Option<Estimate>| estimate.map_or("no minimum".to_owned(), shown);
            writeln!(
                out,
                "{} FLOPs, {} sizes: best N {}, D {}",
                report::scientific(budget.train_flops),
                budget.n_sizes,
                best(budget.n_opt),
                best(budget.d_opt),
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
        for (name, exponent) in approaches.exponents() {
            writeln!(out, "N_opt ~ C^a by {name}: a = {exponent}")?;
        }
        for &target in &self.target {
            let at = approaches.at(target)?;
            writeln!(out, "at {} FLOPs:", report::scientific(target))?;
            for (name, split) in APPROACHES.iter().zip(at.splits()) {
                if let Some(Split { n_opt, d_opt, .. }) = split {
                    writeln!(out, "  {name}: N {}, D {}", shown(n_opt), shown(d_opt))?;
                }
            }
        }
        Ok(())
    }
}

impl Approaches {
    /// Of a curve whose points are on compute, N and D.
    ///
    /// # Errors
    /// No budget has enough sizes, or values that no parabola can be fitted to.
    pub fn new(input: &Input, curve: &Curve, options: &ProfileOptions) -> anyhow::Result<Self> {
        let trial = |point: &Point| {
            let [c, n, d] = point.x;
            Trial { n, d, c, loss: point.y, cluster: point.cluster }
        };
        let trials: Vec<_> = curve.points.iter().map(trial).collect();
        let profile = profile(&trials, options).map_err(|error| match error {
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
        Ok(Self {
            frontier: allocation(&on_frontier).ok(),
            on_frontier,
            profile,
            parametric: parametric(input, curve, options),
            flops_per: ratios[ratios.len() / 2],
        })
    }

    /// The exponents of the best size, by the name of their approach.
    fn exponents(&self) -> Vec<(&'static str, String)> {
        let frontier = self.frontier.map(|by| short(by.n_opt.exponent));
        let isoflop = self.profile.scaling.as_ref().map(|by| shown(by.n_opt.exponent));
        let derived = self.parametric.as_ref().map(|fit| &fit.derived[0]);
        let parametric = derived.map(|param| with_interval(param.value, param.interval));
        let names = ["the frontier", "IsoFLOP parabolas", "Chinchilla's law"];
        let exponents = names.into_iter().zip([frontier, isoflop, parametric]);
        exponents.filter_map(|(name, exponent)| Some((name, exponent?))).collect()
    }

    pub fn at(&self, compute: f64) -> anyhow::Result<Best> {
        let frontier = self.frontier.map(|by| Split {
            n_opt: Estimate::bare(by.n_opt.at(compute)),
            d_opt: Estimate::bare(by.d_opt.at(compute)),
            y: None,
        });
        let isoflop = self.profile.scaling.as_ref().map(|by| by.at(compute));
        let isoflop = isoflop.transpose().map_err(bad_input)?;
        let parametric = self.parametric.as_ref().map(|fit| fit.optimum(compute, self.flops_per));
        let parametric = parametric.transpose().map_err(bad_input)?;
        Ok(Best {
            train_flops: compute,
            frontier,
            isoflop: isoflop.map(|at| Split { n_opt: at.n_opt, d_opt: at.d_opt, y: None }),
            parametric: parametric.map(|Optimum { n_opt, d_opt, y, .. }| Split {
                n_opt,
                d_opt,
                y: Some(y),
            }),
        })
    }
}

/// Chinchilla's law; `None` where the points are too few for the law.
fn parametric(input: &Input, curve: &Curve, options: &ProfileOptions) -> Option<Fit> {
    let of_n_and_d = |point: &Point| Point { x: [point.x[1], point.x[2], 1.0], ..*point };
    let points: Vec<_> = curve.points.iter().map(of_n_and_d).collect();
    let labels = Labels { axes: input.labels.axes[1..].to_vec(), ..input.labels.clone() };
    let options = FitOptions {
        n_resamples: options.n_resamples,
        level: options.level,
        seed: options.seed,
        ..FitOptions::default()
    };
    fit(&Chinchilla, &points, &labels, &options).ok()
}

impl Best {
    /// In the order of [`APPROACHES`].
    pub fn splits(&self) -> [Option<Split>; 3] {
        [self.frontier, self.isoflop, self.parametric]
    }
}

const COLUMNS: [&str; 9] = [
    "group",
    "train_flops",
    "n_sizes",
    "n_opt",
    "n_opt_low",
    "n_opt_high",
    "d_opt",
    "d_opt_low",
    "d_opt_high",
];

/// A row per budget, empty where it has no minimum.
fn rows(curve: &Curve, profile: &Profile) -> Vec<Vec<Value>> {
    let cells = |estimate: Option<Estimate>| {
        let ends = estimate.and_then(Estimate::interval).unzip();
        [json!(estimate.map(|estimate| estimate.value)), json!(ends.0), json!(ends.1)]
    };
    let row = |budget: &Budget| {
        let place = [json!(curve.name()), json!(budget.train_flops), json!(budget.n_sizes)];
        [place, cells(budget.n_opt), cells(budget.d_opt)].concat()
    };
    profile.budgets.iter().map(row).collect()
}

fn shown(estimate: Estimate) -> String {
    with_interval(estimate.value, estimate.interval())
}

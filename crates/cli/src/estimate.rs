//! What is estimated of a curve and how: a law by name, or the default estimator.

use analysis::law::Law;
use analysis::warning::Warning;
use analysis::{Fit, FitError, FitOptions, Forecast, ForecastOptions, Loss, Selection};
use clap::builder::PossibleValuesParser;

use crate::exit::{bad_input, too_few_points};
use crate::input::{Curve, Input};

#[derive(clap::Args)]
pub struct EstimateArgs {
    /// The law; without one the default estimator, an average of curves built to extrapolate
    #[arg(long, value_parser = PossibleValuesParser::new(analysis::law::ALL.iter().map(|law| law.name())))]
    pub law: Option<String>,

    /// What a residual of ln y costs
    #[arg(long, value_enum, default_value_t = LossKind::Huber, requires = "law")]
    pub loss: LossKind,

    /// Where a Huber term turns from a square to a line, in ln y
    #[arg(long, default_value_t = Loss::default().delta, requires = "law")]
    pub delta: f64,

    /// Weight of points above the curve, at most 1: less where trials may be under-tuned
    #[arg(long, value_name = "WEIGHT", default_value_t = 1.0, requires = "law")]
    pub above: f64,

    /// Starting points
    #[arg(long, value_name = "N", default_value_t = FitOptions::default().n_starts)]
    pub starts: usize,

    /// Bootstrap resamples; 0 gives no intervals
    #[arg(long, value_name = "N", default_value_t = FitOptions::default().n_resamples)]
    pub resamples: usize,

    /// Share of the distribution inside an interval
    #[arg(long, default_value_t = FitOptions::default().level)]
    pub level: f64,

    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Fit only the points that no other beats at its x; of a sweep the default
    #[arg(long, conflicts_with = "every_point")]
    pub frontier: bool,

    /// Fit every point; of a table the default
    #[arg(long)]
    pub every_point: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LossKind {
    /// Sum of Huber terms
    Huber,
    /// Sum of squares
    Squares,
}

/// A law's fit or the default estimator's forecast.
pub enum Estimate {
    Fit(Box<Fit>),
    Forecast(Box<Forecast>),
}

impl EstimateArgs {
    pub fn law(&self) -> Option<&'static dyn Law> {
        self.law.as_deref().and_then(analysis::law::named)
    }

    /// The axes that the estimate needs.
    pub fn axes(&self) -> &'static [analysis::law::Axis] {
        self.law().map_or(&[analysis::law::Axis::X], Law::axes)
    }

    pub fn options(&self, input: Selection) -> FitOptions {
        let is_one_axis = self.axes() == [analysis::law::Axis::X];
        let selection = match (self.frontier, self.every_point, is_one_axis) {
            (true, _, _) => Selection::Frontier,
            (_, true, _) | (_, _, false) => Selection::EveryPoint,
            (false, false, true) => input,
        };
        let delta = match self.loss {
            LossKind::Huber => self.delta,
            LossKind::Squares => f64::INFINITY,
        };
        FitOptions {
            selection,
            loss: Loss { delta, above: self.above },
            n_starts: self.starts,
            n_resamples: self.resamples,
            level: self.level,
            seed: self.seed,
            ..FitOptions::default()
        }
    }

    /// Estimates one curve of the input.
    ///
    /// # Errors
    /// Too few points, or points that the law cannot be fitted to.
    pub fn estimate(
        &self,
        input: &Input,
        curve: &Curve,
        options: &FitOptions,
    ) -> anyhow::Result<Estimate> {
        let estimate = match self.law() {
            Some(law) => analysis::fit(law, &curve.points, &input.labels, options)
                .map(|fit| Estimate::Fit(Box::new(fit))),
            None => {
                let FitOptions { selection, level, .. } = *options;
                let options = ForecastOptions { selection, level };
                Forecast::new(&curve.points, &input.labels, &options)
                    .map(|forecast| Estimate::Forecast(Box::new(forecast)))
            }
        };
        let mut estimate = estimate.map_err(coded).map_err(|error| curve.named(error))?;
        estimate.add(curve);
        Ok(estimate)
    }
}

impl Estimate {
    /// What only the input knows.
    fn add(&mut self, curve: &Curve) {
        let (n_dropped, warnings) = match self {
            Self::Fit(fit) => (&mut fit.n_dropped, &mut fit.warnings),
            Self::Forecast(forecast) => (&mut forecast.n_dropped, &mut forecast.warnings),
        };
        *n_dropped = curve.n_dropped;
        warnings.extend(curve.warnings.iter().cloned());
    }

    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Fit(fit) => &fit.warnings,
            Self::Forecast(forecast) => &forecast.warnings,
        }
    }

    /// The law, the columns of its axes and that of y.
    pub fn names(&self) -> (&'static str, String, &str) {
        match self {
            Self::Fit(fit) => {
                let axes: Vec<_> = fit.axes.values().map(String::as_str).collect();
                (fit.law.name(), axes.join(", "), &fit.y)
            }
            Self::Forecast(forecast) => (forecast.law, forecast.x.clone(), &forecast.y),
        }
    }

    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Fit(fit) => serde_json::to_value(fit),
            Self::Forecast(forecast) => serde_json::to_value(forecast),
        }
    }
}

/// The exit code that belongs to a fit's error.
pub fn coded(error: FitError) -> anyhow::Error {
    match error {
        FitError::TooFewPoints { .. } | FitError::OneValue { .. } => too_few_points(error),
        FitError::NotPositive { .. }
        | FitError::SplitConfiguration { .. }
        | FitError::Axes { .. }
        | FitError::Option { .. } => bad_input(error),
    }
}

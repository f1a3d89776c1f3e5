//! How well estimators extrapolate: each is fitted to a curve's smaller x and scored on the larger
//! ones that it has not seen, over many curves.
//!
//! The protocol is that of arXiv 2209.06640: the error of a curve is the root mean square of
//! ln yhat - ln y over its held-out points, and an estimator's is the mean over curves. The median
//! stands beside it, because a few short curves can dominate a mean.

use std::collections::HashMap;
use std::time::Instant;

use crate::fit::{FitError, FitOptions, Labels, fit};
use crate::forecast::{Forecast, ForecastOptions};
use crate::law::{Law, Xs};
use crate::mixture::Mixture;
use crate::point::Point;

/// What [`Backtest::protocol`] says of curves with a column that splits them, and of others.
pub const PROTOCOL: &str = "fit the training points of each group (of repeated x the last), score ln yhat - ln y on its held-out points; rmse per group, mean and median over groups; coverage: share of all held-out points inside the central prediction interval";

/// One curve, cut in two.
#[derive(Clone, Debug)]
pub struct Case {
    /// Column and cell, as the caller groups its rows.
    pub group: Vec<(String, String)>,
    pub train: Vec<Point>,
    pub test: Vec<Point>,
}

impl Case {
    /// Cuts a curve at `share` of its largest x: what is above is held out.
    pub fn cut(group: Vec<(String, String)>, points: &[Point], share: f64) -> Self {
        let largest = points.iter().map(|point| point.x[0]).fold(0.0, f64::max);
        let (train, test) = points.iter().partition(|point| point.x[0] <= share * largest);
        Self { group, train, test }
    }

    /// Of training points at one x the last: a later measurement replaces an earlier one.
    pub fn training(&self) -> Vec<Point> {
        let key = |point: &Point| point.x.map(f64::to_bits);
        let last: HashMap<_, _> =
            self.train.iter().enumerate().map(|(at, point)| (key(point), at)).collect();
        let is_last = |(at, point): &(usize, &Point)| last[&key(point)] == *at;
        self.train.iter().enumerate().filter(is_last).map(|(_, point)| *point).collect()
    }
}

/// What is backtested.
#[derive(Clone, Copy, Debug)]
pub enum Estimator {
    /// [`Forecast`]: no law is named.
    Default,
    /// A law of one axis, its bootstrap and its residuals' noise.
    Law(&'static dyn Law),
}

impl Estimator {
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Law(law) => law.name(),
        }
    }

    /// The default and every law of one axis.
    pub fn all() -> Vec<Self> {
        std::iter::once(Self::Default).chain(crate::law::of_one_axis().map(Self::Law)).collect()
    }

    /// What it says of `x`, knowing `points`: an estimate and a distribution each.
    ///
    /// # Errors
    /// Those of the fit.
    pub fn forecast(
        self,
        points: &[Point],
        x: &[Xs],
        options: &FitOptions,
    ) -> Result<Vec<(f64, Mixture)>, FitError> {
        let labels = Labels { axes: vec!["x".into()], y: "y".into(), cluster: "row".into() };
        match self {
            Self::Default => {
                let forecast = Forecast::new(points, &labels, &ForecastOptions::default())?;
                Ok(x.iter().map(|x| forecast.at(x[0])).map(|said| (said.centre(), said)).collect())
            }
            Self::Law(law) => {
                let fit = fit(law, points, &labels, options)?;
                Ok(x.iter().map(|x| (fit.predict(*x).value, fit.distribution(*x))).collect())
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Backtest {
    pub protocol: String,
    pub estimators: Vec<EstimatorScore>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct EstimatorScore {
    pub name: &'static str,
    /// Over the groups that could be fitted; `None` where none could.
    pub mean_rmse: Option<f64>,
    pub median_rmse: Option<f64>,
    /// Shares of all held-out points inside the central intervals of 50, 80 and 90%.
    pub coverage50: Option<f64>,
    pub coverage80: Option<f64>,
    pub coverage90: Option<f64>,
    /// Of fitting and predicting, all groups.
    pub seconds: f64,
    /// Groups without a score.
    pub n_failed: usize,
    pub groups: Vec<GroupScore>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GroupScore {
    #[serde(serialize_with = "as_object")]
    pub group: Vec<(String, String)>,
    pub rmse: Option<f64>,
    /// After repeated x have collapsed.
    pub n_train: usize,
    pub n_test: usize,
    pub coverage90: Option<f64>,
    /// Why there is no score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Held-out points inside intervals of 50, 80 and 90%.
type Inside = [usize; LEVELS.len()];
const LEVELS: [f64; 3] = [0.5, 0.8, 0.9];

/// Scores every estimator on every case.
pub fn backtest(cases: &[Case], estimators: &[Estimator], options: &FitOptions) -> Backtest {
    let score = |estimator: &Estimator| score(*estimator, cases, options);
    Backtest { protocol: PROTOCOL.to_owned(), estimators: estimators.iter().map(score).collect() }
}

fn score(estimator: Estimator, cases: &[Case], options: &FitOptions) -> EstimatorScore {
    let start = Instant::now();
    let scored: Vec<_> = cases.iter().map(|case| score_case(estimator, case, options)).collect();
    let seconds = start.elapsed().as_secs_f64();
    let mut rmses: Vec<_> = scored.iter().filter_map(|(group, _)| group.rmse).collect();
    rmses.sort_by(f64::total_cmp);
    let fitted = scored.iter().filter(|(group, _)| group.rmse.is_some());
    let n_test: usize = fitted.clone().map(|(group, _)| group.n_test).sum();
    let coverage = |level: usize| {
        let inside: usize = fitted.clone().map(|(_, inside)| inside[level]).sum();
        (n_test > 0).then(|| inside as f64 / n_test as f64)
    };
    EstimatorScore {
        name: estimator.name(),
        mean_rmse: (!rmses.is_empty()).then(|| rmses.iter().sum::<f64>() / rmses.len() as f64),
        median_rmse: median(&rmses),
        coverage50: coverage(0),
        coverage80: coverage(1),
        coverage90: coverage(2),
        seconds,
        n_failed: cases.len() - rmses.len(),
        groups: scored.into_iter().map(|(group, _)| group).collect(),
    }
}

fn score_case(estimator: Estimator, case: &Case, options: &FitOptions) -> (GroupScore, Inside) {
    let train = case.training();
    let mut group = GroupScore {
        group: case.group.clone(),
        rmse: None,
        n_train: train.len(),
        n_test: case.test.len(),
        coverage90: None,
        error: None,
    };
    let x: Vec<_> = case.test.iter().map(|point| point.x).collect();
    match estimator.forecast(&train, &x, options) {
        Ok(said) => {
            let inside =
                said.iter().zip(&case.test).map(|((_, said), point)| inside(said, point.y));
            let inside = inside.fold([0; 3], |sum: Inside, is| [0, 1, 2].map(|i| sum[i] + is[i]));
            let errors = said.iter().zip(&case.test).map(|((y, _), point)| (y / point.y).ln());
            let n = case.test.len() as f64;
            let rmse = (errors.map(|error| error * error).sum::<f64>() / n).sqrt();
            if rmse.is_finite() {
                group.rmse = Some(rmse);
                group.coverage90 = Some(inside[2] as f64 / n);
            } else {
                group.error =
                    Some("no point is held out, or a prediction is not finite".to_owned());
            }
            (group, inside)
        }
        Err(error) => {
            group.error = Some(error.to_string());
            (group, [0; 3])
        }
    }
}

fn inside(said: &Mixture, y: f64) -> Inside {
    let share = said.cdf(y);
    LEVELS.map(|level| usize::from((2.0 * share - 1.0).abs() <= level))
}

fn median(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    (n > 0).then(|| 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]))
}

fn as_object<S: serde::Serializer>(
    group: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(group.iter().map(|(column, cell)| (column, cell)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::x;

    #[test]
    fn of_a_long_table_the_last_of_each_x_is_kept_in_its_place() {
        let point = |i: u64| Point::independent(i, x((i % 150_000) as f64 + 1.0), 1.0);
        let case =
            Case { group: Vec::new(), train: (0..200_000).map(point).collect(), test: Vec::new() };
        let kept: Vec<_> = case.training().iter().map(|point| point.configuration).collect();
        assert_eq!(kept, (50_000..200_000).collect::<Vec<_>>());
    }
}

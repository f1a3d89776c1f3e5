//! The default estimator: what a curve will do at a larger x when no law is named.
//!
//! Not one curve but an average over four ([`Curve`]), each fitted with weak beliefs about its
//! coordinates and under three accounts of how points scatter around it (`noise.rs`). A third of the
//! weight is that of the power laws with and without a floor, a third the product's, a third the
//! plateau's, whatever the data say of them: which form is right does not show before the end, and
//! opposite errors cancel. Within a third the data decide. What comes out is a distribution. How well
//! it extrapolates, and how it was chosen: docs/design/2026-11-21-default-estimator.md.

mod curve;
mod data;
mod member;
mod noise;

use std::collections::BTreeMap;

pub use curve::Curve;

use self::data::Data;
use self::member::Member;
use self::noise::Noise;
use crate::decision::Estimate;
use crate::design::{Design, Scale};
use crate::fit::{FitError, Holdout, Labels};
use crate::law::Axis;
use crate::mixture::{Component, Mixture};
use crate::point::{Point, Selection};
use crate::warning::{Code, Warning};

/// How much of the discrepancy each account of the scatter has.
const DISCREPANCIES: [f64; 3] = [0.0, 0.1, 1.0];
/// Each has a third of the weight: its curves, and what is believed of each of them.
const THIRDS: [&[(Curve, f64)]; 3] = [
    &[(Curve::Power, 0.1), (Curve::Floor, 0.9)],
    &[(Curve::Product, 1.0)],
    &[(Curve::Plateau, 1.0)],
];
/// Fewer different x than this say nothing of a curve.
const MIN_X: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub struct ForecastOptions {
    pub selection: Selection,
    /// Of the intervals that [`Forecast::predict`] gives.
    pub level: f64,
}

impl Default for ForecastOptions {
    fn default() -> Self {
        Self { selection: Selection::EveryPoint, level: 0.95 }
    }
}

/// As JSON it follows a fit's contract where it can: `params` are averages over the members.
#[derive(serde::Serialize)]
pub struct Forecast {
    /// `default`
    pub law: &'static str,
    pub x: String,
    pub y: String,
    pub n_points: usize,
    /// Rows that the caller left out.
    pub n_dropped: usize,
    pub level: f64,
    /// The heaviest first.
    pub members: Vec<MemberSummary>,
    pub holdout: Option<Holdout>,
    pub warnings: Vec<Warning>,
    /// Smallest and largest value of x and y.
    pub ranges: BTreeMap<String, (f64, f64)>,
    #[serde(skip)]
    state: State,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MemberSummary {
    pub curve: Curve,
    /// The size of the discrepancy over that believed of it; 0: points scatter independently.
    pub discrepancy: f64,
    pub weight: f64,
    /// Of the power law beyond any plateau.
    pub exponent: f64,
    /// In the unit of y; 0 without one.
    pub floor: f64,
    /// Standard deviation of ln y of one point.
    pub noise: f64,
}

struct State {
    data: Data,
    noises: Vec<Noise>,
    /// Member, index into `noises`, weight.
    members: Vec<(Member, usize, f64)>,
}

impl Forecast {
    /// # Errors
    /// Values that are not finite and positive, fewer than four different x, or options out of range.
    pub fn new(
        points: &[Point],
        labels: &Labels,
        options: &ForecastOptions,
    ) -> Result<Self, FitError> {
        if !(options.level > 0.0 && options.level < 1.0) {
            let wanted = "between 0 and 1";
            return Err(FitError::Option { option: "level", value: options.level, wanted });
        }
        crate::fit::check_axes("default", &[Axis::X], points, labels)?;
        let scale = Scale::new(&[Axis::X]);
        let data = Design::new(points, options.selection, scale).whole();
        crate::fit::check_enough("default", MIN_X, &data, labels)?;
        let curve: Vec<_> = data.iter().map(|datum| (datum.x[0], datum.ln_y.exp())).collect();
        let state = State::new(&curve);
        let range = |values: &dyn Fn(&(f64, f64)) -> f64| {
            let values = || curve.iter().map(values);
            (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
        };
        Ok(Self {
            law: "default",
            x: labels.axes[0].clone(),
            y: labels.y.clone(),
            n_points: curve.len(),
            n_dropped: 0,
            level: options.level,
            members: state.summaries(),
            holdout: holdout(&curve),
            warnings: warnings(&state, &labels.axes[0], &labels.y),
            ranges: BTreeMap::from([
                (labels.axes[0].clone(), range(&|at| at.0)),
                (labels.y.clone(), range(&|at| at.1)),
            ]),
            state,
        })
    }

    /// The distribution of a measurement at `x`.
    pub fn at(&self, x: f64) -> Mixture {
        self.state.at(x)
    }

    /// The distribution's centre and its central interval: of a measurement, not of the curve.
    pub fn predict(&self, x: f64) -> Estimate {
        let said = self.at(x);
        let (low, high) = said.interval(self.level);
        Estimate { value: said.centre(), low, high }
    }
}

impl State {
    /// Of points (x, y) in order of x.
    fn new(points: &[(f64, f64)]) -> Self {
        let data = Data::new(points);
        let noises: Vec<_> = DISCREPANCIES.iter().map(|&size| Noise::new(size, &data)).collect();
        let third = |curves: &[(Curve, f64)]| {
            let each = |&(curve, prior): &(Curve, f64)| {
                noises.iter().enumerate().map(move |(i, _)| (curve, prior, i))
            };
            let members: Vec<_> = curves
                .iter()
                .flat_map(each)
                .map(|(curve, prior, i)| (Member::new(curve, &noises[i], &data), i, prior))
                .collect();
            weighed(members)
        };
        let members = THIRDS.iter().flat_map(|curves| third(curves)).collect();
        Self { data, noises, members }
    }

    /// The mean and the variance of the mixture, as one distribution with heavy tails.
    fn at(&self, x: f64) -> Mixture {
        let u = x.ln() - self.data.ln_x;
        let discrepancies: Vec<_> =
            self.noises.iter().map(|noise| noise.at(u, &self.data)).collect();
        let say = |(member, noise, weight): &(Member, usize, f64)| {
            (member.say(u, &discrepancies[*noise]), *weight, member.freedom)
        };
        let said: Vec<_> = self.members.iter().map(say).collect();
        let mean: f64 = said.iter().map(|(say, weight, _)| weight * say.mean).sum();
        let spread = |(say, weight, _): &(member::Saying, f64, f64)| {
            weight * (say.variance + (say.mean - mean).powi(2))
        };
        let sd = said.iter().map(spread).sum::<f64>().sqrt();
        let freedom = said.iter().map(|(_, weight, freedom)| weight * freedom).sum();
        Mixture::new([Component { weight: 1.0, mean: mean + self.data.ln_y, sd, freedom }])
    }

    fn summaries(&self) -> Vec<MemberSummary> {
        let summary = |(member, noise, weight): &(Member, usize, f64)| {
            let (exponent, share) = member.curve.exponent_and_floor_share(&member.at);
            MemberSummary {
                curve: member.curve,
                discrepancy: self.noises[*noise].discrepancy,
                weight: *weight,
                exponent,
                floor: share * (member.at[0] + self.data.ln_y).exp(),
                noise: member.variance.sqrt(),
            }
        };
        let mut summaries: Vec<_> = self.members.iter().map(summary).collect();
        summaries.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        summaries
    }
}

/// Members with prior weights to members with posterior ones, a third in all.
fn weighed(members: Vec<(Member, usize, f64)>) -> Vec<(Member, usize, f64)> {
    let ln_weight = |(member, _, prior): &(Member, usize, f64)| prior.ln() + member.ln_evidence;
    let largest = members.iter().map(ln_weight).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = members.iter().map(|member| (ln_weight(member) - largest).exp()).sum();
    let weigh = |member: (Member, usize, f64)| {
        let weight = (ln_weight(&member) - largest).exp() / total / THIRDS.len() as f64;
        (member.0, member.1, weight)
    };
    members.into_iter().map(weigh).collect()
}

/// As that of a fit.
fn holdout(points: &[(f64, f64)]) -> Option<Holdout> {
    let at = crate::fit::holdout_from(points.len(), |i| points[i].0);
    let (kept, held) = points.split_at(at);
    if kept.chunk_by(|a, b| a.0 == b.0).count() < MIN_X {
        return None;
    }
    let state = State::new(kept);
    let squares = held.iter().map(|(x, y)| (state.at(*x).centre() / y).ln().powi(2));
    let rmse_log = (squares.sum::<f64>() / held.len() as f64).sqrt();
    Some(Holdout { n: held.len(), rmse_log })
}

/// Fewer points than this leave the size of the noise to belief.
const FEW_X: usize = 8;

fn warnings(state: &State, x: &str, y: &str) -> Vec<Warning> {
    let Data { u, v, .. } = &state.data;
    let mut warnings = Vec::new();
    let mut warn = |code, message| warnings.push(Warning { code, message });
    if -u[0] < std::f64::consts::LN_10 {
        let factor = (-u[0]).exp();
        warn(Code::NarrowRange, format!("{x} spans a factor of {factor:.3}, less than a decade"));
    }
    if u.len() < FEW_X {
        warn(Code::FewPoints, format!("{} points; {FEW_X} or more are wanted", u.len()));
    }
    let third = v.len() - v.len().div_ceil(3);
    if v[third.saturating_sub(1)] <= 0.0 {
        warn(
            Code::NotFalling,
            format!(
                "{y} does not fall over the last third of the points; every curve used here does"
            ),
        );
    }
    warnings
}

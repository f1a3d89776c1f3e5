//! Cases in which what is suggested is really measured: known laws, and whatever a table holds. Shared by
//! the tests and by the program that prints the tables of docs/design/2026-11-21-suggest.md.

use std::collections::BTreeMap;

use analysis::law::{self, At, Law, Xs};
use analysis::suggest::{Candidate, SuggestError, Suggestion, suggest};
use analysis::{Fit, FitOptions, Labels, Point, fit, point::x as at};

/// What is measured, what could be, and what is asked.
pub struct Case {
    pub law: &'static dyn Law,
    pub measured: Vec<Point>,
    /// In order of compute, with the y that each would measure.
    pub pool: Vec<(Candidate, f64)>,
    pub target: Xs,
    /// y there.
    pub answer: f64,
}

impl Case {
    pub fn fit(&self, chosen: &[usize]) -> Fit {
        self.fit_with(200, chosen)
    }

    pub fn fit_with(&self, n_resamples: usize, chosen: &[usize]) -> Fit {
        let point = |&i: &usize| {
            let (Candidate { x, trunk, .. }, y) = self.pool[i];
            Point { x, y, configuration: 1 << 32 | i as u64, cluster: trunk }
        };
        let points: Vec<_> =
            self.measured.iter().copied().chain(chosen.iter().map(point)).collect();
        let axes = self.law.axes().iter().map(|axis| axis.name().to_string()).collect();
        let labels = Labels { axes, y: "y".into(), cluster: "trunk".into() };
        let options = FitOptions { n_starts: 32, n_resamples, level: 0.9, ..FitOptions::default() };
        fit(self.law, &points, &labels, &options).unwrap()
    }

    /// Width of the target's interval, and the error there, both of ln y.
    pub fn judge(&self, fit: &Fit) -> (f64, f64) {
        let band = fit.predict(self.target);
        ((band.high / band.low).ln(), (band.value / self.answer).ln().abs())
    }

    pub fn candidates(&self) -> Vec<Candidate> {
        self.pool.iter().map(|(candidate, _)| *candidate).collect()
    }

    pub fn cost(&self, chosen: &[usize]) -> f64 {
        let mut trunks = BTreeMap::<u64, f64>::new();
        let mut own = 0.0;
        for &i in chosen {
            let candidate = &self.pool[i].0;
            let paid = trunks.entry(candidate.trunk).or_default();
            *paid = paid.max(candidate.trunk_flops);
            own += candidate.own_flops;
        }
        own + trunks.values().sum::<f64>()
    }

    /// `n` candidates evenly over the pool, the cheapest and the dearest among them.
    pub fn even(&self, n: usize) -> Vec<usize> {
        (0..n).map(|k| k * (self.pool.len() - 1) / (n - 1)).collect()
    }

    pub fn suggest(&self, now: &Fit, budget: f64) -> Result<Suggestion, SuggestError> {
        let now = std::slice::from_ref(now);
        suggest(now, &self.measured, self.target, &self.candidates(), budget)
    }
}

/// Of one case, widths and errors over those of the even grid.
pub struct Comparison {
    /// By share: width over the grid's, and expected width over the real one; `None` where nothing is
    /// so cheap.
    pub widths: Vec<Option<(f64, f64)>>,
    /// By share.
    pub errors: Vec<f64>,
    pub grid_error: f64,
}

pub fn compare(case: &Case, n: usize, shares: &[f64]) -> Comparison {
    let grid = case.even(n);
    let (grid_width, grid_error) = case.judge(&case.fit(&grid));
    let now = case.fit(&[]);
    let outcome = |share: &f64| {
        let list = case.suggest(&now, share * case.cost(&grid)).ok()?;
        let chosen: Vec<_> = list.picks.iter().map(|pick| pick.index).collect();
        let (width, error) = case.judge(&case.fit(&chosen));
        Some((width / grid_width, list.width_after / width, error))
    };
    let outcomes: Vec<_> = shares.iter().map(outcome).collect();
    Comparison {
        widths: outcomes.iter().map(|o| o.map(|(width, expected, _)| (width, expected))).collect(),
        errors: outcomes
            .iter()
            .map(|o| o.map_or(case.judge(&now).1, |(.., error)| error))
            .collect(),
        grid_error,
    }
}

pub fn geometric(from: f64, to: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| from * (to / from).powf(i as f64 / (n - 1) as f64)).collect()
}

/// Approximately normal: the sum of twelve uniform draws of a 64-bit congruential generator.
pub fn normal(seed: u64, sd: f64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    move || sd * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)
}

pub const M2: [f64; 3] = [300.0, 0.25, 0.1];
pub const ZHAI: [f64; 4] = [4000.0, 0.35, 0.09, 5e13];
pub const CHINCHILLA: [f64; 5] = [482.01, 2085.43, 1.8169, 0.3478, 0.3659];

/// Three decades of compute measured, two more to be had with two seeds each, asked two beyond these.
pub fn of_compute(law: &'static dyn Law, params: &[f64], seed: u64) -> Case {
    let mut noise = normal(seed, 0.02);
    let y = |c: f64| law.evaluate(&At::x(c), params, &mut [0.0; 9]);
    let mut noisy = |c: f64| y(c) * noise().exp();
    let measured = geometric(1e12, 1e15, 13).into_iter().zip(0..);
    let measured = measured.map(|(c, i)| Point::independent(1000 + i, at(c), noisy(c))).collect();
    let pool = geometric(1e13, 1e17, 33).into_iter().flat_map(|c| [c, c]).enumerate();
    let pool = pool.map(|(i, c)| (Candidate::alone(i, at(c), c), noisy(c))).collect();
    Case { law, measured, pool, target: at(1e19), answer: y(1e19) }
}

/// Four sizes and five lengths measured; nine and nine to be had, each size one trunk with cooldowns of
/// a fifth; asked at ten times the compute of the dearest, at the split that is best there.
pub fn of_size_and_data(seed: u64) -> Case {
    let law: &'static dyn Law = &law::Chinchilla;
    let mut noise = normal(seed, 0.01);
    let y = |n: f64, d: f64| law.evaluate(&At::new([n, d, 1.0]), &CHINCHILLA, &mut [0.0; 9]);
    let mut noisy = |n: f64, d: f64| y(n, d) * noise().exp();
    let grid = |n: Vec<f64>, d: Vec<f64>| -> Vec<(f64, f64)> {
        n.iter().flat_map(|&n| d.iter().map(move |&d| (n, d))).collect()
    };
    let measured = grid(geometric(1e7, 1e8, 4), geometric(1e8, 3e9, 5)).into_iter().zip(0..);
    let measured =
        measured.map(|((n, d), i)| Point::independent(1000 + i, [n, d, 1.0], noisy(n, d)));
    let measured = measured.collect();
    let mut places = grid(geometric(2e7, 2e9, 9), geometric(3e8, 1e11, 9));
    places.sort_by(|a, b| (a.0 * a.1).total_cmp(&(b.0 * b.1)));
    let candidate = |(index, (n, d)): (usize, (f64, f64))| {
        let flops = 6.0 * n * d;
        let x = [n, d, 1.0];
        let trunk = n.to_bits();
        let (trunk_flops, own_flops) = (0.8 * flops, 0.2 * flops);
        (Candidate { x, trunk, trunk_flops, own_flops, index }, noisy(n, d))
    };
    let pool = places.into_iter().enumerate().map(candidate).collect();
    // G (C / 6)^(beta / (alpha + beta)), arXiv 2203.15556, equation 4.
    let [a, b, _, alpha, beta] = CHINCHILLA;
    let (split, product) = (alpha + beta, 1e22 / 6.0);
    let n = (alpha * a / (beta * b)).powf(1.0 / split) * f64::powf(product, beta / split);
    Case { law, measured, pool, target: [n, product / n, 1.0], answer: y(n, product / n) }
}

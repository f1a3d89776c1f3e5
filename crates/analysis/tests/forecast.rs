//! The default estimator: better than any single law on curves that it has not been tuned on, with
//! intervals that hold what they promise; and sane on everything else.
//!
//! Real curves are the training rows of arXiv 2209.06640's image-classification tasks. Rows that are
//! marked for scoring are never read here: see docs/design/2026-11-21-default-estimator.md.

use std::collections::BTreeMap;
use std::path::Path;

use analysis::backtest::{Backtest, Case, Estimator, backtest};
use analysis::point::x;
use analysis::warning::Code;
use analysis::{FitOptions, Forecast, ForecastOptions, Labels, Point};
use proptest::prelude::*;

fn labels() -> Labels {
    Labels { axes: vec!["examples".into()], y: "error".into(), cluster: "row".into() }
}

fn forecast(points: &[Point]) -> Forecast {
    Forecast::new(points, &labels(), &ForecastOptions::default()).unwrap()
}

fn curve(n: u64, decades: f64, mut law: impl FnMut(f64) -> f64) -> Vec<Point> {
    let mut point = |i: u64| {
        let at = 10_f64.powf(decades * i as f64 / (n - 1) as f64);
        Point::independent(i, x(at), law(at))
    };
    (0..n).map(&mut point).collect()
}

/// Standard normal, by Box and Muller, of a 64-bit congruential generator.
fn normal(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64 + 0.5) / (1_u64 << 31) as f64
    };
    move || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

/// Curves of training rows by model and task; `None`, said aloud, where a table is absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so by name")]
fn training_curves() -> Option<Vec<(String, Vec<Point>)>> {
    let mut curves = BTreeMap::<String, Vec<Point>>::new();
    for name in ["revisiting_vision_dev.csv", "revisiting_vision_train_only.csv"] {
        let path = format!("../shared/data/fits/{name}");
        let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&path);
        let Ok(text) = std::fs::read_to_string(from_root) else {
            eprintln!("skipped: {path} is absent");
            return None;
        };
        for line in text.lines().skip(1) {
            let [_, task, model, seen, loss, "1"] = line.split(',').collect::<Vec<_>>()[..] else {
                continue;
            };
            let points = curves.entry(format!("{model} {task}")).or_default();
            let at = x(seen.parse().unwrap());
            points.push(Point::independent(points.len() as u64, at, loss.parse().unwrap()));
        }
    }
    Some(curves.into_iter().collect())
}

/// Each curve cut at a share of its largest x, and what lies up to twice as far held out.
fn inner_cases(curves: &[(String, Vec<Point>)], share: f64) -> Vec<Case> {
    let case = |(name, points): &(String, Vec<Point>)| {
        let largest = points.iter().map(|point| point.x[0]).fold(0.0, f64::max);
        let within: Vec<_> =
            points.iter().filter(|p| p.x[0] <= 2.05 * share * largest).copied().collect();
        let reach = within.iter().map(|point| point.x[0]).fold(0.0, f64::max);
        Case::cut(vec![("curve".into(), name.clone())], &within, share * largest / reach)
    };
    let cases = curves.iter().map(case);
    cases.filter(|case| case.train.len() >= 6 && !case.test.is_empty()).collect()
}

fn score(backtest: &Backtest, name: &str) -> (f64, f64) {
    let score = backtest.estimators.iter().find(|score| score.name == name).unwrap();
    assert_eq!(score.n_failed, 0, "{name}");
    (score.mean_rmse.unwrap(), score.median_rmse.unwrap())
}

#[test]
fn on_the_training_rows_of_72_tasks_it_extrapolates_better_than_every_single_law() {
    let Some(curves) = training_curves() else { return };
    assert_eq!(curves.len(), 72);
    let options =
        FitOptions { n_starts: 16, n_resamples: 0, holdout: false, ..FitOptions::default() };
    let laws = ["m1", "m2", "m3", "m4", "bnsl1"];
    let named = laws.map(|name| Estimator::Law(analysis::law::named(name).unwrap()));
    let estimators: Vec<_> = std::iter::once(Estimator::Default).chain(named).collect();
    for (share, limit) in [(0.5, 0.0165), (0.7, 0.0135)] {
        let result = backtest(&inner_cases(&curves, share), &estimators, &options);
        let (mean, median) = score(&result, "default");
        assert!(mean < limit && median < 0.0100, "{share}: {mean} {median}");
        for law in laws {
            let (law_mean, law_median) = score(&result, law);
            assert!(mean < 0.75 * law_mean && median < 0.75 * law_median, "{law}: {law_mean}");
        }
        let coverage = result.estimators[0].coverage90.unwrap();
        assert!((0.9..=1.0).contains(&coverage), "{share}: {coverage}");
    }
}

#[test]
fn intervals_hold_what_they_promise_on_laws_that_it_does_not_know() {
    let zhai = |at: f64| 0.08 + 0.9 * (at + 20.0).powf(-0.3);
    let floor = |at: f64| 0.1 + 0.8 * at.powf(-0.4);
    let power = |at: f64| 0.9 * at.powf(-0.25);
    for (name, law) in
        [("zhai", &zhai as &dyn Fn(f64) -> f64), ("floor", &floor), ("power", &power)]
    {
        let mut inside = 0;
        for seed in 0..100 {
            let mut noise = normal(seed);
            let points = curve(25, 3.0, |at| law(at) * (0.02 * noise()).exp());
            let share = forecast(&points).at(2000.0).cdf(law(2000.0) * (0.02 * noise()).exp());
            inside += u32::from((0.05..0.95).contains(&share));
        }
        assert!((80..=99).contains(&inside), "{name}: {inside} of 100");
    }
}

#[test]
fn losses_in_nats_are_no_harder_than_errors() {
    let law = |at: f64| 1.7 + 2.0 * at.powf(-0.35);
    let said = forecast(&curve(20, 4.0, law)).predict(2e4);
    assert!((said.value / law(2e4) - 1.0).abs() < 1e-2, "{said:?}");
    assert!(said.low < said.value && said.value < said.high);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn units_change_nothing_but_themselves(x_unit in 1e-12..1e12_f64, y_unit in 1e-3..1e3_f64, c in 0.1..0.8_f64) {
        let mut noise = normal(1);
        let points = curve(15, 2.0, |at| (0.1 + at.powf(-c)) * (0.01 * noise()).exp());
        let moved: Vec<_> = points
            .iter()
            .map(|p| Point { x: x(p.x[0] * x_unit), y: p.y * y_unit, ..*p })
            .collect();
        let [here, there] = [forecast(&points).predict(200.0), forecast(&moved).predict(200.0 * x_unit)];
        prop_assert!((here.value * y_unit / there.value - 1.0).abs() < 1e-6, "{here:?} {there:?}");
        prop_assert!((here.high * y_unit / there.high - 1.0).abs() < 1e-5);
    }

    #[test]
    fn any_curve_gives_finite_predictions(ys in prop::collection::vec(1e-6..1e6_f64, 4..40)) {
        let points: Vec<_> = ys.iter().zip(0..).map(|(y, i)| Point::independent(i, x((i + 1) as f64), *y)).collect();
        let said = forecast(&points).predict(1e3);
        prop_assert!(said.value.is_finite() && said.low <= said.value && said.value <= said.high, "{said:?}");
    }
}

#[test]
fn predictions_are_numbers_from_one_end_of_the_floats_to_the_other() {
    let forecast = forecast(&curve(20, 3.0, |x| 0.1 + x.powf(-0.3)));
    for x in [1e-300, 1e300] {
        let said = forecast.predict(x);
        assert!(said.value > 0.0 && said.low <= said.value && said.value <= said.high, "{said:?}");
    }
}

#[test]
fn the_order_of_rows_does_not_matter_and_weights_add_up() {
    let mut noise = normal(3);
    let points = curve(30, 3.0, |at| (0.1 + at.powf(-0.3)) * (0.01 * noise()).exp());
    let mut shuffled = points.clone();
    shuffled.reverse();
    assert_eq!(forecast(&points).predict(5e3), forecast(&shuffled).predict(5e3));
    let total: f64 = forecast(&points).members.iter().map(|member| member.weight).sum();
    assert!((total - 1.0).abs() < 1e-12);
}

#[test]
fn a_curve_of_a_hundred_thousand_points_is_a_curve() {
    let mut noise = normal(4);
    let law = |at: f64| 0.2 + 0.7 * at.powf(-0.4);
    let said = forecast(&curve(100_000, 4.0, |at| law(at) * (0.05 * noise()).exp())).predict(2e4);
    assert!((said.value / law(2e4) - 1.0).abs() < 0.02, "{said:?}");
    // Four standard deviations of .05 are .2; the curve itself is nearly known.
    assert!((0.15..0.35).contains(&(said.high / said.low).ln()), "{said:?}");
}

#[test]
fn doubts_are_spoken_and_too_few_points_refused() {
    let flat = forecast(&curve(12, 0.5, |_| 0.4));
    let codes: Vec<_> = flat.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [Code::NarrowRange, Code::NotFalling]);
    let refused = |points: &[Point]| {
        Forecast::new(points, &labels(), &ForecastOptions::default()).err().unwrap().to_string()
    };
    let three = curve(3, 1.0, |at| 1.0 / at);
    assert_eq!(refused(&three), "law default needs 4 points at different places; there are 3");
    let mut bad = curve(6, 1.0, |at| 1.0 / at);
    bad[2].y = 0.0;
    assert_eq!(refused(&bad), "error of point 2 is 0: a fit needs finite numbers above 0");
}

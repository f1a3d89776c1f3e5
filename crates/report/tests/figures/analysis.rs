//! What the figures of fits show, leave out and refuse.

use proptest::prelude::*;
use report::{CurvePoint, DrawError, Figure as _, FitFigure, Floor, Point};

use crate::{any_points, any_value, check_drawn, check_text, fits, pairs, texts};

fn has(svg: &str, label: &str) -> bool {
    texts(svg).iter().any(|text| text == label)
}

#[test]
fn a_fit_names_its_law_its_bands_its_target_and_its_residuals() {
    let svg = fits::fit(20).svg().unwrap();
    let labels = [
        "fitted",
        "held out",
        "extrapolated",
        "95% interval of the curve",
        "95% of new measurements",
        "± rms of the residuals, 1.63%",
        "ln y − ln ŷ (%)",
        "floor 0.090 [0.071, 0.104]",
    ];
    for label in labels {
        assert!(has(&svg, label), "{label} is not in {:?}", texts(&svg));
    }
}

#[test]
fn a_floor_far_below_the_points_is_neither_drawn_nor_named() {
    let mut figure = fits::fit(20);
    figure.floor = Some(Floor { label: "no floor".into(), y: 1e-9 });
    assert!(!has(&figure.svg().unwrap(), "no floor"));
}

#[test]
fn a_point_without_a_residual_is_in_the_upper_plot_alone() {
    let mut figure = fits::fit(20);
    let n_circles = |figure: &FitFigure| figure.svg().unwrap().matches("<circle").count();
    let before = n_circles(&figure);
    figure.groups[0].points[3].residual = f64::NAN;
    // A disc is a fill and an outline.
    assert_eq!(n_circles(&figure), before - 2);
}

#[test]
fn a_hundred_thousand_points_stay_a_small_figure() {
    let svg = fits::fit(80_000).svg().unwrap();
    assert!(svg.len() < 1_500_000, "{} bytes", svg.len());
}

#[test]
fn minima_are_named_as_far_as_there_are_any() {
    let mut figure = fits::isoflop();
    assert!(has(&figure.svg().unwrap(), "at the edge of its grid"));
    figure.valleys[0].minimum = None;
    let svg = figure.svg().unwrap();
    assert!(has(&svg, "minimum, 90% interval") && !has(&svg, "at the edge of its grid"));
}

#[test]
fn an_optimum_without_a_target_names_none() {
    let mut figure = fits::optimum();
    figure.target = None;
    let svg = figure.svg().unwrap();
    assert!(has(&svg, "IsoFLOP: 0.51 [0.48, 0.55]") && !has(&svg, "target 5.8×10"));
}

#[test]
fn a_row_without_a_value_keeps_its_label_and_numbers() {
    let mut figure = fits::forest(3);
    figure.rows[1].value = f64::NAN;
    figure.rows[1].numbers = "did not converge".into();
    let svg = figure.svg().unwrap();
    assert!(has(&svg, "CIFAR-100 · ViT") && has(&svg, "did not converge"));
}

#[test]
fn the_least_errors_of_a_task_come_first() {
    let mut figure = fits::backtest(1);
    for (curve, rmse) in figure.panels[0].curves.iter_mut().zip([0.02, f64::NAN, 0.03, 0.01, 0.04])
    {
        curve.rmse = rmse;
    }
    let texts = texts(&figure.svg().unwrap());
    let expected = ["M4 0.010", "default 0.020", "M2 0.030", "BNSL-1 0.040"];
    let found: Vec<&String> =
        texts.iter().filter(|text| expected.contains(&text.as_str())).collect();
    assert_eq!(found, expected);
    assert!(!texts.iter().any(|text| text.starts_with("M1 ")), "{texts:?}");
}

#[test]
fn a_task_without_points_is_left_out() {
    let mut figure = fits::backtest(3);
    figure.panels[1].train.clear();
    figure.panels[1].held_out = vec![(f64::NAN, 0.5)];
    let svg = figure.svg().unwrap();
    assert!(has(&svg, "BiT/50/1 · task_2") && !has(&svg, "BiT/101/1 · task_1"));
}

#[test]
fn levels_and_lines_of_equal_compute_carry_their_labels() {
    let svg = fits::contour(fits::sample_trials()).svg().unwrap();
    let n = |label: &str| texts(&svg).iter().filter(|text| *text == label).count();
    // In the legend and on the line; no surface is as low as 2.0.
    assert_eq!((n("2.50"), n("3.00"), n("2.00")), (2, 2, 1));
    assert!(has(&svg, "equal compute") && has(&svg, "measured, in its colour"));
}

#[test]
fn long_words_are_wrapped_or_shortened_but_never_overlap() {
    let words = "a label much too long for any figure ".repeat(6);
    let mut fit = fits::fit(9);
    (fit.title, fit.group_heading, fit.fit.label) = (words.clone(), words.clone(), words.clone());
    check_text("fit", &fit.svg().unwrap());
    let mut forest = fits::forest(4);
    forest.rows[0].label = words.clone();
    forest.rows[1].numbers = words.clone();
    forest.references[0].label = words.clone();
    check_text("forest", &forest.svg().unwrap());
    let mut backtest = fits::backtest(12);
    (backtest.panels[5].title, backtest.estimators[0]) = (words.clone(), words.clone());
    check_text("backtest", &backtest.svg().unwrap());
    let mut contour = fits::contour(fits::sample_trials());
    contour.iso_flops[0].label = words;
    check_text("contour", &contour.svg().unwrap());
}

#[test]
fn a_figure_of_a_fit_without_a_drawable_point_is_an_error() {
    let nothing = |figure| Err(DrawError::Nothing { figure });
    let mut fit = fits::fit(4);
    (fit.groups, fit.fit.curve, fit.target) = (Vec::new(), Vec::new(), None);
    assert_eq!(fit.svg(), nothing("fit"));
    let mut isoflop = fits::isoflop();
    isoflop.valleys.clear();
    assert_eq!(isoflop.svg(), nothing("IsoFLOP"));
    let mut optimum = fits::optimum();
    optimum.panels[1].approaches.clear();
    assert_eq!(optimum.svg(), nothing("optimum"));
    assert_eq!(fits::forest(0).svg(), nothing("forest"));
    assert_eq!(fits::backtest(0).svg(), nothing("backtest"));
    let mut contour = fits::contour(Vec::new());
    contour.surface.columns = 7;
    assert_eq!(contour.svg(), nothing("contour"));
}

fn curve(points: &[Point]) -> Vec<CurvePoint> {
    points.iter().map(|p| CurvePoint { x: p.x, y: p.y, low: p.low, high: p.high }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_fit_is_drawn_or_refused_but_never_panics(
        a in any_points(), b in any_points(), x in any_value(), y in any_value(),
    ) {
        let mut fit = fits::fit(3);
        for (at, point) in fit.groups.iter_mut().flat_map(|group| &mut group.points).zip(&a) {
            (at.x, at.y, at.residual) = (point.x, point.y, point.low - point.high);
        }
        (fit.fit.curve, fit.fit.last_measured_x) = (curve(&b), x);
        fit.prediction.as_mut().unwrap().band = curve(&a);
        (fit.floor.as_mut().unwrap().y, fit.residual_rms) = (y, Some(x));
        fit.target.as_mut().unwrap().at = CurvePoint { x, y, low: y, high: x };
        check_drawn(fit.svg());
        let mut isoflop = fits::isoflop();
        (isoflop.valleys[0].points, isoflop.valleys[1].parabola) = (pairs(&a), pairs(&b));
        let minimum = isoflop.valleys[2].minimum.as_mut().unwrap();
        (minimum.x, minimum.low, minimum.high) = (x, y, x);
        check_drawn(isoflop.svg());
    }

    #[test]
    fn any_comparison_is_drawn_or_refused_but_never_panics(
        a in any_points(), b in any_points(), x in any_value(), y in any_value(),
    ) {
        let mut optimum = fits::optimum();
        let approach = &mut optimum.panels[0].approaches[0];
        (approach.points, approach.curve, approach.last_measured_x) = (curve(&a), curve(&b), x);
        optimum.target = Some((y, "target".into()));
        check_drawn(optimum.svg());
        let mut forest = fits::forest(4);
        for (row, point) in forest.rows.iter_mut().zip(&a) {
            (row.value, row.low, row.high) = (point.x, point.low, point.high);
        }
        forest.references[0].x = y;
        check_drawn(forest.svg());
        let mut backtest = fits::backtest(3);
        let panel = &mut backtest.panels[1];
        (panel.train, panel.held_out, panel.cut) = (pairs(&a), pairs(&b), x);
        (panel.curves[0].points, panel.curves[1].rmse, panel.band) = (pairs(&a), y, curve(&b));
        check_drawn(backtest.svg());
    }

    #[test]
    fn any_surface_is_drawn_or_refused_but_never_panics(
        a in any_points(), values in prop::collection::vec(any_value(), 0..40),
        columns in 0..8_usize, x in any_value(), y in any_value(),
    ) {
        let mut contour = fits::contour(fits::sample_trials());
        (contour.surface.x, contour.surface.y) = ((1e-2, x), (y, 1e14));
        (contour.surface.columns, contour.surface.values) = (columns, values);
        contour.levels = a.iter().map(|point| point.y).collect();
        contour.iso_flops[0].points = pairs(&a);
        for (trial, point) in contour.trials.iter_mut().zip(&a) {
            (trial.x, trial.y, trial.value) = (point.x, point.y, point.low);
        }
        check_drawn(contour.svg());
    }
}

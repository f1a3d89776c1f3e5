//! Variants that never were, and what becomes of them at large learning rates.

use report::{
    AttentionFigure, Course, CurvePoint, DrawError, Figure as _, FitCurve, Point, RateCurve,
    RateFigure, Size, VariantCurve, VariantsFigure,
};

use crate::fits::even;
use crate::samples::{noise, size};
use crate::{check_drawn, check_text, texts};

const NAMES: [&str; 7] =
    ["ViT", "hybrid", "BiT", "Mixer", "ViT-22B block", "ViT, sincos2d", "ViT, Adafactor"];

fn error(variant: usize, flops: f64) -> f64 {
    let v = variant as f64;
    0.12 + 0.02 * v + (0.42 + 0.06 * v) * (flops / 1e15).powf(-0.17 - 0.012 * v)
}

fn law(variant: usize, last: f64, whole: f64) -> FitCurve {
    let curve = even(1e15, whole, 100).into_iter().map(|x| {
        let (y, spread) = (error(variant, x), 0.012 + 0.03 * (x / last).log10().max(0.0));
        CurvePoint { x, y, low: y * (1.0 - spread), high: y * (1.0 + spread) }
    });
    FitCurve {
        label: format!("{:.2}·C^{{−{:.3}}} + {:.2}", 0.4, 0.17 + 0.012 * variant as f64, 0.12),
        band_label: "95% interval".into(),
        curve: curve.collect(),
        last_measured_x: last,
    }
}

fn variant(index: usize, is_fitted: bool) -> VariantCurve {
    let last = 3e18 / (1.0 + index as f64);
    let frontier: Vec<_> = even(1e15, last, 8)
        .into_iter()
        .enumerate()
        .map(|(i, x)| (x, error(index, x) * (1.0 + 0.02 * noise(i, index, 3))))
        .collect();
    let off =
        |(i, x): (usize, f64)| (x, error(index, x) * (1.03 + 0.25 * noise(i, index, 5).abs()));
    let points = even(1e15, last, 40).into_iter().enumerate().map(off);
    VariantCurve {
        label: NAMES[index].into(),
        points: frontier.iter().copied().chain(points).collect(),
        frontier,
        fit: is_fitted.then(|| law(index, last, 3e19)),
    }
}

pub fn variants(n: usize, is_fitted: bool) -> VariantsFigure {
    VariantsFigure {
        title: "families: validation error against compute, by variant".into(),
        x_label: "training FLOPs".into(),
        y_label: "validation error".into(),
        variant_heading: "variant".into(),
        variants: (0..n).map(|index| variant(index, is_fitted)).collect(),
    }
}

const RATES: [f64; 6] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2];

/// A trial's logits grow with its rate; without norms of queries and keys they run away.
fn course(rate: usize, variant: usize, is_entropy: bool) -> Course {
    let diverged = (variant == 0 && rate > 3).then_some(if rate == 4 { 6200.0 } else { 2600.0 });
    let last = diverged.unwrap_or(10_000.0);
    let steps = (1..=100).map(|i| 100.0 * f64::from(i)).filter(|step| *step <= last);
    let growth = if variant == 0 { 0.9 } else { 0.25 } * (rate as f64 + 1.0);
    let value = |step: f64| {
        let noisy = 1.0 + 0.06 * noise(step as usize, rate, variant + 7);
        let logit = 3.0 * noisy * (growth * (step / last).powi(2) * 1.3 + 0.2 * step / 1e4).exp();
        if is_entropy { 4.1 - 0.55 * logit.ln() } else { logit }
    };
    Course { rate, variant, points: steps.map(|step| (step, value(step))).collect(), diverged }
}

pub fn attention(with_entropy: bool) -> AttentionFigure {
    let courses = |is_entropy| {
        (0..RATES.len()).flat_map(move |rate| [0, 1].map(|v| course(rate, v, is_entropy))).collect()
    };
    AttentionFigure {
        title: "stability: attention during training".into(),
        x_label: "step".into(),
        logit_label: "largest attention logit".into(),
        entropy_label: "attention entropy, nats".into(),
        rate_heading: "learning rate".into(),
        rates: RATES.iter().map(f64::to_string).collect(),
        variant_heading: "variant".into(),
        variants: vec!["plain".into(), "QK norm".into()],
        logits: courses(false),
        entropies: if with_entropy { courses(true) } else { Vec::new() },
    }
}

fn rate_curve(size: Size, variant: usize, best: f64) -> RateCurve {
    let survives = |rate: &f64| variant == 1 || *rate < 8.0 * best;
    let loss = |(i, rate): (usize, f64)| {
        let off = (rate / best).ln() / if variant == 0 { 2.2 } else { 4.0 };
        let y = (1.1 + 0.14 * off.powi(2)) * (2.0 - 0.16 * size.rank as f64);
        let y = y * (1.0 + 0.004 * noise(i, size.rank, variant));
        Point { x: rate, y, low: 0.985 * y, high: 1.015 * y, n: 2 }
    };
    RateCurve {
        points: RATES.into_iter().filter(survives).enumerate().map(loss).collect(),
        diverged: RATES.into_iter().filter(|rate| !survives(rate)).collect(),
        size,
        variant,
    }
}

pub fn rates(n_sizes: usize) -> RateFigure {
    let curves = (0..n_sizes).flat_map(|rank| {
        let best = 3e-3 / 2_f64.powf(rank as f64);
        [0, 1].map(|variant| rate_curve(size(rank), variant, best))
    });
    RateFigure {
        title: "stability: final loss against learning rate".into(),
        x_label: "learning rate".into(),
        y_label: "validation loss, nats".into(),
        size_heading: "shape · parameters".into(),
        variant_heading: "variant".into(),
        variants: vec!["plain".into(), "QK norm".into()],
        curves: curves.collect(),
    }
}

fn has(svg: &str, label: &str) -> bool {
    texts(svg).iter().any(|text| text == label)
}

#[test]
fn variants_are_named_with_their_laws_as_far_as_they_have_one() {
    let svg = variants(3, true).svg().unwrap();
    for label in ["ViT", "hybrid", "BiT", "fitted laws", "frontier", "extrapolated"] {
        assert!(has(&svg, label), "{label} is not in {:?}", texts(&svg));
    }
    let svg = variants(3, false).svg().unwrap();
    assert!(!has(&svg, "fitted laws") && !has(&svg, "extrapolated"));
}

#[test]
fn divergence_is_marked_where_there_is_any() {
    let mut figure = attention(true);
    assert!(has(&figure.svg().unwrap(), "diverged here"));
    for course in figure.logits.iter_mut().chain(&mut figure.entropies) {
        course.diverged = None;
    }
    assert!(!has(&figure.svg().unwrap(), "diverged here"));
    let mut figure = rates(2);
    assert!(has(&figure.svg().unwrap(), "diverged"));
    figure.curves.iter_mut().for_each(|curve| curve.diverged.clear());
    assert!(!has(&figure.svg().unwrap(), "diverged"));
}

#[test]
fn a_single_size_gives_its_colours_to_the_variants() {
    let svg = rates(1).svg().unwrap();
    assert!(has(&svg, "QK norm") && !has(&svg, "shape · parameters"));
    assert!(has(&rates(2).svg().unwrap(), "shape · parameters"));
}

#[test]
fn a_figure_of_nothing_is_refused() {
    let mut figure = attention(false);
    figure.logits.iter_mut().for_each(|course| course.points.clear());
    assert_eq!(figure.svg(), Err(DrawError::Nothing { figure: "attention" }));
    let mut figure = rates(1);
    figure.curves.iter_mut().for_each(|curve| curve.points.clear());
    assert_eq!(figure.svg(), Err(DrawError::Nothing { figure: "learning rate" }));
    assert_eq!(variants(0, false).svg(), Err(DrawError::Nothing { figure: "variants" }));
}

#[test]
fn odd_values_are_drawn_or_left_out() {
    let odd = [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e300, 5e-324, 1.0];
    let mut curves = variants(2, true);
    curves.variants[0].points = odd.iter().map(|y| (1e16, *y)).collect();
    curves.variants[1].frontier = odd.iter().map(|x| (*x, 0.5)).collect();
    check_drawn(curves.svg());
    let mut courses = attention(true);
    courses.logits[0].points = odd.iter().map(|y| (3.0, *y)).collect();
    courses.entropies[0].diverged = Some(f64::NAN);
    check_drawn(courses.svg());
    let mut losses = rates(2);
    losses.curves[0].diverged = odd.to_vec();
    check_drawn(losses.svg());
    check_text("many", &variants(7, true).svg().unwrap());
}

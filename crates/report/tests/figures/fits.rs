//! Fits that never were, and two on real data where those are at hand.

use std::path::Path;

use report::{
    Approach, BacktestFigure, BacktestPanel, ContourFigure, ContourTrial, CurvePoint,
    EstimatorCurve, FitCurve, FitFigure, FitGroup, FitPoint, Floor, ForestFigure, ForestRow,
    IsoFlopFigure, Minimum, NamedLine, OptimumFigure, OptimumPanel, Prediction, Reference, Scale,
    Surface, Target, Valley, power_of_ten,
};

use crate::samples::noise;

/// `n` values from `first` to `last`, even in their logarithm.
pub fn even(first: f64, last: f64, n: usize) -> Vec<f64> {
    let share = |i: usize| i as f64 / (n - 1) as f64;
    (0..n).map(|i| first * (last / first).powf(share(i))).collect()
}

/// Zhai's form of the errors of small models.
fn law(compute: f64) -> f64 {
    0.09 + 0.26 * (compute / 1e18 + 0.01).powf(-0.35)
}

fn fit_point(i: usize, x: f64, spread: f64) -> FitPoint {
    let residual = spread * (noise(i, 3, 5) + noise(i, 7, 11));
    FitPoint { x, y: law(x) * residual.exp(), residual }
}

/// With a band that widens beyond the data.
fn band(x: f64, last: f64, spread: f64) -> CurvePoint {
    let spread = spread + 0.05 * (x / last).log10().max(0.0);
    let y = law(x);
    CurvePoint { x, y, low: y * (1.0 - 1.4 * spread), high: y * (1.0 + spread) }
}

fn fit_groups(n: usize) -> Vec<FitGroup> {
    let group = |label: &str, first: f64, last: f64, n: usize, spread: f64, hollow| FitGroup {
        label: label.into(),
        hollow,
        points: even(first, last, n)
            .into_iter()
            .enumerate()
            .map(|(i, x)| fit_point(i, x, spread))
            .collect(),
    };
    vec![
        group("fitted", 2e16, 1e20, n, 0.02, false),
        group("held out", 1.5e20, 1e21, n.div_ceil(4), 0.03, true),
        group("excluded: under 500 steps", 1e16, 3e16, n.div_ceil(8), 0.08, true),
    ]
}

pub fn fit(n: usize) -> FitFigure {
    let (first, last, target) = (1e16, 1e20, 1e22);
    let curve =
        |spread| even(first, 1.2 * target, 120).into_iter().map(move |x| band(x, last, spread));
    let at = band(target, last, 0.012);
    FitFigure {
        title: "small: ImageNet error against compute".into(),
        x_label: "training compute C (FLOPs)".into(),
        y_label: "validation error".into(),
        group_heading: "points".into(),
        groups: fit_groups(n),
        fit: FitCurve {
            label: "0.26·(C/10^{18} + 0.01)^{−0.35} + 0.09".into(),
            band_label: "95% interval of the curve".into(),
            curve: curve(0.012).collect(),
            last_measured_x: last,
        },
        prediction: Some(Prediction {
            label: "95% of new measurements".into(),
            band: curve(0.055).collect(),
        }),
        floor: Some(Floor { label: "floor 0.090 [0.071, 0.104]".into(), y: 0.09 }),
        target: Some(Target {
            label: format!("at 10^{{22}}: {:.3} [{:.3}, {:.3}]", at.y, at.low, at.high),
            at,
        }),
        residual_rms: Some(0.0163),
    }
}

/// Chinchilla's optimum on the 240 rows of its figure.
fn chinchilla(n: f64, d: f64) -> f64 {
    1.817218 + 477.826 * n.powf(-0.347310) + 2143.417 * d.powf(-0.367172)
}

/// Params that are best at a compute, and the exponent of that.
fn best_params(compute: f64) -> f64 {
    let (alpha, beta) = (0.347310, 0.367172);
    let g = (alpha * 477.826 / (beta * 2143.417_f64)).powf(1.0 / (alpha + beta));
    g * (compute / 6.0).powf(beta / (alpha + beta))
}

pub fn isoflop() -> IsoFlopFigure {
    let valley = |(rank, compute): (usize, f64)| {
        let (best, loss) = (best_params(compute), |n: f64| chinchilla(n, compute / (6.0 * n)));
        let wide = if rank == 0 { 1.0 } else { 5.0 };
        let params = even(best / wide, best * 7.0, 9);
        let noisy = |(i, n): (usize, &f64)| (*n, loss(*n) * (1.0 + 0.003 * noise(i, rank, 2)));
        Valley {
            label: format!("{} FLOPs", power_of_ten(compute, 2)),
            points: params.iter().enumerate().map(noisy).collect(),
            parabola: even(best / wide, best * 7.0, 60).into_iter().map(|n| (n, loss(n))).collect(),
            minimum: Some(Minimum {
                x: best,
                y: loss(best),
                low: best / 1.25,
                high: best * 1.3,
                doubtful: rank == 0,
            }),
        }
    };
    IsoFlopFigure {
        title: "Loss against size at equal compute".into(),
        x_label: "parameters N".into(),
        y_label: "loss (nats)".into(),
        budget_heading: "compute".into(),
        valleys: even(6e18, 3e21, 8).into_iter().enumerate().map(valley).collect(),
        minimum_label: "minimum, 90% interval".into(),
        doubtful_label: "at the edge of its grid".into(),
    }
}

fn approach(kind: usize, name: &str, exponent: f64, at: impl Fn(f64) -> f64) -> Approach {
    let last = 3e21;
    let off = 1.0 + 0.12 * noise(kind, 4, 1);
    let value = |x: f64, spread: f64| {
        let y = off * at(x) * (x / 1e20).powf(0.012 * (kind as f64 - 1.0));
        let spread = spread * (1.0 + (x / last).log10().max(0.0));
        CurvePoint { x, y, low: y / (1.0 + spread), high: y * (1.0 + spread) }
    };
    let noisy = |(i, x): (usize, f64)| {
        let (at, by) = (value(x, 0.25), 1.0 + 0.2 * noise(i, kind, 9));
        CurvePoint { x, y: at.y * by, low: at.low * by, high: at.high * by }
    };
    let points = even(6e18, last, if kind == 1 { 8 } else { 6 });
    Approach {
        label: format!("{name}: {exponent:.2} [{:.2}, {:.2}]", exponent - 0.03, exponent + 0.04),
        kind,
        // The parametric approach has no points of its own.
        points: if kind == 2 {
            Vec::new()
        } else {
            points.into_iter().enumerate().map(noisy).collect()
        },
        curve: even(6e18, 6e23, 60).into_iter().map(|x| value(x, 0.1)).collect(),
        last_measured_x: last,
        predicted: Some(value(5.76e23, 0.15)),
    }
}

pub fn optimum() -> OptimumFigure {
    let names = ["frontier", "IsoFLOP", "parametric"];
    let panel = |y_label: &str, heading: &str, exponent: f64, at: fn(f64) -> f64| OptimumPanel {
        y_label: y_label.into(),
        heading: heading.into(),
        approaches: (0..)
            .zip(names)
            .map(|(kind, name)| approach(kind, name, exponent, at))
            .collect(),
    };
    OptimumFigure {
        title: "What is best at each compute".into(),
        x_label: "training compute C (FLOPs)".into(),
        panels: [
            panel("parameters N_{opt}", "N_{opt} ~ C^{a}, 95% interval", 0.51, best_params),
            panel("examples D_{opt}", "D_{opt} ~ C^{b}, 95% interval", 0.49, |c| {
                c / (6.0 * best_params(c))
            }),
        ],
        target: Some((5.76e23, "target 5.8×10^{23} FLOPs".into())),
    }
}

pub fn forest(n: usize) -> ForestFigure {
    let names = [
        "CIFAR-10 · ViT",
        "CIFAR-100 · ViT",
        "procedural · MLP",
        "Gemstone, hot runs",
        "Chinchilla, 240 rows",
        "Chinchilla, 245 rows",
    ];
    let row = |i: usize| {
        let (value, half) = (0.5 + 0.06 * noise(i, 2, 3), 0.02 + 0.015 * (1.0 + noise(i, 5, 1)));
        let (low, high) = (value - half, value + 1.2 * half);
        let label = names[i % names.len()].to_owned();
        ForestRow { label, value, low, high, numbers: format!("{value:.2} [{low:.2}, {high:.2}]") }
    };
    ForestFigure {
        title: "Exponent of the best size, across sweeps".into(),
        x_label: "a in N_{opt} ~ C^{a}, with 95% interval".into(),
        x_scale: Scale::Linear,
        rows: (0..n).map(row).collect(),
        references: vec![
            Reference { label: "equal scaling, 0.50".into(), x: 0.5 },
            Reference { label: "Kaplan and others, 0.73".into(), x: 0.73 },
        ],
    }
}

/// Two dozen tasks: a broken power law, and what simpler forms make of its first half.
pub fn backtest(n: usize) -> BacktestFigure {
    let panel = |task: usize| {
        let bend = 3e7 * 10_f64.powf(noise(task, 1, 1));
        let truth = move |x: f64| 0.05 + 0.5 * (x / 1e6).powf(-0.12) * (1.0 + x / bend).powf(-0.25);
        let noisy = move |(i, x): (usize, f64)| (x, truth(x) * (1.0 + 0.015 * noise(i, task, 4)));
        let curve = |estimator: usize, off: f64| EstimatorCurve {
            estimator,
            rmse: off.abs() * 0.5 + 0.004,
            points: even(1e6, 1e9, 50)
                .into_iter()
                .map(|x| (x, truth(x) * (1.0 + off * (x / 1e7).log10().max(0.0) / 2.0)))
                .collect(),
        };
        let wide = |x: f64| 0.02 + 0.06 * (x / 3e7).log10().max(0.0);
        BacktestPanel {
            title: format!("BiT/{}/1 · task_{task}", 50 + task % 2 * 51),
            train: even(1e6, 3e7, 30).into_iter().enumerate().map(noisy).collect(),
            held_out: even(3.3e7, 1e9, 40).into_iter().enumerate().map(noisy).collect(),
            cut: 3.15e7,
            curves: vec![
                curve(0, 0.03 * noise(task, 2, 1)),
                curve(1, 0.35),
                curve(2, 0.2 * noise(task, 3, 1)),
                curve(3, 0.1 * noise(task, 4, 1)),
                curve(4, -0.12 * noise(task, 5, 1)),
            ],
            band: even(1e6, 1e9, 50)
                .into_iter()
                .map(|x| CurvePoint {
                    x,
                    y: truth(x),
                    low: truth(x) * (1.0 - wide(x)),
                    high: truth(x) * (1.0 + wide(x)),
                })
                .collect(),
        }
    };
    BacktestFigure {
        title: "Extrapolation from the smaller half".into(),
        x_label: "examples seen".into(),
        y_label: "error".into(),
        estimators: ["default", "M1", "M2", "M4", "BNSL-1"].map(String::from).into(),
        band_label: "90% interval".into(),
        panels: (0..n).map(panel).collect(),
    }
}

fn surface(x: (f64, f64), y: (f64, f64)) -> Surface {
    let rows = even(y.0, y.1, 60);
    let value =
        |d: &f64| even(x.0, x.1, 80).into_iter().map(|n| chinchilla(n, *d)).collect::<Vec<_>>();
    Surface { x, y, columns: 80, values: rows.iter().flat_map(value).collect() }
}

pub fn contour(trials: Vec<ContourTrial>) -> ContourFigure {
    let (x, y) = ((3e7, 3e10), (5e8, 6e11));
    let equal = |compute: f64| NamedLine {
        label: power_of_ten(compute, 1).replace("1×", ""),
        points: even(x.0, x.1, 100).into_iter().map(|n| (n, compute / (6.0 * n))).collect(),
    };
    let best = |compute: f64| (best_params(compute), compute / (6.0 * best_params(compute)));
    ContourFigure {
        title: "Chinchilla: loss over parameters and tokens".into(),
        x_label: "parameters N".into(),
        y_label: "training tokens D".into(),
        value_label: "loss (nats)".into(),
        surface: surface(x, y),
        levels: vec![2.0, 2.1, 2.2, 2.3, 2.5, 2.7, 3.0, 3.4, 4.0],
        trials,
        frontier: Some(NamedLine {
            label: "N_{opt}(C), D_{opt}(C)".into(),
            points: even(1e17, 1e24, 100).into_iter().map(best).collect(),
        }),
        iso_flops: [1e18, 1e19, 1e20, 1e21, 1e22].map(equal).into(),
    }
}

pub fn sample_trials() -> Vec<ContourTrial> {
    let grid = even(6e7, 1.6e10, 9).into_iter().enumerate();
    let trial = |(i, n): (usize, f64)| {
        (0..6).map(move |j| {
            let d = 3.0 * n * 10_f64.powf(0.4 * j as f64 + 0.2 * noise(i, j, 1));
            ContourTrial { x: n, y: d, value: chinchilla(n, d) * (1.0 + 0.01 * noise(i, j, 2)) }
        })
    };
    grid.flat_map(trial).filter(|at| at.y < 5e11).collect()
}

/// Rows of a table of `shared/data/fits`, where that is at hand: its fields by the names wanted.
fn table(file: &str, columns: &[&str]) -> Option<Vec<Vec<String>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fits");
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    let mut lines = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let header = lines.next()?;
    let places: Vec<usize> = columns
        .iter()
        .map(|name| header.iter().position(|at| at == name))
        .collect::<Option<_>>()?;
    Some(lines.map(|line| places.iter().map(|place| line[*place].clone()).collect()).collect())
}

/// The runs of Chinchilla's figure.
pub fn real_contour() -> Option<ContourFigure> {
    let rows = table("epoch_chinchilla_svg.csv", &["Model Size", "Training FLOP", "loss"])?;
    let number = |text: &String| text.parse().unwrap_or(f64::NAN);
    let trial = |row: &Vec<String>| {
        let (n, c): (f64, f64) = (number(&row[0]), number(&row[1]));
        ContourTrial { x: n, y: c / (6.0 * n), value: number(&row[2]) }
    };
    Some(contour(rows.iter().map(trial).collect()))
}

/// The dev tasks of arXiv 2209.06640 with a straight line in the logarithms and a flat one.
pub fn real_backtest() -> Option<BacktestFigure> {
    let columns = ["Model", "Task", "Seen Examples", "Loss", "Training"];
    let rows = table("revisiting_vision_dev.csv", &columns)?;
    let mut panels: Vec<BacktestPanel> = Vec::new();
    for row in &rows {
        let title = format!("{} · {}", row[0], row[1]);
        if panels.iter().all(|panel| panel.title != title) {
            panels.push(BacktestPanel {
                title: title.clone(),
                train: vec![],
                held_out: vec![],
                cut: 0.0,
                curves: vec![],
                band: vec![],
            });
        }
        let panel = panels.iter_mut().find(|panel| panel.title == title)?;
        let point = (row[2].parse().ok()?, row[3].parse().ok()?);
        if row[4] == "1" { panel.train.push(point) } else { panel.held_out.push(point) }
    }
    panels.iter_mut().for_each(with_lines);
    Some(BacktestFigure {
        estimators: vec!["M1".into(), "M1, later half".into()],
        panels,
        ..backtest(0)
    })
}

fn with_lines(panel: &mut BacktestPanel) {
    panel.cut = panel.train.iter().map(|at| at.0).fold(0.0, f64::max);
    let last = panel.held_out.iter().map(|at| at.0).fold(0.0, f64::max);
    let later: Vec<_> = panel.train.iter().copied().filter(|at| at.0 > 0.2 * panel.cut).collect();
    for (estimator, points) in [&panel.train, &later].into_iter().enumerate() {
        let n = points.len() as f64;
        let (mx, my) =
            points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x.ln() / n, b + y.ln() / n));
        let (xx, xy) = points.iter().fold((0.0, 0.0), |(xx, xy), (x, y)| {
            (xx + (x.ln() - mx).powi(2), xy + (x.ln() - mx) * (y.ln() - my))
        });
        let line = |x: f64| (my + xy / xx * (x.ln() - mx)).exp();
        let miss = panel.held_out.iter().map(|(x, y)| (line(*x) / y).ln().powi(2)).sum::<f64>();
        panel.curves.push(EstimatorCurve {
            estimator,
            rmse: (miss / panel.held_out.len() as f64).sqrt(),
            points: even(1e6, last, 60).into_iter().map(|x| (x, line(x))).collect(),
        });
    }
}

//! A sweep that never was: realistic numbers, from a formula and a counter-based noise.

use report::{
    CurveKind, CurvePoint, DataSizeFigure, FitCurve, LossCurve, LossFigure, Point, Scale,
    ScalingFigure, Series, Size, SizeLine, Validation, si,
};

/// Even noise in [-1, 1) from any numbers.
pub fn noise(a: usize, b: usize, c: usize) -> f64 {
    let mixed = (a * 73_856_093) ^ (b * 19_349_663) ^ (c * 83_492_791);
    let mixed = (mixed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    mixed as f64 / (1_u64 << 52) as f64 - 1.0
}

const DATA: [f64; 2] = [50_000.0, 5_000.0];
const NAMES: [&str; 8] = ["mu", "Ti-", "Ti", "S-", "S", "M", "B", "L"];

fn params(rank: usize) -> f64 {
    18_400.0 * 2.3_f64.powf(rank as f64)
}

pub fn size(rank: usize) -> Size {
    Size { label: format!("{} · {}", NAMES[rank], si(params(rank))), rank }
}

/// Of length `step`; each size starts later and ends lower.
fn flops(rank: usize, step: usize) -> f64 {
    6.0 * params(rank) * 1e5 * 3.0_f64.powf(step as f64)
}

fn error_at(rank: usize, step: usize, data: f64) -> f64 {
    let floor = 0.05 + 2.3 * params(rank).powf(-0.22);
    let seen = flops(rank, step) / (6.0 * params(rank));
    let starved =
        0.04 * (rank as f64 + 1.0).sqrt() * (seen / data / 20.0).powf(0.3) * (5e3 / data).powf(0.6);
    (floor + 9.0 * seen.powf(-0.27) * (1.0 + 0.09 * rank as f64) + starved).min(0.9)
}

fn point(rank: usize, step: usize, data: f64, seeds: usize) -> Point {
    let mean = error_at(rank, step, data) * (1.0 + 0.01 * noise(rank, step, data as usize));
    let half = 0.014 * mean * (1.3 + noise(step, rank, 7));
    Point { x: flops(rank, step), y: mean, low: mean - half, high: mean + half, n: seeds }
}

fn series(n_sizes: usize, n_lengths: usize) -> Vec<Series> {
    let line = |rank: usize, variant: usize| Series {
        size: size(rank),
        variant,
        points: (0..n_lengths)
            .map(|step| point(rank, step, DATA[variant], if rank < 3 { 2 } else { 1 }))
            .collect(),
    };
    (0..n_sizes).flat_map(|rank| [line(rank, 0), line(rank, 1)]).collect()
}

fn frontier(series: &[Series]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> =
        series.iter().flat_map(|s| &s.points).map(|p| (p.x, p.y)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut best = f64::INFINITY;
    points.retain(|(_, y)| {
        let better = *y < best;
        best = best.min(*y);
        better
    });
    points
}

/// `E + A C^-b` near the frontier of the sample, with a band that widens beyond the data.
fn fit(first: f64, last: f64) -> FitCurve {
    let (e, a, b) = (0.216, 0.76, 0.158);
    let curve = (0..=120).map(|i| {
        let x = first * (10.0 * last / first).powf(f64::from(i) / 120.0);
        let y = e + a * (x / 1e9).powf(-b);
        let spread = 0.012 + 0.055 * (x / last).log10().max(0.0);
        CurvePoint { x, y, low: y * (1.0 - 1.3 * spread), high: y * (1.0 + spread) }
    });
    FitCurve {
        label: format!("{e} + {a}·(C/10^{{9}})^{{−{b}}}"),
        band_label: "95% interval".into(),
        curve: curve.collect(),
        last_measured_x: last,
    }
}

pub fn scaling(n_sizes: usize, n_lengths: usize) -> ScalingFigure {
    let series = series(n_sizes, n_lengths);
    let frontier = frontier(&series);
    let (first, last) = (frontier[0].0, flops(n_sizes - 1, n_lengths - 1));
    ScalingFigure {
        title: "small: validation error against compute".into(),
        x_label: "training compute C (FLOPs)".into(),
        y_label: "validation error".into(),
        size_heading: "shape · parameters".into(),
        variant_heading: "unique examples".into(),
        variants: DATA.iter().map(|data| si(*data)).collect(),
        series,
        frontier,
        fit: Some(fit(first, last)),
    }
}

pub fn data_size(data: &[f64]) -> DataSizeFigure {
    let line = |rank| SizeLine {
        size: size(rank),
        points: data.iter().map(|data| Point { x: *data, ..point(rank, 4, *data, 2) }).collect(),
    };
    DataSizeFigure {
        title: "small: validation error against data, at the largest compute".into(),
        x_label: "unique examples".into(),
        y_label: "validation error".into(),
        size_heading: "shape · parameters".into(),
        lines: (0..6).map(line).collect(),
    }
}

/// With the noise of a mean over some steps, as callers draw it.
fn loss_at(rank: usize, step: usize, seed: usize) -> f64 {
    let smooth = 0.55
        + 1.2 * params(rank).powf(-0.1)
        + 1.9 * (1.0 + step as f64 / 40.0).powf(-0.42 - 0.03 * rank as f64);
    let noise: f64 = (0..20).map(|i| noise(rank, step + i, seed)).sum();
    smooth * (1.0 + 0.004 * noise)
}

/// Per size and seed a trunk in pieces, with a cooldown branching off at the end of each piece.
pub fn losses(n_sizes: usize, n_seeds: usize, n_steps: usize) -> LossFigure {
    let mut figure = LossFigure {
        title: "small: loss during training".into(),
        x_label: "training compute (FLOPs)".into(),
        y_label: "cross-entropy (nats)".into(),
        size_heading: "shape · parameters".into(),
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        variants: DATA.iter().map(|data| format!("{} unique examples", si(*data))).collect(),
        curves: Vec::new(),
        validation: Vec::new(),
    };
    for (rank, seed) in (0..n_sizes).flat_map(|rank| (0..n_seeds).map(move |seed| (rank, seed))) {
        let x = |step: usize| 6.0 * params(rank) * 128.0 * (step + 1) as f64;
        let mut start = 0;
        for end in [n_steps / 16, n_steps / 8, n_steps / 4, n_steps / 2, n_steps] {
            let branch = end - end / 5;
            let trunk = (start..=branch).map(|step| (x(step), loss_at(rank, step, seed)));
            let cooled = |step: usize| 1.0 - 0.16 * (step - branch) as f64 / (end - branch) as f64;
            let cooldown =
                (branch..=end).map(|step| (x(step), loss_at(rank, step, seed) * cooled(step)));
            let last = loss_at(rank, end, seed) * 0.84;
            figure.curves.push(LossCurve {
                size: size(rank),
                kind: CurveKind::Trunk,
                points: trunk.collect(),
            });
            figure.curves.push(LossCurve {
                size: size(rank),
                kind: CurveKind::Cooldown,
                points: cooldown.collect(),
            });
            let at = |variant, y| Validation { size: size(rank), variant, x: x(end), y };
            figure.validation.push(at(seed % 2, last * (1.02 + 0.05 * (seed % 2) as f64)));
            start = branch;
        }
    }
    figure
}

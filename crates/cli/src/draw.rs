//! A sweep's figures: its results put into the shapes that `report` draws, and written as files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use analysis::Fit;
use anyhow::Context;
use report::{
    CurveKind, CurvePoint, DataSizeFigure, FitCurve, LossCurve, LossFigure, Point, Scale,
    ScalingFigure, Series, Size, SizeLine, Validation,
};
use spec::{TrialId, TrialSpec};
use store::{LearningCurve, TrialResult};

use crate::analyse::{Analysis, geometric_mean};

/// Everything that a sweep's figures show.
pub struct Drawing<'a> {
    pub sweep: &'a str,
    pub analysis: &'a Analysis,
    /// The fit of the frontier, if the points were enough for one.
    pub fit: Option<&'a Fit>,
    pub trials: &'a [TrialSpec],
    pub train_loss: &'a [LearningCurve],
    pub val_loss: &'a [LearningCurve],
}

/// Points along the drawn fit.
const N_CURVE: u32 = 160;

impl Drawing<'_> {
    /// Writes each figure as SVG and PNG into `folder`; the files' paths.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        let figures = [
            ("scaling", self.scaling().svg()),
            ("data_size", self.data_size().svg()),
            ("loss_curves", self.loss_curves().svg()),
        ];
        let mut paths = Vec::new();
        for (name, svg) in figures {
            // A figure without a single point is no figure; a later call has more to show.
            let Ok(svg) = svg else { continue };
            for (extension, bytes) in
                [("svg", svg.clone().into_bytes()), ("png", report::png(&svg)?)]
            {
                let path = folder.join(format!("{name}.{extension}"));
                std::fs::write(&path, bytes)
                    .with_context(|| format!("cannot write `{}`", path.display()))?;
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Validation error against training FLOPs, with the frontier and its fit.
    fn scaling(&self) -> ScalingFigure {
        let uniques = self.uniques();
        let mut groups: BTreeMap<(u64, &str, usize), Vec<&TrialResult>> = BTreeMap::new();
        for result in &self.analysis.results {
            let variant =
                uniques.iter().position(|unique| *unique == result.unique_examples).unwrap_or(0);
            groups.entry((result.params, &result.shape, variant)).or_default().push(result);
        }
        let sizes = self.sizes();
        let series = groups.into_iter().map(|((params, shape, variant), results)| Series {
            size: sizes[&(params, shape)].clone(),
            variant,
            points: seed_points(&results, |result| result.train_flops),
        });
        ScalingFigure {
            title: format!("{}: error against compute", self.sweep),
            x_label: "training FLOPs".into(),
            y_label: "validation error".into(),
            size_heading: "width x depth · parameters".into(),
            variant_heading: "unique examples".into(),
            variants: uniques.iter().map(|&unique| report::si(unique as f64)).collect(),
            series: series.collect(),
            frontier: self.analysis.frontier().iter().map(|point| (point.x, point.y)).collect(),
            fit: self.fit.map(|fit| self.fit_curve(fit)),
        }
    }

    /// The fit over its own points and one decade beyond.
    fn fit_curve(&self, fit: &Fit) -> FitCurve {
        let frontier = self.analysis.frontier();
        let first = frontier.first().map_or(1.0, |point| point.x);
        let last = frontier.last().map_or(1.0, |point| point.x);
        let ratio = (10.0 * last / first).powf(1.0 / f64::from(N_CURVE - 1));
        let curve = (0..N_CURVE).map(|n| {
            let x = first * ratio.powf(f64::from(n));
            let prediction = fit.predict(analysis::point::x(x));
            CurvePoint { x, y: prediction.value, low: prediction.low, high: prediction.high }
        });
        FitCurve {
            label: formula(fit),
            band_label: format!("{:.0}% interval", 100.0 * fit.level),
            curve: curve.collect(),
            last_measured_x: last,
        }
    }

    /// Error against unique examples, each size at the largest compute that all its data sizes
    /// were trained for.
    fn data_size(&self) -> DataSizeFigure {
        let mut shapes: BTreeMap<(u64, &str), Vec<&TrialResult>> = BTreeMap::new();
        for result in &self.analysis.results {
            shapes.entry((result.params, &result.shape)).or_default().push(result);
        }
        let sizes = self.sizes();
        let line = |(key, results): ((u64, &str), Vec<&TrialResult>)| {
            let longest = longest_common(&results)?;
            let results: Vec<_> =
                results.into_iter().filter(|result| result.steps == longest).collect();
            let points = seed_points(&results, |result| result.unique_examples as f64);
            Some(SizeLine { size: sizes[&key].clone(), points })
        };
        DataSizeFigure {
            title: format!("{}: error against unique examples, at the largest compute", self.sweep),
            x_label: "unique examples".into(),
            y_label: "validation error".into(),
            size_heading: "width x depth · parameters".into(),
            lines: shapes.into_iter().filter_map(line).collect(),
        }
    }

    /// Training loss over the steps of every trunk and cooldown, and validation loss where measured.
    fn loss_curves(&self) -> LossFigure {
        let specs: HashMap<TrialId, &TrialSpec> =
            self.trials.iter().map(|trial| (trial.id(), trial)).collect();
        let by_id: HashMap<_, _> =
            self.analysis.results.iter().map(|result| (result.trial_id, result)).collect();
        let uniques = self.uniques();
        let sizes = self.sizes();
        let mut curves = Vec::new();
        let mut trunks = BTreeMap::new();
        for curve in self.train_loss {
            let (Some(result), Some(spec)) =
                (by_id.get(&curve.trial_id), specs.get(&curve.trial_id))
            else {
                continue;
            };
            let size = &sizes[&(result.params, result.shape.as_str())];
            let fork = spec.steps - spec.cooldown;
            let (trunk, cooldown): (Vec<_>, Vec<_>) =
                curve.points.iter().partition(|(step, _)| *step <= fork);
            let recipe = spec::Id::of(&spec.recipe);
            let longest = trunks.entry(recipe).or_insert_with(|| (size.clone(), Vec::new()));
            if trunk.len() > longest.1.len() {
                longest.1 = trunk;
            }
            curves.push(loss_curve(size, CurveKind::Cooldown, &cooldown));
        }
        curves.extend(
            trunks.into_values().map(|(size, points)| loss_curve(&size, CurveKind::Trunk, &points)),
        );
        curves.retain(|curve| !curve.points.is_empty());
        let validation = self.val_loss.iter().filter_map(|curve| {
            let result = by_id.get(&curve.trial_id)?;
            let (step, value) = curve.points.iter().find(|(step, _)| *step == result.steps)?;
            Some(Validation {
                size: sizes[&(result.params, result.shape.as_str())].clone(),
                variant: uniques.iter().position(|unique| *unique == result.unique_examples)?,
                x: *step as f64,
                y: *value,
            })
        });
        LossFigure {
            title: format!("{}: loss during training", self.sweep),
            x_label: "step".into(),
            y_label: "loss, nats".into(),
            size_heading: "width x depth · parameters".into(),
            x_scale: Scale::Log,
            y_scale: Scale::Linear,
            variants: uniques
                .iter()
                .map(|&unique| format!("validation, {} unique", report::si(unique as f64)))
                .collect(),
            curves,
            validation: validation.collect(),
        }
    }

    /// Data sizes, the largest first: it is drawn with filled markers.
    fn uniques(&self) -> Vec<u64> {
        let set: BTreeSet<_> =
            self.analysis.results.iter().map(|result| result.unique_examples).collect();
        set.into_iter().rev().collect()
    }

    fn sizes(&self) -> HashMap<(u64, &str), Size> {
        let set: BTreeSet<_> = self
            .analysis
            .results
            .iter()
            .map(|result| (result.params, result.shape.as_str()))
            .collect();
        let size = |(rank, (params, shape)): (usize, (u64, &str))| {
            let label = format!("{shape} · {}", report::si(params as f64));
            // `x` between numbers is a sign of multiplication in print.
            let is_spelt_out = shape.chars().all(|c| c.is_ascii_digit() || c == 'x');
            (rank, if is_spelt_out { label.replacen('x', "×", 1) } else { label })
        };
        set.into_iter()
            .enumerate()
            .map(|(rank, key)| {
                let (rank, label) = size((rank, key));
                (key, Size { label, rank })
            })
            .collect()
    }
}

fn loss_curve(size: &Size, kind: CurveKind, points: &[(u64, f64)]) -> LossCurve {
    let points = points.iter().map(|&(step, loss)| (step as f64, loss)).collect();
    LossCurve { size: size.clone(), kind, points }
}

/// Results that differ in their seed alone as one point each, in order of x.
fn seed_points(results: &[&TrialResult], x: impl Fn(&TrialResult) -> f64) -> Vec<Point> {
    let mut groups: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for result in results {
        // Positive floats are in the order of their bits.
        groups.entry(x(result).to_bits()).or_default().extend(result.val_error);
    }
    let point = |(bits, errors): (u64, Vec<f64>)| Point {
        x: f64::from_bits(bits),
        y: geometric_mean(&errors),
        low: errors.iter().copied().fold(f64::INFINITY, f64::min),
        high: errors.iter().copied().fold(0.0, f64::max),
        n: errors.len(),
    };
    groups.into_iter().map(point).collect()
}

/// The largest number of steps at which a shape was trained on every one of its data sizes.
fn longest_common(results: &[&TrialResult]) -> Option<u64> {
    let uniques: BTreeSet<_> = results.iter().map(|result| result.unique_examples).collect();
    let mut by_steps: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for result in results {
        by_steps.entry(result.steps).or_default().insert(result.unique_examples);
    }
    by_steps.into_iter().rev().find(|(_, at)| *at == uniques).map(|(steps, _)| steps)
}

/// The law's formula with its numbers in it, raised exponents marked for the figure.
fn formula(fit: &Fit) -> String {
    let values: Vec<_> =
        fit.params.iter().map(|param| report::power_of_ten(param.value, 3)).collect();
    analysis::law::with_values(fit.law, &values, &["C"])
}

//! Losses during training: along every trunk and cooldown, and of validation where it was measured.

use std::collections::{BTreeMap, HashMap};

use report::{CurveKind, LossCurve, LossFigure, Scale, Size, Validation};
use spec::{TrialId, TrialSpec};
use store::TrialResult;

use super::size::{Sizes, model};
use super::{Drawing, uniques};

type ById<'a> = HashMap<TrialId, &'a TrialResult>;

pub fn figure(drawing: &Drawing) -> LossFigure {
    let results = &drawing.analysis.results;
    let by_id: ById = results.iter().map(|result| (result.trial_id, result)).collect();
    let sizes = Sizes::of(results.iter().map(model));
    let uniques = uniques(drawing.analysis);
    let variant = |unique: &u64| format!("validation, {} unique", report::si(*unique as f64));
    LossFigure {
        title: format!("{}: loss during training{}", drawing.sweep.name, drawing.share()),
        x_label: "training steps".into(),
        y_label: "loss (nats)".into(),
        size_heading: sizes.heading(),
        x_scale: Scale::Log,
        y_scale: Scale::Linear,
        variants: uniques.iter().map(variant).collect(),
        curves: training(drawing, &by_id, &sizes),
        validation: validation(drawing, &by_id, &sizes, &uniques),
    }
}

/// Every cooldown, and of trunks that trials share the longest course.
fn training(drawing: &Drawing, by_id: &ById, sizes: &Sizes) -> Vec<LossCurve> {
    let specs: HashMap<TrialId, &TrialSpec> =
        drawing.sweep.trials.iter().map(|trial| (trial.id(), trial)).collect();
    let mut curves = Vec::new();
    let mut trunks: BTreeMap<spec::Id, (Size, Vec<(u64, f64)>)> = BTreeMap::new();
    for curve in drawing.curves.train_loss {
        let known = by_id.get(&curve.trial_id).zip(specs.get(&curve.trial_id));
        let Some((result, spec)) = known else { continue };
        let size = sizes.size(&model(result));
        if spec.recipe.train.schedule.decay.depends_on_length() {
            // It shares nothing, so it is all its own.
            curves.push(loss_curve(&size, CurveKind::Trunk, &curve.points));
            continue;
        }
        let fork = spec.steps - spec.cooldown;
        let (trunk, cooldown): (Vec<_>, Vec<_>) =
            curve.points.iter().partition(|(step, _)| *step <= fork);
        curves.push(loss_curve(&size, CurveKind::Cooldown, &cooldown));
        let longest =
            trunks.entry(spec::Id::of(&*spec.recipe)).or_insert_with(|| (size, Vec::new()));
        if trunk.len() > longest.1.len() {
            longest.1 = trunk;
        }
    }
    let trunks = trunks.into_values();
    curves.extend(trunks.map(|(size, points)| loss_curve(&size, CurveKind::Trunk, &points)));
    curves.retain(|curve| !curve.points.is_empty());
    curves
}

/// Where each trial ended.
fn validation(drawing: &Drawing, by_id: &ById, sizes: &Sizes, uniques: &[u64]) -> Vec<Validation> {
    let last = |curve: &store::LearningCurve| {
        let result = by_id.get(&curve.trial_id)?;
        let (step, value) = curve.points.iter().find(|(step, _)| Some(*step) == result.steps)?;
        Some(Validation {
            size: sizes.size(&model(result)),
            variant: uniques.iter().position(|unique| *unique == result.unique_examples)?,
            x: *step as f64,
            y: *value,
        })
    };
    drawing.curves.val_loss.iter().filter_map(last).collect()
}

fn loss_curve(size: &Size, kind: CurveKind, points: &[(u64, f64)]) -> LossCurve {
    let points = points.iter().map(|&(step, loss)| (step as f64, loss)).collect();
    LossCurve { size: size.clone(), kind, points }
}

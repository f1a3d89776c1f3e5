//! Attention during training, where it was measured.

use std::collections::HashMap;

use report::{AttentionFigure, Course};
use spec::TrialId;
use store::{LearningCurve, TrialResult};

use super::{Drawing, rates};

/// None where no attention was measured.
pub fn figure(drawing: &Drawing) -> Option<AttentionFigure> {
    let curves = drawing.curves;
    if curves.attention_logit.is_empty() {
        return None;
    }
    let by_id: HashMap<TrialId, &TrialResult> =
        drawing.all.iter().map(|result| (result.trial_id, result)).collect();
    let measured = || {
        let all = curves.attention_logit.iter().chain(curves.attention_entropy);
        all.filter_map(|curve| by_id.get(&curve.trial_id).copied())
    };
    let rates = rates::of(measured());
    let variants = drawing.sweep.variant_names.clone();
    let course = |curve: &LearningCurve| {
        let result = by_id.get(&curve.trial_id)?;
        let is_of = |name: &String| result.variant.as_ref() == Some(name);
        Some(Course {
            rate: rates.iter().position(|rate| Some(*rate) == result.learning_rate)?,
            variant: variants.iter().position(is_of).unwrap_or(0),
            points: curve.points.iter().map(|&(step, value)| (step as f64, value)).collect(),
            diverged: drawing.diverged.get(&curve.trial_id).map(|step| *step as f64),
        })
    };
    let courses = |curves: &[LearningCurve]| curves.iter().filter_map(course).collect();
    let (logits, entropies) = (courses(curves.attention_logit), courses(curves.attention_entropy));
    Some(AttentionFigure {
        title: format!("{}: attention during training{}", drawing.sweep.name, drawing.share()),
        x_label: "training steps".into(),
        logit_label: "largest attention logit".into(),
        entropy_label: "attention entropy (nats)".into(),
        rate_heading: "learning rate".into(),
        rates: rates.iter().map(f64::to_string).collect(),
        variant_heading: "variant".into(),
        variants,
        logits,
        entropies,
    })
}

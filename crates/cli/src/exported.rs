//! A stored sweep as `export` wants it.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use serde_json::{Map, Value, json};
use spec::{Id, TrialId};
use store::{Span, Store, StoredSweep, Timeline, TrialResult, TrialState};

/// All that the store has of a sweep: what its trials are, and what they measured.
///
/// # Errors
/// The store's.
pub async fn read(store: &Store, stored: &StoredSweep) -> anyhow::Result<export::Sweep> {
    let name = &stored.record.name;
    let results = store.trial_results(name).await?;
    let mut curves: HashMap<TrialId, Vec<Timeline>> = HashMap::new();
    for timeline in store.timelines(name).await? {
        curves.entry(timeline.trial_id).or_default().push(timeline);
    }
    let mut outcomes: HashMap<TrialId, BTreeMap<String, f64>> = HashMap::new();
    for metric in store.metrics(name).await? {
        for (trial, value) in store.evaluations(name, &metric).await? {
            outcomes.entry(trial).or_default().insert(metric.clone(), value);
        }
    }
    let (spans, recipes) = (store.spans(name).await?, store.recipes(name).await?);
    let trial = |result: TrialResult| {
        let id = result.trial_id;
        let span = spans.get(&id).copied().unwrap_or(Span {
            started_at: stored.created_at,
            ended_at: result.state.has_ended().then_some(stored.updated_at),
        });
        let recipe = recipes.get(&id).context("a trial without a recipe")?;
        Ok(Gathered {
            recipe: serde_json::from_str(recipe).context("a recipe in the store")?,
            outcomes: outcomes.remove(&id).unwrap_or_default(),
            timelines: curves.remove(&id).unwrap_or_default(),
            result,
            span,
        }
        .trial(name))
    };
    Ok(export::Sweep {
        name: name.clone(),
        number: number(name),
        question: header(&stored.record.source),
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        trials: results.into_iter().map(trial).collect::<anyhow::Result<_>>()?,
    })
}

struct Gathered {
    result: TrialResult,
    recipe: Value,
    outcomes: BTreeMap<String, f64>,
    timelines: Vec<Timeline>,
    span: Span,
}

impl Gathered {
    fn trial(self, sweep: &str) -> export::Trial {
        let (result, span) = (self.result, self.span);
        let mut curves: Vec<_> =
            self.timelines.into_iter().map(|timeline| curve(timeline, span)).collect();
        // What was measured on other tasks has no timeline: a point behind the last step.
        let last =
            curves.iter().filter_map(|curve| curve.points.last()).map(|point| point.step).max();
        let (step, at) =
            (result.steps.or(last).unwrap_or(0), span.ended_at.unwrap_or(span.started_at));
        for (metric, value) in &self.outcomes {
            if curves.iter().all(|curve| curve.metric != *metric) {
                let points = vec![export::Point { step, at, value: *value }];
                curves.push(export::Curve { metric: metric.clone(), points });
            }
        }
        export::Trial {
            id: result.trial_id.to_string(),
            key: Id::of(&json!([sweep, result.trial_id.to_string()])).to_string(),
            name: label(&result),
            variant: result.variant.clone(),
            state: state(result.state),
            started_at: span.started_at,
            ended_at: span.ended_at,
            settings: settings(&result, self.recipe),
            outcomes: self.outcomes,
            curves,
        }
    }
}

fn curve(timeline: Timeline, span: Span) -> export::Curve {
    let point = |moment: &store::Moment| export::Point {
        step: moment.step,
        at: moment.at.or(span.ended_at).unwrap_or(span.started_at),
        value: moment.value.unwrap_or(f64::NAN),
    };
    export::Curve { points: timeline.moments.iter().map(point).collect(), metric: timeline.metric }
}

/// The columns of `trial_result` that say what a trial is, and its recipe with all the rest.
fn settings(result: &TrialResult, recipe: Value) -> Map<String, Value> {
    let settings = json!({
        "sweep": result.sweep,
        "trial_id": result.trial_id.to_string(),
        "variant": result.variant,
        "family": result.family,
        "shape": result.shape,
        "params": result.params,
        "unique_examples": result.unique_examples,
        "examples_seen": result.examples_seen,
        "steps": result.steps,
        "train_flops": result.train_flops,
        "learning_rate": result.learning_rate,
        "seed": result.seed,
        "state": result.state.word(),
        "device_s": result.device_s,
        "recipe": recipe,
    });
    match settings {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// What tells a trial from others of its sweep, for people.
fn label(result: &TrialResult) -> String {
    let parts = [
        result.variant.clone(),
        Some(result.shape.clone()),
        Some(format!("{} of {}", result.examples_seen, result.unique_examples)),
        result.learning_rate.map(|rate| format!("rate {rate}")),
        result.seed.map(|seed| format!("seed {seed}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

const fn state(state: TrialState) -> export::State {
    match state {
        TrialState::Pending => export::State::Pending,
        TrialState::Running => export::State::Running,
        TrialState::Finished => export::State::Finished,
        TrialState::Diverged => export::State::Diverged,
        TrialState::Failed => export::State::Failed,
    }
}

/// The first digits of the name's hash: the same for the same name everywhere.
fn number(name: &str) -> u64 {
    let digits = Id::of(&name).to_string();
    u64::from_str_radix(&digits[..15], 16).unwrap_or(0)
}

/// The comment at the head of a sweep's file.
fn header(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix('#'));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_comment_before_the_first_key() {
        let source = "# Question  which?\n#\n# More\n\nname = \"a\" # not this\n# nor this\n";
        assert_eq!(header(source), "Question  which?\n\nMore");
        assert_eq!(header("name = \"a\""), "");
    }

    #[test]
    fn a_sweeps_number_has_at_most_18_digits() {
        assert!(
            ["small", "", "a-much-longer-name"].map(number).iter().all(|n| *n < 10_u64.pow(18) * 2)
        );
        assert_ne!(number("a"), number("b"));
    }
}

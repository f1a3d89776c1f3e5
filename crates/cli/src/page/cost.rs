//! What was planned, and what it cost.

use report::{Block, Column, Section, Table};
use store::{ShapeCounts, TrialState};

use super::{Record, section};

/// Nothing of what was trained elsewhere.
pub fn section_of(record: &Record) -> Section {
    if record.is_import() {
        return section("Plan and cost", Vec::new());
    }
    let caption = "Trials and device time of each size; shared training counts once".to_owned();
    section(
        "Plan and cost",
        vec![Block::Facts(facts(record)), Block::Table { caption, table: by_shape(record) }],
    )
}

fn facts(record: &Record) -> Vec<(String, String)> {
    let spent = &record.spent;
    let flops = |value: f64| format!("{} FLOPs", report::power_of_ten(value, 2));
    let mut facts = vec![
        ("Segments", segments(record)),
        ("Training, planned", training(record)),
        ("Training, executed", flops(spent.train_flops)),
    ];
    if record.evaluations.planned > 0 {
        let counts = record.evaluations;
        let told = format!(
            "{} of {} on other tasks, {} failed; {}",
            counts.finished,
            counts.planned,
            counts.failed,
            flops(spent.evaluation_flops)
        );
        facts.push(("Evaluations", told));
    }
    facts.push(("Device time", report::duration(spent.charged_s)));
    let counts = record.attempts;
    let told =
        format!("{}, of them {} retries and {} lost", counts.attempts, counts.retries, counts.lost);
    facts.push(("Attempts", told));
    facts.extend(record.invocations.remark(record.is_running()).map(|told| ("Wall clock", told)));
    facts.into_iter().map(|(name, told)| (name.to_owned(), told)).collect()
}

fn segments(record: &Record) -> String {
    let all = &record.plan.segments;
    let shared = all.iter().filter(|segment| segment.n_trials > 1 && !segment.is_evaluation());
    let (n, shared) =
        (all.iter().filter(|segment| !segment.is_evaluation()).count(), shared.count());
    match shared {
        0 => format!("{n}, none of them shared: every trial is trained by itself"),
        _ => format!("{n} for {} trials; {shared} are shared by several", record.n_trials()),
    }
}

/// With what sharing saves.
fn training(record: &Record) -> String {
    let planned = record.planned_flops;
    let separate: f64 = record.findings.all.iter().map(|trial| trial.train_flops).sum();
    let saved = 1.0 - planned / separate;
    let alone = match saved > 0.005 {
        true => format!("; {:.0}% less than trials trained one by one", 100.0 * saved),
        false => String::new(),
    };
    format!("{} FLOPs{alone}", report::power_of_ten(planned, 2))
}

fn by_shape(record: &Record) -> Table {
    let shapes = &record.shapes;
    let has_variants = shapes.iter().any(|shape| shape.variant.is_some());
    let has_families = shapes.iter().any(|shape| shape.family != shapes[0].family);
    const STATES: [TrialState; 5] = [
        TrialState::Finished,
        TrialState::Running,
        TrialState::Pending,
        TrialState::Diverged,
        TrialState::Failed,
    ];
    let states: Vec<_> = STATES.into_iter().filter(|state| record.trials.of(*state) > 0).collect();
    let mut columns = Vec::new();
    columns.extend(has_variants.then(|| Column::left("variant")));
    columns.extend(has_families.then(|| Column::left("family")));
    columns.extend([Column::left("shape"), Column::right("params")]);
    columns.extend(states.iter().map(|state| Column::right(state.word())));
    columns.extend([Column::right("predicted"), Column::right("took")]);
    let row = |shape: &ShapeCounts| {
        let mut row = Vec::new();
        row.extend(has_variants.then(|| shape.variant.clone().unwrap_or_default()));
        row.extend(has_families.then(|| shape.family.clone()));
        row.extend([shape.shape.clone(), report::si(shape.params as f64)]);
        row.extend(states.iter().map(|state| shape.trials.of(*state).to_string()));
        let seconds = shape.seconds;
        row.extend([seconds.predicted_s, seconds.charged_s].map(report::duration));
        row
    };
    Table { columns, rows: shapes.iter().map(row).collect() }
}

//! What went wrong, and what became of it.

use std::collections::{BTreeMap, HashMap};

use report::{Block, Column, Section, Table};
use spec::TrialId;
use store::{SegmentState, TrialResult, UnixSeconds};

use super::origin::quoted;
use super::{Record, section, short_id};
use crate::output::known;
use crate::when::utc;

/// Rows of each table; a broken cluster has thousands of the same.
const MOST_ROWS: usize = 50;

pub fn section_of(record: &Record) -> Section {
    let blocks = [diverged(record), failed(record), futile(record)].concat();
    let blocks = match blocks.is_empty() {
        false => blocks,
        true => {
            vec![Block::Text("None: no trial diverged or failed, and no attempt was lost.".into())]
        }
    };
    section("Failures", blocks)
}

fn diverged(record: &Record) -> Vec<Block> {
    let by_id: HashMap<TrialId, &TrialResult> =
        record.findings.all.iter().map(|trial| (trial.trial_id, trial)).collect();
    let of_trial = |(id, step): (&TrialId, &u64)| Some((*by_id.get(id)?, *step));
    let mut trials: Vec<_> = record.diverged.iter().filter_map(of_trial).collect();
    trials.sort_by_key(|(trial, step)| (trial.params, *step, trial.trial_id));
    let row = |(trial, step): &(&TrialResult, u64)| {
        vec![
            short_id(trial.trial_id),
            trial.variant.clone().unwrap_or_default(),
            trial.shape.clone(),
            known(trial.learning_rate),
            known(trial.seed),
            format!("{step} of {}", known(trial.steps)),
        ]
    };
    let columns = vec![
        Column::left("trial"),
        Column::left("variant"),
        Column::left("shape"),
        Column::right("learning rate"),
        Column::right("seed"),
        Column::right("step"),
    ];
    let text = "Their losses became non-finite. That is a result: they are not tried again, and in no fit.";
    listed("Diverged trials", text, columns, trials.iter().map(row).collect())
}

fn failed(record: &Record) -> Vec<Block> {
    let trials: HashMap<_, usize> =
        record.plan.segments.iter().map(|segment| (segment.id, segment.n_trials)).collect();
    let row = |status: &store::SegmentStatus| match &status.state {
        SegmentState::Failed { reason } => Some(vec![
            short_id(status.segment_id),
            trials.get(&status.segment_id).map_or("-".to_owned(), usize::to_string),
            status.attempt.to_string(),
            reason.clone(),
        ]),
        _ => None,
    };
    let columns = vec![
        Column::left("segment"),
        Column::right("trials"),
        Column::right("attempts"),
        Column::left("reason"),
    ];
    let mut rows: Vec<_> = record.segments.iter().filter_map(row).collect();
    rows.sort();
    let text = format!(
        "They were given up, and the trials that need them with them. `isoflop retry {} --failed` tries them again.",
        quoted(&record.sweep.name)
    );
    listed("Failed segments", &text, columns, rows)
}

/// Attempts that came to nothing, by how and why.
fn futile(record: &Record) -> Vec<Block> {
    let mut causes: BTreeMap<(&str, &str), (usize, UnixSeconds)> = BTreeMap::new();
    for attempt in &record.futile {
        let cause = (attempt.outcome.as_str(), attempt.reason.as_deref().unwrap_or("-"));
        let (n, last) = causes.entry(cause).or_insert((0, attempt.started_at));
        *n += 1;
        *last = last.max(attempt.started_at);
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let row = |((outcome, reason), (n, last)): &((&str, &str), (usize, UnixSeconds))| {
        vec![(*outcome).to_owned(), n.to_string(), utc(*last), (*reason).to_owned()]
    };
    let columns = vec![
        Column::left("outcome"),
        Column::right("attempts"),
        Column::left("last began"),
        Column::left("reason"),
    ];
    let text = "Each was followed by another, from the newest checkpoint, unless its segment is listed as failed. Work \
                that was lost is in the device time, and in no result.";
    listed("Attempts that came to nothing", text, columns, causes.iter().map(row).collect())
}

/// Nothing where there are no rows; columns that nothing fills are left out.
fn listed(
    heading: &str,
    text: &str,
    columns: Vec<Column>,
    mut rows: Vec<Vec<String>>,
) -> Vec<Block> {
    if rows.is_empty() {
        return Vec::new();
    }
    let n = rows.len();
    rows.truncate(MOST_ROWS);
    let is_filled: Vec<bool> =
        (0..columns.len()).map(|at| rows.iter().any(|row| !row[at].is_empty())).collect();
    let filled = |cells: Vec<String>| {
        cells.into_iter().zip(&is_filled).filter(|(_, is)| **is).map(|(cell, _)| cell).collect()
    };
    let columns = columns.into_iter().zip(&is_filled).filter(|(_, is)| **is).map(|(c, _)| c);
    let table = Table { columns: columns.collect(), rows: rows.into_iter().map(filled).collect() };
    let caption =
        if n > MOST_ROWS { format!("The first {MOST_ROWS} of {n}") } else { String::new() };
    vec![
        Block::Heading(format!("{heading}: {n}")),
        Block::Text(text.to_owned()),
        Block::Table { caption, table },
    ]
}

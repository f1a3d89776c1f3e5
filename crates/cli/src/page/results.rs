//! The best of each size, and every trial.

use report::{Block, Column, Section, Table};
use store::TrialResult;

use super::{Record, section, short_id};
use crate::axis_label;
use crate::output::known;
use crate::summary;

/// Of trials that are listed: a browser shows so many at once, and nobody reads more.
const MOST_LISTED: usize = 2_000;

pub fn section_of(record: &Record) -> Section {
    section("Results", [best(record), every(record)].concat())
}

fn best(record: &Record) -> Vec<Block> {
    let analysis = &record.findings.main;
    if analysis.results.is_empty() {
        return Vec::new();
    }
    let y = axis_label::name(analysis.y());
    let mut blocks = Vec::new();
    let variants = &record.sweep.variant_names;
    if !variants.is_empty() {
        let caption = format!("The smallest {y} of each variant, means over seeds");
        let table = summary::best_per_variant(analysis, variants);
        blocks.push(Block::Table { caption, table });
    }
    let caption = format!("The smallest {y} of each size and data set, means over seeds");
    blocks.push(Block::Table { caption, table: summary::best_per_size(analysis) });
    blocks.push(Block::Notes(analysis.notes.clone()));
    blocks
}

fn every(record: &Record) -> Vec<Block> {
    let all = &record.findings.all;
    let shown = &all[..all.len().min(MOST_LISTED)];
    let has_variants = shown.iter().any(|trial| trial.variant.is_some());
    let has_families = shown.iter().any(|trial| trial.family != shown[0].family);
    let mut columns = vec![Column::left("trial")];
    columns.extend(has_variants.then(|| Column::left("variant")));
    columns.extend(has_families.then(|| Column::left("family")));
    columns.push(Column::left("shape"));
    let numbers =
        ["params", "unique examples", "examples seen", "steps", "FLOPs", "learning rate", "seed"];
    columns.extend(numbers.map(Column::right));
    columns.push(Column::left("state"));
    columns.extend(["loss (nats)", "error (fraction)", "device (s)"].map(Column::right));
    let row = |trial: &TrialResult| {
        let mut row = vec![short_id(trial.trial_id)];
        row.extend(has_variants.then(|| trial.variant.clone().unwrap_or_default()));
        row.extend(has_families.then(|| trial.family.clone()));
        row.push(trial.shape.clone());
        row.extend(
            [trial.params, trial.unique_examples, trial.examples_seen]
                .map(|n| report::si(n as f64)),
        );
        row.push(known(trial.steps));
        row.push(report::scientific(trial.train_flops));
        row.extend([known(trial.learning_rate), known(trial.seed)]);
        row.push(trial.state.word().to_owned());
        row.extend([trial.val_loss, trial.val_error].map(measured));
        row.push(trial.device_s.map_or("-".to_owned(), |s| format!("{s:.1}")));
        row
    };
    let table = Table { columns, rows: shown.iter().map(row).collect() };
    let caption = match all.len() {
        n if n > MOST_LISTED => format!("The first {MOST_LISTED} of {n} trials"),
        n => format!("All {n} trials"),
    };
    let text = format!(
        "The rest, and every other column: `isoflop query \"select * from trial_result where sweep = '{}'\"`.",
        record.sweep.name.replace('\'', "''")
    );
    let rest = (all.len() > MOST_LISTED).then_some(Block::Text(text));
    std::iter::once(Block::LongTable { caption, table }).chain(rest).collect()
}

fn measured(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), report::error)
}

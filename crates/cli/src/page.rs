//! A sweep's report: what the store holds of it, put into the shape that `report` writes.

mod answers;
mod cost;
mod figures;
mod fits;
mod head;
mod origin;
mod results;
mod troubles;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use analysis::{Fit, Forecast};
use report::{Page, Section};
use scheduler::Plan;
use spec::{SweepSpec, TrialId};
use store::{
    AttemptCounts, EvaluationCounts, PastAttempt, Provenance, SegmentStatus, ShapeCounts, Spent,
    Store, StoredSweep, TrialCounts,
};

use crate::figure_file::Named;
use crate::invocations::Invocations;
use crate::stored::find_sweep;
use crate::summary::{self, Findings};
use crate::when::utc;

/// Everything that a report is made from.
pub struct Record {
    pub db: PathBuf,
    pub sweep: SweepSpec,
    stored: StoredSweep,
    plan: Plan,
    findings: Findings,
    /// Of the main metric, and of each other one.
    fits: Vec<Fit>,
    other_fits: Vec<Vec<Fit>>,
    /// Of the main metric, and of each other one.
    forecast: Option<Forecast>,
    figures: Vec<Named>,
    trials: TrialCounts,
    shapes: Vec<ShapeCounts>,
    evaluations: EvaluationCounts,
    planned_flops: f64,
    spent: Spent,
    attempts: AttemptCounts,
    futile: Vec<PastAttempt>,
    segments: Vec<SegmentStatus>,
    /// The step at which each diverged trial did so.
    diverged: HashMap<TrialId, u64>,
    provenance: Vec<Provenance>,
    invocations: Invocations,
}

impl Record {
    /// `y` as in [`Findings::read`].
    ///
    /// # Errors
    /// The store's.
    pub async fn read(
        store: &Store,
        sweep: SweepSpec,
        db: &Path,
        y: Option<&str>,
    ) -> anyhow::Result<Self> {
        let name = sweep.name.clone();
        let stored = find_sweep(&store.sweeps().await?, db, &name)?.clone();
        let plan = Plan::new(&sweep.trials, &sweep.transfers);
        let findings = Findings::read(store, &sweep, &plan, y).await?;
        let (fits, other_fits) = (findings.main.fits(), findings.other_fits());
        let figures = match findings.main.results.is_empty() {
            true => Vec::new(),
            false => {
                let fits = (&fits[..], &other_fits[..]);
                summary::every_figure(store, (&sweep, db), &plan, &findings, fits, y).await?
            }
        };
        let planned_flops = match stored.train_flops {
            Some(flops) => flops,
            None => store.planned_flops(&name).await?,
        };
        Ok(Self {
            db: db.to_owned(),
            stored,
            forecast: findings.main.forecast(),
            figures,
            trials: store.trial_counts(&name).await?,
            shapes: store.shape_counts(&name).await?,
            evaluations: store.evaluation_counts(&name).await?,
            planned_flops,
            spent: store.spent(&name).await?,
            attempts: store.attempt_counts(&name).await?,
            futile: store.futile_attempts(&name).await?,
            segments: store.segment_states(&name).await?,
            diverged: summary::diverged(store, &sweep, &plan).await?,
            provenance: store.provenance(&name).await?,
            invocations: Invocations::read(store, &name).await?,
            fits,
            other_fits,
            findings,
            plan,
            sweep,
        })
    }

    fn n_trials(&self) -> usize {
        self.findings.all.len()
    }

    /// Whether nothing of it was trained here.
    fn is_import(&self) -> bool {
        self.stored.record.is_import()
    }

    fn is_running(&self) -> bool {
        self.trials.running > 0
    }
}

/// The whole report.
pub fn page(record: &Record) -> Page {
    let head = head::Head::of(&record.stored.record.source);
    let sections = [
        figures::section_of(record),
        fits::section_of(record),
        results::section_of(record),
        cost::section_of(record),
        troubles::section_of(record),
        origin::section_of(record),
        origin::again(record),
    ];
    let mut intro = head.blocks();
    intro.extend(answers::blocks(record));
    Page {
        title: record.sweep.name.clone(),
        subtitle: subtitle(record),
        intro,
        sections: sections.into_iter().filter(|section| !section.blocks.is_empty()).collect(),
        footer: format!(
            "Written by isoflop {} from the store alone: the same store gives the same bytes.",
            env!("CARGO_PKG_VERSION")
        ),
    }
}

fn subtitle(record: &Record) -> String {
    let sizes = record.shapes.len();
    let [created, updated] = [record.stored.created_at, record.stored.updated_at].map(utc);
    let when = match record.is_import() {
        true => format!("imported {updated}"),
        false => format!("planned {created}, last started {updated}"),
    };
    let word = if sizes == 1 { "size" } else { "sizes" };
    format!("{} trials, {sizes} {word}, {when}", record.n_trials())
}

/// The first digits of an id, enough for `isoflop logs`.
fn short_id(id: impl ToString) -> String {
    let id = id.to_string();
    format!("`{}`", id.get(..10).unwrap_or(&id))
}

/// A section with these blocks.
fn section(heading: &'static str, blocks: Vec<report::Block>) -> Section {
    Section { heading, blocks }
}

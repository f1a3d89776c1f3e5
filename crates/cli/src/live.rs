//! What the live page shows, out of a store that another process may be writing to, and that may go
//! away and come back.

mod fits;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serve::{
    AttemptView, Counts, FitAsked, FitView, Group, Listing, Row, Source, SourceError, State, Sweep,
    SweepSummary, TrialSweep, TrialView,
};
use spec::{SegmentId, TrialId};
use store::{PastAttempt, Store, StoreError, StoredSweep, TrialCounts, TrialResult, TrialState};
use tokio::sync::Mutex;

use self::fits::Fits;
use crate::commands::logs::word;
use crate::exit::bad_input;
use crate::paths::Workplace;
use crate::stored::find_sweep;

/// Points of a learning curve that are told: more than a screen has columns.
const MOST_POINTS: usize = 2000;
/// Longer than any system's clock takes between two times of files.
const CLOCK_TICK: Duration = Duration::from_millis(50);
/// Bytes of a log that are told: its end.
const MOST_LOG: u64 = 256 * 1024;

pub struct StoreSource {
    workplace: Workplace,
    /// The store, and the file that it was when it was opened.
    open: Mutex<(FileId, Store)>,
    fits: Fits,
}

/// What a store is, whatever its name: device and inode of its file, and whether it has a log. Where nothing
/// can be written beside it, one without a log is read as a file that nobody changes; a log says that
/// somebody does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64, bool);

impl FileId {
    fn of(file: &Metadata, db: &Path) -> Self {
        Self(file.dev(), file.ino(), log_beside(db).is_ok())
    }
}

/// Of the log that SQLite writes to first.
fn log_beside(db: &Path) -> std::io::Result<Metadata> {
    let mut log = db.to_owned().into_os_string();
    log.push("-wal");
    std::fs::metadata(log)
}

impl StoreSource {
    /// # Errors
    /// There is no store, or none that this version reads.
    pub async fn open(db: &Path) -> anyhow::Result<Self> {
        let store = Store::open_read_only(db).await.map_err(bad_input)?;
        let file = FileId::of(&std::fs::metadata(db)?, db);
        let fits = Fits::default();
        Ok(Self { workplace: Workplace::of(db), open: Mutex::new((file, store)), fits })
    }

    /// The store as it is now: one that was put in the place of another is opened anew.
    async fn store(&self) -> Result<Store, SourceError> {
        let mut open = self.open.lock().await;
        let db = &self.workplace.db;
        if open.0 != FileId::of(&self.file()?, db) {
            let store = Store::open_read_only(db).await.map_err(unavailable)?;
            // Opening may begin a log.
            *open = (FileId::of(&self.file()?, db), store);
        }
        Ok(open.1.clone())
    }

    fn file(&self) -> Result<Metadata, SourceError> {
        std::fs::metadata(&self.workplace.db).map_err(|error| {
            let name = self.name();
            unavailable(format!(
                "the store {name} is gone ({error}); this page goes on when it is back"
            ))
        })
    }

    fn name(&self) -> String {
        self.workplace.db.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    async fn stored(&self, store: &Store, name: &str) -> Result<StoredSweep, SourceError> {
        let sweeps = store.sweeps().await.map_err(failed)?;
        find_sweep(&sweeps, Path::new(&self.name()), name)
            .cloned()
            .map_err(|error| unknown(error.to_string()))
    }
}

impl Source for StoreSource {
    /// Every commit goes to the end of the log beside the store, or into the store: their sizes and times
    /// tell, without asking the database. A time is as coarse as the system's clock ticks, so a file that
    /// has just been written is asked about again.
    async fn version(&self) -> Result<u64, SourceError> {
        let mut hasher = DefaultHasher::new();
        let log = log_beside(&self.workplace.db).ok();
        for file in [Some(self.file()?), log].into_iter().flatten() {
            (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()).hash(&mut hasher);
            let age = file.modified().ok().and_then(|time| time.elapsed().ok());
            age.filter(|age| *age < CLOCK_TICK).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    async fn listing(&self) -> Result<Listing, SourceError> {
        let store = self.store().await?;
        let mut sweeps = Vec::new();
        for sweep in store.sweeps().await.map_err(failed)? {
            sweeps.push(summary(&store, sweep).await.map_err(failed)?);
        }
        Ok(Listing { store: self.name(), sweeps })
    }

    async fn sweep(&self, name: &str) -> Result<Sweep, SourceError> {
        let store = self.store().await?;
        let stored = self.stored(&store, name).await?;
        read_sweep(&store, stored).await.map_err(failed)
    }

    async fn fit(&self, sweep: &str, asked: FitAsked) -> Result<FitView, SourceError> {
        let store = self.store().await?;
        let stored = self.stored(&store, sweep).await?;
        self.fits.of(&store, &stored, asked).await
    }

    async fn trial(&self, id: TrialId) -> Result<TrialView, SourceError> {
        let store = self.store().await?;
        read_trial(&store, id)
            .await
            .map_err(failed)?
            .ok_or_else(|| unknown(format!("no trial {id}")))
    }

    async fn log(
        &self,
        trial: TrialId,
        segment: SegmentId,
        attempt: u32,
    ) -> Result<String, SourceError> {
        let attempts = self.store().await?.attempts_of(trial).await.map_err(failed)?;
        // Only what the store knows of leads to a file.
        let is_it = |known: &PastAttempt| known.segment_id == segment && known.attempt == attempt;
        if !attempts.iter().any(is_it) {
            return Err(unknown(format!(
                "no attempt {attempt} at segment {segment} of trial {trial}"
            )));
        }
        let path = self.workplace.log(segment, attempt);
        end_of(&path).map_err(|error| unavailable(format!("the log cannot be read: {error}")))
    }
}

async fn summary(store: &Store, sweep: StoredSweep) -> Result<SweepSummary, StoreError> {
    let name = sweep.record.name;
    let spent = store.spent(&name).await?;
    let planned = match sweep.train_flops {
        Some(flops) => flops,
        None => store.planned_flops(&name).await?,
    };
    Ok(SweepSummary {
        trials: counts(&store.trial_counts(&name).await?),
        name,
        train_flops_planned: planned,
        train_flops_spent: spent.train_flops,
        charged_s: spent.charged_s,
        attempts: spent.attempts,
    })
}

const fn counts(trials: &TrialCounts) -> Counts {
    let TrialCounts { pending, running, finished, diverged, failed } = *trials;
    Counts { pending, running, finished, diverged, failed }
}

async fn read_sweep(store: &Store, stored: StoredSweep) -> Result<Sweep, StoreError> {
    let name = &stored.record.name;
    let results = store.trial_results(name).await?;
    let metrics = store.metrics(name).await?;
    let mut values = vec![Vec::new(); results.len()];
    for metric in &metrics {
        let found = evaluations(store, name, metric, &results).await?;
        values.iter_mut().zip(found).for_each(|(row, value)| row.push(value));
    }
    let mut groups = BTreeMap::new();
    for result in &results {
        groups.entry(key_of(result)).or_insert(0);
    }
    groups.values_mut().enumerate().for_each(|(i, place)| *place = i);
    let rows = results
        .iter()
        .zip(values)
        .map(|(result, values)| row(result, groups[&key_of(result)], values));
    Ok(Sweep {
        rows: rows.collect(),
        source: stored.record.source,
        metrics,
        groups: groups.into_keys().map(group).collect(),
    })
}

/// One metric, by trial.
async fn evaluations(
    store: &Store,
    sweep: &str,
    metric: &str,
    results: &[TrialResult],
) -> Result<Vec<Option<f64>>, StoreError> {
    // Results have these two already.
    Ok(match metric {
        "val_error" => results.iter().map(|result| result.val_error).collect(),
        "val_loss" => results.iter().map(|result| result.val_loss).collect(),
        other => {
            let values = store.evaluations(sweep, other).await?;
            results.iter().map(|result| values.get(&result.trial_id).copied()).collect()
        }
    })
}

/// Parameters first: groups come from the smallest.
type GroupKey = (u64, Option<String>, String, String);

fn key_of(result: &TrialResult) -> GroupKey {
    (result.params, result.variant.clone(), result.family.clone(), result.shape.clone())
}

fn group((params, variant, family, shape): GroupKey) -> Group {
    Group { shape, family, variant, params }
}

fn row(result: &TrialResult, group: usize, values: Vec<Option<f64>>) -> Row {
    Row {
        id: result.trial_id,
        group,
        unique_examples: result.unique_examples,
        examples_seen: result.examples_seen,
        steps: result.steps,
        train_flops: result.train_flops,
        learning_rate: result.learning_rate,
        seed: result.seed,
        state: state(result.state),
        device_s: result.device_s,
        values,
    }
}

const fn state(state: TrialState) -> State {
    match state {
        TrialState::Pending => State::Pending,
        TrialState::Running => State::Running,
        TrialState::Finished => State::Finished,
        TrialState::Diverged => State::Diverged,
        TrialState::Failed => State::Failed,
    }
}

async fn read_trial(store: &Store, id: TrialId) -> Result<Option<TrialView>, StoreError> {
    let results = store.results_of(id).await?;
    let Some(first) = results.first() else { return Ok(None) };
    let mut curves = BTreeMap::new();
    for (metric, points) in store.courses(&first.sweep, id).await? {
        curves.insert(metric, serve::thin(&points, MOST_POINTS));
    }
    let in_sweep = |result: &TrialResult| TrialSweep {
        sweep: result.sweep.clone(),
        state: state(result.state),
    };
    Ok(Some(TrialView {
        id,
        shape: first.shape.clone(),
        family: first.family.clone(),
        params: first.params,
        unique_examples: first.unique_examples,
        examples_seen: first.examples_seen,
        steps: first.steps,
        train_flops: first.train_flops,
        learning_rate: first.learning_rate,
        seed: first.seed,
        device_s: first.device_s,
        sweeps: results.iter().map(in_sweep).collect(),
        values: store.evaluations_of(&first.sweep, id).await?,
        curves,
        attempts: store.attempts_of(id).await?.into_iter().map(attempt).collect(),
        spec: store.spec_of(id).await?.unwrap_or_default(),
    }))
}

fn attempt(attempt: PastAttempt) -> AttemptView {
    AttemptView {
        segment: attempt.segment_id,
        kind: word(attempt.kind).to_owned(),
        start_step: attempt.start_step,
        end_step: attempt.end_step,
        attempt: attempt.attempt,
        outcome: attempt.outcome,
        reason: attempt.reason,
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        device: attempt.device,
        job: attempt.job,
    }
}

/// The last bytes of a file, from the beginning of a line on; of one that is not there, nothing.
fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let start = file.metadata()?.len().saturating_sub(MOST_LOG);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(MOST_LOG).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, whole_lines) =
        if start > 0 { text.split_once('\n').unwrap_or(("", &text)) } else { ("", &*text) };
    Ok(whole_lines.to_owned())
}

fn unavailable(error: impl ToString) -> SourceError {
    SourceError::Unavailable(error.to_string())
}

fn failed(error: StoreError) -> SourceError {
    unavailable(error)
}

const fn unknown(message: String) -> SourceError {
    SourceError::Unknown(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_replaced_or_gets_a_log_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("isoflop.db");
        let write = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let seen = || FileId::of(&std::fs::metadata(&db).unwrap(), &db);
        write("isoflop.db");
        let first = seen();
        assert!(first == seen());
        write("isoflop.db-wal");
        assert!(first != seen());
        std::fs::remove_file(folder.path().join("isoflop.db-wal")).unwrap();
        assert!(first == seen());
        write("other.db");
        std::fs::rename(folder.path().join("other.db"), &db).unwrap();
        assert!(first != seen());
    }
}

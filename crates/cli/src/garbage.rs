//! What lies beside a database that nothing needs: found here, deleted by `isoflop gc`.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use spec::SegmentId;
use store::{SegmentState, SegmentStatus, Store, StoreError};

use crate::paths::Workplace;
use crate::slurm::sweep_of_job;
use crate::stored::find_sweep;

/// What segments are to the sweeps of a store.
#[derive(Debug, Default)]
pub struct Uses {
    /// Segments of any sweep.
    known: HashSet<SegmentId>,
    /// Segments that have finished or diverged.
    ended: HashSet<SegmentId>,
    /// Segments whose attempts have not ended: a queued trainer may be writing.
    running: HashSet<SegmentId>,
    /// Slurm jobs of these attempts, by our names.
    jobs: HashSet<String>,
    /// Sweeps and their segments to look at; None: everything.
    only: Option<Only>,
}

#[derive(Debug, Default)]
struct Only {
    sweeps: Vec<String>,
    segments: HashSet<SegmentId>,
}

/// A folder that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    pub path: PathBuf,
    pub why: Why,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Checkpoints from which nothing starts any more.
    NotNeeded,
    /// Of a segment that is in no sweep.
    Vanished,
    /// What was being written when its trainer died.
    Unfinished,
    /// A damaged checkpoint, put aside.
    Damaged,
    /// Of a Slurm job.
    Ended,
}

impl Why {
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotNeeded => "nothing starts from it",
            Self::Vanished => "no sweep has its segment",
            Self::Unfinished => "writing it was interrupted",
            Self::Damaged => "damaged",
            Self::Ended => "its job's attempts have ended",
        }
    }

    /// Of a folder inside a segment's checkpoints, by its name; None for a checkpoint.
    fn of_leftover(name: &str) -> Option<Self> {
        if name.starts_with(".partial-") || name.starts_with(".replaced-") {
            Some(Self::Unfinished)
        } else {
            name.starts_with("damaged-").then_some(Self::Damaged)
        }
    }
}

impl Uses {
    /// `names`: the sweeps whose segments are looked at; empty: everything.
    ///
    /// # Errors
    /// The store's, or a name that it does not have.
    pub async fn read(store: &Store, db: &Path, names: &[String]) -> anyhow::Result<Self> {
        let sweeps = store.sweeps().await?;
        for name in names {
            find_sweep(&sweeps, db, name)?;
        }
        let only = || Only { sweeps: names.to_vec(), segments: HashSet::new() };
        let mut uses = Self { only: (!names.is_empty()).then(only), ..Self::default() };
        for sweep in &sweeps {
            let states = store.segment_states(&sweep.record.name).await?;
            let ids = || states.iter().map(|status| status.segment_id);
            uses.known.extend(ids());
            let has_ended = |status: &&SegmentStatus| {
                matches!(status.state, SegmentState::Finished | SegmentState::Diverged { .. })
            };
            uses.ended.extend(states.iter().filter(has_ended).map(|status| status.segment_id));
            if let (Some(only), true) = (&mut uses.only, names.contains(&sweep.record.name)) {
                only.segments.extend(ids());
            }
        }
        let running = store.running_attempts().await?;
        uses.running = running.iter().map(|attempt| attempt.segment_id).collect();
        uses.jobs = running.into_iter().filter_map(|attempt| attempt.job).collect();
        Ok(uses)
    }

    /// Every folder that may go, by path.
    ///
    /// # Errors
    /// A folder that cannot be read, or the store's.
    pub async fn garbage(
        &self,
        store: &Store,
        workplace: &Workplace,
    ) -> anyhow::Result<Vec<Garbage>> {
        let mut garbage = Vec::new();
        for (path, id) in segments(&workplace.all_checkpoints())? {
            if !self.is_asked_for(id) {
                continue;
            }
            match self.why(store, id).await? {
                Some(why) => garbage.push(Garbage::of(path, why)?),
                None => garbage.extend(leftovers(&path)?),
            }
        }
        for (path, id) in segments(&workplace.all_attempts())? {
            if !self.known.contains(&id) && self.is_asked_for(id) {
                garbage.push(Garbage::of(path, Why::Vanished)?);
            }
        }
        for entry in entries(&workplace.jobs())? {
            if self.is_over(&entry.file_name().to_string_lossy()) {
                garbage.push(Garbage::of(entry.path(), Why::Ended)?);
            }
        }
        garbage.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(garbage)
    }

    fn is_asked_for(&self, id: SegmentId) -> bool {
        let is_named = self.only.as_ref().is_none_or(|only| only.segments.contains(&id));
        is_named && !self.running.contains(&id)
    }

    /// Whether a job of this name is asked for, and all its attempts have ended.
    fn is_over(&self, job: &str) -> bool {
        let Some(sweep) = sweep_of_job(job) else { return false };
        let is_asked_for = |only: &Only| only.sweeps.iter().any(|name| name == sweep);
        self.only.as_ref().is_none_or(is_asked_for) && !self.jobs.contains(job)
    }

    /// Why all checkpoints of a segment are garbage, if they are.
    async fn why(&self, store: &Store, id: SegmentId) -> Result<Option<Why>, StoreError> {
        if !self.known.contains(&id) {
            return Ok(Some(Why::Vanished));
        }
        let is_kept = !self.ended.contains(&id) || store.wants_checkpoint(id).await?;
        Ok((!is_kept).then_some(Why::NotNeeded))
    }
}

/// The folders of `folder` that are named by segments; none where it is not there.
fn segments(folder: &Path) -> anyhow::Result<Vec<(PathBuf, SegmentId)>> {
    let named = |entry: DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some((entry.path(), id))
    };
    Ok(entries(folder)?.into_iter().filter_map(named).collect())
}

/// What is in a segment's folder of checkpoints beside them.
fn leftovers(checkpoints: &Path) -> anyhow::Result<Vec<Garbage>> {
    let mut garbage = Vec::new();
    for entry in entries(checkpoints)? {
        if let Some(why) = Why::of_leftover(&entry.file_name().to_string_lossy()) {
            garbage.push(Garbage::of(entry.path(), why)?);
        }
    }
    Ok(garbage)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<_, _>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("cannot read the folder `{}`", folder.display()))
}

/// Bytes of all files below a path.
fn size(path: &Path) -> anyhow::Result<u64> {
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    entries(path)?.iter().map(|entry| size(&entry.path())).sum()
}

impl Garbage {
    fn of(path: PathBuf, why: Why) -> anyhow::Result<Self> {
        Ok(Self { bytes: size(&path)?, path, why })
    }

    /// # Errors
    /// A folder that cannot be deleted.
    pub fn delete(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.path)
            .with_context(|| format!("cannot delete `{}`", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_over_when_none_of_its_attempts_runs() {
        let running = "isoflop-small-19d0a-0-1".to_owned();
        let uses = Uses { jobs: HashSet::from([running.clone()]), ..Uses::default() };
        assert!(!uses.is_over(&running));
        assert!(uses.is_over("isoflop-small-19d0a-0-10"));
    }
}

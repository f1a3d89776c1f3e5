//! Checkpoints that nothing starts from any more are deleted as a sweep goes on, unless a sweep keeps
//! them. What a killed coordinator left over is for `isoflop gc`.

use std::collections::{HashMap, HashSet};

use scheduler::{Plan, StoredTrunks};
use spec::{SegmentId, checkpoint_name};
use store::{Store, StoreError};

use crate::paths::Workplace;
use crate::progress::say;

pub struct Keeper<'a> {
    workplace: &'a Workplace,
    parents: HashMap<SegmentId, SegmentId>,
    /// Another store has its checkpoints in the same folder, and may need what this one does not.
    is_shared: bool,
}

impl<'a> Keeper<'a> {
    /// # Errors
    /// The store's folder cannot be read.
    pub fn new(workplace: &'a Workplace, plan: &Plan) -> std::io::Result<Self> {
        let of = |segment: &scheduler::PlannedSegment| Some((segment.id, segment.spec.parent?));
        let parents = plan.segments.iter().filter_map(of).collect();
        let is_shared = workplace.other_store()?.is_some();
        Ok(Self { workplace, parents, is_shared })
    }

    /// Deletes the checkpoints of a segment that is over, and those that it began with, where no sweep
    /// of the store needs or keeps them.
    ///
    /// # Errors
    /// The store's. A folder that cannot be deleted is only told of.
    pub async fn tidy(&self, store: &Store, segment: SegmentId) -> Result<(), StoreError> {
        if self.is_shared {
            return Ok(());
        }
        for id in [Some(segment), self.parents.get(&segment).copied()].into_iter().flatten() {
            if !store.wants_checkpoint(id).await? {
                self.delete(id);
            }
        }
        Ok(())
    }

    fn delete(&self, segment: SegmentId) {
        let folder = self.workplace.checkpoints(segment);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                say(&format!("cannot delete `{}`, which is not needed: {error}", folder.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// The trunks that earlier sweeps left, whose last checkpoints are there; and those of the sweep of this
/// name, so that its plan stays as it is though checkpoints go.
///
/// # Errors
/// The store's.
pub async fn stored_trunks(
    store: &Store,
    workplace: &Workplace,
    sweep: &str,
) -> Result<StoredTrunks, StoreError> {
    let own = store.segment_states(sweep).await?;
    let own: HashSet<_> = own.into_iter().map(|status| status.segment_id).collect();
    let is_there = |(id, _, end): &(SegmentId, u64, u64)| {
        own.contains(id) || workplace.checkpoints(*id).join(checkpoint_name(*end)).exists()
    };
    Ok(store.finished_trunks().await?.into_iter().filter(is_there).collect())
}

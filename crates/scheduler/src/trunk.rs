//! The trunk that trials of one recipe share: cut at every fork, and begun where an earlier sweep's
//! trunk ends. All its checkpoints are states of one trajectory, so a piece may begin at any of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use spec::{SegmentId, SegmentKind};

use crate::plan::{Pieces, PlannedSegment};

/// Finished pieces of trunks, of any recipes, whose checkpoints are still there.
#[derive(Clone, Debug, Default)]
pub struct StoredTrunks {
    ids: HashSet<SegmentId>,
    /// Where pieces that begin at a step end: what to look for in a recipe.
    ends: HashMap<u64, BTreeSet<u64>>,
}

/// Pieces by the step that they end at.
#[derive(Default)]
pub(crate) struct Trunk {
    pieces: BTreeMap<u64, Piece>,
}

#[derive(Clone)]
struct Piece {
    id: SegmentId,
    start: u64,
}

impl FromIterator<(SegmentId, u64, u64)> for StoredTrunks {
    /// From ids, first steps and ends.
    fn from_iter<I: IntoIterator<Item = (SegmentId, u64, u64)>>(pieces: I) -> Self {
        let mut stored = Self::default();
        for (id, start, end) in pieces {
            stored.ids.insert(id);
            stored.ends.entry(start).or_default().insert(end);
        }
        stored
    }
}

impl Trunk {
    /// The pieces up to these steps, appended to `segments` parents first.
    pub(crate) fn plan(
        forks: BTreeSet<u64>,
        pieces: &Pieces<'_>,
        stored: &StoredTrunks,
        segments: &mut Vec<PlannedSegment>,
    ) -> Self {
        let mut found = stored.of_recipe(pieces);
        let mut trunk =
            Self { pieces: found.iter().map(|(end, piece)| (*end, piece.placed())).collect() };
        for fork in forks {
            if !trunk.pieces.contains_key(&fork) {
                let (start, parent) = trunk.before(fork);
                let piece = pieces.piece(SegmentKind::Trunk, parent, start, fork);
                trunk.pieces.insert(fork, piece.placed());
                found.insert(fork, piece);
            }
            for end in trunk.ends(fork) {
                // Taken out: each is appended once.
                segments.extend(found.remove(&end));
            }
        }
        trunk
    }

    /// Pieces from the beginning to `fork`.
    pub(crate) fn chain(&self, fork: u64) -> Vec<SegmentId> {
        self.ends(fork).iter().map(|end| self.pieces[end].id).collect()
    }

    /// The latest piece that ends before `fork`: its end and id.
    fn before(&self, fork: u64) -> (u64, Option<SegmentId>) {
        let latest = self.pieces.range(..fork).next_back();
        latest.map_or((0, None), |(&end, piece)| (end, Some(piece.id)))
    }

    /// The ends of the pieces from the beginning to `fork`, in order.
    fn ends(&self, fork: u64) -> Vec<u64> {
        let mut ends = Vec::new();
        let mut end = fork;
        while let Some(piece) = self.pieces.get(&end) {
            ends.push(end);
            end = piece.start;
        }
        ends.reverse();
        ends
    }
}

impl StoredTrunks {
    /// Those of a recipe, by their ends; of two that end together the one of fewer pieces.
    fn of_recipe(&self, pieces: &Pieces<'_>) -> BTreeMap<u64, PlannedSegment> {
        let mut found: BTreeMap<u64, PlannedSegment> = BTreeMap::new();
        let mut reached = vec![(0, None)];
        while !reached.is_empty() {
            let mut next = Vec::new();
            for (start, parent) in reached {
                for &end in self.ends.get(&start).into_iter().flatten() {
                    let piece = pieces.piece(SegmentKind::Trunk, parent, start, end);
                    if self.ids.contains(&piece.id) && !found.contains_key(&end) {
                        next.push((end, Some(piece.id)));
                        found.insert(end, piece);
                    }
                }
            }
            reached = next;
        }
        found
    }
}

impl PlannedSegment {
    const fn placed(&self) -> Piece {
        Piece { id: self.id, start: self.spec.start }
    }
}

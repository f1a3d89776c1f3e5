//! Table `recipe`: most of the text of trials and segments, and the same in all that differ only in
//! their lengths. The view `spec` puts the whole text together again.

use std::collections::{HashMap, HashSet};

use spec::{Id, Recipe, SegmentId, canonical_json};
use sqlx::{QueryBuilder, SqliteConnection};

use crate::error::Result;
use crate::segment::PlannedSegment;
use crate::trial::PlannedTrial;

/// Ids of the recipes of a plan, in the order of its segments and of its trials.
pub(crate) struct Recipes {
    pub of_segments: Vec<Id>,
    pub of_trials: Vec<Id>,
}

/// Adds the recipes that are not there yet. Those of a plan's neighbours are mostly the same, and a
/// trial's is its leaf's, so few are hashed.
pub(crate) async fn insert_missing(
    conn: &mut SqliteConnection,
    segments: &[PlannedSegment<'_>],
    trials: &[PlannedTrial<'_>],
) -> Result<Recipes> {
    let mut writer = Writer::default();
    let mut of_segments = Vec::with_capacity(segments.len());
    for segment in segments {
        of_segments.push(writer.add(conn, &segment.spec.recipe).await?);
    }
    let by_segment: HashMap<SegmentId, Id> =
        segments.iter().map(|segment| segment.id).zip(of_segments.iter().copied()).collect();
    let mut of_trials = Vec::with_capacity(trials.len());
    for trial in trials {
        let of_leaf = trial.chain.last().and_then(|leaf| by_segment.get(leaf));
        of_trials.push(match of_leaf {
            Some(id) => *id,
            None => writer.add(conn, &trial.spec.recipe).await?,
        });
    }
    writer.flush(conn).await?;
    Ok(Recipes { of_segments, of_trials })
}

#[derive(Default)]
struct Writer<'a> {
    last: Option<(&'a Recipe, Id)>,
    seen: HashSet<Id>,
    waiting: Vec<(Id, String)>,
}

impl<'a> Writer<'a> {
    async fn add(&mut self, conn: &mut SqliteConnection, recipe: &'a Recipe) -> Result<Id> {
        if let Some((last, id)) = self.last
            && last == recipe
        {
            return Ok(id);
        }
        let text = canonical_json(recipe);
        let id = Id::of_canonical(&text);
        self.last = Some((recipe, id));
        if self.seen.insert(id) {
            self.waiting.push((id, text));
        }
        if self.waiting.len() == 200 {
            self.flush(conn).await?;
        }
        Ok(id)
    }

    async fn flush(&mut self, conn: &mut SqliteConnection) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut insert = QueryBuilder::new("insert into recipe (recipe_id, json) ");
        insert.push_values(self.waiting.drain(..), |mut row, (id, text)| {
            row.push_bind(id.to_string()).push_bind(text);
        });
        insert.push(" on conflict (recipe_id) do nothing").build().execute(conn).await?;
        Ok(())
    }
}

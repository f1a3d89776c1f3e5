//! Who needs whose checkpoints: what a finished segment leaves is read by the segments that continue
//! it, and of no more use when they have ended.

use spec::SegmentId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Store;
use crate::convert::unsigned;
use crate::error::Result;

impl Store {
    /// Whether a segment of any stored sweep's plan that has not finished or diverged continues this one.
    ///
    /// # Errors
    /// The database's.
    pub async fn needs_checkpoint(&self, segment_id: SegmentId) -> Result<bool> {
        let needed = sqlx::query_scalar(
            "select exists (
                 select 1 from segment as child
                 where child.parent_id = ?1 and child.state not in ('finished', 'diverged')
                   and exists (select 1 from sweep cross join trial_segment as planned
                                   on planned.sweep = sweep.name
                                   and planned.segment_id = child.segment_id))",
        );
        Ok(needed.bind(segment_id.to_string()).fetch_one(&self.pool).await?)
    }

    /// Whether a segment's checkpoints are needed, or a sweep that has the segment keeps them: by `keep`
    /// of the table `[checkpoints]` in its file, trunks where it does not say.
    ///
    /// # Errors
    /// The database's.
    pub async fn wants_checkpoint(&self, segment_id: SegmentId) -> Result<bool> {
        let is_kept = sqlx::query_scalar(
            "select exists (
                 select 1 from segment
                 cross join sweep cross join trial_segment as planned
                     on planned.sweep = sweep.name and planned.segment_id = segment.segment_id
                 where segment.segment_id = ?1
                   and coalesce(sweep.spec ->> '$.checkpoints.keep', 'trunks')
                       in ('all', iif(kind = 'trunk', 'trunks', 'all')))",
        );
        let is_kept: bool = is_kept.bind(segment_id.to_string()).fetch_one(&self.pool).await?;
        Ok(is_kept || self.needs_checkpoint(segment_id).await?)
    }

    /// Pieces of trunks that have finished, in any sweep: id, first step and end.
    ///
    /// # Errors
    /// The database's.
    pub async fn finished_trunks(&self) -> Result<Vec<(SegmentId, u64, u64)>> {
        let rows = sqlx::query(
            "select segment_id, start_step, end_step from segment
             where state = 'finished' and kind = 'trunk'",
        );
        let trunk = |row: &SqliteRow| {
            Ok((
                row.try_get::<&str, _>("segment_id")?.parse()?,
                unsigned("start_step", row.try_get("start_step")?)?,
                unsigned("end_step", row.try_get("end_step")?)?,
            ))
        };
        rows.fetch_all(&self.pool).await?.iter().map(trunk).collect()
    }
}

#[cfg(test)]
mod tests {
    use spec::SegmentKind;

    use crate::testing::{Plan, TestStore, planned_store};

    #[tokio::test]
    async fn trunks_are_wanted_when_all_is_done_and_nothing_else_unless_a_sweep_says_otherwise() {
        let (test, plan) = planned_store().await;
        for (segment, _) in plan.segments.iter().zip(0..) {
            test.finish(segment, 1.0, 5.0).await;
        }
        for (keep, trunk, cooldown) in
            [(None, true, false), (Some("none"), false, false), (Some("all"), true, true)]
        {
            let spec = keep.map_or("{}".to_owned(), |keep| {
                format!(r#"{{"checkpoints": {{"keep": "{keep}"}}}}"#)
            });
            sqlx::query("update sweep set spec = ?1")
                .bind(spec)
                .execute(&test.store.pool)
                .await
                .unwrap();
            for (position, segment) in plan.segments.iter().enumerate() {
                let expected = if segment.kind == SegmentKind::Trunk { trunk } else { cooldown };
                let wanted = test.store.wants_checkpoint(plan.id(position)).await.unwrap();
                assert_eq!(wanted, expected, "{keep:?}, {:?}", segment.kind);
            }
        }
        let trunks = test.store.finished_trunks().await.unwrap();
        let expected = plan.segments.iter().filter(|segment| segment.kind == SegmentKind::Trunk);
        assert_eq!(trunks.len(), expected.count());
    }

    /// The segments whose checkpoints are needed, by position.
    async fn needed(test: &TestStore, plan: &Plan) -> Vec<usize> {
        let mut needed = Vec::new();
        for position in 0..plan.segments.len() {
            if test.store.needs_checkpoint(plan.id(position)).await.unwrap() {
                needed.push(position);
            }
        }
        needed
    }

    #[tokio::test]
    async fn a_checkpoint_is_needed_until_all_that_continue_it_have_ended() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 1.0).await;
        test.finish(&plan.segments[1], 1.0, 1.0).await;
        assert_eq!(needed(&test, &plan).await, [0, 2]);
        // One that failed may be tried again.
        let attempt = test.begin(plan.id(2)).await;
        test.store.fail_segment(plan.id(2), attempt, "no such data", 3.0).await.unwrap();
        assert_eq!(needed(&test, &plan).await, [0, 2]);
        test.store.reopen(&[plan.id(2)]).await.unwrap();
        test.finish(&plan.segments[2], 1.0, 1.0).await;
        assert_eq!(needed(&test, &plan).await, [2]);
    }

    #[tokio::test]
    async fn a_segment_that_is_in_no_plan_any_more_needs_nothing() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 1.0).await;
        test.finish(&plan.segments[1], 1.0, 1.0).await;
        test.save_trials("small", &plan, ..1).await;
        assert!(needed(&test, &plan).await.is_empty());
        test.save_trials("other", &plan, ..).await;
        assert_eq!(needed(&test, &plan).await, [0, 2]);
    }
}

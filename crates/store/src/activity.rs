//! What a sweep is to train, and how its devices were used: what was tried again, what was lost, and how
//! long they were busy.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row};

use crate::convert::unsigned;
use crate::error::Result;
use crate::{Store, UnixSeconds};

/// Counts of a sweep's attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptCounts {
    pub attempts: u64,
    /// Those that were not their segment's first.
    pub retries: u64,
    /// Those whose trainer ended without a last word.
    pub lost: u64,
}

/// The attempts that began in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    /// When the stretch began.
    pub since: UnixSeconds,
    /// The last word of any of them.
    pub until: UnixSeconds,
    /// Seconds that they are charged with, added up.
    pub charged_s: f64,
}

impl Store {
    /// What [`crate::StoredSweep::train_flops`] says, added up anew.
    ///
    /// # Errors
    /// The database's.
    pub async fn planned_flops(&self, sweep: &str) -> Result<f64> {
        let flops = sqlx::query_scalar(
            "select total(train_flops)
             from (select distinct segment_id from trial_segment where sweep = ?1)
             join segment using (segment_id) where kind <> 'transfer'",
        );
        Ok(flops.bind(sweep).fetch_one(&self.pool).await?)
    }

    /// # Errors
    /// The database's.
    pub async fn attempt_counts(&self, sweep: &str) -> Result<AttemptCounts> {
        let row = sqlx::query(
            "select count(*) as attempts, count(*) filter (where attempt > 1) as retries,
                    count(*) filter (where outcome = 'lost') as lost
             from attempt where exists (select 1 from trial_segment as planned
                                        where sweep = ?1 and planned.segment_id = attempt.segment_id)",
        );
        let row = row.bind(sweep).fetch_one(&self.pool).await?;
        Ok(AttemptCounts {
            attempts: unsigned("attempts", row.try_get("attempts")?)?,
            retries: unsigned("retries", row.try_get("retries")?)?,
            lost: unsigned("lost", row.try_get("lost")?)?,
        })
    }

    /// What a sweep's attempts used in the stretches that begin at these times, each to the next; those
    /// in which none began are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn busy(&self, sweep: &str, since: &[UnixSeconds]) -> Result<Vec<Busy>> {
        if since.is_empty() {
            return Ok(Vec::new());
        }
        let ends = since.iter().skip(1).copied().chain([f64::MAX]);
        let mut query = QueryBuilder::new("with stretch (since, next) as (");
        query.push_values(since.iter().zip(ends), |mut row, (since, next)| {
            row.push_bind(since).push_bind(next);
        });
        query
            .push(
                ") select since, max(coalesce(heard_at, ended_at, started_at)) as until,
                        total(charged_s + coalesce(heard_at - stretch_at, 0)) as charged_s
                 from attempt cross join stretch on started_at >= since and started_at < next
                 where exists (select 1 from trial_segment as planned
                               where planned.segment_id = attempt.segment_id and sweep = ",
            )
            .push_bind(sweep)
            .push(") group by since order by since");
        query.build().fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<Busy> {
    Ok(Busy {
        since: row.try_get("since")?,
        until: row.try_get("until")?,
        charged_s: row.try_get("charged_s")?,
    })
}

#[cfg(test)]
mod tests {
    use spec::TrainerEvent;

    use super::*;
    use crate::testing::{finished, on_cpu, planned_store};

    #[tokio::test]
    async fn attempts_are_counted_and_charged_to_the_stretch_that_they_began_in() {
        let (test, plan) = planned_store().await;
        let store = &test.store;
        let id = plan.id(0);
        let lost = store.begin_attempt(id, &on_cpu(), 10.0).await.unwrap();
        let started = TrainerEvent::Started { step: 0 };
        assert!(store.record(id, lost, &started, 11.0).await.unwrap());
        assert!(store.lose_attempt(id, lost, "killed", 14.0).await.unwrap());
        let second = store.begin_attempt(id, &on_cpu(), 20.0).await.unwrap();
        assert!(store.record(id, second, &started, 20.0).await.unwrap());
        assert!(store.record(id, second, &finished(80, 80, 7.0), 28.0).await.unwrap());
        let counts = AttemptCounts { attempts: 2, retries: 1, lost: 1 };
        assert_eq!(store.attempt_counts("small").await.unwrap(), counts);
        let planned: f64 = plan.segments.iter().map(spec::SegmentSpec::train_flops).sum();
        assert_eq!(store.planned_flops("small").await.unwrap(), planned);
        let busy = store.busy("small", &[9.0, 15.0, 100.0]).await.unwrap();
        let (first, last) = (busy[0], busy[1]);
        assert_eq!((busy.len(), first.since, first.charged_s), (2, 9.0, 4.0));
        assert_eq!(last, Busy { since: 15.0, until: 28.0, charged_s: 7.0 });
        assert_eq!(store.busy("small", &[]).await.unwrap(), []);
        assert_eq!(store.busy("none", &[1.0]).await.unwrap(), []);
    }
}

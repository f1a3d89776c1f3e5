//! Table `provenance`: what each invocation of a sweep ran from and on.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::Result;
use crate::{Store, UnixSeconds};

/// One invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    pub at: UnixSeconds,
    /// Commit and dirty flag, versions, devices, threads, command line.
    pub json: String,
}

impl Store {
    /// Adds an invocation to a sweep.
    ///
    /// # Errors
    /// An unknown sweep, or text that is no JSON.
    pub async fn save_provenance(&self, sweep: &str, json: &str, now: UnixSeconds) -> Result<()> {
        sqlx::query("insert into provenance (sweep, at, json) values (?1, ?2, ?3)")
            .bind(sweep)
            .bind(now)
            .bind(json)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All invocations of a sweep, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn provenance(&self, sweep: &str) -> Result<Vec<Provenance>> {
        let rows = sqlx::query("select at, json from provenance where sweep = ?1 order by id");
        rows.bind(sweep).fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<Provenance> {
    Ok(Provenance { at: row.try_get("at")?, json: row.try_get("json")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::planned_store;

    #[tokio::test]
    async fn every_invocation_is_kept_in_order() {
        let (test, _) = planned_store().await;
        for (json, now) in [(r#"{"dirty":true}"#, 1.0), ("{}", 2.0)] {
            test.store.save_provenance("small", json, now).await.unwrap();
        }
        let found = test.store.provenance("small").await.unwrap();
        assert_eq!(found[0], Provenance { at: 1.0, json: r#"{"dirty":true}"#.into() });
        assert_eq!(found.len(), 2);
        assert!(test.store.save_provenance("unknown", "{}", 3.0).await.is_err());
    }
}

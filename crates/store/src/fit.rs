//! Table `fit`: estimated laws. The same law over the same inputs is one row.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::Result;
use crate::{Store, UnixSeconds};

/// A fit to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitRecord {
    pub sweep: String,
    /// Name of the law: `m2`, `zhai`.
    pub law: String,
    /// Column on the x axis.
    pub x: String,
    /// Column on the y axis.
    pub y: String,
    /// Hash of the points, the seed and the settings that the fit was made from.
    pub inputs_hash: String,
    /// The fit itself.
    pub json: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoredFit {
    pub id: i64,
    pub record: FitRecord,
    pub created_at: UnixSeconds,
}

impl Store {
    /// Saves a fit; one of the same sweep, law, axes and inputs is replaced.
    ///
    /// # Errors
    /// An unknown sweep, or text that is no JSON.
    pub async fn save_fit(&self, fit: &FitRecord, now: UnixSeconds) -> Result<()> {
        sqlx::query(
            "insert into fit (sweep, law, x, y, inputs_hash, created_at, json)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             on conflict (sweep, law, x, y, inputs_hash) do update
             set created_at = excluded.created_at, json = excluded.json",
        )
        .bind(&fit.sweep)
        .bind(&fit.law)
        .bind(&fit.x)
        .bind(&fit.y)
        .bind(&fit.inputs_hash)
        .bind(now)
        .bind(&fit.json)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All fits of a sweep, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn fits(&self, sweep: &str) -> Result<Vec<StoredFit>> {
        let rows = sqlx::query(
            "select id, sweep, law, x, y, inputs_hash, created_at, json
             from fit where sweep = ?1 order by created_at, id",
        );
        rows.bind(sweep).fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<StoredFit> {
    let record = FitRecord {
        sweep: row.try_get("sweep")?,
        law: row.try_get("law")?,
        x: row.try_get("x")?,
        y: row.try_get("y")?,
        inputs_hash: row.try_get("inputs_hash")?,
        json: row.try_get("json")?,
    };
    Ok(StoredFit { id: row.try_get("id")?, record, created_at: row.try_get("created_at")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::planned_store;

    #[tokio::test]
    async fn a_fit_of_the_same_inputs_is_replaced_and_another_added() {
        let (test, _) = planned_store().await;
        let fit = |inputs_hash: &str, json: &str| FitRecord {
            sweep: "small".into(),
            law: "m2".into(),
            x: "train_flops".into(),
            y: "val_error".into(),
            inputs_hash: inputs_hash.into(),
            json: json.into(),
        };
        let saved = [fit("h1", r#"{"a":1}"#), fit("h1", r#"{"a":2}"#), fit("h2", r#"{"a":3}"#)];
        for (fit, now) in saved.iter().zip([1.0, 2.0, 3.0]) {
            test.store.save_fit(fit, now).await.unwrap();
        }
        let fits = test.store.fits("small").await.unwrap();
        assert_eq!(fits.iter().map(|fit| &fit.record).collect::<Vec<_>>(), [&saved[1], &saved[2]]);
        assert!(test.store.save_fit(&fit("h3", "no JSON"), 4.0).await.is_err());
    }
}

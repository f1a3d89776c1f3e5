//! Table `calibration`: what a step of a workload takes on a device, measured before a sweep; and what
//! its attempts have taken since.

use std::collections::HashMap;

use spec::Id;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::convert::{optional_signed, optional_unsigned, unsigned};
use crate::error::Result;
use crate::{Store, UnixSeconds};

/// What a short trial of a workload measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// [`spec::Recipe::workload_id`].
    pub workload: Id,
    /// The device's own name.
    pub device_name: String,
    pub threads: u32,
    /// Seconds of a training step; None where the workload takes none.
    pub step_s: Option<f64>,
    /// Seconds of evaluating an example.
    pub example_s: Option<f64>,
    /// Most memory that was held at once; None if not known.
    pub peak_bytes: Option<u64>,
    /// The device's memory did not suffice.
    pub out_of_memory: bool,
}

/// What the finished attempts of a workload took together on one kind of device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredCost {
    pub attempts: u64,
    /// Training steps; more than 0.
    pub steps: u64,
    /// Seconds of these attempts: steps, evaluations and checkpoints.
    pub device_s: f64,
    /// Of the attempt that held most.
    pub peak_bytes: Option<u64>,
}

impl Store {
    /// Saves calibrations; one of the same workload, device and threads is replaced.
    ///
    /// # Errors
    /// The database's; then none is saved.
    pub async fn save_calibrations(
        &self,
        calibrations: &[Calibration],
        now: UnixSeconds,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        for calibration in calibrations {
            sqlx::query(
                "insert or replace into calibration values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .bind(calibration.workload.to_string())
            .bind(&calibration.device_name)
            .bind(calibration.threads)
            .bind(calibration.step_s)
            .bind(calibration.example_s)
            .bind(optional_signed("peak_bytes", calibration.peak_bytes)?)
            .bind(calibration.out_of_memory)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The calibrations of one kind of device, by workload.
    ///
    /// # Errors
    /// The database's.
    pub async fn calibrations(
        &self,
        device_name: &str,
        threads: u32,
    ) -> Result<HashMap<Id, Calibration>> {
        let rows = sqlx::query("select * from calibration where device_name = ?1 and threads = ?2");
        let rows = rows.bind(device_name).bind(threads).fetch_all(&self.pool).await?;
        let by_workload = |row| read(row).map(|found| (found.workload, found));
        rows.iter().map(by_workload).collect()
    }

    /// What finished attempts took on one kind of device, by workload. Segments that an older version
    /// stored have none until their sweep is saved again.
    ///
    /// # Errors
    /// The database's.
    pub async fn measured_costs(
        &self,
        device_name: &str,
        threads: u32,
    ) -> Result<HashMap<Id, MeasuredCost>> {
        let rows = sqlx::query(
            "select workload, count(*) as attempts, sum(steps) as steps, sum(device_s) as device_s,
                    max(peak_bytes) as peak_bytes
             from attempt join segment using (segment_id)
             where outcome = 'finished' and device_name = ?1 and threads = ?2
               and steps > 0 and device_s is not null and workload is not null
             group by workload",
        );
        let rows = rows.bind(device_name).bind(threads).fetch_all(&self.pool).await?;
        let cost = |row: &SqliteRow| {
            let cost = MeasuredCost {
                attempts: unsigned("attempts", row.try_get("attempts")?)?,
                steps: unsigned("steps", row.try_get("steps")?)?,
                device_s: row.try_get("device_s")?,
                peak_bytes: optional_unsigned("peak_bytes", row.try_get("peak_bytes")?)?,
            };
            Ok((row.try_get::<&str, _>("workload")?.parse()?, cost))
        };
        rows.iter().map(cost).collect()
    }
}

fn read(row: &SqliteRow) -> Result<Calibration> {
    Ok(Calibration {
        workload: row.try_get::<&str, _>("workload")?.parse()?,
        device_name: row.try_get("device_name")?,
        threads: row.try_get("threads")?,
        step_s: row.try_get("step_s")?,
        example_s: row.try_get("example_s")?,
        peak_bytes: optional_unsigned("peak_bytes", row.try_get("peak_bytes")?)?,
        out_of_memory: row.try_get("out_of_memory")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{empty_store, on_cpu, planned_store};

    #[tokio::test]
    async fn a_calibration_belongs_to_a_device_and_the_newest_stands() {
        let store = empty_store().await.store;
        let calibration = |device_name: &str, step_s| Calibration {
            workload: Id::of(&1),
            device_name: device_name.into(),
            threads: 1,
            step_s,
            example_s: Some(1e-4),
            peak_bytes: Some(1 << 30),
            out_of_memory: step_s.is_none(),
        };
        let slow = calibration("slow", Some(0.5));
        let saved = [calibration("fast", Some(0.1)), slow.clone()];
        store.save_calibrations(&saved, 1.0).await.unwrap();
        store.save_calibrations(&[calibration("fast", None)], 2.0).await.unwrap();
        let fast = store.calibrations("fast", 1).await.unwrap();
        assert_eq!(fast, HashMap::from([(Id::of(&1), calibration("fast", None))]));
        assert_eq!(store.calibrations("slow", 1).await.unwrap()[&slow.workload], slow);
        assert!(store.calibrations("slow", 2).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn finished_attempts_tell_what_their_workload_takes() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        test.finish(&plan.segments[1], 1.0, 2.0).await;
        test.begin(plan.id(2)).await;
        let on = on_cpu();
        let costs = test.store.measured_costs(&on.device_name, on.threads).await.unwrap();
        let workload = plan.segments[0].recipe.workload_id(None);
        let cost = MeasuredCost { attempts: 2, steps: 100, device_s: 7.0, peak_bytes: Some(1000) };
        assert_eq!(costs, HashMap::from([(workload, cost)]));
        assert!(test.store.measured_costs("another", on.threads).await.unwrap().is_empty());
    }
}

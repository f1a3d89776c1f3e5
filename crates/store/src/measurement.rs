//! Table `measurement`: one value of one metric after one step of one segment. A continued attempt
//! reports steps again that a lost one had reported: the newest word stands.

use sqlx::{QueryBuilder, SqliteConnection};

use crate::error::Result;

pub(crate) struct Measurement<'a> {
    pub segment_id: &'a str,
    pub metric: &'a str,
    pub step: i64,
    pub value: f64,
}

/// Rows per insert, chosen by measurement: beyond this the call no longer matters.
const ROWS: usize = 256;

pub(crate) async fn insert(
    conn: &mut SqliteConnection,
    measurements: &[Measurement<'_>],
) -> Result<()> {
    for rows in measurements.chunks(ROWS) {
        let mut insert =
            QueryBuilder::new("insert into measurement (segment_id, metric, step, value) ");
        insert.push_values(rows, |mut row, measurement| {
            // A value that was measured and is no number is a row without one.
            let value = Some(measurement.value).filter(|value| value.is_finite());
            row.push_bind(measurement.segment_id)
                .push_bind(measurement.metric)
                .push_bind(measurement.step)
                .push_bind(value);
        });
        insert.push(" on conflict (segment_id, metric, step) do update set value = excluded.value");
        insert.build().execute(&mut *conn).await?;
    }
    Ok(())
}

//! Table `spec`: the text of every trial and segment, under the id that is its hash.

use serde::Serialize;
use spec::Id;
use sqlx::{QueryBuilder, SqliteConnection};

use crate::error::Result;

/// Adds texts of [`spec::canonical_json`] that are not there yet.
pub(crate) async fn insert_missing(
    conn: &mut SqliteConnection,
    texts: impl Iterator<Item = String>,
) -> Result<()> {
    let rows = texts.map(|text| (Id::of_canonical(&text).to_string(), text));
    let mut insert = QueryBuilder::new("insert into spec (id, json) ");
    insert.push_values(rows, |mut row, (id, text)| {
        row.push_bind(id).push_bind(text);
    });
    insert.push(" on conflict (id) do nothing").build().execute(conn).await?;
    Ok(())
}

/// A list as one value to bind, which `json_each` takes apart: a statement for all of it.
pub(crate) fn json(list: &impl Serialize) -> String {
    serde_json::to_string(list).expect("ids and numbers are JSON")
}

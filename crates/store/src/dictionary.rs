//! Table `dictionary`: what the store says of itself, every table, view and column with its unit.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Store;
use crate::error::Result;

/// A table or a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub name: String,
    pub is_view: bool,
    pub meaning: String,
    pub columns: Vec<Described>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    pub unit: Option<String>,
    /// None where the name says it.
    pub meaning: Option<String>,
}

impl Store {
    /// Views, then tables.
    ///
    /// # Errors
    /// The database's.
    pub async fn dictionary(&self) -> Result<Vec<Relation>> {
        let rows = sqlx::query(
            "select relation, type = 'view' as is_view, position, column_name, unit, meaning,
                    min(dictionary.rowid) over (partition by relation) as first
             from dictionary join sqlite_schema on name = relation and type in ('table', 'view')
             order by is_view desc, first, position",
        );
        let mut relations = Vec::new();
        for row in rows.fetch_all(&self.pool).await? {
            add(&mut relations, &row)?;
        }
        Ok(relations)
    }
}

/// A relation's own row comes before those of its columns.
fn add(relations: &mut Vec<Relation>, row: &SqliteRow) -> Result<()> {
    let meaning: Option<String> = row.try_get("meaning")?;
    match (row.try_get("column_name")?, relations.last_mut()) {
        (Some(name), Some(relation)) => {
            relation.columns.push(Described { name, unit: row.try_get("unit")?, meaning });
        }
        (_, _) => relations.push(Relation {
            name: row.try_get("relation")?,
            is_view: row.try_get("is_view")?,
            meaning: meaning.unwrap_or_default(),
            columns: Vec::new(),
        }),
    }
    Ok(())
}

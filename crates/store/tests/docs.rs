//! docs/store.md describes the store that there is: every table, view and column, in its order.

use std::collections::BTreeMap;

use store::{Store, Value, query};

/// `Table name` or `View name` to its columns.
type Schema = BTreeMap<String, Vec<String>>;

#[tokio::test]
async fn the_documented_columns_are_those_of_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    Store::open(&path).await.unwrap().close().await;
    let sql = "select upper(substr(t.type, 1, 1)) || substr(t.type, 2) || ' ' || t.name, c.name
               from sqlite_schema as t, pragma_table_info(t.name) as c
               where t.type in ('table', 'view') and t.name not like 'sqlite_%' order by t.name, c.cid";
    let mut found = Schema::new();
    for row in query(&path, sql).await.unwrap().rows {
        let [Value::Text(table), Value::Text(column)] = row.as_slice() else { panic!("{row:?}") };
        found.entry(table.clone()).or_default().push(column.clone());
    }
    assert_eq!(documented(include_str!("../../../docs/store.md")), found);
}

/// Headings ``## Table `name` ``, and below each the first cell of its rows: `` | `column` | ``.
fn documented(text: &str) -> Schema {
    let mut schema = Schema::new();
    let mut table = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = Some(heading.replace('`', ""));
        } else if let (Some(table), Some(row)) = (&table, line.strip_prefix("| `")) {
            let (column, _) = row.split_once('`').expect("a quoted name is closed");
            schema.entry(table.clone()).or_default().push(column.to_owned());
        }
    }
    schema
}

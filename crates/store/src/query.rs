//! Anyone's questions to the store, none of which can change it or any other file. Four walls: only
//! statements that read are let through, one at a time; the file is opened read-only, which an
//! attached one inherits; the connection refuses writes; and it has no extensions to load.

use std::path::Path;

use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{
    AssertSqlSafe, Column, Executor, Row, SqlSafeStr, SqliteConnection, Statement, TypeInfo,
    ValueRef,
};

use crate::Store;
use crate::open::OpenError;
use crate::statement::{first_words, numbered};

/// What a statement answered.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// Names of the columns, also when there are no rows. They may repeat.
    pub columns: Vec<String>,
    /// Units of the columns whose names have one in the dictionary, wherever they are in the store.
    pub units: Vec<Option<String>>,
    pub rows: Vec<Vec<Value>>,
}

/// A value as SQLite holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("no SQL statement was given")]
    Empty,
    #[error("{0} SQL statements were given; one at a time is answered")]
    Several(usize),
    #[error(
        "a query may only read: it begins with select, values, with or explain, not with `{0}`"
    )]
    NotAQuestion(String),
    #[error("a value is given for `{name}`, which is no parameter of this statement; {}", known_parameters(.known))]
    UnknownParameter { name: String, known: Vec<String> },
    #[error("no value is given for the parameter `:{0}`")]
    MissingParameter(String),
    #[error("two values are given for the parameter `:{0}`")]
    RepeatedParameter(String),
    #[error("parameters have names here: write `:name` instead of `?`")]
    Nameless,
    /// SQLite's own message: syntax, unknown columns, an attempt to write.
    #[error("{message}", message = message(.0))]
    Sql(#[from] sqlx::Error),
}

/// Answers one statement that reads, on a connection of its own.
///
/// # Errors
/// A store that cannot be opened; a statement that is none, several, wrong, or would write.
pub async fn query(path: &Path, sql: &str) -> Result<QueryResult, QueryError> {
    query_with(path, sql, &[]).await
}

/// As [`query`], with values for the statement's parameters: `:name`.
///
/// # Errors
/// Those of [`query`]; a parameter without a value, or a value without a parameter.
pub async fn query_with(
    path: &Path,
    sql: &str,
    values: &[(String, Value)],
) -> Result<QueryResult, QueryError> {
    refuse_all_but_questions(sql)?;
    let (sql, names) = numbered(sql);
    let values = in_order(&names, values)?;
    let store = Store::open_read_only(path).await?;
    let result = async { answer(&mut *store.pool.acquire().await?, &sql, values).await };
    let result = result.await;
    store.close().await;
    result
}

/// A value for each parameter, in the order of their numbers.
fn in_order<'a>(
    names: &[String],
    values: &'a [(String, Value)],
) -> Result<Vec<&'a Value>, QueryError> {
    for (at, (name, _)) in values.iter().enumerate() {
        if !names.contains(name) {
            let (name, known) = (name.clone(), names.to_vec());
            return Err(QueryError::UnknownParameter { name, known });
        }
        if values[..at].iter().any(|(before, _)| before == name) {
            return Err(QueryError::RepeatedParameter(name.clone()));
        }
    }
    let value = |name: &String| {
        let found = values.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        found.ok_or_else(|| QueryError::MissingParameter(name.clone()))
    };
    names.iter().map(value).collect()
}

fn known_parameters(known: &[String]) -> String {
    match known {
        [] => "it has none".to_owned(),
        _ => format!("it has :{}", known.join(", :")),
    }
}

fn refuse_all_but_questions(sql: &str) -> Result<(), QueryError> {
    match first_words(sql).as_slice() {
        [] => Err(QueryError::Empty),
        [word] => match word.as_str() {
            "select" | "values" | "with" | "explain" => Ok(()),
            other => Err(QueryError::NotAQuestion(other.to_owned())),
        },
        several => Err(QueryError::Several(several.len())),
    }
}

async fn answer(
    connection: &mut SqliteConnection,
    sql: &str,
    values: Vec<&Value>,
) -> Result<QueryResult, QueryError> {
    // Arbitrary SQL is what this function is for; the walls are in the module's head.
    let text = AssertSqlSafe(sql.to_owned()).into_sql_str();
    let statement = (&mut *connection).prepare(text.clone()).await?;
    let n_parameters = statement.parameters().map_or(0, |count| count.right_or(0));
    if n_parameters != values.len() {
        return Err(QueryError::Nameless);
    }
    let columns: Vec<_> =
        statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let bound = values.into_iter().fold(sqlx::query(text), |query, value| match value {
        Value::Null => query.bind(None::<i64>),
        Value::Integer(number) => query.bind(*number),
        Value::Real(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.clone()),
        Value::Blob(bytes) => query.bind(bytes.clone()),
    });
    let rows = bound.fetch_all(&mut *connection).await?;
    let rows = rows.iter().map(read).collect::<sqlx::Result<_>>()?;
    let units = units(connection, &columns).await?;
    Ok(QueryResult { columns, units, rows })
}

/// Names that are of several units have none.
async fn units(
    connection: &mut SqliteConnection,
    columns: &[String],
) -> sqlx::Result<Vec<Option<String>>> {
    let known: Vec<(String, String)> = sqlx::query_as(
        "select column_name, min(unit) from dictionary where column_name is not null
         group by column_name having count(unit) = count(*) and count(distinct unit) = 1",
    )
    .fetch_all(connection)
    .await?;
    let unit = |column: &String| {
        known.iter().find(|(name, _)| name == column).map(|(_, unit)| unit.clone())
    };
    Ok(columns.iter().map(unit).collect())
}

fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

fn read(row: &SqliteRow) -> sqlx::Result<Vec<Value>> {
    (0..row.len()).map(|column| read_value(row, column)).collect()
}

fn read_value(row: &SqliteRow, column: usize) -> sqlx::Result<Value> {
    let value: SqliteValueRef<'_> = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let kind = value.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" => Value::Integer(row.try_get_unchecked(column)?),
        "REAL" => Value::Real(row.try_get_unchecked(column)?),
        "BLOB" => Value::Blob(row.try_get_unchecked(column)?),
        // SQLite has one more type, and turns any other declared name into text.
        _ => Value::Text(row.try_get_unchecked(column)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestStore, planned_store};

    /// The walls behind the first one: what would happen if these statements were let through.
    async fn without_the_first_wall(
        test: &TestStore,
        statements: &[String],
    ) -> Result<(), QueryError> {
        let store = Store::open_read_only(&test.path).await.unwrap();
        let mut connection = store.pool.acquire().await.unwrap();
        for sql in statements {
            answer(&mut connection, sql, Vec::new()).await?;
        }
        Ok(())
    }

    /// Another store beside the first.
    async fn other_store(test: &TestStore) -> String {
        let path = test.path.with_file_name("other.db");
        Store::open(&path).await.unwrap().close().await;
        path.display().to_string()
    }

    #[tokio::test]
    async fn every_kind_of_value_and_the_columns_of_no_rows_come_back() {
        let (test, _) = planned_store().await;
        let result =
            query(&test.path, "select null as n, 1, 2.5 as r, 'ü' as t, x'00ff' as b, '' as e");
        let result = result.await.unwrap();
        assert_eq!(result.columns, ["n", "1", "r", "t", "b", "e"]);
        let row = vec![
            Value::Null,
            Value::Integer(1),
            Value::Real(2.5),
            Value::Text("ü".into()),
            Value::Blob(vec![0, 255]),
            Value::Text(String::new()),
        ];
        assert_eq!(result.rows, [row]);
        let none = query(&test.path, "select shape, val_error from trial_result where false;");
        let none = none.await.unwrap();
        assert_eq!((none.columns.len(), none.rows.len()), (2, 0));
        let mixed = query(&test.path, "values (1), ('a'), (null)").await.unwrap();
        let column: Vec<_> = mixed.rows.concat();
        assert_eq!(column, [Value::Integer(1), Value::Text("a".into()), Value::Null]);
    }

    #[tokio::test]
    async fn nothing_that_writes_gets_through() {
        let (test, _) = planned_store().await;
        let version = "select user_version from pragma_user_version";
        let version_before = test.value(version).await;
        let (other, copy) = (other_store(&test).await, test.path.with_file_name("copy.db"));
        let before = std::fs::read(&other).unwrap();
        let statements = [
            "insert into sweep values ('x', 1, 1, '', '{}')".to_owned(),
            "update trial set seed = 1".to_owned(),
            "delete from trial".to_owned(),
            "with t as (select 1) delete from trial".to_owned(),
            "drop table trial".to_owned(),
            "create table t (x)".to_owned(),
            "pragma user_version = 7".to_owned(),
            "pragma journal_mode = delete".to_owned(),
            "pragma query_only = off".to_owned(),
            format!("attach '{other}' as other"),
            format!("vacuum into '{}'", copy.display()),
            "begin immediate".to_owned(),
            "/* select */ replace into sweep values ('x', 1, 1, '', '{}')".to_owned(),
            "select 1; delete from trial".to_owned(),
            "reindex".to_owned(),
        ];
        for sql in statements {
            let result = query(&test.path, &sql).await;
            assert!(result.is_err(), "{sql}: {result:?}");
        }
        assert!(!copy.exists());
        assert_eq!(std::fs::read(&other).unwrap(), before);
        assert_eq!(test.value("select count(*) from trial").await, Value::Integer(2));
        assert_eq!(test.value(version).await, version_before);
    }

    #[tokio::test]
    async fn the_connection_itself_refuses_writes() {
        let (test, _) = planned_store().await;
        let (other, copy) = (other_store(&test).await, test.path.with_file_name("copy.db"));
        let attach = format!("attach '{other}' as other");
        let [create, update] = ["create table other.t (x)", "update trial set seed = 1"];
        let off = "pragma query_only = off".to_owned();
        for statements in [
            vec![update.to_owned()],
            vec![off.clone(), update.to_owned()],
            vec![attach.clone(), create.to_owned()],
            vec![off, attach, create.to_owned()],
            // Leaves an empty file behind, for which the first wall is needed.
            vec![format!("vacuum into '{}'", copy.display())],
        ] {
            let result = without_the_first_wall(&test, &statements).await;
            let message = result.unwrap_err().to_string();
            assert!(message.contains("readonly database"), "{statements:?}: {message}");
        }
    }

    #[tokio::test]
    async fn parameters_are_values_and_never_sql() {
        let (test, _) = planned_store().await;
        let sql = "select count(*), :other from sweep_trial where sweep = :sweep";
        let count = async |sweep: &str| {
            let values = [("sweep", sweep), ("other", "ü")]
                .map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned())));
            let result = query_with(&test.path, sql, &values).await.unwrap();
            result.rows[0].clone()
        };
        let row = |n| [Value::Integer(n), Value::Text("ü".into())];
        assert_eq!(count("small").await, row(2));
        assert_eq!(count("small' or '1' = '1").await, row(0));
        assert_eq!(count("x'; delete from trial; --").await, row(0));
        let typed = [("a".to_owned(), Value::Real(0.5)), ("b".to_owned(), Value::Null)];
        let result = query_with(&test.path, "select :a * 2, $b is null, :a", &typed).await.unwrap();
        assert_eq!(result.rows[0], [Value::Real(1.0), Value::Integer(1), Value::Real(0.5)]);
    }

    #[tokio::test]
    async fn parameters_and_values_have_to_meet() {
        let (test, _) = planned_store().await;
        let value = |name: &str| (name.to_owned(), Value::Integer(1));
        for (sql, values, expected) in [
            ("select :a", vec![], "no value is given for the parameter `:a`"),
            ("select :a", vec![value("a"), value("b")], "it has :a"),
            ("select ':a'", vec![value("a")], "it has none"),
            ("select :a", vec![value("a"), value("a")], "two values"),
            ("select ?", vec![], "write `:name`"),
            ("select ?2, :a", vec![value("a")], "write `:name`"),
        ] {
            let message = query_with(&test.path, sql, &values).await.unwrap_err().to_string();
            assert!(message.contains(expected), "{sql}: {message}");
        }
    }

    #[tokio::test]
    async fn columns_have_the_units_of_the_dictionary() {
        let (test, _) = planned_store().await;
        let sql = "select train_flops, device_s, shape, 1 as mine, 2 as step from attempt_cost";
        let units = query(&test.path, sql).await.unwrap().units;
        let units: Vec<_> = units.iter().map(Option::as_deref).collect();
        assert_eq!(units, [Some("FLOPs"), Some("s"), None, None, Some("steps")]);
    }

    #[tokio::test]
    async fn errors_say_what_sqlite_says() {
        let (test, _) = planned_store().await;
        for (sql, expected) in [
            ("select from trial", "near \"from\": syntax error"),
            ("select losss from trial_result", "no such column: losss"),
            ("", "no SQL statement"),
            ("select 1; select 2", "2 SQL statements"),
            ("drop table trial", "not with `drop`"),
            ("with t as (select 1) delete from trial", "readonly database"),
        ] {
            let message = query(&test.path, sql).await.unwrap_err().to_string();
            assert!(message.contains(expected), "{sql}: {message}");
        }
    }
}

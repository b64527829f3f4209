//! A few records of a model, for whoever looks for one to try something on.
//!
//! The query is put together here; each identifier in it comes from the database's own catalogue.

use sqlx::{AssertSqlSafe, PgPool};

use super::instances::is_its_own;
use super::models::quoted;
use crate::group_commit::is_outage;
use crate::model::Table;

/// A record by its key, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// One text for each key column.
    pub key: Vec<String>,
    /// Its label, where the model has one.
    pub label: Option<String>,
}

/// The records of a model with the highest keys: at most `limit`, the highest first. None where the model cannot be read.
///
/// # Errors
/// The database cannot be reached.
pub async fn highest(reader: &PgPool, table: &Table, limit: i64) -> Result<Vec<Sample>, sqlx::Error> {
    let model = &table.model;
    if model.key.iter().chain(&model.label).any(|name| table.column(name).is_none()) {
        return Ok(Vec::new());
    }
    let texts = model.key.iter().map(|name| format!("{}::text", quoted(name))).collect::<Vec<_>>().join(", ");
    let order = model.key.iter().map(|name| format!("{} desc", quoted(name))).collect::<Vec<_>>().join(", ");
    let there = model.key.iter().map(|name| format!("{} is not null", quoted(name))).collect::<Vec<_>>();
    let label = model.label.as_ref().map_or_else(|| "null".to_owned(), |name| quoted(name));
    let (schema, name) = &table.place;
    let sql = format!(
        "select array[{texts}], left({label}::text, 80) from {}.{} where {} order by {order} limit $1",
        quoted(schema),
        quoted(name),
        there.join(" and ")
    );
    let found: Result<Vec<(Vec<String>, Option<String>)>, _> =
        sqlx::query_as(AssertSqlSafe(sql)).bind(limit).fetch_all(reader).await;
    match found {
        Ok(rows) => Ok(rows.into_iter().map(|(key, label)| Sample { key, label }).collect()),
        Err(error) if is_outage(&error) && !is_its_own(&error) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

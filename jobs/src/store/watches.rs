//! Watched tables of the host.

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::ChangeError;
use crate::event_rule::On;
use crate::refusal::Refusal;

/// A table that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What rules name it by.
    pub id: i64,
    /// Schema and name.
    pub table: (String, String),
    /// What of it.
    pub on: String,
    /// Whether its trigger is there, and enabled.
    pub has_trigger: bool,
}

/// Why a watch or a rule was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// A field cannot be as it was said.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached.
    #[error("{}", super::complaint(.0))]
    Database(#[from] sqlx::Error),
}

impl From<WatchError> for ChangeError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Refused(refusal) => Self::Refused(refusal),
            WatchError::Database(error) => Self::Database(error),
        }
    }
}

/// Watches a table, written as in SQL. The same again is the same watch.
///
/// # Errors
/// There is no such table or column, or this user may put no trigger on it.
pub async fn watch(connection: &mut PgConnection, table: &str, on: &On) -> Result<i64, WatchError> {
    let watched = sqlx::query_scalar!(
        r#"select herald.watch(to_regclass($1), $2, $3, $4) as "id!" where to_regclass($1) is not null"#,
        table,
        on.operation,
        on.column,
        on.value
    )
    .fetch_optional(connection)
    .await;
    match watched {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(Refusal::new("table", format!("there is no table {table}")).into()),
        Err(error) => Err(refused(error)),
    }
}

/// Watches no more. `false`: there is no such watch.
///
/// # Errors
/// Rules read it, or this user may not drop its trigger.
pub async fn unwatch(connection: &mut PgConnection, id: i64) -> Result<bool, WatchError> {
    let gone = sqlx::query_scalar!(r#"select herald.unwatch($1) as "gone!""#, id).fetch_one(connection).await;
    gone.map_err(refused)
}

/// Watches a table for all of these or none, and records who wanted that.
///
/// # Errors
/// See [`watch`].
pub async fn add(pool: &PgPool, table: &str, on: &[On], actor: &str) -> Result<Vec<i64>, WatchError> {
    let mut transaction = pool.begin().await?;
    let mut ids = Vec::new();
    for on in on {
        ids.push(watch(&mut transaction, table, on).await?);
        super::audit::record(&mut *transaction, actor, "watch", &format!("{table} {on}")).await?;
    }
    transaction.commit().await?;
    Ok(ids)
}

/// Watches no more, and records who wanted that. `false`: there is no such watch.
///
/// # Errors
/// See [`unwatch`].
pub async fn remove(pool: &PgPool, id: i64, actor: &str) -> Result<bool, WatchError> {
    let mut transaction = pool.begin().await?;
    let is_gone = unwatch(&mut transaction, id).await?;
    if is_gone {
        super::audit::record(&mut *transaction, actor, "watch remove", &id.to_string()).await?;
    }
    transaction.commit().await?;
    Ok(is_gone)
}

fn refused(error: sqlx::Error) -> WatchError {
    let said = error.as_database_error();
    if said.is_some_and(|said| said.constraint() == Some("event_rule_watch")) {
        return Refusal::new("watch", "is read by rules: remove them first").into();
    }
    // What Postgres says of a name that is none, or of a right that is missing: the table's affair, unless it names another field.
    let is_ours = |code: &str| matches!(code.get(..2), Some("0A" | "22" | "3F" | "42")) && code != "22021";
    match said.and_then(|said| Some((said.code()?, said.message()))) {
        Some((code, message)) if is_ours(&code) => {
            let named = message.split_once(": ").filter(|(field, _)| matches!(*field, "table" | "on"));
            let (field, problem) = named.unwrap_or(("table", message));
            Refusal::new(field, problem).into()
        }
        _ => error.into(),
    }
}

/// All watches.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Watch>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select w.id, w.table_schema, w.table_name, w.operation, w.column_name, w.value,
                  (select count(*) = 2 from pg_catalog.pg_trigger t
                   where t.tgrelid = to_regclass(format('%I.%I', w.table_schema, w.table_name)) and t.tgenabled <> 'D'
                     and t.tgname in (format('herald_watch_%s_read', w.id), format('herald_watch_%s_record', w.id))) as "has_trigger!"
           from herald.event_watch w order by w.id"#
    )
    .fetch_all(executor)
    .await?;
    let shown = |operation: String, column: Option<String>, value: Option<String>| {
        let column = column.map_or(String::new(), |it| format!(":{it}"));
        let value = value.map_or(String::new(), |it| format!("={it}"));
        format!("{operation}{column}{value}")
    };
    Ok(rows
        .into_iter()
        .map(|row| Watch {
            id: row.id,
            table: (row.table_schema, row.table_name),
            on: shown(row.operation, row.column_name, row.value),
            has_trigger: row.has_trigger,
        })
        .collect())
}

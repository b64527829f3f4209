//! Watched tables, the rules that read their events, and events themselves.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::{ChangeError, Expect, Saved, lock};
use crate::event_rule::{EventRule, Happened, On};
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

/// Watches a table, and records who wanted that.
///
/// # Errors
/// See [`watch`].
pub async fn add_watch(pool: &PgPool, table: &str, on: &On, actor: &str) -> Result<i64, WatchError> {
    let mut transaction = pool.begin().await?;
    let id = watch(&mut transaction, table, on).await?;
    super::audit::record(&mut *transaction, actor, "watch", &format!("{table} {on}")).await?;
    transaction.commit().await?;
    Ok(id)
}

/// Watches no more, and records who wanted that. `false`: there is no such watch.
///
/// # Errors
/// See [`unwatch`].
pub async fn remove_watch(pool: &PgPool, id: i64, actor: &str) -> Result<bool, WatchError> {
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
pub async fn watches(executor: impl PgExecutor<'_>) -> Result<Vec<Watch>, sqlx::Error> {
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

/// Adds a rule, or replaces the one of this code.
///
/// # Errors
/// Names the field that cannot be: there is no such watch, message type or template.
pub async fn put_rule(connection: &mut PgConnection, rule: &EventRule) -> Result<(), WatchError> {
    rule.validate()?;
    if super::message_types::get(&mut *connection, &rule.message_type).await?.is_none() {
        let problem = format!("there is no message type {}", rule.message_type);
        return Err(Refusal::new("message_type", problem).into());
    }
    if let Some(code) = &rule.template
        && super::message_templates::get(&mut *connection, code).await?.is_none()
    {
        return Err(Refusal::new("template", format!("there is no template {code}")).into());
    }
    let json = serde_json::to_value(rule).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let put = sqlx::query!(
        "insert into herald.event_rule (code, watch_id, rule, enabled) values ($1, $2, $3, $4)
         on conflict (code) do update set watch_id = $2, rule = $3, enabled = $4, updated_at = now()",
        rule.code,
        rule.watch,
        json,
        rule.enabled
    )
    .execute(connection)
    .await;
    match put {
        Err(error)
            if error.as_database_error().is_some_and(|it| it.constraint() == Some("event_rule_watch")) =>
        {
            let problem = format!("there is no watch {}: see herald watch list", rule.watch);
            Err(Refusal::new("watch", problem).into())
        }
        put => Ok(put.map(drop)?),
    }
}

/// Saves a rule where what is there is as expected.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save_rule(
    pool: &PgPool,
    rule: EventRule,
    expect: &Expect,
    actor: &str,
) -> Result<Saved<EventRule>, ChangeError> {
    rule.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "event_rule", &rule.code).await?;
    let current = rule_of(&mut *transaction, &rule.code).await?;
    expect.check(current.as_ref())?;
    put_rule(&mut transaction, &rule).await?;
    super::audit::record(&mut *transaction, actor, "event rule", &rule.code).await?;
    transaction.commit().await?;
    Ok(Saved { value: rule, created: current.is_none() })
}

/// Removes a rule. Answers whether there was one.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn remove_rule(
    pool: &PgPool,
    code: &str,
    expect: &Expect,
    actor: &str,
) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "event_rule", code).await?;
    let Some(current) = rule_of(&mut *transaction, code).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    sqlx::query!("delete from herald.event_rule where code = $1", code).execute(&mut *transaction).await?;
    super::audit::record(&mut *transaction, actor, "event rule remove", code).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The rule of this code.
///
/// # Errors
/// The database cannot be reached.
pub async fn rule_of(executor: impl PgExecutor<'_>, code: &str) -> Result<Option<EventRule>, sqlx::Error> {
    let rule = sqlx::query_scalar!("select rule from herald.event_rule where code = $1", code)
        .fetch_optional(executor)
        .await?;
    rule.map(read_rule).transpose()
}

/// The rules after the code `after`, by code: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list_rules(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<EventRule>, sqlx::Error> {
    let rules = sqlx::query_scalar!(
        "select rule from herald.event_rule where code > $1 order by code limit $2",
        after,
        limit
    )
    .fetch_all(executor)
    .await?;
    rules.into_iter().map(read_rule).collect()
}

fn read_rule(rule: Value) -> Result<EventRule, sqlx::Error> {
    let code = rule["code"].as_str().unwrap_or_default().to_owned();
    serde_json::from_value(rule)
        .map_err(|error| sqlx::Error::Decode(format!("the event rule {code}: {error}").into()))
}

/// All rules, by code; with `watch` those that are on and read it.
///
/// # Errors
/// The database cannot be reached, or a rule is of a later version.
pub async fn rules(executor: impl PgExecutor<'_>, watch: Option<i64>) -> Result<Vec<EventRule>, sqlx::Error> {
    let rules = sqlx::query_scalar!(
        "select rule from herald.event_rule where $1::int8 is null or (watch_id = $1 and enabled) order by code",
        watch
    )
    .fetch_all(executor)
    .await?;
    rules.into_iter().map(read_rule).collect()
}

/// An event that waits, or one that was handled.
#[derive(Clone, Debug)]
pub struct Event {
    /// The watch that saw it.
    pub watch: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub happened: Happened,
    /// What became of it; `None`: it waits.
    pub result: Option<String>,
    /// How often it could not be handled for a passing reason.
    pub tries: i32,
    /// The rules that have sent something for it.
    pub sent_by: Vec<String>,
    /// Its row holds what is no JSON to us, such as half a surrogate.
    pub is_unreadable: bool,
}

/// One row of an event.
macro_rules! event {
    ($row:expr) => {{
        let (old, new) = (row_of($row.old), row_of($row.new));
        Event {
            watch: $row.watch_id,
            at: $row.at,
            result: $row.result,
            tries: $row.tries,
            sent_by: $row.sent_by,
            is_unreadable: old.is_err() || new.is_err(),
            happened: Happened {
                id: $row.id,
                table: ($row.table_schema, $row.table_name),
                old: old.unwrap_or_default(),
                new: new.unwrap_or_default(),
            },
        }
    }};
}

/// The next event that waits, locked until the transaction ends.
///
/// # Errors
/// The database cannot be reached.
pub async fn next(transaction: &mut PgConnection, now: DateTime<Utc>) -> Result<Option<Event>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select e.id, e.watch_id, e.at, e.old::text as old, e.new::text as new, e.result, e.tries, e.sent_by,
                  coalesce(w.table_schema, '') as "table_schema!", coalesce(w.table_name, '') as "table_name!"
           from (select * from herald.event where handled_at is null and (retry_at is null or retry_at <= $1)
                 order by id limit 1 for update skip locked) e
           left join lateral (select * from herald.event_watch w where w.id = e.watch_id) w on true"#,
        now
    )
    .fetch_optional(transaction)
    .await?;
    Ok(row.map(|row| event!(row)))
}

/// Records what became of an event, and which rules have sent something.
///
/// # Errors
/// The database cannot be reached.
pub async fn handled(
    executor: impl PgExecutor<'_>,
    id: i64,
    result: &str,
    sent_by: &[String],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.event set handled_at = $2, result = $3, sent_by = sent_by || $4::text[] where id = $1",
        id,
        now,
        result,
        sent_by
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Leaves an event until `retry_at`, for this reason.
///
/// # Errors
/// The database cannot be reached.
pub async fn postpone(
    executor: impl PgExecutor<'_>,
    id: i64,
    why: &str,
    retry_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.event set tries = tries + 1, retry_at = $3, result = $2 where id = $1 and handled_at is null",
        id,
        why,
        retry_at
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets the rules see an event once more, but for those that have sent something. `false`: no such event was handled.
///
/// # Errors
/// The database cannot be reached.
pub async fn replay(executor: impl PgExecutor<'_>, id: i64) -> Result<bool, sqlx::Error> {
    let replayed = sqlx::query!(
        "update herald.event set handled_at = null, retry_at = null, tries = 0 where id = $1 and handled_at is not null",
        id
    )
    .execute(executor)
    .await?;
    Ok(replayed.rows_affected() == 1)
}

/// The last events, newest first: at most `limit`, those of one watch where it is named.
///
/// # Errors
/// The database cannot be reached.
pub async fn last(pool: &PgPool, watch: Option<i64>, limit: i64) -> Result<Vec<Event>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select e.id, e.watch_id, e.at, e.old::text as old, e.new::text as new, e.result, e.tries, e.sent_by,
                  coalesce(w.table_schema, '') as "table_schema!", coalesce(w.table_name, '') as "table_name!"
           from herald.event e left join lateral (select * from herald.event_watch w where w.id = e.watch_id) w on true
           where $1::int8 is null or e.watch_id = $1 order by e.id desc limit $2"#,
        watch,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| event!(row)).collect())
}

/// Forgets events that were handled before `before`, at most `limit`. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn purge(
    executor: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        "delete from herald.event where id = any(array(
             select id from herald.event where handled_at < $1 order by handled_at limit $2 for update skip locked))",
        before,
        limit
    )
    .execute(executor)
    .await?;
    Ok(purged.rows_affected())
}

fn row_of(text: Option<String>) -> Result<Option<Map<String, Value>>, serde_json::Error> {
    text.map(|text| serde_json::from_str(&text)).transpose()
}

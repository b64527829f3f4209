//! What happened in watched tables, and what became of it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::event_rule::Happened;

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

/// What became of an event.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// In words.
    pub result: &'a str,
    /// A rule could not send what it was to.
    pub failed: bool,
    /// The rules that have sent something.
    pub sent_by: &'a [String],
}

/// Records what became of an event. `false`: somebody else has handled it.
///
/// # Errors
/// The database cannot be reached.
pub async fn handled(
    executor: impl PgExecutor<'_>,
    id: i64,
    outcome: Outcome<'_>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let handled = sqlx::query!(
        "update herald.event set handled_at = $2, result = $3, failed = $4, sent_by = sent_by || $5::text[]
         where id = $1 and handled_at is null",
        id,
        now,
        outcome.result,
        outcome.failed,
        outcome.sent_by
    )
    .execute(executor)
    .await?;
    Ok(handled.rows_affected() == 1)
}

/// Leaves an event until `retry_at`, for this reason; `counts`: the event is to blame, and is given up some time.
///
/// # Errors
/// The database cannot be reached.
pub async fn postpone(
    executor: impl PgExecutor<'_>,
    id: i64,
    why: &str,
    counts: bool,
    retry_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.event set tries = tries + $4::boolean::int, retry_at = $3, result = $2
         where id = $1 and handled_at is null",
        id,
        why,
        retry_at,
        counts
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
        "update herald.event set handled_at = null, retry_at = null, tries = 0, failed = false
         where id = $1 and handled_at is not null",
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
    let mut connection = super::filtering(pool).await?;
    let rows = sqlx::query!(
        r#"select e.id, e.watch_id, e.at, e.old::text as old, e.new::text as new, e.result, e.tries, e.sent_by,
                  coalesce(w.table_schema, '') as "table_schema!", coalesce(w.table_name, '') as "table_name!"
           from herald.event e left join lateral (select * from herald.event_watch w where w.id = e.watch_id) w on true
           where $1::int8 is null or e.watch_id = $1 order by e.id desc limit $2"#,
        watch,
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(rows.into_iter().map(|row| event!(row)).collect())
}

fn row_of(text: Option<String>) -> Result<Option<Map<String, Value>>, serde_json::Error> {
    text.map(|text| serde_json::from_str(&text)).transpose()
}

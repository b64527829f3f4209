//! What operators see of the events of watched tables, and do to those that failed. The rows themselves are not among it.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{audit, events};

/// Rows that one look goes through at most.
const SLICE: i64 = 20_000;

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All that are kept.
    All,
    /// Those of which a rule made something else than a message that was sent.
    #[default]
    Failed,
    /// Those that wait, for the first time or to be tried again.
    Waiting,
}

/// An event, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedEvent {
    /// Key, in the order in which they happened.
    pub id: i64,
    /// The watch that saw it.
    pub watch: i64,
    /// The watched table, as in `sales.purchase_order`; empty: it is watched no more.
    pub table: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What became of it, or why it waits.
    pub result: Option<String>,
    /// It does not wait.
    pub handled: bool,
    /// A rule could not send what it was to.
    pub failed: bool,
}

/// A page of events.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest first.
    pub events: Vec<WatchedEvent>,
    /// Before which to look on; `None`: this is all.
    pub next: Option<i64>,
}

/// Events before the one with the key `before`, those of one watch where it is named: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn page(
    pool: &PgPool,
    (which, watch): (Which, Option<i64>),
    before: Option<i64>,
    limit: i64,
) -> Result<Page, sqlx::Error> {
    let before = before.unwrap_or(i64::MAX);
    // The results are what the workers write: see herald-workers' workflow/events.rs.
    let mut events = sqlx::query_as!(
        WatchedEvent,
        r#"select * from (
             select e.id as "id!", e.watch_id as "watch!", coalesce(w.table_schema || '.' || w.table_name, '') as "table!",
                    e.at as "at!", e.result, e.handled_at is not null as "handled!",
                    coalesce(e.handled_at is not null and e.result <> 'no rule wanted it'
                             and e.result !~ '^[^:]+: sent [0-9]+( without [^;]*)?(; [^:]+: sent [0-9]+( without [^;]*)?)*$', false)
                        as "failed!"
             from ((select id, watch_id, at, result, handled_at from herald.event
                    where $1::int8 is null and id < $2 order by id desc limit $3)
                   union all
                   (select id, watch_id, at, result, handled_at from herald.event
                    where watch_id = $1 and id < $2 order by id desc limit $3)) e
             left join herald.event_watch w on w.id = e.watch_id) found
           where $4 = 'all' or $4 = 'failed' and "failed!" or $4 = 'waiting' and not "handled!"
           order by "id!" desc limit $5"#,
        watch,
        before,
        SLICE,
        match which {
            Which::All => "all",
            Which::Failed => "failed",
            Which::Waiting => "waiting",
        },
        limit + 1
    )
    .fetch_all(pool)
    .await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if events.len() > most {
        events.truncate(most);
        events.last().map(|event| event.id)
    } else {
        end_of_slice(pool, watch, before).await?
    };
    Ok(Page { events, next })
}

/// The last of the rows that were looked through, where there may be more.
async fn end_of_slice(pool: &PgPool, watch: Option<i64>, before: i64) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id!" from (
             (select id from herald.event where $1::int8 is null and id < $2 order by id desc offset $3 limit 1)
             union all
             (select id from herald.event where watch_id = $1 and id < $2 order by id desc offset $3 limit 1)) e"#,
        watch,
        before,
        SLICE - 1
    )
    .fetch_optional(pool)
    .await
}

/// Lets the rules see an event once more, but for those that have sent something. `false`: no such event was handled.
///
/// # Errors
/// The database cannot be reached.
pub async fn replay(pool: &PgPool, id: i64, actor: &str) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let replayed = events::replay(&mut *transaction, id).await?;
    if replayed {
        audit::record(&mut *transaction, actor, "event replay", &id.to_string()).await?;
        transaction.commit().await?;
    }
    Ok(replayed)
}

//! What operators see of the events of watched tables, and do to those that failed. The rows themselves are not among it.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{audit, events};

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All that are kept.
    All,
    /// Those of which a rule could not make what it was to.
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
    let mut connection = super::filtering(pool).await?;
    let mut events = sqlx::query_as!(
        WatchedEvent,
        r#"select e.id, e.watch_id as watch, coalesce(w.table_schema || '.' || w.table_name, '') as "table!", e.at, e.result,
                  e.handled_at is not null as "handled!", e.failed
           from herald.event e left join herald.event_watch w on w.id = e.watch_id
           where ($1::int8 is null or e.watch_id = $1) and ($2::int8 is null or e.id < $2)
             and ($3::text <> 'failed' or e.failed) and ($3 <> 'waiting' or e.handled_at is null)
           order by e.id desc limit $4"#,
        watch,
        before,
        match which {
            Which::All => "all",
            Which::Failed => "failed",
            Which::Waiting => "waiting",
        },
        limit + 1
    )
    .fetch_all(&mut *connection)
    .await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = events.len() > most;
    events.truncate(most);
    let next = if has_more { events.last().map(|event| event.id) } else { None };
    Ok(Page { events, next })
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

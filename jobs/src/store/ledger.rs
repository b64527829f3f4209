//! What operators see of the ledger of copies, and do to it.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::address::Channel;
use crate::deliver::{AttemptOutcome, DeliveryState};
use crate::id::{DeliveryId, MessageId};

/// Which copies to list; a filter that is `None` lets all pass.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// How they stand.
    pub state: Option<DeliveryState>,
    /// How they go out.
    pub channel: Option<Channel>,
    /// Whose copies they are.
    pub message: Option<MessageId>,
    /// Where to; upper and lower case are the same.
    pub address: Option<String>,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Key.
    pub id: Uuid,
    /// The message that it is a copy of.
    pub message_id: Uuid,
    /// E-mail or SMS.
    pub channel: Channel,
    /// Where to; empty where the user has no such address.
    pub address: String,
    /// How it stands.
    pub state: DeliveryState,
    /// The last answer, or why nothing was sent.
    pub reason: Option<String>,
    /// Attempts that count.
    pub attempts: i32,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When a pending copy is tried next.
    pub next_attempt_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its message is there.
    pub has_message: bool,
}

/// Copies, newest first, at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Copy>, sqlx::Error> {
    let (state, channel) = (filter.state.map(DeliveryState::as_str), filter.channel.map(Channel::as_str));
    let message = filter.message.map(|message| message.0);
    let mut connection = super::filtering(pool).await?;
    sqlx::query_as!(
        Copy,
        r#"select d.id, message_id, channel, address, state, reason, attempts, created_at, next_attempt_at, finished_at,
                  exists (select from herald.message m where m.id = message_id) as "has_message!"
           from herald.delivery d
           where ($1::text is null or state = $1) and ($2::text is null or channel = $2)
             and ($3::uuid is null or message_id = $3) and ($4::text is null or lower(address) = lower($4))
           order by id desc limit $5"#,
        state,
        channel,
        message,
        filter.address,
        limit
    )
    .fetch_all(&mut *connection)
    .await
}

/// Rows that one look of [`page`] goes through at most.
const SLICE: i64 = 20_000;

/// A page of copies.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest first.
    pub copies: Vec<Copy>,
    /// Before which to look on; `None`: this is all.
    pub next: Option<DeliveryId>,
}

/// Copies before the one with the id `before`, newest first: at most `limit`. There is no index of what is filtered by, which each copy
/// would pay for: a look goes through a slice of the ledger, and says where the next one begins.
///
/// # Errors
/// The database cannot be reached.
pub async fn page(
    pool: &PgPool,
    filter: &Filter,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Page, sqlx::Error> {
    let before = before.map_or(Uuid::max(), |before| before.0);
    let mut copies = sqlx::query_as!(
        Copy,
        r#"select d.id, message_id, channel, address, state, reason, attempts, created_at, next_attempt_at, finished_at,
                  exists (select from herald.message m where m.id = message_id) as "has_message!"
           from (select * from herald.delivery where id < $4 order by id desc limit $5) d
           where ($1::text is null or state = $1) and ($2::text is null or channel = $2)
             and ($3::text is null or lower(address) = lower($3))
           order by id desc limit $6"#,
        filter.state.map(DeliveryState::as_str),
        filter.channel.map(Channel::as_str),
        filter.address,
        before,
        SLICE,
        limit + 1
    )
    .fetch_all(pool)
    .await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if copies.len() > most {
        copies.truncate(most);
        copies.last().map(|copy| copy.id)
    } else {
        sqlx::query_scalar!(
            "select id from herald.delivery where id < $1 order by id desc offset $2 limit 1",
            before,
            SLICE - 1
        )
        .fetch_optional(pool)
        .await?
    };
    Ok(Page { copies, next: next.map(DeliveryId) })
}

/// One copy.
///
/// # Errors
/// The database cannot be reached.
pub async fn find(executor: impl PgExecutor<'_>, id: DeliveryId) -> Result<Option<Copy>, sqlx::Error> {
    sqlx::query_as!(
        Copy,
        r#"select d.id, message_id, channel, address, state, reason, attempts, created_at, next_attempt_at, finished_at,
                  exists (select from herald.message m where m.id = message_id) as "has_message!"
           from herald.delivery d where d.id = $1"#,
        id.0
    )
    .fetch_optional(executor)
    .await
}

/// One attempt at a copy, with its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The copy.
    pub delivery_id: Uuid,
    /// From 1.
    pub number: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was recorded.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The server's reply code, where there was one.
    pub code: Option<i32>,
    /// The server's own words, or what went wrong here.
    pub reply: String,
}

/// All attempts at these copies, each copy's in their order.
///
/// # Errors
/// The database cannot be reached.
pub async fn attempts(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Attempt>, sqlx::Error> {
    sqlx::query_as!(
        Attempt,
        "select delivery_id, number, started_at, finished_at, outcome, code, reply
         from herald.delivery_attempt where delivery_id = any($1) order by delivery_id, number",
        ids
    )
    .fetch_all(executor)
    .await
}

/// Lets a copy that failed, is unknown or was suppressed be tried again now. Answers whether it was such a copy, with an
/// address and with its message still there.
///
/// # Errors
/// The database cannot be reached.
pub async fn retry(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let retried = sqlx::query!(
        "update herald.delivery d
         set state = 'pending', next_attempt_at = $2, pushed_at = null, finished_at = null
         where id = $1 and state in ('failed', 'unknown', 'suppressed') and address <> ''
           and exists (select from herald.message m
                       where m.id = message_id and herald.status_of(m.status, m.batch_id) not in ('cancelled', 'withdrawn'))",
        id.0,
        now
    )
    .execute(executor)
    .await?;
    Ok(retried.rows_affected() == 1)
}

/// Withdraws a copy that is pending: it is never sent. Answers whether it was such a copy.
///
/// # Errors
/// The database cannot be reached.
pub async fn cancel(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let cancelled = sqlx::query!(
        "update herald.delivery
         set state = 'cancelled', reason = 'Cancelled by an operator.', pushed_at = null, finished_at = $2
         where id = $1 and state = 'pending'",
        id.0,
        now
    )
    .execute(executor)
    .await?;
    Ok(cancelled.rows_affected() == 1)
}

/// How many copies stand in each state.
///
/// # Errors
/// The database cannot be reached.
pub async fn by_state(executor: impl PgExecutor<'_>) -> Result<Vec<(String, String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select channel, state, count(*) as "count!" from herald.delivery
           where state not in ('sent', 'delivered', 'cancelled') group by channel, state"#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.channel, row.state, row.count)).collect())
}

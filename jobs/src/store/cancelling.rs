//! Cancelling what waits: a message by its row, a batch by a mark that its rows follow (`docs/decisions/cancelling.md`).

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::id::MessageId;

/// Cancels a message, and its copies that have not gone out. `false`: it was cancelled before.
///
/// # Errors
/// SQLSTATE 22023: there is no such message; 55000: it was acted on.
pub async fn cancel(executor: impl PgExecutor<'_>, id: MessageId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select herald.cancel_message($1) as "cancelled!""#, id.0).fetch_one(executor).await
}

/// Cancels all that waits of a batch, however many messages that is. `false`: it was cancelled before.
///
/// # Errors
/// SQLSTATE 22023: there is no such batch.
pub async fn cancel_batch(executor: impl PgExecutor<'_>, batch: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select herald.cancel_batch($1) as "cancelled!""#, batch).fetch_one(executor).await
}

/// The batches whose rows have yet to follow, those cancelled first first.
///
/// # Errors
/// The database cannot be reached.
pub async fn cancelling(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from herald.cancelled_batch where followed_at is null order by cancelled_at"
    )
    .fetch_all(executor)
    .await
}

/// A group of rows that followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub many: i64,
    /// The last of its messages; the next group comes after it.
    pub last: Uuid,
}

/// Lets rows of a cancelled batch follow, at most `limit` of each table, and of messages those after this id. `None`: another
/// process is at it.
///
/// # Errors
/// The database cannot be reached; then none followed.
pub async fn follow(
    executor: impl PgExecutor<'_>,
    batch: Uuid,
    after: Uuid,
    limit: i32,
    now: DateTime<Utc>,
) -> Result<Option<Group>, sqlx::Error> {
    let group = sqlx::query!(
        "select many, last from herald.follow_cancelled($1, $2, $3, $4)",
        batch,
        after,
        limit,
        now
    )
    .fetch_one(executor)
    .await?;
    Ok(group.many.zip(group.last).map(|(many, last)| Group { many, last }))
}

/// The transactions that are writing messages or sends right now. A statement locks its table before it looks at what is there, so that
/// one which is not among these sees every batch that was cancelled before this was asked.
///
/// # Errors
/// The database cannot be reached.
pub async fn writers(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct virtualtransaction as "writer!" from pg_catalog.pg_locks
           where locktype = 'relation' and database = (select oid from pg_catalog.pg_database where datname = current_database())
             and relation in ('herald.message'::regclass, 'herald.outbox'::regclass)
             and mode = 'RowExclusiveLock' and granted and pid <> pg_backend_pid()"#
    )
    .fetch_all(pool)
    .await
}

/// Records that nothing of a cancelled batch is left to follow.
///
/// # Errors
/// The database cannot be reached.
pub async fn followed(
    executor: impl PgExecutor<'_>,
    batch: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.cancelled_batch set followed_at = $2 where id = $1 and followed_at is null",
        batch,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}

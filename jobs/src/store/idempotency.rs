//! Keys under which a request is carried out once.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use crate::id::MessageId;

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It is new, and now stands for this send.
    Fresh,
    /// The same request was accepted before, as this message.
    Replayed(MessageId),
    /// It stands for another request, accepted as this message.
    Taken(MessageId),
}

/// Ties `key` to the message `id`, or finds what it is tied to. Waits two seconds for another's open transaction on the same key.
///
/// # Errors
/// The database cannot be reached, or the key is locked by another transaction.
pub async fn claim(
    connection: &mut PgConnection,
    (sender, key): (&str, &str),
    request: &Value,
    id: MessageId,
    expires_at: DateTime<Utc>,
) -> Result<Key, sqlx::Error> {
    sqlx::query!("set local lock_timeout = '2s'").execute(&mut *connection).await?;
    let fresh = sqlx::query!(
        "insert into herald.idempotency (sender, key, request_hash, message_id, expires_at)
         values ($1, $2, herald.request_hash($3), $4, $5) on conflict (sender, key) do nothing",
        sender,
        key,
        request,
        id.0,
        expires_at
    )
    .execute(&mut *connection)
    .await?;
    if fresh.rows_affected() == 1 {
        return Ok(Key::Fresh);
    }
    let earlier = sqlx::query!(
        r#"select message_id, request_hash = herald.request_hash($3) as "same!" from herald.idempotency
           where sender = $1 and key = $2"#,
        sender,
        key,
        request
    )
    .fetch_one(connection)
    .await?;
    let message = MessageId(earlier.message_id);
    Ok(if earlier.same { Key::Replayed(message) } else { Key::Taken(message) })
}

/// Forgets idempotency keys that ended before `now`, at most `limit`. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn purge(
    executor: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        "delete from herald.idempotency where (sender, key) in
             (select sender, key from herald.idempotency where expires_at <= $1 order by expires_at limit $2)",
        now,
        limit
    )
    .execute(executor)
    .await?;
    Ok(purged.rows_affected())
}

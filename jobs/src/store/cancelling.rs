//! Cancelling what waits.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::id::MessageId;

/// Most messages of a batch that are cancelled by one commit.
const GROUP: i64 = 5_000;

/// Cancels a message, and its copies that have not gone out. `false`: it was cancelled before.
///
/// # Errors
/// SQLSTATE 22023: there is no such message; 55000: it was acted on.
pub async fn cancel(executor: impl PgExecutor<'_>, id: MessageId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select herald.cancel_message($1) as "cancelled!""#, id.0).fetch_one(executor).await
}

/// Cancels what waits of a batch, a group at a time. Answers how many messages were cancelled now.
///
/// # Errors
/// The database cannot be reached; what was cancelled until then stays so.
pub async fn cancel_batch(pool: &PgPool, batch: Uuid, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let mut cancelled = 0;
    loop {
        let group = sqlx::query_scalar!(
            r#"select herald.cancel(ids, $3) as "cancelled!"
               from (select array(
                   (select id from herald.outbox where batch_id = $1 limit $2)
                   union
                   (select id from herald.message where batch_id = $1 and status = 'pending' limit $2)) as ids) as waiting"#,
            batch,
            GROUP,
            now
        )
        .fetch_one(pool)
        .await?;
        if group == 0 {
            return Ok(cancelled);
        }
        cancelled += u64::try_from(group).unwrap_or_default();
    }
}

//! What was sent, a page at a time, for whoever sent it.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::messages::Standing;
use crate::message_type::names;

names! {
    /// How a message in an inbox stands.
    MessageStatus {
        /// It waits for its recipient.
        Pending = "pending",
        /// It was acted on, or answered.
        Acted = "acted",
        /// Its sender took it back.
        Cancelled = "cancelled",
        /// Its authorisation ended without it.
        Withdrawn = "withdrawn",
    }
}

/// Which messages are listed: those that have reached an inbox, of these senders. Without a recipient and a batch there are none: no index
/// leads to them.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Names of models and users.
    pub senders: &'a [String],
    /// Of these types; `None`: of any.
    pub message_types: Option<&'a [String]>,
    /// To this recipient.
    pub recipient: Option<i64>,
    /// Of this send to many.
    pub batch: Option<Uuid>,
    /// Those that stand so.
    pub status: Option<MessageStatus>,
}

/// Messages, newest first: at most `limit`; `before` continues a page.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    pool: &PgPool,
    sent: &Sent<'_>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Standing>, sqlx::Error> {
    let before = before.unwrap_or(Uuid::max());
    let ids = match (sent.batch, sent.recipient) {
        (Some(batch), _) => of_batch(pool, sent, batch, before, limit).await?,
        (None, Some(recipient)) => of_recipient(pool, sent, recipient, before, limit).await?,
        (None, None) => Vec::new(),
    };
    sqlx::query_as!(
        Standing,
        r#"select m.id, m.batch_id, herald.status_of(m.status, m.batch_id) as "status!", u.username as recipient, m.message_type,
                  m.message_text, m.sender, m.sender_instance, m.template, m.template_version, m.template_error, m.sent_by,
                  m.reply_value, null::text as reason, m.created_at, m.seen_at, m.acted_at, m.acted_by, m.acted_via, m.closed_reason
           from herald.message m join herald.app_user u on u.id = m.recipient_id
           where m.id = any($1) order by m.id desc"#,
        &ids
    )
    .fetch_all(pool)
    .await
}

async fn of_batch(
    pool: &PgPool,
    sent: &Sent<'_>,
    batch: Uuid,
    before: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from herald.message
         where batch_id = $1 and id < $2 and sender = any($3) and ($4::text[] is null or message_type = any($4))
           and ($5::bigint is null or recipient_id = $5) and ($6::text is null or herald.status_of(status, batch_id) = $6)
         order by id desc limit $7",
        batch,
        before,
        sent.senders,
        sent.message_types,
        sent.recipient,
        sent.status.map(MessageStatus::as_str),
        limit
    )
    .fetch_all(pool)
    .await
}

/// What waits and what is done with, alerts and messages, have indexes of their own: a page of each, and the first of all of them.
async fn of_recipient(
    pool: &PgPool,
    sent: &Sent<'_>,
    recipient: i64,
    before: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select page.id as "id!" from (values (true), (false)) as kind(is_alert) cross join lateral (
               (select id from herald.message m
                where recipient_id = $1 and alert = is_alert and m.status = 'pending' and id < $2 and sender = any($3)
                  and ($4::text[] is null or message_type = any($4))
                  and ($5::text is null or $5 in ('pending', 'cancelled'))
                  and ($5::text is null or herald.status_of(m.status, batch_id) = $5)
                order by id desc limit $6)
               union all
               (select id from herald.message m
                where recipient_id = $1 and alert = is_alert and m.status <> 'pending' and id < $2 and sender = any($3)
                  and ($4::text[] is null or message_type = any($4)) and ($5::text is null or $5 <> 'pending')
                  and ($5::text is null or m.status = $5)
                order by id desc limit $6)
           ) as page
           order by page.id desc limit $6"#,
        recipient,
        before,
        sent.senders,
        sent.message_types,
        sent.status.map(MessageStatus::as_str),
        limit
    )
    .fetch_all(pool)
    .await
}

/// Who sent a batch, and of which type; `None`: there is none.
///
/// # Errors
/// The database cannot be reached.
pub async fn sender_of_batch(pool: &PgPool, batch: Uuid) -> Result<Option<(String, String)>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select sender as "sender!", message_type as "message_type!" from (
               (select payload->'message'->>'sender' as sender, payload->'message'->>'message_type' as message_type
                from herald.outbox where batch_id = $1 limit 1)
               union all
               (select sender, message_type from herald.message where batch_id = $1 limit 1)
           ) as of_batch limit 1"#,
        batch
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|found| (found.sender, found.message_type)))
}

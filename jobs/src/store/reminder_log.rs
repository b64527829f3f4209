//! The occurrences of reminder rules that were sent.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// An occurrence that is being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The record's key.
    pub record: Vec<String>,
    /// Which initial date and time it is of.
    pub initial: DateTime<Utc>,
    /// From 1.
    pub occurrence: i32,
    /// When it came due.
    pub due_at: DateTime<Utc>,
    /// The message that is sent.
    pub message_id: Uuid,
    /// To whom.
    pub recipient: String,
    /// How many outside contacts get a copy.
    pub contacts: i32,
}

/// Claims occurrences of a rule for the messages that are sent in the same transaction. Answers the messages of those that nobody had
/// claimed before; waits for who is about to.
///
/// # Errors
/// The database cannot be reached.
pub async fn claim(
    connection: &mut PgConnection,
    rule: &str,
    claims: &[Logging],
    now: DateTime<Utc>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    macro_rules! column {
        ($claim:ident => $value:expr) => {
            &claims.iter().map(|$claim| $value).collect::<Vec<_>>()
        };
    }
    // Arrays of arrays must be rectangular, keys need not be: they travel as JSON. Sorted, so that two runs wait for each other in one
    // direction only.
    let claimed = sqlx::query_scalar!(
        r#"insert into herald.reminder_log (rule, record, initial, occurrence, due_at, sent_at, message_id, recipient, contacts)
           select $1, array(select jsonb_array_elements_text(record)), initial, occurrence, due_at, $9, message_id, recipient, contacts
           from unnest($2::jsonb[], $3::timestamptz[], $4::int[], $5::timestamptz[], $6::uuid[], $7::text[], $8::int[])
                as c(record, initial, occurrence, due_at, message_id, recipient, contacts)
           order by 2, 3, 4
           on conflict do nothing
           returning message_id"#,
        rule,
        column!(claim => Value::from(claim.record.clone())),
        column!(claim => claim.initial),
        column!(claim => claim.occurrence),
        column!(claim => claim.due_at),
        column!(claim => claim.message_id),
        column!(claim => claim.recipient.as_str()) as &[&str],
        column!(claim => claim.contacts),
        now
    )
    .fetch_all(connection)
    .await?;
    Ok(claimed.into_iter().collect())
}

/// Takes claims back, within the transaction that made them.
///
/// # Errors
/// The database cannot be reached.
pub async fn unclaim(
    executor: impl PgExecutor<'_>,
    rule: &str,
    messages: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from herald.reminder_log where rule = $1 and message_id = any($2)", rule, messages)
        .execute(executor)
        .await?;
    Ok(())
}

/// An occurrence that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Logged {
    /// The record's key.
    pub record: Vec<String>,
    /// Which initial date and time it is of: one without a zone as if it were of UTC.
    pub initial: DateTime<Utc>,
    /// From 1.
    pub occurrence: i32,
    /// When it came due.
    pub due_at: DateTime<Utc>,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// The message's id.
    pub message_id: Uuid,
    /// Who was reminded.
    pub recipient: String,
    /// How many outside contacts were to get a copy.
    pub contacts: i32,
}

/// What a rule has sent, newest first: at most `limit`; of one record where it is named.
///
/// # Errors
/// The database cannot be reached.
pub async fn history(
    executor: impl PgExecutor<'_>,
    rule: &str,
    record: Option<&[String]>,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    sqlx::query_as!(
        Logged,
        "select record, initial, occurrence, due_at, sent_at, message_id, recipient, contacts
         from herald.reminder_log where rule = $1 and ($2::text[] is null or record = $2)
         order by sent_at desc, record, occurrence desc limit $3",
        rule,
        record as Option<&[String]>,
        limit
    )
    .fetch_all(executor)
    .await
}

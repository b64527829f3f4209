//! Requests for a decision. The steps are functions of the database: see [`crate::authorisation`].

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::authorisation::{Approvers, Mode, NewAuthorisation, OnTimeout, Status};

/// Takes a request; with a key once.
///
/// # Errors
/// The database cannot be reached; SQLSTATE 22023: an argument is at fault, 23505: the key stands for another request.
pub async fn request(
    executor: impl PgExecutor<'_>,
    request: &NewAuthorisation,
    key: Option<&str>,
    sent_by: &str,
    now: DateTime<Utc>,
) -> Result<Uuid, sqlx::Error> {
    let request = serde_json::to_value(request).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query_scalar!(r#"select herald.authorise($1, $2, $3, $4) as "id!""#, request, key, sent_by, now)
        .fetch_one(executor)
        .await
}

/// Withdraws a request. `false`: it was withdrawn before.
///
/// # Errors
/// The database cannot be reached; SQLSTATE 22023: there is none, 55000: it was decided.
pub async fn withdraw(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    reason: Option<&str>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select herald.withdraw_authorisation($1, $2) as "withdrawn!""#, id, reason)
        .fetch_one(executor)
        .await
}

/// An authorisation, for whoever asked.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Authorisation {
    /// Names it.
    pub id: Uuid,
    /// The record that it is about.
    pub model: String,
    /// Its key.
    pub model_key: Value,
    /// The type of the messages that ask.
    pub message_type: String,
    /// Who asked.
    pub requester: String,
    /// Whose answers decide.
    pub mode: Mode,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// What happens then.
    pub on_timeout: OnTimeout,
    /// How it stands.
    pub status: Status,
    /// The reply that decided.
    pub reply_value: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// Why it ended, where no answer says it.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Who was asked; none yet where a path on the record is still to be followed.
    pub approvers: Vec<Approver>,
}

/// Somebody who was asked.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Approver {
    /// Who.
    pub username: String,
    /// By which message.
    pub message_id: Uuid,
    /// `asked`, `approved`, `refused`, or `released` where no answer is waited for any more.
    pub state: String,
    /// What was answered.
    pub reply_value: Option<String>,
    /// When.
    pub answered_at: Option<DateTime<Utc>>,
}

/// Which authorisations are listed; what is `None` does not count.
#[derive(Clone, Debug, Default)]
pub struct AuthorisationFilter {
    /// Those of this model,
    pub model: Option<String>,
    /// and of this record.
    pub model_key: Option<Value>,
    /// Those that stand so.
    pub status: Option<Status>,
    /// Those of one of these models,
    pub models: Option<Vec<String>>,
    /// and asked by one of these message types.
    pub types: Option<Vec<String>>,
    /// Those that are older than the one with this id: continues a page.
    pub before: Option<Uuid>,
}

/// Authorisations, newest first: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    pool: &sqlx::PgPool,
    filter: &AuthorisationFilter,
    limit: i64,
) -> Result<Vec<Authorisation>, sqlx::Error> {
    let mut connection = super::filtering(pool).await?;
    let ids = sqlx::query_scalar!(
        "select id from herald.authorisation
         where ($1::text is null or model = $1) and ($2::jsonb is null or model_key = $2)
           and ($3::text is null or status = $3) and ($4::text[] is null or model = any($4))
           and ($7::text[] is null or message->>'message_type' = any($7))
           and ($5::uuid is null or id < $5)
         order by id desc limit $6",
        filter.model.as_deref(),
        filter.model_key.as_ref(),
        filter.status.map(Status::as_str),
        filter.models.as_deref(),
        filter.before,
        limit,
        filter.types.as_deref()
    )
    .fetch_all(&mut *connection)
    .await?;
    drop(connection);
    read(pool, &ids).await
}

/// One authorisation.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(pool: &sqlx::PgPool, id: Uuid) -> Result<Option<Authorisation>, sqlx::Error> {
    Ok(read(pool, &[id]).await?.pop())
}

/// Those with these ids, newest first.
async fn read(pool: &sqlx::PgPool, ids: &[Uuid]) -> Result<Vec<Authorisation>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, model, model_key, message->>'message_type' as "message_type!", requester, mode, due_at, on_timeout, status,
                  reply_value, decided_by, decided_at, reason, created_at
           from herald.authorisation where id = any($1) order by id desc"#,
        ids
    )
    .fetch_all(pool)
    .await?;
    let asked = sqlx::query!(
        "select authorisation_id, username, message_id, state, reply_value, answered_at from herald.approver
         where authorisation_id = any($1) order by message_id",
        ids
    )
    .fetch_all(pool)
    .await?;
    let approvers = |id: Uuid| {
        let own = asked.iter().filter(|row| row.authorisation_id == id);
        own.map(|row| Approver {
            username: row.username.clone(),
            message_id: row.message_id,
            state: row.state.clone(),
            reply_value: row.reply_value.clone(),
            answered_at: row.answered_at,
        })
        .collect()
    };
    Ok(rows
        .into_iter()
        .map(|row| Authorisation {
            approvers: approvers(row.id),
            id: row.id,
            model: row.model,
            model_key: row.model_key,
            message_type: row.message_type,
            requester: row.requester,
            mode: row.mode.into(),
            due_at: row.due_at,
            on_timeout: row.on_timeout.into(),
            status: row.status.into(),
            reply_value: row.reply_value,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
            reason: row.reason,
            created_at: row.created_at,
        })
        .collect())
}

/// Does what is to be done with authorisations whose time is over: at most `limit`. Answers with how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn time_out(
    executor: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    limit: i32,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(r#"select herald.time_out($1, $2) as "done!""#, now, limit).fetch_one(executor).await
}

/// An authorisation whose next approvers are found by a path on its record.
#[derive(Clone, Debug)]
pub struct ToAsk {
    /// Names it.
    pub id: Uuid,
    /// The record's model.
    pub model: String,
    /// The record's key.
    pub model_key: Value,
    /// The path.
    pub path: String,
    /// How often its record could not be read.
    pub tries: i32,
}

/// One that waits for its path to be followed, locked until the transaction ends.
///
/// # Errors
/// The database cannot be reached.
pub async fn to_ask(
    transaction: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Option<ToAsk>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select id, model, model_key, to_ask as "to_ask!", tries from herald.authorisation
           where status = 'pending' and to_ask is not null and (retry_at is null or retry_at <= $1)
           order by created_at limit 1 for update skip locked"#,
        now
    )
    .fetch_optional(transaction)
    .await?;
    Ok(row.map(|row| {
        let approvers: Approvers = serde_json::from_value(row.to_ask).unwrap_or_default();
        let path = approvers.path.unwrap_or_default();
        ToAsk { id: row.id, model: row.model, model_key: row.model_key, path, tries: row.tries }
    }))
}

/// Asks the next approvers, those found by the path among them. Answers how many.
///
/// # Errors
/// The database cannot be reached, or the messages cannot be sent.
pub async fn ask_next(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    found: &[String],
    now: DateTime<Utc>,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(r#"select herald.ask_next($1, $2, $3) as "asked!""#, id, found, now)
        .fetch_one(executor)
        .await
}

/// Leaves an authorisation until `retry_at`: its record cannot be read right now. `counts`: the record is to blame.
///
/// # Errors
/// The database cannot be reached.
pub async fn postpone(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    counts: bool,
    retry_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.authorisation set tries = tries + $3::boolean::int, retry_at = $2
         where id = $1 and to_ask is not null",
        id,
        retry_at,
        counts
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends an authorisation that nobody can be asked for, and says why.
///
/// # Errors
/// The database cannot be reached.
pub async fn fail(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("select herald.decide($1, 'failed', null, null, $2, $3)::text as done", id, why, now)
        .fetch_one(executor)
        .await?;
    Ok(())
}

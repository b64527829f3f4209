//! Tries of the ways out: the last one of each.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::address::Channel;
use crate::check::CheckJob;

/// A try, ended or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which way: `email` or `sms`.
    pub channel: String,
    /// Names it.
    pub id: Uuid,
    /// Where the message goes.
    pub address: String,
    /// Who asked for it.
    pub asked_by: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// When it ended; `None`: it has not.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether the message was taken.
    pub succeeded: Option<bool>,
    /// What the server said, or what failed and where to look.
    pub said: Option<String>,
}

/// Notes that somebody asked for a try, instead of the one before.
///
/// # Errors
/// The database cannot be reached.
pub async fn ask(
    executor: impl PgExecutor<'_>,
    job: &CheckJob,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.channel_check (channel, id, address, asked_by, asked_at) values ($1, $2, $3, $4, $5)
         on conflict (channel) do update set id = $2, address = $3, asked_by = $4, asked_at = $5, started_at = null,
             finished_at = null, succeeded = null, said = null",
        job.channel.as_str(),
        job.id,
        job.address,
        actor,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Begins a try. `false`: it was begun before, or another one was asked for since.
///
/// # Errors
/// The database cannot be reached.
pub async fn begin(executor: impl PgExecutor<'_>, id: Uuid, now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let begun = sqlx::query!(
        "update herald.channel_check set started_at = $2 where id = $1 and started_at is null and finished_at is null",
        id,
        now
    )
    .execute(executor)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Ends a try with what was said, unless it has ended.
///
/// # Errors
/// The database cannot be reached.
pub async fn finish(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    result: Result<&str, &str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (Ok(said) | Err(said)) = result;
    sqlx::query!(
        "update herald.channel_check set finished_at = $2, succeeded = $3, said = $4 where id = $1 and finished_at is null",
        id,
        now,
        result.is_ok(),
        said
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The last try of a way.
///
/// # Errors
/// The database cannot be reached.
pub async fn last(executor: impl PgExecutor<'_>, channel: Channel) -> Result<Option<Check>, sqlx::Error> {
    sqlx::query_as!(
        Check,
        "select channel, id, address, asked_by, asked_at, finished_at, succeeded, said
         from herald.channel_check where channel = $1",
        channel.as_str()
    )
    .fetch_optional(executor)
    .await
}

//! Deleting what has been kept for long enough, in batches.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::{PgExecutor, PgPool};

use crate::message_type::RequiredAction;
use crate::retention::Kept;

/// Deletes what ended by `until`: at most `limit` rows of it. Answers how many. What others hold locked is left for the next time.
///
/// # Errors
/// The database cannot be reached.
pub async fn batch(pool: &PgPool, kept: Kept, until: DateTime<Utc>, limit: i64) -> Result<u64, sqlx::Error> {
    let query = match kept {
        Kept::Expired => return super::messages::purge_expired(pool, until, limit).await,
        Kept::Keys => return super::idempotency::purge(pool, until, limit).await,
        Kept::Outputs => return super::outputs::purge(pool, until, limit).await,
        Kept::Sessions => return super::access::purge(&mut *pool.acquire().await?, until).await,
        Kept::History => sqlx::query!(
            "delete from herald.message where id = any(array(
                 select id from herald.message where status <> 'pending' and coalesce(acted_at, closed_at, created_at) <= $1
                 order by coalesce(acted_at, closed_at, created_at) limit $2 for update skip locked))",
            until,
            limit
        ),
        Kept::Authorisations => sqlx::query!(
            "delete from herald.authorisation where id = any(array(
                 select id from herald.authorisation where decided_at <= $1 order by decided_at limit $2 for update skip locked))",
            until,
            limit
        ),
        Kept::Unread => sqlx::query!(
            "delete from herald.purged_unread where (purged_on, recipient_id, message_type) in
                 (select purged_on, recipient_id, message_type from herald.purged_unread
                  where purged_on < ($1::timestamptz at time zone 'UTC')::date limit $2)",
            until,
            limit
        ),
        Kept::Ledger => sqlx::query!(
            "with gone as (
                 delete from herald.delivery where id = any(array(
                     select id from herald.delivery where finished_at <= $1 and state not in ('pending', 'sending')
                     order by finished_at limit $2 for update skip locked))
                 returning id
             ), attempts as (
                 delete from herald.delivery_attempt where delivery_id = any(array(select id from gone))
             )
             select from gone",
            until,
            limit
        ),
        Kept::Events => sqlx::query!(
            "delete from herald.event where id = any(array(
                 select id from herald.event where handled_at < $1 order by handled_at limit $2 for update skip locked))",
            until,
            limit
        ),
        Kept::Answers => sqlx::query!(
            "delete from herald.answer_event where id = any(array(
                 select id from herald.answer_event where finished_at <= $1 and state in ('sent', 'failed', 'kept')
                 order by finished_at limit $2 for update skip locked))",
            until,
            limit
        ),
        Kept::Batches => sqlx::query!(
            "delete from herald.cancelled_batch where id = any(array(
                 select id from herald.cancelled_batch where followed_at <= $1 limit $2 for update skip locked))",
            until,
            limit
        ),
        Kept::Tokens => sqlx::query!(
            "delete from herald.api_token where id = any(array(
                 select id from herald.api_token where least(revoked_at, expires_at) <= $1 order by id limit $2))",
            until,
            limit
        ),
        Kept::Audit => sqlx::query!(
            "delete from herald.audit where id = any(array(select id from herald.audit where at <= $1 order by at limit $2))",
            until,
            limit
        ),
        Kept::Runs => sqlx::query!(
            "delete from herald.periodic_run where (job, slot) in
                 (select job, slot from herald.periodic_run where slot <= $1 limit $2)",
            until,
            limit
        ),
    };
    Ok(query.execute(pool).await?.rows_affected())
}

/// How many rows there are that ended by `until`.
///
/// # Errors
/// The database cannot be reached.
pub async fn count(
    executor: impl PgExecutor<'_>,
    kept: Kept,
    until: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    macro_rules! counted {
        ($sql:literal $(, $more:expr)*) => {
            sqlx::query_scalar!($sql, until $(, $more)*).fetch_one(executor).await
        };
    }
    match kept {
        Kept::Expired => counted!(
            r#"select count(*) as "many!" from herald.current_message
               where status = 'pending' and expires_at is not null and expires_at <= $1 and required_action = $2"#,
            RequiredAction::View.as_str()
        ),
        Kept::History => counted!(
            r#"select count(*) as "many!" from herald.message where status <> 'pending' and coalesce(acted_at, closed_at, created_at) <= $1"#
        ),
        Kept::Authorisations => {
            counted!(r#"select count(*) as "many!" from herald.authorisation where decided_at <= $1"#)
        }
        Kept::Unread => counted!(
            r#"select count(*) as "many!" from herald.purged_unread where purged_on < ($1::timestamptz at time zone 'UTC')::date"#
        ),
        Kept::Ledger => counted!(
            r#"select count(*) as "many!" from herald.delivery where finished_at <= $1 and state not in ('pending', 'sending')"#
        ),
        Kept::Answers => counted!(
            r#"select count(*) as "many!" from herald.answer_event where finished_at <= $1 and state in ('sent', 'failed', 'kept')"#
        ),
        Kept::Batches => {
            counted!(r#"select count(*) as "many!" from herald.cancelled_batch where followed_at <= $1"#)
        }
        Kept::Events => counted!(r#"select count(*) as "many!" from herald.event where handled_at < $1"#),
        Kept::Outputs => counted!(r#"select count(*) as "many!" from herald.output where expires_at <= $1"#),
        Kept::Keys => {
            counted!(r#"select count(*) as "many!" from herald.idempotency where expires_at <= $1"#)
        }
        Kept::Sessions => counted!(
            r#"select (select count(*) from herald.session where expires_at <= $1)
                    + (select count(*) from herald.login_link where expires_at <= $1) as "many!""#
        ),
        Kept::Tokens => {
            counted!(
                r#"select count(*) as "many!" from herald.api_token where least(revoked_at, expires_at) <= $1"#
            )
        }
        Kept::Audit => counted!(r#"select count(*) as "many!" from herald.audit where at <= $1"#),
        Kept::Runs => counted!(r#"select count(*) as "many!" from herald.periodic_run where slot <= $1"#),
    }
}

/// Messages that were purged although nobody had seen them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Unread {
    /// On which day, in UTC.
    pub purged_on: NaiveDate,
    /// Whose they were.
    pub recipient: String,
    /// Of which type.
    pub message_type: String,
    /// How many.
    pub messages: i64,
}

/// What was purged unread since this day, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn unread(executor: impl PgExecutor<'_>, since: NaiveDate) -> Result<Vec<Unread>, sqlx::Error> {
    sqlx::query_as!(
        Unread,
        "select p.purged_on, u.username as recipient, p.message_type, p.messages
         from herald.purged_unread p join herald.app_user u on u.id = p.recipient_id
         where p.purged_on >= $1 order by p.purged_on desc, u.username, p.message_type",
        since
    )
    .fetch_all(executor)
    .await
}

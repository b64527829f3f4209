//! Accepted sends that are not in an inbox yet.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::address::Channel;
use crate::id::MessageId;
use crate::message_type::Lane;
use crate::send::RawSendJob;

/// A send to be accepted.
#[derive(Clone, Debug)]
pub struct Accepting {
    /// The message's id from now on.
    pub id: MessageId,
    /// The lane it takes.
    pub lane: Lane,
    /// What a worker gets.
    pub job: RawSendJob,
    /// Must be an active user.
    pub recipient: String,
    /// Must be a user, unless a model's instance sends (`None`).
    pub sending_user: Option<String>,
    /// Not handed to a worker before this time; `None`: at once.
    pub due_at: Option<DateTime<Utc>>,
    /// The caller pushes the job to Redis itself, once the row can be seen.
    pub pushed: bool,
    /// Of a send to many.
    pub batch_id: Option<Uuid>,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A row stands in the outbox once the transaction commits.
    Yes,
    /// There is no active user of the recipient's name.
    NoRecipient,
    /// There is no user of the sender's name.
    NoSender,
    /// Its batch was cancelled.
    Cancelled,
}

/// A query over the columns of sends, `$1` to `$8`, and what else it takes.
macro_rules! over_sends {
    ($query:ident, $sql:tt, $sends:expr $(, $more:expr)*) => {{
        macro_rules! column {
            ($send:ident => $value:expr) => {
                &$sends.iter().map(|$send| $value).collect::<Vec<_>>()
            };
        }
        sqlx::$query!(
            $sql,
            column!(send => send.id.0),
            column!(send => send.lane.as_str()) as &[&str],
            column!(send => send.job.as_str()) as &[&str],
            column!(send => send.recipient.as_str()) as &[&str],
            column!(send => send.sending_user.as_deref()) as &[Option<&str>],
            column!(send => send.due_at) as &[Option<DateTime<Utc>>],
            column!(send => send.pushed),
            column!(send => send.batch_id) as &[Option<Uuid>]
            $(, $more)*
        )
    }};
}

/// Accepts sends; safe to repeat with the same ids. Answers in the order of `sends`.
///
/// # Errors
/// The database cannot be reached.
pub async fn accept(
    connection: &mut PgConnection,
    sends: &[Accepting],
) -> Result<Vec<Accepted>, sqlx::Error> {
    accept_new(connection, sends, false).await
}

/// The same, outside a transaction: the rows can be seen, and pushed, before they are on the disk. They are when
/// [`flush`](super::flush) has returned; until then nobody may be told that they were accepted.
///
/// # Errors
/// The database cannot be reached.
pub async fn accept_early(
    connection: &mut PgConnection,
    sends: &[Accepting],
) -> Result<Vec<Accepted>, sqlx::Error> {
    accept_new(connection, sends, true).await
}

async fn accept_new(
    connection: &mut PgConnection,
    sends: &[Accepting],
    early: bool,
) -> Result<Vec<Accepted>, sqlx::Error> {
    // The checks count as one with the insert: a user deactivated before this statement gets nothing. The first of them always holds:
    // how the statement commits is set on the way, without another that would cost a round trip.
    let accepted = over_sends!(
        query,
        r#"insert into herald.outbox (id, lane, payload, due_at, pushed_at, batch_id)
           select id, lane, payload::json, coalesce(due_at, now()), case when pushed then now() end, batch_id
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bool[], $8::uuid[])
                as s(id, lane, payload, recipient, sender, due_at, pushed, batch_id)
           where (not $9 or (select set_config('synchronous_commit', 'off', true)) is not null)
             and (select active from herald.app_user u where u.username = s.recipient)
             and (s.sender is null or s.sender in (select username from herald.app_user u where u.username = any($5)))
             and (s.batch_id is null or not exists (select from herald.cancelled_batch c where c.id = s.batch_id))"#,
        sends,
        early
    )
    .execute(&mut *connection)
    .await;
    match accepted {
        Ok(accepted) if accepted.rows_affected() == sends.len() as u64 => {
            return Ok(vec![Accepted::Yes; sends.len()]);
        }
        Ok(_) => {}
        // The answer to an earlier try was lost.
        Err(error) if error.as_database_error().is_some_and(|e| e.constraint() == Some("outbox_pkey")) => {}
        Err(error) => return Err(error),
    }
    let answers = accept_or_explain(connection, sends).await?;
    if answers.len() == sends.len() {
        Ok(answers)
    } else {
        Err(sqlx::Error::Protocol("not every send was answered".into()))
    }
}

/// Accepts those that are not, and says of each why not.
async fn accept_or_explain(
    connection: &mut PgConnection,
    sends: &[Accepting],
) -> Result<Vec<Accepted>, sqlx::Error> {
    let checked = over_sends!(
        query,
        r#"with send as materialized (
             select s.*, exists (select from herald.outbox o where o.id = s.id) as is_accepted,
                    coalesce((select active from herald.app_user u where u.username = s.recipient), false) as has_recipient,
                    s.sender is null or (select true from herald.app_user u where u.username = s.sender) is true as has_sender,
                    exists (select from herald.cancelled_batch c where c.id = s.batch_id) as is_cancelled
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bool[], $8::uuid[])
                  with ordinality as s(id, lane, payload, recipient, sender, due_at, pushed, batch_id, n)
         ), accepted as (
             insert into herald.outbox (id, lane, payload, due_at, pushed_at, batch_id)
             select id, lane, payload::json, coalesce(due_at, now()), case when pushed then now() end, batch_id
             from send where not is_accepted and has_recipient and has_sender and not is_cancelled
             on conflict (id) do nothing
         )
         select is_accepted as "is_accepted!", has_recipient as "has_recipient!", has_sender as "has_sender!",
                is_cancelled as "is_cancelled!"
         from send order by n"#,
        sends
    )
    .fetch_all(connection)
    .await?;
    Ok(checked
        .into_iter()
        .map(|row| match row {
            row if row.is_accepted => Accepted::Yes,
            row if !row.has_recipient => Accepted::NoRecipient,
            row if !row.has_sender => Accepted::NoSender,
            row if row.is_cancelled => Accepted::Cancelled,
            _ => Accepted::Yes,
        })
        .collect())
}

/// A job to push.
#[derive(Debug)]
pub struct Pushable {
    /// The message's id.
    pub id: Uuid,
    /// The send job as JSON; `None`: its batch was cancelled, and it is not pushed.
    pub payload: Option<String>,
}

/// What is due in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneWork {
    /// Which.
    pub lane: Lane,
    /// Sends are.
    pub sends: bool,
    /// Copies are, of these channels.
    pub copies: Vec<Channel>,
}

/// The lanes in which something has yet to be pushed and is due at `now`: sends, and copies by e-mail.
///
/// # Errors
/// The database cannot be reached.
pub async fn lanes_with_work(
    executor: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<LaneWork>, sqlx::Error> {
    let lanes: Vec<&str> = Lane::ALL.iter().map(|lane| lane.as_str()).collect();
    // A minimum is one step into the index. `exists` was planned as a scan of all that waits.
    let rows = sqlx::query!(
        r#"select lane as "lane!",
                  coalesce((select min(due_at) from herald.outbox o
                            where o.lane = l.lane and pushed_at is null and failed_at is null) <= $2, false) as "sends!",
                  coalesce((select min(next_attempt_at) from herald.delivery d
                            where channel = 'email' and d.lane = l.lane and state = 'pending' and pushed_at is null) <= $2, false)
                      as "emails!",
                  coalesce((select min(next_attempt_at) from herald.delivery d
                            where channel = 'sms' and d.lane = l.lane and state = 'pending' and pushed_at is null) <= $2, false)
                      as "sms!"
           from unnest($1::text[]) as l(lane)"#,
        &lanes as &[&str],
        now
    )
    .fetch_all(executor)
    .await?;
    let work = |channels: [(Channel, bool); 2]| {
        channels.into_iter().filter_map(|(channel, due)| due.then_some(channel)).collect()
    };
    Ok(rows
        .into_iter()
        .map(|row| LaneWork {
            lane: row.lane.into(),
            sends: row.sends,
            copies: work([(Channel::Email, row.emails), (Channel::Sms, row.sms)]),
        })
        .collect())
}

/// Rows that have yet to be pushed and are due at `now`, at most `limit`; counts them as pushed: those of a cancelled batch for ever,
/// so that nobody comes upon them again until they are gone.
///
/// # Errors
/// The database cannot be reached.
pub async fn take_unpushed(
    executor: impl PgExecutor<'_>,
    lane: Lane,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Pushable>, sqlx::Error> {
    sqlx::query_as!(
        Pushable,
        r#"update herald.outbox o set pushed_at = case when exists (select from herald.cancelling c where c.id = o.batch_id)
                                                      then 'infinity' else clock_timestamp() end
           where id = any(array(select id from herald.outbox
                 where lane = $1 and pushed_at is null and failed_at is null and due_at <= $2
                 order by due_at limit $3))
           returning id, case when pushed_at < 'infinity' then payload::text end as payload"#,
        lane.as_str(),
        now,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Rows that were pushed more than `age` seconds ago, at most `limit`; counts them as pushed again, as [`take_unpushed`] does.
///
/// # Errors
/// The database cannot be reached.
pub async fn take_lost(
    executor: impl PgExecutor<'_>,
    lane: Lane,
    age: f64,
    limit: i64,
) -> Result<Vec<Pushable>, sqlx::Error> {
    sqlx::query_as!(
        Pushable,
        r#"update herald.outbox o set pushed_at = case when exists (select from herald.cancelling c where c.id = o.batch_id)
                                                      then 'infinity' else clock_timestamp() end
           where id = any(array(select id from herald.outbox
                 where lane = $1 and pushed_at < clock_timestamp() - make_interval(secs => $2) and failed_at is null
                 order by pushed_at limit $3))
           returning id, case when pushed_at < 'infinity' then payload::text end as payload"#,
        lane.as_str(),
        age,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Records that a job failed for good. `false` where no row stands behind it.
///
/// # Errors
/// The database cannot be reached.
pub async fn fail(executor: impl PgExecutor<'_>, id: MessageId, reason: &str) -> Result<bool, sqlx::Error> {
    let failed =
        sqlx::query!("update herald.outbox set failed_at = now(), reason = $2 where id = $1", id.0, reason)
            .execute(executor)
            .await?;
    Ok(failed.rows_affected() > 0)
}

/// A send whose job failed for good.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The message's id.
    pub id: Uuid,
    /// When it failed.
    pub failed_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// The send job as JSON.
    pub payload: String,
}

/// The sends that failed for good, oldest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn failed(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Failed>, sqlx::Error> {
    sqlx::query_as!(
        Failed,
        r#"select id, failed_at as "failed_at!", coalesce(reason, '') as "reason!", payload::text as "payload!"
           from herald.outbox where failed_at is not null order by failed_at limit $1"#,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Lets failed sends run again: one, or all of them. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn replay(executor: impl PgExecutor<'_>, id: Option<MessageId>) -> Result<u64, sqlx::Error> {
    let replayed = sqlx::query!(
        "update herald.outbox set failed_at = null, reason = null, pushed_at = null
         where failed_at is not null and ($1::uuid is null or id = $1)",
        id.map(|id| id.0)
    )
    .execute(executor)
    .await?;
    Ok(replayed.rows_affected())
}

/// Deletes a failed send: it is not sent. `false` where there is none of this id.
///
/// # Errors
/// The database cannot be reached.
pub async fn discard(executor: impl PgExecutor<'_>, id: Uuid) -> Result<bool, sqlx::Error> {
    let discarded = sqlx::query_scalar!(
        r#"with discarded as (
             delete from herald.outbox where id = $1 and failed_at is not null returning id
         ), with_it as (
             delete from herald.attachment where message_id = any(array(select id from discarded))
         )
         select count(*) as "count!" from discarded"#,
        id
    )
    .fetch_one(executor)
    .await?;
    Ok(discarded == 1)
}

/// How the outbox stands.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// Rows that wait, due or not.
    pub waiting: i64,
    /// Seconds since the oldest row that is due was accepted.
    pub oldest_seconds: f64,
    /// Rows whose job failed for good.
    pub failed: i64,
}

/// How the outbox stands now.
///
/// # Errors
/// The database cannot be reached.
pub async fn lag(executor: impl PgExecutor<'_>) -> Result<Lag, sqlx::Error> {
    sqlx::query_as!(
        Lag,
        r#"select count(*) filter (where failed_at is null) as "waiting!",
                  coalesce(extract(epoch from now() - min(due_at) filter (where failed_at is null and due_at <= now())), 0)::float8
                      as "oldest_seconds!",
                  count(*) filter (where failed_at is not null) as "failed!"
           from herald.outbox"#
    )
    .fetch_one(executor)
    .await
}

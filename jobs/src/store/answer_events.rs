//! What is to be told of answers, and how often it was tried.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::deliver::{AttemptOutcome, Verdict};
use crate::message_type::names;

names! {
    /// How the telling of an answer stands.
    EventState {
        /// To be told when its time comes.
        Pending = "pending",
        /// Somebody is telling it.
        Sending = "sending",
        /// The receiver has it.
        Sent = "sent",
        /// Given up, for an operator to replay.
        Failed = "failed",
        /// It goes nowhere, and stays here.
        Kept = "kept",
    }
}

/// An event that this process may deliver now.
#[derive(Clone, Debug)]
pub struct ClaimedEvent {
    /// The same at each attempt.
    pub id: Uuid,
    /// Proves the claim when the outcome is recorded.
    pub lease_token: Uuid,
    /// Where to.
    pub answer_to: String,
    /// What is delivered, to the letter.
    pub payload: String,
    /// Attempts, this one counted.
    pub attempts: i32,
    /// When the answer came.
    pub created_at: DateTime<Utc>,
}

/// Most events that one claim takes for one target.
pub const PER_TARGET: i64 = 4;

/// Claims events that are due, and those whose claims fell silent: at most `limit`, until `lease_until`. None for `busy` targets, and a
/// few at once for each other, so that one that hangs holds up no other.
///
/// # Errors
/// The database cannot be reached.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    token: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
    limit: i64,
    busy: &[String],
) -> Result<Vec<ClaimedEvent>, sqlx::Error> {
    sqlx::query_as!(
        ClaimedEvent,
        // From target to target by the index: what waits for one is not gone through to find what waits for another.
        r#"with recursive target(name) as (
               select min(answer_to) from herald.answer_event where state = 'pending'
               union all
               select (select min(answer_to) from herald.answer_event e where state = 'pending' and e.answer_to > target.name)
               from target where target.name is not null
           )
           update herald.answer_event e
           set state = 'sending', lease_token = $1, lease_until = $3, attempts = attempts + 1
           where id = any((
               array(select id from herald.answer_event where state = 'sending' and lease_until < $2 and answer_to <> all($5)
                     limit $4 for update skip locked)
               || array(select id from herald.answer_event where state = 'pending' and id = any(array(
                            select due.id from target cross join lateral (
                                select id, next_attempt_at from herald.answer_event e
                                where e.answer_to = target.name and state = 'pending' and next_attempt_at <= $2
                                order by next_attempt_at limit $6) as due
                            where target.name <> all($5) order by due.next_attempt_at limit $4))
                        for update skip locked))[1:$4::int])
           returning id, lease_token as "lease_token!", answer_to as "answer_to!", payload::text as "payload!", attempts, created_at"#,
        token,
        now,
        lease_until,
        limit,
        busy,
        PER_TARGET
    )
    .fetch_all(executor)
    .await
}

/// How an attempt ended, to be recorded.
#[derive(Clone, Debug)]
pub struct EventRecord {
    /// The event.
    pub id: Uuid,
    /// The claim that it was delivered under.
    pub lease_token: Uuid,
    /// What the attempt brought.
    pub verdict: Verdict,
    /// The state that follows.
    pub state: EventState,
    /// When a pending one is tried again.
    pub next_attempt_at: DateTime<Utc>,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
}

/// Records how an attempt ended. A claim that has passed to another changes nothing.
///
/// # Errors
/// The database cannot be reached.
pub async fn record(
    executor: impl PgExecutor<'_>,
    record: &EventRecord,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"with recorded as (
             update herald.answer_event
             set state = $3, reason = $4, next_attempt_at = $5, lease_token = null, lease_until = null,
                 finished_at = case when $3 <> 'pending' then $6::timestamptz end
             where id = $1 and lease_token = $2 and state = 'sending'
             returning id
         )
         insert into herald.answer_attempt (event_id, number, started_at, finished_at, outcome, code, reply)
         select id, (select coalesce(max(number), 0) + 1 from herald.answer_attempt a where a.event_id = recorded.id),
                $7, $6, $8, $9, $4
         from recorded"#,
        record.id,
        record.lease_token,
        record.state.as_str(),
        record.verdict.reply,
        record.next_attempt_at,
        now,
        record.started_at,
        record.verdict.outcome.as_str(),
        record.verdict.code.map(i32::from)
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// An event as operators see it.
#[derive(Clone, Debug)]
pub struct AnswerEvent {
    /// What the receiver knows it by.
    pub id: Uuid,
    /// The message that was answered,
    pub message_id: Option<Uuid>,
    /// or the authorisation that was decided.
    pub authorisation_id: Option<Uuid>,
    /// Where to; `None`: nowhere.
    pub answer_to: Option<String>,
    /// What is delivered.
    pub payload: String,
    /// How it stands.
    pub state: EventState,
    /// How often it was tried.
    pub attempts: i32,
    /// The receiver's last words, or what went wrong here.
    pub reason: Option<String>,
    /// When a pending one is tried again.
    pub next_attempt_at: DateTime<Utc>,
    /// When the answer came.
    pub created_at: DateTime<Utc>,
}

/// Which events are listed; what is `None` does not count.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Those in this state.
    pub state: Option<EventState>,
    /// That of this message or authorisation, or with this id.
    pub of: Option<Uuid>,
}

/// Events, newest first: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(pool: &PgPool, filter: &EventFilter, limit: i64) -> Result<Vec<AnswerEvent>, sqlx::Error> {
    let mut connection = super::filtering(pool).await?;
    sqlx::query_as!(
        AnswerEvent,
        r#"select id, message_id, authorisation_id, answer_to, payload::text as "payload!", state, attempts, reason,
                  next_attempt_at, created_at
           from herald.answer_event
           where ($1::text is null or state = $1) and ($2::uuid is null or $2 in (id, message_id, authorisation_id))
           order by id desc limit $3"#,
        filter.state.map(EventState::as_str),
        filter.of,
        limit
    )
    .fetch_all(&mut *connection)
    .await
}

/// How many answers were given up, and how many came before `since` and still wait to be told.
///
/// # Errors
/// The database cannot be reached.
pub async fn troubled(
    executor: impl PgExecutor<'_>,
    since: DateTime<Utc>,
) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"select (select count(*) from herald.answer_event where state = 'failed') as "failed!",
                  (select count(*) from herald.answer_event where state = 'pending' and created_at < $1)
                      + (select count(*) from herald.answer_event where state = 'sending' and created_at < $1) as "late!""#,
        since
    )
    .fetch_one(executor)
    .await?;
    Ok((row.failed, row.late))
}

/// One attempt at an event.
#[derive(Clone, Debug)]
pub struct EventAttempt {
    /// From 1.
    pub number: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The HTTP status.
    pub code: Option<i32>,
    /// The receiver's words.
    pub reply: String,
}

/// All attempts at one event.
///
/// # Errors
/// The database cannot be reached.
pub async fn attempts(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Vec<EventAttempt>, sqlx::Error> {
    sqlx::query_as!(
        EventAttempt,
        "select number, started_at, outcome, code, reply from herald.answer_attempt where event_id = $1 order by number",
        id
    )
    .fetch_all(executor)
    .await
}

/// Delivers an event once more, under the same id. `false`: there is none, it is under way, or it goes nowhere.
///
/// # Errors
/// The database cannot be reached.
pub async fn replay(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let replayed = sqlx::query!(
        "update herald.answer_event set state = 'pending', next_attempt_at = $2, attempts = 0, finished_at = null
         where id = $1 and state in ('pending', 'sent', 'failed')",
        id,
        now
    )
    .execute(executor)
    .await?;
    Ok(replayed.rows_affected() == 1)
}

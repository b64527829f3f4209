//! The ledger of copies that go out.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::address::{Channel, Contact, EmailMode};
use crate::deliver::{DeliveryState, Verdict};
use crate::id::{DeliveryId, MessageId};
use crate::message_type::{Lane, OnUnknown, RequiredAction};

/// A copy that this process may send now, with all it takes to send it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The ledger's key.
    pub id: Uuid,
    /// Proves the claim when the verdict is recorded.
    pub lease_token: Uuid,
    /// Where to.
    pub address: String,
    /// The name beside it.
    pub display_name: String,
    /// To, Cc or Bcc.
    pub mode: EmailMode,
    /// Attempts, this one counted.
    pub attempts: i32,
    /// How many before this one ended unknown.
    pub unknowns: i32,
    /// When the copy was made.
    pub created_at: DateTime<Utc>,
    /// Of the message: what becomes of an unknown outcome.
    pub on_unknown: OnUnknown,
    /// Of the message's type: hours after which a deferred copy is given up.
    pub retry_hours: i32,
    /// Of the message.
    pub message_id: Uuid,
    /// Of the message.
    pub subject: String,
    /// Of the message: what goes out.
    pub text: String,
    /// Of the message: what an e-mail carries beside that.
    pub html: Option<String>,
    /// Of the message.
    pub message_created_at: DateTime<Utc>,
    /// Of the message: there are files in [`super::attachments`].
    pub has_attachments: bool,
    /// Of the message: what its recipient must do.
    pub required_action: RequiredAction,
    /// `herald.app_user.id` of the message's recipient, where this is the recipient's own copy of a message that waits.
    pub own_of: Option<i64>,
    /// Values and labels that a reply may have, in two lists; none: free text.
    pub choice_values: Vec<String>,
    /// See `choice_values`.
    pub choice_labels: Vec<String>,
    /// The other copies of one mail, as `mode address`, where there are any; Bcc left out.
    pub headers: Vec<String>,
}

/// Lets a pending copy wait until its channel's window opens. Nothing happens to one that is not due, or in another state.
///
/// # Errors
/// The database cannot be reached.
pub async fn postpone(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    until: DateTime<Utc>,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.delivery set next_attempt_at = $2, pushed_at = null, reason = $3
         where id = $1 and state = 'pending' and next_attempt_at < $2",
        id.0,
        until,
        reason
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Prolongs a claim. `false`: it is no longer ours.
///
/// # Errors
/// The database cannot be reached.
pub async fn renew(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    token: Uuid,
    until: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let renewed = sqlx::query!(
        "update herald.delivery set lease_until = $3 where id = $1 and lease_token = $2 and state = 'sending'",
        id.0,
        token,
        until
    )
    .execute(executor)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives a claim back whose copy was not begun: it is pending, as if it had not been claimed.
///
/// # Errors
/// The database cannot be reached.
pub async fn release(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    token: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.delivery
         set state = 'pending', lease_token = null, lease_until = null, attempts = attempts - 1, next_attempt_at = $3, pushed_at = null
         where id = $1 and lease_token = $2 and state = 'sending'",
        id.0,
        token,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How an attempt ended, to be recorded.
#[derive(Clone, Debug)]
pub struct Record {
    /// The copy.
    pub id: Uuid,
    /// The claim that it was sent under.
    pub lease_token: Uuid,
    /// What the attempt brought.
    pub verdict: Verdict,
    /// The state that follows.
    pub state: DeliveryState,
    /// When a pending copy is tried again.
    pub next_attempt_at: DateTime<Utc>,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
}

/// Who claims, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Proves the claim.
    pub token: Uuid,
    /// When it was made.
    pub from: DateTime<Utc>,
    /// When others may think that its holder has died.
    pub until: DateTime<Utc>,
}

/// A copy to be claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The copy.
    pub id: DeliveryId,
    /// It goes out at once. Otherwise it is claimed only where an unknown outcome would be tried again, as the first of its copy and
    /// its type say: should the claim's holder die, nobody has to find out about a copy that was not even begun.
    pub at_hand: bool,
}

/// Records how attempts ended, and claims pending copies whose message exists and whose time has come, in one statement and so
/// in one commit. A record whose claim has passed to another changes nothing. Safe to repeat with the same lease.
///
/// # Errors
/// The database cannot be reached; then nothing was claimed or recorded, or the answer was lost.
pub async fn record_and_claim(
    executor: impl PgExecutor<'_>,
    records: &[&Record],
    claims: &[Claim],
    lease: Lease,
) -> Result<Vec<Claimed>, sqlx::Error> {
    macro_rules! column {
        ($record:ident => $value:expr) => {
            &records.iter().map(|$record| $value).collect::<Vec<_>>()
        };
    }
    let at_hand: Vec<Uuid> = claims.iter().filter(|claim| claim.at_hand).map(|claim| claim.id.0).collect();
    let claims: Vec<Uuid> = claims.iter().map(|claim| claim.id.0).collect();
    sqlx::query_as!(
        Claimed,
        r#"with verdict as materialized (
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::text[], $6::text[], $7::timestamptz[],
                                  $8::timestamptz[])
                  as v(id, token, outcome, code, reply, state, next_attempt_at, started_at)
         ), recorded as (
             update herald.delivery d
             set state = v.state, reason = v.reply,
                 provider_id = case when d.channel = 'sms' and v.state = 'sent' then v.reply else d.provider_id end, next_attempt_at = v.next_attempt_at, pushed_at = null,
                 -- A fault is not the copy's own: it uses up no attempt.
                 attempts = attempts - case when v.outcome = 'fault' then 1 else 0 end,
                 unknowns = unknowns + case when v.outcome = 'unknown' then 1 else 0 end,
                 lease_token = null, lease_until = null,
                 finished_at = case when v.state <> 'pending' then $9::timestamptz end
             from verdict v
             where d.id = any($1) and d.id = v.id and d.lease_token = v.token and d.state = 'sending'
             returning d.id, v.started_at, v.outcome, v.code, v.reply
         ), kept as (
             insert into herald.delivery_attempt (delivery_id, number, started_at, finished_at, outcome, code, reply)
             select r.id, (select coalesce(max(number), 0) + 1 from herald.delivery_attempt a where a.delivery_id = r.id),
                    started_at, $9, outcome, code, reply
             from recorded r
         ), claimed as (
             update herald.delivery d
             -- The message may have been cancelled meanwhile, or the address suppressed.
             set (state, lease_token, lease_until, attempts, reason, pushed_at, finished_at) = (
                 select case when s.goes then 'sending' when s.is_over then 'cancelled' else 'suppressed' end,
                        case when s.goes then $10::uuid end, case when s.goes then $11::timestamptz end,
                        d.attempts + case when s.goes and d.state = 'pending' then 1 else 0 end,
                        case when s.is_over then 'The message was cancelled.'
                             else coalesce('The address is suppressed: ' || s.why, d.reason) end,
                        case when s.goes then d.pushed_at end, case when not s.goes then $9::timestamptz end
                 from (select found.*, why is null and not is_over as goes
                       -- Looked up once for all that is set by it.
                       from (select (select reason from herald.suppression where address = lower(d.address)) as why,
                                    (select m.status in ('cancelled', 'withdrawn')
                                            or m.status = 'pending' and m.batch_id is not null
                                               and exists (select from herald.cancelling c where c.id = m.batch_id)
                                     from herald.message m where m.id = d.message_id) as is_over offset 0) found) s
             )
             where id = any($12)
               -- The second: this very claim, whose answer was lost.
               and (state = 'pending' and next_attempt_at <= $13 or state = 'sending' and lease_token = $10)
               and (select m.on_unknown = $14 and d.unknowns = 0 or d.id = any($15) from herald.message m where m.id = message_id)
             returning d.*
         )
         select d.id, d.lease_token as "lease_token!", d.address, d.display_name, d.mode, d.attempts, d.unknowns, d.created_at,
                m.on_unknown,
                coalesce((select t.retry_hours from herald.message_type t where t.code = m.message_type), 120) as "retry_hours!",
                d.message_id, m.subject, m.text as "text!", m.external_html as html,
                m.created_at as message_created_at,
                exists (select from herald.attachment a where a.message_id = d.message_id) as "has_attachments!",
                m.required_action,
                (select u.id from herald.app_user u where u.id = m.recipient_id and m.status = 'pending' and d.mode = 'to'
                 and lower(u.email) = lower(d.address)) as own_of,
                case when m.choice_set is not null then array(
                    select c.value from herald.choice c where c.choice_set = m.choice_set order by c.position
                ) else '{}' end as "choice_values!",
                case when m.choice_set is not null then array(
                    select c.label from herald.choice c where c.choice_set = m.choice_set order by c.position
                ) else '{}' end as "choice_labels!",
                array(select o.mode || ' ' || o.address from herald.delivery o
                      where o.message_id = d.message_id and o.channel = d.channel and d.with_message and o.with_message
                        and o.id <> d.id and o.mode <> 'bcc' and o.address <> ''
                      order by o.id) as "headers!"
         from claimed d cross join lateral (
             select on_unknown, message_type, subject, coalesce(external_message, message_text) as text, external_html, created_at,
                    required_action, recipient_id, status, choice_set
             from herald.message m where m.id = d.message_id limit 1
         ) m
         where d.state = 'sending'"#,
        column!(record => record.id),
        column!(record => record.lease_token),
        column!(record => record.verdict.outcome.as_str()) as &[&str],
        column!(record => record.verdict.code.map(i32::from)) as &[Option<i32>],
        column!(record => record.verdict.reply.as_str()) as &[&str],
        column!(record => record.state.as_str()) as &[&str],
        column!(record => record.next_attempt_at),
        column!(record => record.started_at),
        lease.from,
        lease.token,
        lease.until,
        &claims,
        // A copy made a moment ago on another machine is due here too.
        lease.from + TimeDelta::seconds(2),
        OnUnknown::RetryOnce.as_str(),
        &at_hand
    )
    .fetch_all(executor)
    .await
}

/// Claims that fell silent: the outcome is unknown. Sent once more where the message's type says so and it is the first
/// time, held otherwise. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn expire_leases(executor: impl PgExecutor<'_>, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let expired = sqlx::query!(
        r#"with silent as materialized (
             select id, unknowns = 0
                        -- An SMS is never sent again blindly.
                        and channel = 'email'
                        and coalesce((select m.on_unknown = $2 from herald.message m where m.id = message_id), false) as again
             from herald.delivery
             where state = 'sending' and lease_until < $1
             limit 1000 for update skip locked
         ), expired as (
             update herald.delivery d
             set state = case when again then 'pending' else 'unknown' end, unknowns = unknowns + 1,
                 reason = 'The worker that was sending this fell silent.', next_attempt_at = $1, pushed_at = null,
                 lease_token = null, lease_until = null, finished_at = case when not again then $1 end
             from silent where d.id = any(array(select id from silent)) and d.id = silent.id
             returning d.id
         )
         insert into herald.delivery_attempt (delivery_id, number, started_at, finished_at, outcome, reply)
         select id, (select coalesce(max(number), 0) + 1 from herald.delivery_attempt a where a.delivery_id = expired.id),
                $1, $1, 'unknown', 'The worker that was sending this fell silent.'
         from expired"#,
        now,
        OnUnknown::RetryOnce.as_str()
    )
    .execute(executor)
    .await?;
    Ok(expired.rows_affected())
}

/// Copies that have yet to be pushed, are due at `now` and have a message, at most `limit`; counts them as pushed.
///
/// # Errors
/// The database cannot be reached.
pub async fn take_unpushed(
    executor: impl PgExecutor<'_>,
    channel: Channel,
    lane: Lane,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    // A copy that was asked for before its message came waits a moment, longer the longer it has waited.
    sqlx::query_scalar!(
        r#"with due as materialized (
             select id, created_at, (select true from herald.message m where m.id = message_id) as ready
             from herald.delivery
             where channel = $1 and lane = $2 and state = 'pending' and pushed_at is null and next_attempt_at <= $3
             order by next_attempt_at limit $4
         ), postponed as (
             update herald.delivery d
             set next_attempt_at = $3 + least(greatest($3 - due.created_at, interval '50 ms'), interval '60 s')
             from due where d.id = any(array(select id from due)) and d.id = due.id and ready is null
         )
         update herald.delivery set pushed_at = clock_timestamp()
         where id = any(array(select id from due where ready))
         returning id"#,
        channel.as_str(),
        lane.as_str(),
        now,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Pending copies that were pushed more than `age` seconds ago, at most `limit`; counts them as pushed again.
///
/// # Errors
/// The database cannot be reached.
pub async fn take_lost(
    executor: impl PgExecutor<'_>,
    channel: Channel,
    lane: Lane,
    age: f64,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update herald.delivery set pushed_at = clock_timestamp()
           where id = any(array(select id from herald.delivery
                 where channel = $1 and lane = $2 and state = 'pending'
                   and pushed_at < clock_timestamp() - make_interval(secs => $3)
                 order by pushed_at limit $4))
           returning id"#,
        channel.as_str(),
        lane.as_str(),
        age,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Asks for a copy of a message, whether it is in its inbox yet or not. The same address twice is one copy.
///
/// # Errors
/// The database cannot be reached, or there is no such message (SQLSTATE 22023).
pub async fn add(
    executor: impl PgExecutor<'_>,
    message: MessageId,
    contact: &Contact,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select herald.add_recipient($1, $2, $3)::text as done",
        message.0,
        contact.address,
        contact.mode.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(())
}

/// One copy as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Key.
    pub id: Uuid,
    /// E-mail or SMS.
    pub channel: Channel,
    /// Where to; empty where the user has no such address.
    pub address: String,
    /// To, cc or bcc.
    pub mode: String,
    /// How it stands.
    pub state: DeliveryState,
    /// The last answer, or why nothing was sent.
    pub reason: Option<String>,
    /// Attempts that count.
    pub attempts: i32,
    /// When a pending copy is tried again.
    pub next_attempt_at: DateTime<Utc>,
}

/// A pending copy that will not be sent after all, and why. Nothing happens to one in another state.
///
/// # Errors
/// The database cannot be reached.
pub async fn suppress(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.delivery set state = 'suppressed', reason = $2, finished_at = now(), pushed_at = null
         where id = $1 and state = 'pending'",
        id.0,
        reason
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// All copies of a message.
///
/// # Errors
/// The database cannot be reached.
pub async fn of_message(
    executor: impl PgExecutor<'_>,
    message: MessageId,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "select id, channel, address, mode, state, reason, attempts, next_attempt_at
         from herald.delivery where message_id = $1 order by id",
        message.0
    )
    .fetch_all(executor)
    .await
}

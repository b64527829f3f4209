//! Messages: into the inbox, and read back by whoever sent them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::address::{Channel, EmailMode};
use crate::id::{DeliveryId, MessageId};
use crate::message_type::{DeliveryMethod, MessageType, RequiredAction};
use std::sync::Arc;

/// A message ready for its inbox, with the copies that go out.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// From when it was accepted.
    pub id: MessageId,
    /// Inserted only together with the deletion of its outbox row.
    pub needs_permit: bool,
    /// The recipient's key.
    pub recipient_id: i64,
    /// Its behaviour is copied onto the message.
    pub message_type: Arc<MessageType>,
    /// The lane its copies take.
    pub lane: crate::message_type::Lane,
    /// The subject.
    pub subject: String,
    /// What the inbox shows.
    pub message_text: String,
    /// What e-mail and SMS carry, where it differs.
    pub external_message: Option<String>,
    /// What made the texts.
    pub made_by: MadeBy,
    /// A model's name or a username.
    pub sender: String,
    /// The model's instance.
    pub sender_instance: Option<String>,
    /// A JSON list.
    pub action_parameters: Option<Value>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it is purged unread or read; view messages only.
    pub expires_at: Option<DateTime<Utc>>,
    /// Of a send to many.
    pub batch_id: Option<Uuid>,
    /// Through what it came in.
    pub sent_by: Option<String>,
    /// Copies that go out.
    pub copies: Vec<NewCopy>,
    /// The caller pushes the copies' jobs to Redis itself, right after the commit.
    pub pushed: bool,
}

/// What made the texts of a message, and what came of it besides them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeBy {
    /// The template's code and version; `None`: the message brought its own texts.
    pub template: Option<(String, i32)>,
    /// What e-mail carries beside the plain text.
    pub external_html: Option<String>,
    /// Why the texts could not be made: the message holds its type's fallback text.
    pub error: Option<String>,
}

/// One copy of a new message.
#[derive(Clone, Debug)]
pub struct NewCopy {
    /// The ledger's key.
    pub id: DeliveryId,
    /// E-mail or SMS.
    pub channel: Channel,
    /// Where to; `None`: the user has no such address, and the ledger says so.
    pub address: Option<String>,
    /// The name shown beside the address.
    pub display_name: String,
    /// To, Cc or Bcc.
    pub mode: EmailMode,
    /// Why it will not be sent; `None`: it will.
    pub suppressed: Option<&'static str>,
}

/// Puts messages into their inboxes: deletes their outbox rows, inserts those whose row was there (or that need none) and
/// their copies, and tells who is looking, in one statement and so in one commit. Safe to repeat.
///
/// The commit is seen before it is on the disk. Where Postgres crashes in between, what had an outbox row has it again, and the
/// relay pushes it anew; what had none is on the disk when this returns, and its job is still in Redis until then.
///
/// # Errors
/// The database cannot be reached, or refuses one of the rows; then none is inserted.
pub async fn insert(pool: &PgPool, rows: &[NewRow]) -> Result<(), sqlx::Error> {
    let may_come_again = rows.iter().all(|row| row.needs_permit);
    let mut rows: Vec<&NewRow> = rows.iter().collect();
    // Groups that lock in one order do not deadlock. A job can stand in the queue twice.
    rows.sort_unstable_by_key(|row| row.id.0);
    rows.dedup_by_key(|row| row.id.0);
    while let Err(error) = insert_new(pool, &rows).await {
        // Somebody did this before. `on conflict` would cost every group a sixth of its time for what follows a crash.
        if error.as_database_error().is_none_or(|error| error.constraint() != Some("message_pkey")) {
            return Err(error);
        }
        let there = finished(pool, &rows).await?;
        rows.retain(|row| !there.contains(&row.id.0));
    }
    if may_come_again { Ok(()) } else { super::flush(pool).await }
}

/// Which of these messages are in their inboxes; what was accepted twice is deleted from the outbox.
async fn finished(pool: &PgPool, rows: &[&NewRow]) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    sqlx::query_scalar!(
        r#"with finished as materialized (select id from herald.message where id = any($1)),
                deleted as (delete from herald.outbox where id = any(array(select id from finished)))
           select id from finished"#,
        &ids
    )
    .fetch_all(pool)
    .await
}

/// The statement of [`insert`], with or without what permits and copies need: most groups have neither.
macro_rules! insert_statement {
    ($permits:tt, $columns:tt, $arrays:tt, $permitted:tt, $rows:expr $(, $argument:expr)*) => {{
        macro_rules! column {
            ($row:ident => $value:expr) => {
                &$rows.iter().map(|$row| $value).collect::<Vec<_>>()
            };
        }
        let kinds = kinds($rows);
        macro_rules! kind {
            ($kind:ident => $value:expr) => {
                &kinds.iter().map(|$kind| $value).collect::<Vec<_>>()
            };
        }
        sqlx::query!(
            "with " + $permits + "inserted as (
                 insert into herald.message (id, recipient_id, message_type, alert, required_action, choice_set, action_url,
                     complete_on, on_unknown, lane, subject, message_text, external_message, sender, sender_instance,
                     action_parameters, created_at, expires_at, batch_id" + $columns + ")
                 select id, recipient_id, message_type, alert, required_action, choice_set, action_url, complete_on,
                        on_unknown, lane, subject, message_text, external_message, sender, sender_instance,
                        action_parameters, created_at, expires_at, batch_id" + $columns + "
                 from unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                             $9::text[], $10::jsonb[], $11::timestamptz[], $12::timestamptz[], $13::uuid[]" + $arrays + ")
                      as m(id, recipient_id, message_type, lane, subject, message_text, external_message, sender,
                           sender_instance, action_parameters, created_at, expires_at, batch_id" + $columns + ")
                 join unnest($14::text[], $15::bool[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[])
                      as k(code, alert, required_action, choice_set, action_url, complete_on, on_unknown)
                      on k.code = m.message_type" + $permitted + "
             select pg_notify('herald_inbox', $21)::text as told, set_config('synchronous_commit', 'off', true) as committing",
            column!(row => row.id.0),
            column!(row => row.recipient_id),
            column!(row => row.message_type.code.as_str()) as &[&str],
            column!(row => row.lane.as_str()) as &[&str],
            column!(row => row.subject.as_str()) as &[&str],
            column!(row => row.message_text.as_str()) as &[&str],
            column!(row => row.external_message.as_deref()) as &[Option<&str>],
            column!(row => row.sender.as_str()) as &[&str],
            column!(row => row.sender_instance.as_deref()) as &[Option<&str>],
            column!(row => row.action_parameters.as_ref()) as &[Option<&Value>],
            column!(row => row.created_at),
            column!(row => row.expires_at) as &[Option<DateTime<Utc>>],
            column!(row => row.batch_id) as &[Option<Uuid>],
            kind!(kind => kind.code.as_str()) as &[&str],
            kind!(kind => kind.delivery_method == DeliveryMethod::Alert),
            kind!(kind => kind.required_action.as_str()) as &[&str],
            kind!(kind => kind.choice_set.as_deref()) as &[Option<&str>],
            kind!(kind => kind.action_url.as_deref()) as &[Option<&str>],
            kind!(kind => kind.complete_on.as_str()) as &[&str],
            kind!(kind => kind.on_unknown.as_str()) as &[&str],
            recipients($rows)
            $(, $argument)*
        )
    }};
}

/// The statement of messages of which some need permits.
macro_rules! with_permits {
    ($columns:tt, $arrays:tt, $permitted:tt, $rows:expr, $permits:expr, $free:expr $(, $argument:expr)*) => {
        insert_statement!(
            // A batch that was cancelled gets no permits: its rows stay, for `store::cancelling` to close.
            "deleted as (
                 delete from herald.outbox o
                 where id = any($22) and (batch_id is null or not exists (select from herald.cancelled_batch c where c.id = o.batch_id))
                 returning id
             ), permit as materialized (
                 select id from deleted union all select unnest($23::uuid[])
             ), ",
            $columns,
            $arrays,
            $permitted,
            $rows,
            $permits,
            $free
            $(, $argument)*
        )
    };
}

async fn insert_new(pool: &PgPool, rows: &[&NewRow]) -> Result<(), sqlx::Error> {
    let free: Vec<Uuid> = rows.iter().filter(|row| !row.needs_permit).map(|row| row.id.0).collect();
    let permits: Vec<Uuid> = rows.iter().filter(|row| row.needs_permit).map(|row| row.id.0).collect();
    let is_plain =
        |row: &NewRow| row.copies.is_empty() && row.sent_by.is_none() && row.made_by == MadeBy::default();
    if rows.iter().all(|row| is_plain(row)) {
        if permits.is_empty() {
            insert_statement!("", "", "", ")", rows).fetch_one(pool).await?;
        } else {
            with_permits!("", "", " where id in (select id from permit))", rows, &permits, &free)
                .fetch_one(pool)
                .await?;
        }
        return Ok(());
    }
    let copies: Vec<(&NewRow, &NewCopy)> =
        rows.iter().flat_map(|&row| row.copies.iter().map(move |copy| (row, copy))).collect();
    macro_rules! made_by {
        ($made_by:ident => $value:expr) => {
            &rows.iter().map(|row| &row.made_by).map(|$made_by| $value).collect::<Vec<_>>()
        };
    }
    macro_rules! copies {
        ($row:ident, $copy:ident => $value:expr) => {
            &copies.iter().map(|&($row, $copy)| $value).collect::<Vec<_>>()
        };
    }
    with_permits!(
        ", external_html, template, template_version, template_error, sent_by",
        ", $33::text[], $34::text[], $35::int4[], $36::text[], $37::text[]",
        " where id in (select id from permit)), copied as (
             insert into herald.delivery (id, message_id, channel, address, display_name, mode, lane, state, reason,
                                          next_attempt_at, pushed_at, created_at, finished_at)
             select c.id, message_id, channel, coalesce(address, ''), display_name, mode, lane,
                    case when suppressed is null then 'pending' else 'suppressed' end, suppressed,
                    now(), case when pushed then now() end, now(), case when suppressed is not null then now() end
             from unnest($24::uuid[], $25::uuid[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[],
                         $32::bool[])
                  as c(id, message_id, channel, address, display_name, mode, lane, suppressed, pushed)
             where message_id in (select id from permit)
             on conflict on constraint delivery_one_copy do nothing
         )",
        rows,
        &permits,
        &free,
        copies!(_row, copy => copy.id.0),
        copies!(row, _copy => row.id.0),
        copies!(_row, copy => copy.channel.as_str()) as &[&str],
        copies!(_row, copy => copy.address.as_deref()) as &[Option<&str>],
        copies!(_row, copy => copy.display_name.as_str()) as &[&str],
        copies!(_row, copy => copy.mode.as_str()) as &[&str],
        copies!(row, _copy => row.lane.as_str()) as &[&str],
        copies!(_row, copy => copy.suppressed) as &[Option<&str>],
        copies!(row, _copy => row.pushed),
        made_by!(made_by => made_by.external_html.as_deref()) as &[Option<&str>],
        made_by!(made_by => made_by.template.as_ref().map(|(code, _)| code.as_str())) as &[Option<&str>],
        made_by!(made_by => made_by.template.as_ref().map(|(_, version)| *version)) as &[Option<i32>],
        made_by!(made_by => made_by.error.as_deref()) as &[Option<&str>],
        &rows.iter().map(|row| row.sent_by.as_deref()).collect::<Vec<_>>() as &[Option<&str>]
    )
    .fetch_one(pool)
    .await?;
    Ok(())
}

/// The types of these messages, each once.
fn kinds<'a>(rows: &[&'a NewRow]) -> Vec<&'a MessageType> {
    let mut kinds: Vec<&MessageType> = Vec::new();
    for row in rows {
        if kinds.last().is_none_or(|last| last.code != row.message_type.code)
            && !kinds.iter().any(|kind| kind.code == row.message_type.code)
        {
            kinds.push(&row.message_type);
        }
    }
    kinds
}

/// Whose inboxes change, as a notification names them: Postgres takes up to 8,000 bytes.
fn recipients(rows: &[&NewRow]) -> String {
    let mut recipients: Vec<i64> = rows.iter().map(|row| row.recipient_id).collect();
    recipients.sort_unstable();
    recipients.dedup();
    let list = recipients.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    if list.len() < 8_000 { list } else { super::inbox::EVERYONE.to_owned() }
}

/// How a message stands, for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Key.
    pub id: Uuid,
    /// Of a send to many.
    pub batch_id: Option<Uuid>,
    /// `accepted`, `failed` (its job failed for good), `pending`, `acted`, `cancelled` or `withdrawn`.
    pub status: String,
    /// Who receives it.
    pub recipient: String,
    /// Its type's code.
    pub message_type: String,
    /// What the inbox shows.
    pub message_text: String,
    /// Who sent it.
    pub sender: String,
    /// The sending instance.
    pub sender_instance: Option<String>,
    /// The template that makes or made the texts, and its version once it has.
    pub template: Option<String>,
    /// See `template`.
    pub template_version: Option<i32>,
    /// Why the texts could not be made: the message holds its type's fallback text.
    pub template_error: Option<String>,
    /// Through what it came in, as in `role reports` or `token hrld_abcdefgh`; `None`: a program of Herald's own.
    pub sent_by: Option<String>,
    /// What the recipient answered.
    pub reply_value: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When the recipient first saw it.
    pub seen_at: Option<DateTime<Utc>>,
    /// When it was acted on.
    pub acted_at: Option<DateTime<Utc>>,
    /// Who acted, and where: `inbox`, `api`, `email`, `cli` or `callback`.
    pub acted_by: Option<String>,
    /// See `acted_by`.
    pub acted_via: Option<String>,
    /// Why it was taken back, where there is something to say.
    pub closed_reason: Option<String>,
}

/// How the message stands, from the moment it was accepted.
///
/// # Errors
/// The database cannot be reached.
pub async fn standing(executor: impl PgExecutor<'_>, id: MessageId) -> Result<Option<Standing>, sqlx::Error> {
    sqlx::query_as!(
        Standing,
        r#"select id as "id!", batch_id, status as "status!", recipient as "recipient!", message_type as "message_type!",
                  message_text as "message_text!", sender as "sender!", sender_instance, template, template_version,
                  template_error, sent_by, reply_value, reason,
                  created_at as "created_at!", seen_at, acted_at, acted_by, acted_via, closed_reason
           from (
             select m.id, m.batch_id, herald.status_of(m.status, m.batch_id) as status, u.username as recipient, m.message_type, m.message_text, m.sender, m.sender_instance,
                    m.template, m.template_version, m.template_error, m.sent_by, m.reply_value, null::text as reason,
                    m.created_at, m.seen_at, m.acted_at, m.acted_by, m.acted_via, m.closed_reason
             from herald.message m join herald.app_user u on u.id = m.recipient_id where m.id = $1
             union all
             select o.id, o.batch_id, case when exists (select from herald.cancelled_batch c where c.id = o.batch_id) then 'cancelled'
                         when failed_at is null then 'accepted' else 'failed' end, payload->'message'->>'recipient',
                    payload->'message'->>'message_type', coalesce(payload->'message'->>'message_text', ''),
                    payload->'message'->>'sender', payload->'message'->>'sender_instance',
                    payload->'message'->>'template', null, null, payload->>'sent_by', null, reason, accepted_at, null, null,
                    null, null, null
             from herald.outbox o where id = $1
           ) as m limit 1"#,
        id.0
    )
    .fetch_optional(executor)
    .await
}

/// View messages that expire at or before `now` are deleted, seen or not: at most `limit` of them. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn purge_expired(
    executor: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        r#"with purged as (
             delete from herald.message
             where id = any(array(select id from herald.current_message
                   where status = 'pending' and expires_at is not null and expires_at <= $1 and required_action = $3
                   order by expires_at limit $2 for update skip locked))
             returning id, recipient_id, message_type, seen_at
         ), ended as (
             update herald.delivery d set state = 'cancelled', reason = 'The message expired before it could be sent.',
                    pushed_at = null, finished_at = $1
             where d.message_id = any(array(select id from purged)) and d.state = 'pending'
         ), unread as (
             insert into herald.purged_unread as u (purged_on, recipient_id, message_type, messages)
             select ($1 at time zone 'UTC')::date, recipient_id, message_type, count(*) from purged where seen_at is null
             group by recipient_id, message_type order by recipient_id, message_type
             on conflict (purged_on, recipient_id, message_type) do update set messages = u.messages + excluded.messages
         ), told as (
             select pg_notify('herald_inbox', string_agg(distinct recipient_id::text, ','))
             from (select recipient_id from purged limit 500) as someone having count(*) > 0
         )
         select count(*) as "purged!", (select count(*) from told) as told from purged"#,
        now,
        limit,
        RequiredAction::View.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(u64::try_from(purged.purged).unwrap_or_default())
}

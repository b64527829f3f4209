//! What a recipient sees and does. Every query is bound to one recipient: nobody reaches another's rows.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgListener;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::answer::Via;
use crate::message_type::{CompleteOn, RequiredAction};

/// What waits for a recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Pending alerts.
    pub alerts: i64,
    /// Pending messages.
    pub messages: i64,
}

/// What waits for one recipient is counted up to here, in rows: a count that is read at each change must stay quick.
pub const MOST_COUNTED: i64 = 10_000;

/// Counts what is pending. One more than [`MOST_COUNTED`] stands for any number above it.
///
/// # Errors
/// The database cannot be reached.
pub async fn counts(executor: impl PgExecutor<'_>, recipient: i64) -> Result<Counts, sqlx::Error> {
    // While no batch is being cancelled, the index alone tells.
    sqlx::query_as!(
        Counts,
        r#"select case when not is_cancelling then
                       (select count(*) from (select from herald.message
                                              where recipient_id = $1 and alert and status = 'pending' limit $2) as a)
                  else (select count(*) from (select from herald.current_message
                                              where recipient_id = $1 and alert and status = 'pending' limit $2) as a)
                  end as "alerts!",
                  case when not is_cancelling then
                       (select count(*) from (select from herald.message
                                              where recipient_id = $1 and not alert and status = 'pending' limit $2) as m)
                  else (select count(*) from (select from herald.current_message
                                              where recipient_id = $1 and not alert and status = 'pending' limit $2) as m)
                  end as "messages!"
           from (select exists (select from herald.cancelling) as is_cancelling) as now"#,
        recipient,
        MOST_COUNTED + 1
    )
    .fetch_one(executor)
    .await
}

/// The newest pending message of a recipient, or the newest alert.
///
/// # Errors
/// The database cannot be reached.
pub async fn newest(
    executor: impl PgExecutor<'_>,
    recipient: i64,
    alert: bool,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id!" from herald.current_message
           where recipient_id = $1 and alert = $2 and status = 'pending' order by id desc limit 1"#,
        recipient,
        alert
    )
    .fetch_optional(executor)
    .await
}

/// One message as its recipient sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxMessage {
    /// Key.
    pub id: Uuid,
    /// Shown apart, with a notice.
    pub alert: bool,
    /// The type's code.
    pub message_type: String,
    /// What must be done.
    pub required_action: RequiredAction,
    /// Where the choices of a reply come from.
    pub choice_set: Option<String>,
    /// Opened by an action.
    pub action_url: Option<String>,
    /// Scalars for the URL.
    pub action_parameters: Option<Value>,
    /// When an action counts as done.
    pub complete_on: CompleteOn,
    /// The subject.
    pub subject: String,
    /// The text.
    pub message_text: String,
    /// A model's name or a username.
    pub sender: String,
    /// The model's instance.
    pub sender_instance: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When the recipient first saw it.
    pub seen_at: Option<DateTime<Utc>>,
    /// When it will be purged.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Pending messages or alerts, newest first; `before` continues a page of `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn pending(
    executor: impl PgExecutor<'_>,
    recipient: i64,
    alert: bool,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<InboxMessage>, sqlx::Error> {
    sqlx::query_as!(
        InboxMessage,
        r#"select id as "id!", alert as "alert!", message_type as "message_type!", required_action as "required_action!",
                  choice_set, action_url, action_parameters, complete_on as "complete_on!", subject as "subject!",
                  message_text as "message_text!", sender as "sender!", sender_instance, created_at as "created_at!", seen_at,
                  expires_at
           from herald.current_message
           where recipient_id = $1 and alert = $2 and status = 'pending'
             and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           order by id desc limit $4"#,
        recipient,
        alert,
        before,
        limit
    )
    .fetch_all(executor)
    .await
}

/// The recipient's messages among `ids`, whatever their state.
///
/// # Errors
/// The database cannot be reached.
pub async fn some(
    executor: impl PgExecutor<'_>,
    recipient: i64,
    ids: &[Uuid],
) -> Result<Vec<(InboxMessage, Standing)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, alert, message_type, required_action, choice_set, action_url, action_parameters, complete_on,
                  subject, message_text, sender, sender_instance, created_at, seen_at, expires_at,
                  herald.status_of(status, batch_id) as "status!", reply_value, acted_at, acted_by, acted_via, closed_reason
           from herald.message where recipient_id = $1 and id = any($2)"#,
        recipient,
        ids
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let message = InboxMessage {
                id: row.id,
                alert: row.alert,
                message_type: row.message_type,
                required_action: row.required_action.into(),
                choice_set: row.choice_set,
                action_url: row.action_url,
                action_parameters: row.action_parameters,
                complete_on: row.complete_on.into(),
                subject: row.subject,
                message_text: row.message_text,
                sender: row.sender,
                sender_instance: row.sender_instance,
                created_at: row.created_at,
                seen_at: row.seen_at,
                expires_at: row.expires_at,
            };
            let standing = Standing {
                status: row.status,
                reply_value: row.reply_value,
                acted_at: row.acted_at,
                acted_by: row.acted_by,
                acted_via: row.acted_via.map(Into::into),
                closed_reason: row.closed_reason,
            };
            (message, standing)
        })
        .collect())
}

/// How a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `pending`, `acted`, `cancelled` or `withdrawn`.
    pub status: String,
    /// What was answered.
    pub reply_value: Option<String>,
    /// When.
    pub acted_at: Option<DateTime<Utc>>,
    /// Who answered: a username, a program, or whoever used the command line.
    pub acted_by: Option<String>,
    /// Where.
    pub acted_via: Option<Via>,
    /// Why it was taken back, where there is something to say.
    pub closed_reason: Option<String>,
}

impl Standing {
    /// What has become of a message that does not wait any more, to be read after "it".
    pub fn words(&self) -> String {
        let Some(at) = self.acted_at.filter(|_| self.status == "acted") else {
            let why = self.closed_reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
            return format!("was {}{why}", self.status);
        };
        let what =
            self.reply_value.as_ref().map_or("acted on".to_owned(), |reply| format!("answered {reply}"));
        let by = self.acted_by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
        let via = self.acted_via.map_or(String::new(), |via| format!(" {}", via.words()));
        format!("was {what}{by}{via} at {}", at.format("%Y-%m-%d %H:%M:%SZ"))
    }
}

/// Records that the recipient has seen these messages. The first time counts.
///
/// # Errors
/// The database cannot be reached.
pub async fn mark_seen(
    executor: impl PgExecutor<'_>,
    recipient: i64,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.message set seen_at = $3 where recipient_id = $1 and id = any($2) and seen_at is null",
        recipient,
        ids,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Takes pending messages out of the inbox, each with its reply where it has one. Answers those that were still pending:
/// whoever comes second is not among them.
///
/// # Errors
/// The database cannot be reached.
pub async fn act(
    executor: impl PgExecutor<'_>,
    recipient: i64,
    answers: &[(Uuid, Option<&str>)],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = answers.iter().map(|&(id, _)| id).collect();
    let replies: Vec<Option<&str>> = answers.iter().map(|&(_, reply)| reply).collect();
    sqlx::query_scalar!(
        r#"select id as "id!" from herald.answer($1, $2, $3, (select username from herald.app_user where id = $1), $4, $5) as id"#,
        recipient,
        &ids,
        &replies as &[Option<&str>],
        Via::Inbox.as_str(),
        now
    )
    .fetch_all(executor)
    .await
}

/// The notification that stands for all recipients.
pub(super) const EVERYONE: &str = "*";

/// Tells whose inbox changes, as it happens.
pub struct Changes {
    listener: PgListener,
}

/// What [`Changes::next`] tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These recipients' inboxes changed.
    Of(Vec<i64>),
    /// Any inbox may have changed: too many to name, or the connection was lost and made again.
    Any,
}

impl Changes {
    /// Listens from now on, on a connection of its own.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn listen(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen("herald_inbox").await?;
        Ok(Self { listener })
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// The database cannot be reached; listen anew.
    pub async fn next(&mut self) -> Result<Change, sqlx::Error> {
        Ok(match self.listener.try_recv().await? {
            Some(told) if told.payload() == EVERYONE => Change::Any,
            Some(told) => Change::Of(told.payload().split(',').filter_map(|id| id.parse().ok()).collect()),
            None => Change::Any,
        })
    }
}

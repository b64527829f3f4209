//! Answers to messages: the one way in, for wherever they come from.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::inbox::Standing;
use crate::answer::Via;
use crate::id::MessageId;
use crate::message_type::{CompleteOn, RequiredAction};

/// A message as whoever answers it needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answerable {
    /// Key.
    pub id: Uuid,
    /// The recipient's key.
    pub recipient_id: i64,
    /// The recipient's name.
    pub recipient: String,
    /// Whether the recipient still receives messages.
    pub recipient_active: bool,
    /// Who sent it.
    pub sender: String,
    /// The sending instance.
    pub sender_instance: Option<String>,
    /// The type's code.
    pub message_type: String,
    /// What must be done.
    pub required_action: RequiredAction,
    /// When an action counts as done.
    pub complete_on: CompleteOn,
    /// The values and labels that a reply may have; none: free text.
    pub choices: Vec<(String, String)>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub message_text: String,
    /// What e-mail and SMS carry, where that is another text.
    pub external_message: Option<String>,
    /// Who asked, where it asks for an authorisation.
    pub requester: Option<String>,
    /// How it stands.
    pub standing: Standing,
}

/// A message in an inbox, whoever's.
///
/// # Errors
/// The database cannot be reached.
pub async fn answerable(
    executor: impl PgExecutor<'_>,
    id: MessageId,
) -> Result<Option<Answerable>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select m.id, m.recipient_id, u.username, u.active, m.sender, m.sender_instance, m.message_type, m.required_action,
                  m.complete_on, m.subject, m.message_text, m.external_message, herald.status_of(m.status, m.batch_id) as "status!", m.reply_value, m.acted_at, m.acted_by, m.acted_via,
                  m.closed_reason,
                  array(select c.value from herald.choice c where c.choice_set = m.choice_set order by c.position) as "values!",
                  array(select c.label from herald.choice c where c.choice_set = m.choice_set order by c.position) as "labels!",
                  (select a.requester from herald.approver p join herald.authorisation a on a.id = p.authorisation_id
                   where p.message_id = m.id) as requester
           from herald.message m join herald.app_user u on u.id = m.recipient_id where m.id = $1"#,
        id.0
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Answerable {
        id: row.id,
        recipient_id: row.recipient_id,
        recipient: row.username,
        recipient_active: row.active,
        sender: row.sender,
        sender_instance: row.sender_instance,
        message_type: row.message_type,
        required_action: row.required_action.into(),
        complete_on: row.complete_on.into(),
        choices: row.values.into_iter().zip(row.labels).collect(),
        subject: row.subject,
        message_text: row.message_text,
        external_message: row.external_message,
        requester: row.requester,
        standing: Standing {
            status: row.status,
            reply_value: row.reply_value,
            acted_at: row.acted_at,
            acted_by: row.acted_by,
            acted_via: row.acted_via.map(Into::into),
            closed_reason: row.closed_reason,
        },
    }))
}

/// Answers messages that are pending, each with its reply where it has one, and records what follows in the same transaction. Answers
/// those that were still pending, and the recipient's where one is named.
///
/// # Errors
/// The database cannot be reached.
pub async fn answer(
    executor: impl PgExecutor<'_>,
    recipient: Option<i64>,
    answers: &[(Uuid, Option<&str>)],
    (by, via): (&str, Via),
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = answers.iter().map(|&(id, _)| id).collect();
    let replies: Vec<Option<&str>> = answers.iter().map(|&(_, reply)| reply).collect();
    sqlx::query_scalar!(
        r#"select id as "id!" from herald.answer($1, $2, $3, $4, $5, $6) as id"#,
        recipient,
        &ids,
        &replies as &[Option<&str>],
        by,
        via.as_str(),
        now
    )
    .fetch_all(executor)
    .await
}

/// Keeps where the answer to a message goes that is being accepted. `false`: there is no such webhook.
///
/// # Errors
/// The database cannot be reached.
pub async fn route(
    transaction: &mut PgConnection,
    message: MessageId,
    answer_to: &str,
) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query!(
        "insert into herald.answer_route (message_id, answer_to)
         select $1, $2::text
         where $2 not like 'webhook:%' or exists (select from herald.webhook where name = substr($2, 9))
         on conflict do nothing",
        message.0,
        answer_to
    )
    .execute(transaction)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Tells of answers and decisions as they come, by the id of the message or authorisation.
pub struct Answers {
    listener: sqlx::postgres::PgListener,
}

impl Answers {
    /// Listens from now on, on a connection of its own.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn listen(pool: &sqlx::PgPool) -> Result<Self, sqlx::Error> {
        let mut listener = sqlx::postgres::PgListener::connect_with(pool).await?;
        listener.listen("herald_answer").await?;
        Ok(Self { listener })
    }

    /// The next; `None`: the connection was lost meanwhile, and some may have been missed.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn next(&mut self) -> Result<Option<Uuid>, sqlx::Error> {
        Ok(self.listener.try_recv().await?.and_then(|told| told.payload().parse().ok()))
    }
}

//! Message types and reply choices.

use serde::Serialize;
use sqlx::PgExecutor;

use crate::message_type::MessageType;

/// All message types, by code.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<MessageType>, sqlx::Error> {
    sqlx::query_as!(
        MessageType,
        r#"select code, description, delivery_method, required_action, expiry_days, external_delivery, choice_set,
                  action_url, complete_on, on_unknown, lane, retry_hours, fallback_text
           from herald.message_type order by code"#
    )
    .fetch_all(executor)
    .await
}

/// One answer that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The set it belongs to.
    pub choice_set: String,
    /// What is recorded.
    pub value: String,
    /// What the recipient sees.
    pub label: String,
}

/// The choices of the named sets, each set in its order.
///
/// # Errors
/// The database cannot be reached.
pub async fn choices(executor: impl PgExecutor<'_>, sets: &[String]) -> Result<Vec<Choice>, sqlx::Error> {
    sqlx::query_as!(
        Choice,
        "select choice_set, value, label from herald.choice where choice_set = any($1) order by choice_set, position",
        sets
    )
    .fetch_all(executor)
    .await
}

/// Adds a message type, or adjusts the one with this code. Only for set-up from code; the checks are the table's.
///
/// # Errors
/// The database cannot be reached, or refuses the combination of settings.
pub async fn put(executor: impl PgExecutor<'_>, kind: &MessageType) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.message_type (code, description, delivery_method, required_action, expiry_days,
             external_delivery, choice_set, action_url, complete_on, on_unknown, lane, fallback_text, retry_hours)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (code) do update set description = $2, delivery_method = $3, required_action = $4,
             expiry_days = $5, external_delivery = $6, choice_set = $7, action_url = $8, complete_on = $9,
             on_unknown = $10, lane = $11, fallback_text = $12, retry_hours = $13, updated_at = now()",
        kind.code,
        kind.description,
        kind.delivery_method.as_str(),
        kind.required_action.as_str(),
        kind.expiry_days,
        kind.external_delivery.as_str(),
        kind.choice_set,
        kind.action_url,
        kind.complete_on.as_str(),
        kind.on_unknown.as_str(),
        kind.lane.as_str(),
        kind.fallback_text,
        kind.retry_hours
    )
    .execute(executor)
    .await?;
    Ok(())
}

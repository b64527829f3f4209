//! Message types and reply choices.

use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::{ChangeError, Expect, Saved, lock};
use crate::message_type::MessageType;
use crate::refusal::Refusal;

/// All message types, by code.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<MessageType>, sqlx::Error> {
    sqlx::query_as!(
        MessageType,
        r#"select code, description, delivery_method, required_action, expiry_days, external_delivery, choice_set,
                  action_url, complete_on, on_unknown, lane, retry_hours, fallback_text, standard
           from herald.message_type order by code"#
    )
    .fetch_all(executor)
    .await
}

/// The message type with this code.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, code: &str) -> Result<Option<MessageType>, sqlx::Error> {
    sqlx::query_as!(
        MessageType,
        r#"select code, description, delivery_method, required_action, expiry_days, external_delivery, choice_set,
                  action_url, complete_on, on_unknown, lane, retry_hours, fallback_text, standard
           from herald.message_type where code = $1"#,
        code
    )
    .fetch_optional(executor)
    .await
}

/// The message types after the code `after`, by code: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<MessageType>, sqlx::Error> {
    sqlx::query_as!(
        MessageType,
        r#"select code, description, delivery_method, required_action, expiry_days, external_delivery, choice_set,
                  action_url, complete_on, on_unknown, lane, retry_hours, fallback_text, standard
           from herald.message_type where code > $1 order by code limit $2"#,
        after,
        limit
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

/// Adds a message type, or adjusts the one with this code, without a look at it: the checks are the table's.
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

/// Adds a message type, or adjusts the one of this code. Messages that were sent keep what they have copied.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save(
    pool: &PgPool,
    kind: MessageType,
    expect: &Expect,
    actor: &str,
) -> Result<Saved<MessageType>, ChangeError> {
    kind.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "message_type", &kind.code).await?;
    let current = get(&mut *transaction, &kind.code).await?;
    expect.check(current.as_ref())?;
    put(&mut *transaction, &kind).await.map_err(|error| {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("message_type_choice_set_fkey") => {
                Refusal::new("choice_set", "there is no such choice set").into()
            }
            _ => ChangeError::from(error),
        }
    })?;
    super::audit::record(&mut *transaction, actor, "type set", &kind.code).await?;
    transaction.commit().await?;
    let standard = current.as_ref().is_some_and(|current| current.standard);
    Ok(Saved { value: MessageType { standard, ..kind }, created: current.is_none() })
}

/// Deletes a message type. Answers whether there was one.
///
/// # Errors
/// [`ChangeError::Kept`] where it is shipped, or a rule or a send that is not in its inbox yet needs it.
pub async fn remove(pool: &PgPool, code: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "message_type", code).await?;
    let Some(current) = get(&mut *transaction, code).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    if current.standard {
        return Err(ChangeError::Kept(format!(
            "{code} is shipped with Herald: it can be adjusted, not deleted"
        )));
    }
    if let Some(rule) = super::change::rule_naming(&mut *transaction, "message_type", code).await? {
        return Err(ChangeError::Kept(format!("{rule} needs {code}")));
    }
    if is_awaited(&mut transaction, code).await? {
        let problem = format!("a message of the type {code} is not in its inbox yet: wait, or drop it");
        return Err(ChangeError::Kept(problem));
    }
    sqlx::query!("delete from herald.message_type where code = $1", code).execute(&mut *transaction).await?;
    super::audit::record(&mut *transaction, actor, "type remove", code).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn is_awaited(connection: &mut PgConnection, code: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from herald.outbox where payload->'message'->>'message_type' = $1) as "is!""#,
        code
    )
    .fetch_one(connection)
    .await
}

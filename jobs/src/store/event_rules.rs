//! Rules by which events become messages.

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::{ChangeError, Expect, Saved, lock};
use super::watches::WatchError;
use crate::event_rule::EventRule;
use crate::refusal::Refusal;

/// Adds a rule, or replaces the one of this code.
///
/// # Errors
/// Names the field that cannot be: there is no such watch, message type or template.
pub async fn put(connection: &mut PgConnection, rule: &EventRule) -> Result<(), WatchError> {
    rule.validate()?;
    lock(&mut *connection, "event_rule", &rule.code).await?;
    if super::message_types::get(&mut *connection, &rule.message_type).await?.is_none() {
        let problem = format!("there is no message type {}", rule.message_type);
        return Err(Refusal::new("message_type", problem).into());
    }
    if let Some(code) = &rule.template
        && super::message_templates::get(&mut *connection, code).await?.is_none()
    {
        return Err(Refusal::new("template", format!("there is no template {code}")).into());
    }
    let json = serde_json::to_value(rule).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let put = sqlx::query!(
        "insert into herald.event_rule (code, watch_id, rule, enabled) values ($1, $2, $3, $4)
         on conflict (code) do update set watch_id = $2, rule = $3, enabled = $4, updated_at = now()",
        rule.code,
        rule.watch,
        json,
        rule.enabled
    )
    .execute(connection)
    .await;
    match put {
        Err(error)
            if error.as_database_error().is_some_and(|it| it.constraint() == Some("event_rule_watch")) =>
        {
            let problem = format!("there is no watch {}: see herald watch list", rule.watch);
            Err(Refusal::new("watch", problem).into())
        }
        put => Ok(put.map(drop)?),
    }
}

/// Saves a rule where what is there is as expected.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save(
    pool: &PgPool,
    rule: EventRule,
    expect: &Expect,
    actor: &str,
) -> Result<Saved<EventRule>, ChangeError> {
    rule.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "event_rule", &rule.code).await?;
    let current = get(&mut *transaction, &rule.code).await?;
    expect.check(current.as_ref())?;
    put(&mut transaction, &rule).await?;
    super::audit::record(&mut *transaction, actor, "event rule", &rule.code).await?;
    transaction.commit().await?;
    Ok(Saved { value: rule, created: current.is_none() })
}

/// Removes a rule. Answers whether there was one.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn remove(pool: &PgPool, code: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "event_rule", code).await?;
    let Some(current) = get(&mut *transaction, code).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    sqlx::query!("delete from herald.event_rule where code = $1", code).execute(&mut *transaction).await?;
    super::audit::record(&mut *transaction, actor, "event rule remove", code).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The rule of this code.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, code: &str) -> Result<Option<EventRule>, sqlx::Error> {
    let rule = sqlx::query_scalar!("select rule from herald.event_rule where code = $1", code)
        .fetch_optional(executor)
        .await?;
    rule.map(read).transpose()
}

/// The rules after the code `after`, by code: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<EventRule>, sqlx::Error> {
    let rules = sqlx::query_scalar!(
        "select rule from herald.event_rule where code > $1 order by code limit $2",
        after,
        limit
    )
    .fetch_all(executor)
    .await?;
    rules.into_iter().map(read).collect()
}

fn read(rule: Value) -> Result<EventRule, sqlx::Error> {
    let code = rule["code"].as_str().unwrap_or_default().to_owned();
    serde_json::from_value(rule)
        .map_err(|error| sqlx::Error::Decode(format!("the event rule {code}: {error}").into()))
}

/// All rules, by code; with `watch` those that are on and read it.
///
/// # Errors
/// The database cannot be reached, or a rule is of a later version.
pub async fn all(executor: impl PgExecutor<'_>, watch: Option<i64>) -> Result<Vec<EventRule>, sqlx::Error> {
    let rules = sqlx::query_scalar!(
        "select rule from herald.event_rule where $1::int8 is null or (watch_id = $1 and enabled) order by code",
        watch
    )
    .fetch_all(executor)
    .await?;
    rules.into_iter().map(read).collect()
}

//! Programs that are told of answers by HTTP.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Where requests go, and what they are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Unique.
    pub name: String,
    /// Where requests go.
    pub url: String,
    /// The secret, sealed for [`sealed_for`].
    pub secret: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// The name that a webhook's secret is sealed for.
pub fn sealed_for(name: &str) -> String {
    format!("webhook:{name}")
}

/// All webhooks, by name.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Webhook>, sqlx::Error> {
    sqlx::query_as!(Webhook, "select name, url, secret, created_at from herald.webhook order by name")
        .fetch_all(executor)
        .await
}

/// One webhook.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, name: &str) -> Result<Option<Webhook>, sqlx::Error> {
    sqlx::query_as!(Webhook, "select name, url, secret, created_at from herald.webhook where name = $1", name)
        .fetch_optional(executor)
        .await
}

/// Adds a webhook, or changes the one of this name.
///
/// # Errors
/// The database cannot be reached.
pub async fn put(connection: &mut PgConnection, webhook: &Webhook) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.webhook (name, url, secret, created_at) values ($1, $2, $3, $4)
         on conflict (name) do update set url = excluded.url, secret = excluded.secret",
        webhook.name,
        webhook.url,
        webhook.secret,
        webhook.created_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a webhook. What is still to be told it fails. `false`: there is none of this name.
///
/// # Errors
/// The database cannot be reached.
pub async fn remove(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    let removed =
        sqlx::query!("delete from herald.webhook where name = $1", name).execute(connection).await?;
    Ok(removed.rows_affected() == 1)
}

//! The Application Registry: settings that operators change while Herald runs.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};

/// One key of the registry. All keys that there are have a row, set or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As in `SMTP-SERVER`.
    pub key: String,
    /// Sealed where the key is secret.
    pub value: Option<String>,
    /// What it is for.
    pub description: String,
    /// Its value is kept sealed, and never shown.
    pub secret: bool,
}

/// All keys that are set, with their values; secrets are sealed.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<HashMap<String, String>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select key, value as "value!" from herald.registry where value is not null and value <> ''"#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}

/// All keys that there are, by name.
///
/// # Errors
/// The database cannot be reached.
pub async fn entries(executor: impl PgExecutor<'_>) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"select key, nullif(value, '') as value, description, secret from herald.registry order by key"#
    )
    .fetch_all(executor)
    .await
}

/// Sets a key, a secret one to sealed text; `None` unsets it. Answers whether there is such a key.
///
/// # Errors
/// The database cannot be reached, or refuses a secret that is not sealed.
pub async fn set(executor: impl PgExecutor<'_>, key: &str, value: Option<&str>) -> Result<bool, sqlx::Error> {
    let changed =
        sqlx::query!("update herald.registry set value = $2, updated_at = now() where key = $1", key, value)
            .execute(executor)
            .await?;
    Ok(changed.rows_affected() == 1)
}

/// The secrets that are set, as (key, sealed text), locked until the transaction ends.
///
/// # Errors
/// The database cannot be reached.
pub async fn secrets(transaction: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select key, value as "value!" from herald.registry
           where secret and value is not null order by key for update"#
    )
    .fetch_all(transaction)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}

/// Notes for good that what goes out from this database is caught, and reaches nobody.
///
/// # Errors
/// The database cannot be reached, or the schema is not this user's own.
pub async fn mark_caught(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("comment on schema herald is 'What goes out is caught.'").execute(executor).await?;
    Ok(())
}

/// Whether [`mark_caught`] was called here.
///
/// # Errors
/// The database cannot be reached.
pub async fn is_caught(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select obj_description('herald'::regnamespace, 'pg_namespace') = 'What goes out is caught.' as "caught""#
    )
    .fetch_one(executor)
    .await?;
    Ok(found == Some(true))
}

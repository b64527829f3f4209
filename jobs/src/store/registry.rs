//! The Application Registry: settings that operators change while Herald runs.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::{ChangeError, lock};

/// One key of the registry. All keys that there are have a row, set or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// Sets keys together, secret ones to sealed text, and unsets those with `None`. `expect` looks at all keys as they were before; no
/// other change comes between.
///
/// # Errors
/// What `expect` says, or the database cannot be reached; nothing has changed then.
pub async fn change(
    pool: &PgPool,
    changes: &[(String, Option<String>)],
    actor: &str,
    expect: impl FnOnce(&[Entry]) -> Result<(), ChangeError>,
) -> Result<(), ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "registry", "").await?;
    expect(&entries(&mut *transaction).await?)?;
    for (key, value) in changes {
        let action = if value.is_some() { "registry set" } else { "registry unset" };
        set(&mut *transaction, key, value.as_deref()).await?;
        super::audit::record(&mut *transaction, actor, action, key).await?;
    }
    Ok(transaction.commit().await?)
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

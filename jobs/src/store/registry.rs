//! The Application Registry: settings that operators change while Herald runs.

use std::collections::HashMap;

use sqlx::PgExecutor;

/// All keys that are set, with their values.
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

/// Sets a key; `None` unsets it.
///
/// # Errors
/// The database cannot be reached, or refuses the key's form.
pub async fn set(executor: impl PgExecutor<'_>, key: &str, value: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.registry (key, value) values ($1, $2)
         on conflict (key) do update set value = excluded.value, updated_at = now()",
        key,
        value
    )
    .execute(executor)
    .await?;
    Ok(())
}

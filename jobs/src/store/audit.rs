//! Who changed what.

use sqlx::PgExecutor;

/// Records that `actor` did `action` to `subject`.
///
/// # Errors
/// The database cannot be reached.
pub async fn record(
    executor: impl PgExecutor<'_>,
    actor: &str,
    action: &str,
    subject: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.audit (actor, action, subject) values ($1, $2, $3)",
        actor,
        action,
        subject
    )
    .execute(executor)
    .await?;
    Ok(())
}

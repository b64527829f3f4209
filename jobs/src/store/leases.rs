//! Who does what only one process may do at a time.

use sqlx::PgExecutor;
use uuid::Uuid;

/// Takes or renews the lease `name` for `seconds`; `false` while another holds it.
///
/// # Errors
/// The database cannot be reached.
pub async fn hold(
    executor: impl PgExecutor<'_>,
    name: &str,
    holder: Uuid,
    seconds: f64,
) -> Result<bool, sqlx::Error> {
    let held = sqlx::query!(
        "insert into herald.lease as l (name, holder, expires_at)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at
         where l.holder = excluded.holder or l.expires_at < clock_timestamp()
         returning 1 as held",
        name,
        holder,
        seconds
    )
    .fetch_optional(executor)
    .await?;
    Ok(held.is_some())
}

/// Gives the lease back at once.
///
/// # Errors
/// The database cannot be reached.
pub async fn release(executor: impl PgExecutor<'_>, name: &str, holder: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from herald.lease where name = $1 and holder = $2", name, holder)
        .execute(executor)
        .await?;
    Ok(())
}

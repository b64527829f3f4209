//! As whom the database's roles may send from SQL.

use sqlx::{AssertSqlSafe, Executor as _, PgExecutor, PgPool};

use super::models::quoted;
use crate::refusal::{Refusal, check_line};

/// Longest sender, in characters.
const MAX_SENDER: usize = crate::send::MAX_SENDER;
/// What a role that sends may call.
const FUNCTIONS: &str = "herald.send_message, herald.add_recipient, herald.cancel_message, herald.cancel_batch, herald.request_authorisation, \
     herald.withdraw_authorisation, herald.complete_message, herald.answer_of";

/// A role, and a sender it may send as; `*`: any.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SendGrant {
    /// A role of the database.
    pub role: String,
    /// A model's name or a username.
    pub sender: String,
}

/// Why a grant was not made.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There is no such role, or no such sender can be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached, or this user may not grant.
    #[error("{}", super::complaint(.0))]
    Database(#[from] sqlx::Error),
}

/// All grants, by role.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<SendGrant>, sqlx::Error> {
    sqlx::query_as!(SendGrant, "select role, sender from herald.send_grant order by role, sender")
        .fetch_all(executor)
        .await
}

/// Lets a role send as this sender from SQL.
///
/// # Errors
/// [`GrantError`]; nothing has changed then.
pub async fn grant(pool: &PgPool, grant: &SendGrant, actor: &str) -> Result<(), GrantError> {
    check_line("sender", &grant.sender, MAX_SENDER)?;
    let mut transaction = pool.begin().await?;
    let role = sqlx::query_scalar!(
        r#"select rolname::text as "role!" from pg_roles where rolname = $1"#,
        grant.role
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let role = role.ok_or_else(|| Refusal::new("role", format!("there is no role \"{}\"", grant.role)))?;
    let role = quoted(&role);
    let sql =
        format!("grant usage on schema herald to {role}; grant execute on function {FUNCTIONS} to {role}");
    transaction.execute(AssertSqlSafe(sql)).await?;
    sqlx::query!(
        "insert into herald.send_grant (role, sender) values ($1, $2) on conflict do nothing",
        grant.role,
        grant.sender
    )
    .execute(&mut *transaction)
    .await?;
    super::audit::record(
        &mut *transaction,
        actor,
        "grant send",
        &format!("{} as {}", grant.role, grant.sender),
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Takes grants of a role back: one, or all of them. Answers how many. Without any it may call nothing any more.
///
/// # Errors
/// [`GrantError`]; nothing has changed then.
pub async fn revoke(pool: &PgPool, role: &str, sender: Option<&str>, actor: &str) -> Result<u64, GrantError> {
    let mut transaction = pool.begin().await?;
    let revoked = sqlx::query!(
        "delete from herald.send_grant where role = $1 and ($2::text is null or sender = $2)",
        role,
        sender
    )
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    let is_idle = sqlx::query_scalar!(
        r#"select exists (select from pg_roles where rolname = $1)
                  and not exists (select from herald.send_grant where role = $1) as "is!""#,
        role
    )
    .fetch_one(&mut *transaction)
    .await?;
    if is_idle {
        let sql = format!("revoke execute on function {FUNCTIONS} from {}", quoted(role));
        transaction.execute(AssertSqlSafe(sql)).await?;
    }
    super::audit::record(&mut *transaction, actor, "grant revoke", role).await?;
    transaction.commit().await?;
    Ok(revoked)
}

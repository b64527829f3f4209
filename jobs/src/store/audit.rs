//! Who changed what.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

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

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key, in the order in which they were written.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a username, a token's name and prefix, or `command line`.
    pub actor: String,
    /// What was done, as in `user set`.
    pub action: String,
    /// To what.
    pub subject: String,
}

/// Which lines of the audit log; empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// By whom.
    pub actor: String,
    /// What was done: all of it, or its first word.
    pub action: String,
    /// To what.
    pub subject: String,
}

/// The lines that were written before the one with the key `before`, newest first: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let mut connection = super::filtering(pool).await?;
    sqlx::query_as!(
        Entry,
        "select id, at, actor, action, subject from herald.audit
         where ($1::bigint is null or id < $1) and ($2 = '' or actor = $2) and ($3 = '' or subject = $3)
           and ($4 = '' or action = $4 or split_part(action, ' ', 1) = $4)
         order by id desc limit $5",
        before,
        filter.actor,
        filter.subject,
        filter.action,
        limit
    )
    .fetch_all(&mut *connection)
    .await
}

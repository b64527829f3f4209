//! Sessions, one-use login links and API tokens. Only hashes are stored: who reads these tables gets in nowhere.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

use super::users::User;

/// A session that may be used.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose it is.
    pub user: User,
    /// How dates are shown to them (BCP 47).
    pub locale: String,
    /// What each change must carry (CSRF).
    pub form_token: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was last prolonged.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Opens a session.
///
/// # Errors
/// The database cannot be reached.
pub async fn open_session(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    user: i64,
    form_token: &str,
    (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.session (token_hash, user_id, form_token, created_at, last_seen_at, expires_at)
         values ($1, $2, $3, $4, $4, $5)",
        token_hash,
        user,
        form_token,
        now,
        expires_at
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The session of this token, if it is valid at `now` and its user is active.
///
/// # Errors
/// The database cannot be reached.
pub async fn session(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Session>, sqlx::Error> {
    let row = sqlx::query!(
        "select u.id, u.username, u.display_name, u.email, u.mobile, u.time_zone, u.locale, u.roles, u.active,
                s.form_token, s.created_at, s.last_seen_at, s.expires_at
         from herald.session s join herald.app_user u on u.id = s.user_id
         where s.token_hash = $1 and s.expires_at > $2 and u.active",
        token_hash,
        now
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Session {
        locale: row.locale,
        form_token: row.form_token,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at: row.expires_at,
        user: User {
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            email: row.email,
            mobile: row.mobile,
            time_zone: row.time_zone,
            roles: row.roles,
            active: row.active,
        },
    }))
}

/// Lets a session that is used last until `expires_at`.
///
/// # Errors
/// The database cannot be reached.
pub async fn prolong_session(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.session set last_seen_at = $2, expires_at = $3 where token_hash = $1",
        token_hash,
        now,
        expires_at
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends a session.
///
/// # Errors
/// The database cannot be reached.
pub async fn close_session(executor: impl PgExecutor<'_>, token_hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from herald.session where token_hash = $1", token_hash).execute(executor).await?;
    Ok(())
}

/// Ends all sessions of a user, and what links still let them in. Answers how many sessions there were.
///
/// # Errors
/// The database cannot be reached.
pub async fn close_sessions(executor: impl PgExecutor<'_>, user: i64) -> Result<u64, sqlx::Error> {
    let closed = sqlx::query!(
        "with links as (delete from herald.login_link where user_id = $1)
         delete from herald.session where user_id = $1",
        user
    )
    .execute(executor)
    .await?;
    Ok(closed.rows_affected())
}

/// When the sessions of a user that are valid at `now` were opened and last used, the one used last first; `true`: it is the
/// one of this token.
///
/// # Errors
/// The database cannot be reached.
pub async fn sessions(
    executor: impl PgExecutor<'_>,
    user: i64,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<(DateTime<Utc>, DateTime<Utc>, bool)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select created_at, last_seen_at, token_hash = $2 as "own!" from herald.session
           where user_id = $1 and expires_at > $3 order by last_seen_at desc limit 100"#,
        user,
        token_hash,
        now
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.created_at, row.last_seen_at, row.own)).collect())
}

/// Makes a login link that works once, until `expires_at`.
///
/// # Errors
/// The database cannot be reached.
pub async fn add_login_link(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    user: i64,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.login_link (token_hash, user_id, expires_at) values ($1, $2, $3)",
        token_hash,
        user,
        expires_at
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Whose login link this is, if it is good at `now` and its user is active. Leaves it unused.
///
/// # Errors
/// The database cannot be reached.
pub async fn login_link(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<LinkOwner>, sqlx::Error> {
    sqlx::query_as!(
        LinkOwner,
        "select u.username, u.display_name from herald.login_link l join herald.app_user u on u.id = l.user_id
         where l.token_hash = $1 and l.used_at is null and l.expires_at > $2 and u.active",
        token_hash,
        now
    )
    .fetch_optional(executor)
    .await
}

/// Whom a login link lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOwner {
    /// The user's name.
    pub username: String,
    /// Shown to people; may be empty.
    pub display_name: String,
}

/// Uses a login link up. Answers whose it was, if it was still good and its user is active.
///
/// # Errors
/// The database cannot be reached.
pub async fn use_login_link(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "update herald.login_link l set used_at = $2 from herald.app_user u
         where l.token_hash = $1 and l.used_at is null and l.expires_at > $2 and u.id = l.user_id and u.active
         returning u.id",
        token_hash,
        now
    )
    .fetch_optional(executor)
    .await
}

/// An API token, without its secret.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// Its first characters.
    pub prefix: String,
    /// What it is for.
    pub name: String,
    /// Who its messages come from.
    pub sender: String,
    /// Who else they may come from, where they say so.
    pub senders: Vec<String>,
    /// The only message types it may send; `None`: any.
    pub message_types: Option<Vec<String>>,
    /// Messages a minute at most; `None`: any number.
    pub rate: Option<i32>,
    /// Whether it may also change templates and models.
    pub admin: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, give or take a minute; `None`: never.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Adds an API token, as `actor` asked.
///
/// # Errors
/// The database cannot be reached.
pub async fn add_api_token(
    pool: &PgPool,
    token: &ApiToken,
    token_hash: &[u8],
    actor: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "insert into herald.api_token (prefix, token_hash, name, sender, admin, created_at, expires_at, senders,
                                       message_types, rate)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        token.prefix,
        token_hash,
        token.name,
        token.sender,
        token.admin,
        token.created_at,
        token.expires_at,
        &token.senders,
        token.message_types.as_deref(),
        token.rate
    )
    .execute(&mut *transaction)
    .await?;
    super::audit::record(&mut *transaction, actor, "token create", &token.prefix).await?;
    transaction.commit().await
}

/// The API token with this hash, if it is good at `now`.
///
/// # Errors
/// The database cannot be reached.
pub async fn api_token(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<ApiToken>, sqlx::Error> {
    sqlx::query_as!(
        ApiToken,
        "select prefix, name, sender, senders, message_types, rate, admin, created_at, expires_at, revoked_at, last_used_at
         from herald.api_token
         where token_hash = $1 and revoked_at is null and (expires_at is null or expires_at > $2)",
        token_hash,
        now
    )
    .fetch_optional(executor)
    .await
}

/// Notes that the API token with this hash is used, unless that was noted after `unless_after`.
///
/// # Errors
/// The database cannot be reached.
pub async fn api_token_used(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
    now: DateTime<Utc>,
    unless_after: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.api_token set last_used_at = $2
         where token_hash = (select token_hash from herald.api_token
                             where token_hash = $1 and (last_used_at is null or last_used_at <= $3)
                             for no key update skip locked)",
        token_hash,
        now,
        unless_after
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// All API tokens, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn api_tokens(executor: impl PgExecutor<'_>) -> Result<Vec<ApiToken>, sqlx::Error> {
    sqlx::query_as!(
        ApiToken,
        "select prefix, name, sender, senders, message_types, rate, admin, created_at, expires_at, revoked_at, last_used_at
         from herald.api_token order by id desc"
    )
    .fetch_all(executor)
    .await
}

/// Revokes the tokens with this prefix, as `actor` asked. `false`: there are none, or they were revoked before.
///
/// # Errors
/// The database cannot be reached.
pub async fn revoke_api_token(
    pool: &PgPool,
    prefix: &str,
    now: DateTime<Utc>,
    actor: &str,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let revoked = sqlx::query!(
        "update herald.api_token set revoked_at = $2 where prefix = $1 and revoked_at is null",
        prefix,
        now
    )
    .execute(&mut *transaction)
    .await?;
    if revoked.rows_affected() == 0 {
        return Ok(false);
    }
    super::audit::record(&mut *transaction, actor, "token revoke", prefix).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Deletes sessions and login links that ended before `now`. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn purge(connection: &mut sqlx::PgConnection, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let sessions = sqlx::query!("delete from herald.session where expires_at <= $1", now)
        .execute(&mut *connection)
        .await?;
    let links =
        sqlx::query!("delete from herald.login_link where expires_at <= $1", now).execute(connection).await?;
    Ok(sessions.rows_affected() + links.rows_affected())
}

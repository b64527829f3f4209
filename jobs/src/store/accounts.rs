//! Users, as they are maintained.

use sqlx::{PgExecutor, PgPool};

use super::change::{ChangeError, Expect, Saved, lock};
use crate::account::Account;
use crate::refusal::Refusal;

/// The users after the name `after`, by name: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "select username, display_name, email, mobile, locale, time_zone, roles, active
         from herald.app_user where username > $1 order by username limit $2",
        after,
        limit
    )
    .fetch_all(executor)
    .await
}

/// The users after the name `after` in whose names, address or number each of `words` stands, by name: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn search(
    executor: impl PgExecutor<'_>,
    words: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, sqlx::Error> {
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    sqlx::query_as!(
        Account,
        "select username, display_name, email, mobile, locale, time_zone, roles, active
         from herald.app_user
         where username > $1 and not exists (
             select from unnest($2::text[]) word
             where strpos(lower(concat_ws(' ', username, display_name, email, mobile)), word) = 0)
         order by username limit $3",
        after,
        &words,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Which of these time zones there are not.
///
/// # Errors
/// The database cannot be reached.
pub async fn unknown_time_zones(
    executor: impl PgExecutor<'_>,
    names: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct name as "name!" from unnest($1::text[]) name
           where not exists (select from pg_timezone_names z where z.name = name.name)"#,
        names
    )
    .fetch_all(executor)
    .await
}

/// The user of this name.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, username: &str) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "select username, display_name, email, mobile, locale, time_zone, roles, active
         from herald.app_user where username = $1",
        username
    )
    .fetch_optional(executor)
    .await
}

/// Adds a user, or replaces what is known of the one of this name. The password stays.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save(
    pool: &PgPool,
    account: Account,
    expect: &Expect,
    actor: &str,
) -> Result<Saved<Account>, ChangeError> {
    let account = account.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "app_user", &account.username).await?;
    // Waits for an import, so that it is read as that left it.
    sqlx::query!("lock table herald.app_user in row exclusive mode").execute(&mut *transaction).await?;
    let current = get(&mut *transaction, &account.username).await?;
    expect.check(current.as_ref())?;
    let known = current.as_ref().is_some_and(|current| current.time_zone == account.time_zone);
    if !known && !is_time_zone(&mut *transaction, &account.time_zone).await? {
        let problem = "there is no such time zone: use an IANA name such as Europe/Berlin";
        return Err(Refusal::new("time_zone", problem).into());
    }
    sqlx::query!(
        "insert into herald.app_user (username, display_name, email, mobile, locale, time_zone, roles, active)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (username) do update set display_name = $2, email = $3, mobile = $4, locale = $5, time_zone = $6,
             roles = $7, active = $8, updated_at = now()",
        account.username,
        account.display_name,
        account.email,
        account.mobile,
        account.locale,
        account.time_zone,
        &account.roles,
        account.active
    )
    .execute(&mut *transaction)
    .await?;
    super::audit::record(&mut *transaction, actor, "user set", &account.username).await?;
    transaction.commit().await?;
    Ok(Saved { value: account, created: current.is_none() })
}

async fn is_time_zone(executor: impl PgExecutor<'_>, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from pg_timezone_names where name = $1) as "is!""#, name)
        .fetch_one(executor)
        .await
}

/// Deactivates a user: messages name their recipients, so that users are never deleted. Answers whether there is one.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn deactivate(
    pool: &PgPool,
    username: &str,
    expect: &Expect,
    actor: &str,
) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "app_user", username).await?;
    let Some(current) = get(&mut *transaction, username).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    sqlx::query!(
        "update herald.app_user set active = false, updated_at = now() where username = $1 and active",
        username
    )
    .execute(&mut *transaction)
    .await?;
    super::audit::record(&mut *transaction, actor, "user remove", username).await?;
    transaction.commit().await?;
    Ok(true)
}

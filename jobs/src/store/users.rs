//! People.

use sqlx::PgExecutor;

use crate::address::Username;

/// A user, as deliveries and pages need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Key.
    pub id: i64,
    /// Unique, lower case.
    pub username: String,
    /// Shown to people; may be empty.
    pub display_name: String,
    /// Where e-mail goes.
    pub email: Option<String>,
    /// Where SMS goes, in E.164 form.
    pub mobile: Option<String>,
    /// IANA name.
    pub time_zone: String,
    /// `operator`, `admin`.
    pub roles: Vec<String>,
    /// Receives messages and may log in.
    pub active: bool,
}

/// What is known of a user that is added or changed; `None` keeps what is there.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Shown to people.
    pub display_name: Option<String>,
    /// A valid e-mail address.
    pub email: Option<String>,
    /// E.164.
    pub mobile: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
}

/// The users among `names` that exist.
///
/// # Errors
/// The database cannot be reached.
pub async fn by_names(executor: impl PgExecutor<'_>, names: &[String]) -> Result<Vec<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        "select id, username, display_name, email, mobile, time_zone, roles, active
         from herald.app_user where username = any($1)",
        names
    )
    .fetch_all(executor)
    .await
}

/// One user by name.
///
/// # Errors
/// The database cannot be reached.
pub async fn by_name(executor: impl PgExecutor<'_>, name: &Username) -> Result<Option<User>, sqlx::Error> {
    Ok(by_names(executor, &[name.to_string()]).await?.pop())
}

/// Adds a user, or changes the one of this name. Answers the key.
///
/// # Errors
/// The database cannot be reached, or there is no such time zone.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    name: &Username,
    user: &NewUser,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select herald.upsert_user($1, $2, $3, $4, $5, $6) as "id!""#,
        name.as_str(),
        user.display_name,
        user.email,
        user.mobile,
        user.locale,
        user.time_zone
    )
    .fetch_one(executor)
    .await
}

/// Sets what a user may do.
///
/// # Errors
/// The database cannot be reached, or there is no such role.
pub async fn set_roles(executor: impl PgExecutor<'_>, id: i64, roles: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!("update herald.app_user set roles = $2, updated_at = now() where id = $1", id, roles)
        .execute(executor)
        .await?;
    Ok(())
}

/// Lets a user receive messages and log in, or not.
///
/// # Errors
/// The database cannot be reached.
pub async fn set_active(executor: impl PgExecutor<'_>, id: i64, active: bool) -> Result<(), sqlx::Error> {
    sqlx::query!("update herald.app_user set active = $2, updated_at = now() where id = $1", id, active)
        .execute(executor)
        .await?;
    Ok(())
}

/// Sets the password's hash (Argon2id in PHC form).
///
/// # Errors
/// The database cannot be reached.
pub async fn set_password_hash(
    executor: impl PgExecutor<'_>,
    id: i64,
    hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("update herald.app_user set password_hash = $2, updated_at = now() where id = $1", id, hash)
        .execute(executor)
        .await?;
    Ok(())
}

/// The password's hash of an active user who has one.
///
/// # Errors
/// The database cannot be reached.
pub async fn password_hash(
    executor: impl PgExecutor<'_>,
    name: &Username,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select id, password_hash as "password_hash!" from herald.app_user
           where username = $1 and active and password_hash is not null"#,
        name.as_str()
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| (row.id, row.password_hash)))
}

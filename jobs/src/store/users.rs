//! People.

use sqlx::{PgExecutor, PgPool};

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

/// How an import ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Users that are new.
    pub added: usize,
    /// Users that were there.
    pub changed: usize,
    /// Those of them that are deactivated, and stay so.
    pub inactive: usize,
}

/// Adds and changes users, all of them or none, as `actor` asked. Their time zones are known to be some.
///
/// # Errors
/// The database cannot be reached.
pub async fn import(
    pool: &PgPool,
    users: &[(&Username, &NewUser)],
    actor: &str,
) -> Result<Imported, sqlx::Error> {
    let column = |of: fn(&NewUser) -> &Option<String>| -> Vec<Option<String>> {
        users.iter().map(|(_, user)| of(user).clone()).collect()
    };
    let names: Vec<String> = users.iter().map(|(name, _)| name.to_string()).collect();
    let mut transaction = pool.begin().await?;
    // Nobody else changes users meanwhile; messages to them are not in the way.
    sqlx::query!("lock table herald.app_user in share row exclusive mode").execute(&mut *transaction).await?;
    let imported = sqlx::query!(
        r#"with person as (
               select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
                   as p(username, display_name, email, mobile, locale, time_zone)
           ), changed as (
               update herald.app_user u
               set display_name = coalesce(p.display_name, u.display_name), email = coalesce(p.email, u.email),
                   mobile = coalesce(p.mobile, u.mobile), locale = coalesce(p.locale, u.locale),
                   time_zone = coalesce(p.time_zone, u.time_zone), updated_at = now()
               from person p where u.username = p.username
               returning u.username, u.active
           ), added as (
               insert into herald.app_user (username, display_name, email, mobile, locale, time_zone)
               select p.username, coalesce(p.display_name, ''), p.email, p.mobile, coalesce(p.locale, 'en'),
                      coalesce(p.time_zone, 'UTC')
               from person p where not exists (select from herald.app_user u where u.username = p.username)
               returning username
           ), audited as (
               insert into herald.audit (actor, action, subject) select $7, 'user import', username from person
           )
           select (select count(*) from added) as "added!", count(*) as "changed!",
                  count(*) filter (where not active) as "inactive!"
           from changed"#,
        &names,
        &column(|user| &user.display_name) as &[Option<String>],
        &column(|user| &user.email) as &[Option<String>],
        &column(|user| &user.mobile) as &[Option<String>],
        &column(|user| &user.locale) as &[Option<String>],
        &column(|user| &user.time_zone) as &[Option<String>],
        actor
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let count = |many: i64| usize::try_from(many).unwrap_or_default();
    Ok(Imported {
        added: count(imported.added),
        changed: count(imported.changed),
        inactive: count(imported.inactive),
    })
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

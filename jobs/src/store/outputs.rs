//! What was made for somebody and waits to be fetched.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::id::MessageId;

/// An output, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Key.
    pub id: Uuid,
    /// The file's name as it is saved.
    pub name: String,
    /// A media type.
    pub content_type: String,
    /// In bytes.
    pub size: i64,
    /// Where it is; `None`: in parts here.
    pub url: Option<String>,
}

/// Adds the output that `message` tells `owner` of, without its bytes. `false`: there is no such user.
///
/// # Errors
/// The database cannot be reached.
pub async fn add(
    executor: impl PgExecutor<'_>,
    output: &Output,
    message: MessageId,
    owner: &str,
    expires_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let added = sqlx::query!(
        "insert into herald.output (id, message_id, owner_id, name, content_type, size, url, expires_at)
         select $1, $2, u.id, $4, $5, $6, $7, $8 from herald.app_user u where u.username = $3",
        output.id,
        message.0,
        owner,
        output.name,
        output.content_type,
        output.size,
        output.url,
        expires_at
    )
    .execute(executor)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Adds a part of its bytes, numbered from 0.
///
/// # Errors
/// The database cannot be reached.
pub async fn add_part(
    executor: impl PgExecutor<'_>,
    output: Uuid,
    number: i32,
    bytes: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.output_part (output_id, number, bytes) values ($1, $2, $3)",
        output,
        number,
        bytes
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Says how many bytes it has.
///
/// # Errors
/// The database cannot be reached.
pub async fn set_size(executor: impl PgExecutor<'_>, output: Uuid, size: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update herald.output set size = $2 where id = $1", output, size).execute(executor).await?;
    Ok(())
}

/// The owner's outputs among the one `id`, or those that `message` tells of, which can be fetched at `now`.
///
/// # Errors
/// The database cannot be reached.
pub async fn of_owner(
    executor: impl PgExecutor<'_>,
    owner: i64,
    (id, message): (Option<Uuid>, Option<Uuid>),
    now: DateTime<Utc>,
) -> Result<Vec<Output>, sqlx::Error> {
    sqlx::query_as!(
        Output,
        "select id, name, content_type, size, url from herald.output
         where (id = $1 or message_id = $2) and owner_id = $3 and expires_at > $4 order by name",
        id,
        message,
        owner,
        now
    )
    .fetch_all(executor)
    .await
}

/// A part of an output's bytes; `None` after the last one.
///
/// # Errors
/// The database cannot be reached.
pub async fn part(
    executor: impl PgExecutor<'_>,
    output: Uuid,
    number: i32,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select bytes from herald.output_part where output_id = $1 and number = $2",
        output,
        number
    )
    .fetch_optional(executor)
    .await
}

/// All bytes of an output; `None`: it is not kept any more. Only for one whose size is known to be small.
///
/// # Errors
/// The database cannot be reached.
pub async fn bytes(executor: impl PgExecutor<'_>, output: Uuid) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce((select string_agg(p.bytes, ''::bytea order by p.number)
                            from herald.output_part p where p.output_id = o.id), ''::bytea) as "bytes!"
           from herald.output o where o.id = $1"#,
        output
    )
    .fetch_optional(executor)
    .await
}

/// Deletes outputs that ended before `now`, at most `limit`. Answers how many.
///
/// # Errors
/// The database cannot be reached.
pub async fn purge(
    executor: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        "delete from herald.output where id = any(array(
             select id from herald.output where expires_at <= $1 order by expires_at limit $2))",
        now,
        limit
    )
    .execute(executor)
    .await?;
    Ok(purged.rows_affected())
}

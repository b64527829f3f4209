//! Files of messages, until their message is purged.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::attachment::{Attachment, Source};
use crate::id::MessageId;

/// Keeps the files of a message that is being accepted, in their order.
///
/// # Errors
/// The database cannot be reached.
pub async fn insert(
    transaction: &mut PgConnection,
    message: MessageId,
    attachments: &[Attachment],
) -> Result<(), sqlx::Error> {
    for (position, attachment) in (0..).zip(attachments) {
        let (content, path, output) = match &attachment.source {
            Source::Bytes(bytes) => (Some(bytes.as_slice()), None, None),
            Source::File(path) => (None, Some(path.as_str()), None),
            Source::Output(id) => (None, None, Some(*id)),
        };
        sqlx::query!(
            "insert into herald.attachment (message_id, position, name, content_type, content, path, output_id)
             values ($1, $2, $3, $4, $5, $6, $7)",
            message.0,
            position,
            attachment.name,
            attachment.content_type,
            content,
            path,
            output
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// The files of a message, in their order.
///
/// # Errors
/// The database cannot be reached.
pub async fn of_message(
    executor: impl PgExecutor<'_>,
    message: Uuid,
) -> Result<Vec<Attachment>, sqlx::Error> {
    let rows = sqlx::query!(
        "select name, content_type, content, path, output_id from herald.attachment where message_id = $1 order by position",
        message
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Attachment {
            name: row.name,
            content_type: row.content_type,
            source: match (row.path, row.output_id) {
                (Some(path), _) => Source::File(path),
                (None, Some(output)) => Source::Output(output),
                (None, None) => Source::Bytes(row.content.unwrap_or_default()),
            },
        })
        .collect())
}

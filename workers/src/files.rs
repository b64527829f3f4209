//! The files that a mail carries.

use std::time::Duration;

use herald_jobs::attachment::{Attachment, Limits, Source};
use herald_jobs::store;
use herald_jobs::store::deliveries::Claimed;
use sqlx::PgPool;

/// From this attempt on a mail goes without a file that cannot be read. Before, it waits: a share that is not mounted comes back.
const GOES_WITHOUT: i32 = 3;

/// How long reading one file may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a mail carries, and what it should have.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// In their order.
    pub(crate) there: Vec<File>,
    /// Names, and why they are not there.
    pub(crate) missing: Vec<(String, String)>,
}

/// One file with its bytes.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content_type: String,
    pub(crate) content: Vec<u8>,
}

impl Files {
    /// What the ledger adds to the server's words; empty where nothing is missing.
    pub(crate) fn remark(&self) -> String {
        let missing: Vec<_> = self.missing.iter().map(|(name, why)| format!("{name}, which {why}")).collect();
        if missing.is_empty() { String::new() } else { format!(" (sent without {})", missing.join("; ")) }
    }
}

/// The files of a copy's message.
///
/// # Errors
/// A sentence that says which file the copy should wait for.
pub(crate) async fn of(pool: &PgPool, copy: &Claimed, limits: &Limits) -> Result<Files, String> {
    let mut files = Files::default();
    if !copy.has_attachments {
        return Ok(files);
    }
    let attachments = store::attachments::of_message(pool, copy.message_id).await;
    let attachments = attachments.map_err(|error| format!("The files could not be looked up: {error}."))?;
    let mut total = 0;
    for Attachment { name, content_type, source } in attachments {
        let content = match source {
            Source::Bytes(bytes) => Ok(bytes),
            // A share that hangs says nothing at all.
            Source::File(path) => tokio::time::timeout(PATIENCE, limits.read(&path))
                .await
                .unwrap_or_else(|_| Err(format!("could not be read within {} s", PATIENCE.as_secs()))),
            Source::Output(id) => match store::outputs::bytes(pool, id).await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err("is not kept any more".to_owned()),
                Err(error) => return Err(format!("The file {name} could not be looked up: {error}.")),
            },
        };
        match content {
            Ok(content) if copy.attempts >= GOES_WITHOUT && !limits.allows(total + content.len()) => {
                files.missing.push((name, format!("has grown to {} bytes", content.len())));
            }
            Ok(content) => {
                total += content.len();
                files.there.push(File { name, content_type, content });
            }
            Err(why) if copy.attempts < GOES_WITHOUT => {
                return Err(format!("The file {name} cannot be attached: it {why}."));
            }
            Err(why) => files.missing.push((name, why)),
        }
    }
    if !limits.allows(total) {
        return Err(format!("The files have grown to {total} bytes; at most {} go.", limits.total));
    }
    Ok(files)
}

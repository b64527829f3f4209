//! Output queues: "your report is ready", with a link that only its owner can use, and attached to the mail where it is small.

use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::attachment::{Attachment, NewAttachment, Source};
use herald_jobs::id;
use herald_jobs::refusal::{Refusal, check_line};
use herald_jobs::send::NewMessage;
use herald_jobs::store;
use sqlx::PgConnection;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use url::Url;
use uuid::Uuid;

use crate::{MessageId, Producer, SendError};

/// Bytes of one part, as it is kept and as it is sent.
const PART: u64 = 1024 * 1024;
/// Most bytes of one output.
pub const MAX_SIZE: usize = 256 * 1024 * 1024;
/// Longest name and media type, in characters.
const MAX_NAME: usize = 200;
/// Longest URL, in bytes.
const MAX_URL: usize = 2_000;
/// For how long an output can be kept at most.
const MAX_LIFE: TimeDelta = TimeDelta::days(3_650);

/// An output that is ready.
pub struct Output<R> {
    /// The message that tells of it: its recipient is the owner. Without a text it says the name, and where to fetch it.
    pub message: NewMessage,
    /// The file's name as it is saved.
    pub name: String,
    /// What it is.
    pub content: Content<R>,
    /// Not to be had any more from then on.
    pub expires_at: DateTime<Utc>,
    /// Where people reach Herald: the link in the text begins with it. `None`: the text names no link, and the inbox shows one.
    pub public_url: Option<Url>,
}

/// Where an output is.
pub enum Content<R> {
    /// Its bytes, kept by Herald: at most 256 MiB.
    Bytes {
        /// A media type, as in `application/pdf`.
        content_type: String,
        /// Read to its end.
        from: R,
    },
    /// Elsewhere: the owner is led there.
    Url(String),
}

impl Producer {
    /// Tells the owner that an output is ready. The output and its message come together or not at all. Where the message goes by
    /// e-mail, the file goes along, if it is small enough ([`Limits`](herald_jobs::attachment::Limits)) and the message brings no
    /// files of its own.
    ///
    /// # Errors
    /// [`SendError`], which names what is wrong: `content` where it is too large or cannot be read. Nothing was sent then.
    pub async fn output_ready<R: AsyncRead + Unpin>(
        &self,
        output: Output<R>,
    ) -> Result<MessageId, SendError> {
        let Output { mut message, name, content, expires_at, public_url } = output;
        let now = self.clock().now();
        check_line("name", &name, MAX_NAME)?;
        if name.contains(['/', '\\']) {
            return Err(Refusal::new("name", "must not hold a slash").into());
        }
        if expires_at <= now || expires_at > now + MAX_LIFE {
            return Err(Refusal::new("expires_at", "must be a time to come, within ten years").into());
        }
        let id = id::new(now);
        if message.message_text.is_empty() && message.template.is_none() {
            let link = public_url.and_then(|base| base.join(&format!("/outputs/{id}")).ok());
            let place = link.map_or_else(String::new, |link| format!(": {link}"));
            let until = expires_at.format("%Y-%m-%d %H:%M UTC");
            message.message_text = format!("{name} is ready{place}\nIt can be fetched until {until}.");
        }
        let owner = message.recipient.trim().to_lowercase();
        let (content_type, url) = match &content {
            Content::Bytes { content_type, .. } => (content_type.clone(), None),
            Content::Url(url) => ("text/html".to_owned(), Some(check_url(url)?)),
        };
        check_line("content_type", &content_type, MAX_NAME)?;
        let said = Some(content_type.clone());
        let named = |content_type| NewAttachment {
            name: name.clone(),
            content_type,
            content: Some(String::new()),
            path: None,
        };
        // What is no MIME type for a mail is one of any bytes.
        let attachment = named(said).parse().or_else(|_| named(None).parse()).ok();
        let attachment = attachment.map(|it| Attachment { source: Source::Output(id), ..it });
        let row = store::outputs::Output { id, name, content_type, size: 0, url };
        // Checked first: a transaction that waits for a second connection could wait for ever.
        let checked = self.validated(message).await?;
        let files = self.files(&checked.0).await?;
        let mut transaction = self.pool().begin().await?;
        let sent = self.accept_in(&mut transaction, checked, &files).await?;
        if !store::outputs::add(&mut *transaction, &row, sent, &owner, expires_at).await? {
            return Err(Refusal::new("recipient", "there is no active user of this name").into());
        }
        if let Content::Bytes { from, .. } = content {
            let size = keep(&mut transaction, id, from).await?;
            if let (true, Some(attachment)) = (files.is_empty() && self.may_attach(size), attachment) {
                store::attachments::insert(&mut transaction, sent, &[attachment]).await?;
            }
        }
        transaction.commit().await?;
        Ok(sent)
    }
}

/// Keeps the bytes of an output, a part at a time. Answers how many they are.
async fn keep(
    transaction: &mut PgConnection,
    id: Uuid,
    mut from: impl AsyncRead + Unpin,
) -> Result<usize, SendError> {
    let refuse = |problem: String| SendError::from(Refusal::new("content", problem));
    let mut size = 0;
    for number in 0.. {
        let mut part = Vec::new();
        let read = (&mut from).take(PART).read_to_end(&mut part).await;
        read.map_err(|error| refuse(format!("cannot be read: {error}")))?;
        if part.is_empty() {
            break;
        }
        size += part.len();
        if size > MAX_SIZE {
            return Err(refuse(format!("is larger than {MAX_SIZE} bytes")));
        }
        store::outputs::add_part(&mut *transaction, id, number, &part).await?;
    }
    store::outputs::set_size(transaction, id, i64::try_from(size).unwrap_or(i64::MAX)).await?;
    Ok(size)
}

fn check_url(text: &str) -> Result<String, Refusal> {
    let refuse = |problem: String| Refusal::new("url", problem);
    let url = Url::parse(text.trim()).map_err(|error| refuse(format!("is no URL: {error}")))?;
    if matches!(url.scheme(), "http" | "https") && url.as_str().len() <= MAX_URL {
        Ok(url.into())
    } else {
        Err(refuse(format!("must begin with http: or https:, and be at most {MAX_URL} bytes")))
    }
}

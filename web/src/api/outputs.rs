//! Outputs: the file is the body, and what is said of it stands in the query.

use std::io;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt as _;
use herald_producers::NewMessage;
use herald_producers::output_queue::{Content, MAX_SIZE, Output};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::messages::Accepted;
use super::problem::{self, Problem};
use super::sending;
use super::token::Caller;
use crate::app::App;

/// For how long an output is kept of which nobody says.
const LIFE: TimeDelta = TimeDelta::days(7);

/// What the query says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    recipient: String,
    name: String,
    url: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    #[serde(default = "usual_type")]
    message_type: String,
    #[serde(default)]
    message_text: String,
    subject: Option<String>,
    #[serde(default)]
    sender: String,
    sender_instance: Option<String>,
}

fn usual_type() -> String {
    "VIEW-NORMAL".to_owned()
}

/// POST /api/v1/outputs: keeps a file, or says where it is, and tells its owner. Counts as one message.
pub(crate) async fn send(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|rejection| problem::bad_query(rejection.body_text()))?;
    let mut message = NewMessage {
        recipient: asked.recipient,
        message_type: asked.message_type,
        message_text: asked.message_text,
        subject: asked.subject,
        sender: asked.sender,
        sender_instance: asked.sender_instance,
        ..NewMessage::default()
    };
    sending::restrict(&token, &mut message)?;
    // A file counts before it comes: what is too many takes no room.
    let is_counted = asked.url.is_none();
    let content = match asked.url {
        Some(_) if body.size_hint().exact() != Some(0) => {
            return Err(problem::bad_query("url: cannot be together with a body".to_owned()));
        }
        Some(url) => Content::Url(url),
        None => {
            let _place = tokio::time::timeout(PATIENCE, app.uploads.acquire())
                .await
                .map_err(|_| problem::not_yet("Too many outputs come in at once.".to_owned()))?;
            sending::take(&app, &token)?;
            let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let content_type = said.unwrap_or("application/octet-stream").to_owned();
            Content::Bytes { content_type, from: whole(body).await? }
        }
    };
    let expires_at = asked.expires_at.unwrap_or(app.clock.now() + LIFE);
    let public_url = Some(app.settings.public_url.clone());
    let output = Output { message, name: asked.name, content, expires_at, public_url };
    let producer = sending::producer(&app, &token);
    let id = if is_counted {
        sending::settled(&app, &token, producer.output_ready(output).await)?
    } else {
        sending::within_rate(&app, &token, producer.output_ready(output)).await?
    };
    let location = [(header::LOCATION, sending::location(id))];
    Ok((StatusCode::ACCEPTED, location, Json(Accepted::new(id))).into_response())
}

/// Files that come in at once,
pub(crate) const AT_ONCE: usize = 16;
/// and how long one more waits for its turn, and each for its next part.
const PATIENCE: Duration = Duration::from_secs(20);

/// The whole body in a file without a name: a slow sender must not hold a transaction open.
async fn whole(body: Body) -> Result<File, Problem> {
    let failed = |error: io::Error| {
        tracing::warn!("Could not take an output: {error}");
        problem::not_yet("There is no room for it.".to_owned())
    };
    let file = tokio::task::spawn_blocking(tempfile::tempfile).await;
    let mut file = File::from_std(file.map_err(io::Error::other).and_then(|made| made).map_err(failed)?);
    let (mut parts, mut size) = (body.into_data_stream(), 0);
    loop {
        let next = tokio::time::timeout(PATIENCE, parts.try_next()).await;
        let next = next.map_err(|_| problem::unreadable("the body stopped coming".to_owned()))?;
        let Some(part) = next.map_err(|_| problem::unreadable("the body ended early".to_owned()))? else {
            break;
        };
        size += part.len();
        if size > MAX_SIZE {
            return Err(problem::too_large("The output is larger than 256 MiB"));
        }
        file.write_all(&part).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    file.rewind().await.map_err(failed)?;
    Ok(file)
}

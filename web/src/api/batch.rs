//! Many messages by one request: a line of JSON for each, answered by a line for each.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures::StreamExt as _;
use herald_jobs::store::access::ApiToken;
use herald_producers::{MessageId, NewMessage};
use serde::Serialize;

use super::body;
use super::lines::{Line, lines};
use super::problem::{self, Problem};
use super::sending;
use super::token::Caller;
use crate::app::App;

/// Longest line, in bytes.
const LONGEST: usize = 1024 * 1024;
/// Lines that are sent at once, so that they share commits; with keys, each takes a connection for itself.
const AT_ONCE: (usize, usize) = (256, 4);
/// Longest Idempotency-Key, in characters: each line's own is longer.
pub(crate) const LONGEST_KEY: usize = 240;

/// What became of one line.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(crate) enum LineAnswer {
    /// It was accepted.
    Accepted {
        /// From 1, empty lines counted.
        line: usize,
        /// The message's id.
        id: MessageId,
        /// `accepted`.
        status: &'static str,
        /// It was sent before under this key.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    },
    /// It was refused; the other lines do not suffer.
    Refused {
        /// From 1, empty lines counted.
        line: usize,
        /// Why.
        problem: Problem,
    },
}

/// POST /api/v1/messages:batch: answers while it reads. With an `Idempotency-Key`, line n is sent under KEY/n: repeating a batch
/// that was cut off sends only what is missing.
pub(crate) async fn send(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-ndjson") {
        return Err(problem::not_lines());
    }
    let key = match headers.get("idempotency-key").map(HeaderValue::to_str) {
        None => None,
        Some(Ok(key)) if (1..=LONGEST_KEY).contains(&key.len()) => Some(key.to_owned()),
        Some(_) => {
            return Err(problem::bad_header("Idempotency-Key must be 1 to 240 characters of plain ASCII"));
        }
    };
    let at_once = if key.is_some() { AT_ONCE.1 } else { AT_ONCE.0 };
    let answers = lines(body, LONGEST)
        .map(move |(number, line)| {
            let (app, token) = (app.clone(), token.clone());
            let key = key.as_ref().map(|key| format!("{key}/{number}"));
            async move { answer(number, send_line(&app, &token, line, key.as_deref()).await) }
        })
        .buffered(at_once)
        .map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(answers));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

async fn send_line(
    app: &App,
    token: &ApiToken,
    line: Line,
    key: Option<&str>,
) -> Result<herald_producers::Sent, Problem> {
    let text = match line {
        Line::Whole(text) => text,
        Line::TooLong => return Err(problem::too_large("The line is larger than 1 MiB")),
        Line::Broken => return Err(problem::unreadable("the body ended early".to_owned())),
    };
    let message: NewMessage = body::read(&text)?;
    sending::send(app, token, message, key).await
}

fn answer(line: usize, sent: Result<herald_producers::Sent, Problem>) -> Bytes {
    let answer = match sent {
        Ok(sent) => LineAnswer::Accepted { line, id: sent.id, status: "accepted", replayed: sent.replayed },
        Err(problem) => LineAnswer::Refused { line, problem },
    };
    let mut text = serde_json::to_vec(&answer).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

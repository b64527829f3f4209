//! An SMS gateway that keeps what it is given, and answers as it is told.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use herald_jobs::clock::Clock;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// Most SMS that are kept.
const MOST: usize = 10_000;

/// One SMS that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// What it was sent with, by lower-case name: `to`, `from`, `text` or `body`, and so on.
    pub fields: HashMap<String, String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// Where it was sent to.
    pub path: String,
    /// When it was taken.
    pub at: DateTime<Utc>,
}

/// What the gateway does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes the message and says so.
    Take,
    /// Takes nothing, and answers with this status.
    Refuse(u16),
    /// Takes nothing, and asks to come back after so many seconds.
    Later(u32),
    /// Takes the message, and answers with this status all the same.
    TakeAndSay(u16),
    /// Takes nothing, and does not answer for so long.
    Hang(Duration),
    /// Takes the message, and does not answer for so long.
    TakeAndHang(Duration),
    /// Takes the message, and answers without its id.
    TakeAndMumble,
}

/// A gateway at an address of this machine, for development and tests.
pub struct Gateway {
    address: SocketAddr,
    state: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    clock: Clock,
    kept: Mutex<(VecDeque<Caught>, VecDeque<Answer>)>,
}

impl Gateway {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(clock: Clock) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Shared { clock, kept: Mutex::default() });
        let router = Router::new().fallback(any(take)).with_state(state.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!("The SMS gateway ended: {error}");
            }
        });
        Ok(Self { address, state, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What it does with the next requests; after them it takes what comes.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.kept.lock().unwrap_or_else(PoisonError::into_inner).1.extend(answers);
    }

    /// What was taken, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Caught> {
        self.state.kept.lock().unwrap_or_else(PoisonError::into_inner).0.iter().cloned().collect()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    uri: axum::http::Uri,
    body: Bytes,
) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (answer, number) = {
        let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = kept.1.pop_front().unwrap_or(Answer::Take);
        if !matches!(answer, Answer::Refuse(_) | Answer::Later(_) | Answer::Hang(_)) {
            kept.0.push_back(Caught {
                fields: fields(text(header::CONTENT_TYPE).as_deref(), &body),
                authorization: text(header::AUTHORIZATION),
                path: uri.path().to_owned(),
                at: shared.clock.now(),
            });
            if kept.0.len() > MOST {
                kept.0.pop_front();
            }
        }
        (answer, kept.0.len())
    };
    let status = |code| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = format!("SM{number:08}");
    match answer {
        Answer::Take => {
            (StatusCode::CREATED, Json(json!({"sid": id, "messages": [{"id": id}]}))).into_response()
        }
        Answer::Refuse(code) | Answer::TakeAndSay(code) => {
            (status(code), Json(json!({"message": "as I was told"}))).into_response()
        }
        Answer::Later(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Answer::Hang(pause) | Answer::TakeAndHang(pause) => {
            tokio::time::sleep(pause).await;
            StatusCode::CREATED.into_response()
        }
        Answer::TakeAndMumble => (StatusCode::OK, "hm").into_response(),
    }
}

fn fields(content_type: Option<&str>, body: &[u8]) -> HashMap<String, String> {
    if content_type.is_some_and(|kind| kind.starts_with("application/json")) {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let fields = document.as_object().cloned().unwrap_or_default().into_iter();
        return fields
            .map(|(name, value)| {
                (name.to_lowercase(), value.as_str().map_or(value.to_string(), str::to_owned))
            })
            .collect();
    }
    let pairs = url::form_urlencoded::parse(body);
    pairs.map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect()
}

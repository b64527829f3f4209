//! Bounces, from a mail service's webhook or a mail server's pipe on another machine.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use herald_producers::bounce::{self, Received};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{self, Problem};
use crate::app::App;

/// What a bounce came with besides its headers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// The address that it came to.
    recipient: Option<String>,
}

/// What became of a report.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// `failed`, `noted`, `known` or `ignored`; of SMS also `delivered`, `stopped` or `started`.
    pub(crate) outcome: &'static str,
    /// The same in a sentence.
    pub(crate) detail: String,
}

/// POST /api/v1/bounces: one bounce mail as it is. Also what is ignored is answered with 200: it need not come again.
pub(crate) async fn receive(
    State(app): State<App>,
    envelope: Result<Query<Envelope>, QueryRejection>,
    headers: HeaderMap,
    mail: Result<Bytes, BytesRejection>,
) -> Result<Json<Answer>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !["message/rfc822", "message/global"].iter().any(|mail| mail.eq_ignore_ascii_case(essence)) {
        return Err(problem::not_a_mail());
    }
    let mail = mail.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => problem::too_large("The mail is larger than 4 MiB"),
        _ => problem::unreadable("the body ended early".to_owned()),
    })?;
    let Query(envelope) =
        envelope.map_err(|rejection| problem::invalid("/recipient".to_owned(), rejection.body_text()))?;
    let recipient = envelope.recipient.as_deref();
    let received = bounce::receive(&app.pool, &app.settings.keys, &mail, recipient, app.clock.now()).await?;
    tracing::info!("Took a bounce: {received}");
    let outcome = match received {
        Received::Failed { .. } => "failed",
        Received::Noted(_) => "noted",
        Received::Known(_) => "known",
        Received::Ignored(_) => "ignored",
    };
    Ok(Json(Answer { outcome, detail: received.to_string() }))
}

//! What an SMS provider reports.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use herald_producers::sms_report::{self, Received, ReportError};

use super::bounces::Answer;
use super::problem::{self, Problem};
use crate::app::App;

/// POST /api/v1/sms/reports: one receipt, or one answer of a recipient, signed by the provider.
pub(crate) async fn receive(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Answer>, Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let received = sms_report::receive(
        &app.pool,
        &app.settings.keys,
        header,
        (query.as_deref(), &body),
        app.clock.now(),
    )
    .await;
    let received = received.map_err(|error| match error {
        ReportError::NotExpected(why) => problem::not_expected(why),
        ReportError::Forged => problem::forged(),
        ReportError::Unreadable => problem::unreadable(error.to_string()),
        ReportError::NotYet(_) => problem::not_yet(error.to_string()),
        ReportError::Database(error) => error.into(),
    })?;
    tracing::info!("Took a report on SMS: {received}");
    let outcome = match received {
        Received::Arrived(_) => "delivered",
        Received::Lost(_) => "failed",
        Received::Known(_) => "known",
        Received::Stopped(_) => "stopped",
        Received::Started(_) => "started",
        Received::Ignored(_) => "ignored",
    };
    Ok(Json(Answer { outcome, detail: received.to_string() }))
}

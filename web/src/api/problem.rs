//! Problem documents (RFC 9457): what was wrong, and with which field.

use std::any::Any;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use herald_jobs::answer::Via;
use herald_jobs::authoring::AuthoringError;
use herald_jobs::group_commit::is_outage;
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::change::ChangeError;
use herald_jobs::store::inbox::Standing;
use herald_jobs::store::models::RegisterError;
use herald_producers::SendError;
use herald_producers::bounce::ReceiveError;
use herald_producers::reminders::ReminderError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::log_panic;

/// What a program is told when its request is refused.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Problem(Box<Document>);

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct Document {
    /// Names the kind of problem for good: programs may rely on it.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// What became of a message that was to be answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<GivenBefore>,
    #[serde(skip)]
    header: Option<(HeaderName, HeaderValue)>,
}

/// Who was faster, with what and when.
#[derive(Debug, Serialize, JsonSchema)]
struct GivenBefore {
    /// `acted`, `cancelled` or `withdrawn`.
    status: String,
    reply_value: Option<String>,
    answered_by: Option<String>,
    /// `inbox`, `api`, `email`, `cli` or `callback`.
    answered_via: Option<Via>,
    answered_at: Option<DateTime<Utc>>,
    /// Why it was taken back.
    reason: Option<String>,
}

/// One field that cannot be accepted.
#[derive(Debug, Serialize, JsonSchema)]
struct FieldError {
    /// Where in the body (RFC 6901); empty: the body as a whole.
    pointer: String,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str) -> Self {
        Self(Box::new(Document {
            kind: format!("urn:herald:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
            answer: None,
            header: None,
        }))
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    fn at(mut self, pointer: String, detail: String) -> Self {
        self.0.errors.push(FieldError { pointer, detail });
        self
    }
}

/// The body is no JSON.
pub(crate) fn unreadable(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "unreadable", "The body is not valid JSON").detail(detail)
}

/// A field of the body is not as it should be.
pub(crate) fn invalid(pointer: String, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request was not accepted")
        .detail(if pointer.is_empty() { detail.clone() } else { format!("{pointer}: {detail}") })
        .at(pointer, detail)
}

/// The name in a path, which the body may repeat.
///
/// # Errors
/// The body says another one.
pub(crate) fn same_name(field: &str, said: &mut String, name: String) -> Result<(), Problem> {
    if !said.is_empty() && *said != name {
        return Err(invalid(format!("/{field}"), format!("is another than in the address, {name}")));
    }
    *said = name;
    Ok(())
}

/// The part of the address after the question mark is not as it should be.
pub(crate) fn bad_query(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-query", "The query of the address is not valid").detail(detail)
}

/// A header is not as it should be.
pub(crate) fn bad_header(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-header", "A header is not valid").detail(detail)
}

/// The token may not do this.
pub(crate) fn forbidden(pointer: String, detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "This token may not do that")
        .detail(detail.clone())
        .at(pointer, detail)
}

/// The token has sent as much as it may for now.
pub(crate) fn too_many(rate: i32, wait: Duration) -> Problem {
    let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", "This token has sent too much")
        .detail(format!("It may send {rate} messages a minute."));
    problem.0.header = Some((header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1)));
    problem
}

/// There is no such thing, or it is another sender's.
pub(crate) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing of this name for this token")
}

/// The path takes other methods.
pub(crate) fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "This path does not take that method")
}

/// The body is too large, as the title says.
pub(crate) fn too_large(title: &'static str) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title)
}

/// Nobody may report anything here.
pub(crate) fn not_expected(why: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-expected", "No reports are expected here").detail(why)
}

/// The signature is missing or wrong.
pub(crate) fn forged() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forged", "The signature is missing or wrong")
}

/// What it is about is not there yet: worth another try.
pub(crate) fn not_yet(detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-yet", "Not taken: try again")
        .detail(detail)
        .header(header::RETRY_AFTER, "5")
}

/// The body is said to be something else than a mail.
pub(crate) fn not_a_mail() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-mail", "The body must be message/rfc822")
}

/// The body is said to be something else than JSON.
pub(crate) fn not_json() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body must be application/json")
}

/// The body is said to be something else than lines of JSON.
pub(crate) fn not_lines() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body must be application/x-ndjson")
}

/// Somebody was faster.
pub(crate) fn answered(standing: Standing) -> Problem {
    let mut problem = Problem::new(StatusCode::CONFLICT, "answered", "The message does not wait any more")
        .detail(format!("It {}.", standing.words()));
    problem.0.answer = Some(GivenBefore {
        status: standing.status,
        reply_value: standing.reply_value,
        answered_by: standing.acted_by,
        answered_via: standing.acted_via,
        answered_at: standing.acted_at,
        reason: standing.closed_reason,
    });
    problem
}

/// No token, or one that is not good.
pub(crate) fn unauthorised(given: bool) -> Problem {
    let challenge =
        if given { "Bearer realm=\"herald\", error=\"invalid_token\"" } else { "Bearer realm=\"herald\"" };
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", "A valid API token is needed")
        .header(header::WWW_AUTHENTICATE, challenge)
}

pub(crate) fn unavailable() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not accepted: try again")
        .detail("Repeat the request with the same Idempotency-Key, so that it cannot be sent twice.")
        .header(header::RETRY_AFTER, "2")
}

fn internal() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here")
}

/// A handler that panicked: a problem, and a line in the log.
#[expect(clippy::needless_pass_by_value, reason = "tower-http hands it over so")]
pub(crate) fn for_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    log_panic(panic.as_ref());
    internal().into_response()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal.field.as_str() {
            "idempotency_key" => {
                Self::new(StatusCode::BAD_REQUEST, "bad-header", "The Idempotency-Key is not valid")
                    .detail(refusal.problem)
            }
            _ => invalid(refusal.pointer(), refusal.problem),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::Kept(why) => {
                Self::new(StatusCode::CONFLICT, "kept", "It cannot be deleted").detail(why)
            }
            ChangeError::Unexpected(why) => {
                Self::new(StatusCode::PRECONDITION_FAILED, "version", "It is not what was expected")
                    .detail(why)
            }
            ChangeError::Database(error) => error.into(),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Refused(refusal) => refusal.into(),
            RegisterError::Database(error) => error.into(),
        }
    }
}

impl From<AuthoringError> for Problem {
    fn from(error: AuthoringError) -> Self {
        let said = error.to_string();
        match error {
            AuthoringError::Refused { refusal, .. } => refusal.into(),
            AuthoringError::Conflict { .. } => {
                Self::new(StatusCode::CONFLICT, "version", "The template was changed meanwhile")
                    .detail(said.clone())
                    .at("/version".to_owned(), said)
            }
            AuthoringError::Functions(_) => {
                tracing::error!("A template could not be checked: {said}");
                internal().detail(said)
            }
            AuthoringError::Database(error) => error.into(),
        }
    }
}

impl From<ReminderError> for Problem {
    fn from(error: ReminderError) -> Self {
        match error {
            ReminderError::Refused(refusal) => refusal.into(),
            ReminderError::Change(error) => error.into(),
            ReminderError::Database(error) => error.into(),
        }
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Refused(refusal) => refusal.into(),
            SendError::KeyTaken(id) => {
                Self::new(StatusCode::CONFLICT, "key-taken", "The Idempotency-Key stands for another message")
                    .detail(format!("Message {id} was sent with this key."))
            }
            SendError::TooLate(why) => {
                Self::new(StatusCode::CONFLICT, "too-late", "The message does not wait any more").detail(why)
            }
            SendError::KeyBusy => {
                Self::new(StatusCode::CONFLICT, "key-busy", "A send with this Idempotency-Key is under way")
                    .header(header::RETRY_AFTER, "2")
            }
            SendError::Unavailable(why) => {
                tracing::warn!("Could not accept a message: {why}");
                unavailable()
            }
            SendError::Queue(error) => {
                tracing::warn!("Could not accept a message: {error}");
                unavailable()
            }
        }
    }
}

impl From<ReceiveError> for Problem {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Database(error) => error.into(),
            ReceiveError::NoKeys | ReceiveError::UnderWay(_) => {
                tracing::warn!("Could not take a bounce: {error}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not taken: try again")
                    .detail(error.to_string())
                    .header(header::RETRY_AFTER, "60")
            }
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        // There is nothing of such a name.
        if store::holds_nul(&error) {
            not_found()
        } else if is_outage(&error) {
            tracing::warn!("The database did not answer the API: {error}");
            unavailable()
        } else {
            tracing::error!("The database refused a query of the API: {error}");
            internal()
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.0.header {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_a_pointer_to_its_field() {
        let problem = Problem::from(Refusal::new("action_parameters/1", "must be a number"));
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({
                "type": "urn:herald:problem:invalid",
                "title": "The request was not accepted",
                "status": 422,
                "detail": "/action_parameters/1: must be a number",
                "errors": [{"pointer": "/action_parameters/1", "detail": "must be a number"}],
            })
        );
    }

    #[test]
    fn an_outage_is_told_as_one_and_without_its_inside() {
        let response = Problem::from(SendError::Unavailable("password=secret".into())).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}

//! One log line, one id and two figures for each request. Addresses are logged as their route: they can hold secrets.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use crate::access::token;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a caller, in characters.
const LONGEST_ID: usize = 64;

/// Carries out a request under its id.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).and_then(given_id).unwrap_or_else(|| token::letters(16));
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().as_str().to_owned();
    let span = tracing::info_span!("request", request.id = %id, %method, %route);
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (took, status) = (begun.elapsed(), response.status().as_u16());
    span.in_scope(|| tracing::debug!(status, ?took, "Answered {method} {route} with {status}"));
    metrics::histogram!("herald_http_request_seconds", "method" => method.clone(), "route" => route.clone())
        .record(took.as_secs_f64());
    metrics::counter!("herald_http_requests_total",
        "method" => method, "route" => route, "status" => status.to_string())
    .increment(1);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn given_id(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (plain && (1..=LONGEST_ID).contains(&text.len())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        let given = |text: &str| given_id(&HeaderValue::from_bytes(text.as_bytes()).unwrap());
        assert_eq!(given("0192-abc"), Some("0192-abc".into()));
        assert_eq!(given("a b"), None);
        assert_eq!(given(""), None);
        assert_eq!(given(&"x".repeat(65)), None);
    }
}

//! One request to a provider, and what its answer means.

use std::time::Duration;

use chrono::{DateTime, Utc};
use herald_jobs::deliver::{AttemptOutcome, Verdict};
use herald_jobs::template::replace_token_values;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Map, Value};

use super::settings::{Body, Gateway, Provider, SmsSettings};

/// Most of an answer that is read, in bytes.
const MOST_READ: usize = 64 * 1024;
/// Most of the provider's words that the ledger keeps, in characters.
const MOST_KEPT: usize = 500;
/// Most of the id that it gives a message, in characters.
const LONGEST_ID: usize = 200;
/// The longest that a provider may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// An SMS on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sms<'a> {
    /// The ledger's key: a gateway may tell repeats by it.
    pub id: &'a str,
    /// To whom, in E.164.
    pub to: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// What an attempt brought, and how long the provider asks to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// For the ledger.
    pub verdict: Verdict,
    /// Not before.
    pub wait: Option<Duration>,
}

/// Hands one SMS to the provider.
pub async fn send(client: &Client, settings: &SmsSettings, sms: Sms<'_>, now: DateTime<Utc>) -> Attempted {
    let request = match &settings.provider {
        Provider::Twilio { url, account, token, reports } => {
            let sender = if settings.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
            let mut pairs = vec![("To", sms.to), (sender, &settings.from), ("Body", sms.text)];
            // Our own id comes back with each report: also with one of an SMS whose answer was lost.
            let reports = reports.as_ref().map(|reports| format!("{reports}?delivery={}", sms.id));
            pairs.extend(reports.as_deref().map(|reports| ("StatusCallback", reports)));
            form(client.post(url.clone()).basic_auth(account, Some(token.expose())), &pairs)
        }
        Provider::Http(gateway) => match of_gateway(client, gateway, &settings.from, sms) {
            Ok(request) => request,
            Err(problem) => return attempted(AttemptOutcome::Fault, None, format!("SMS-BODY: {problem}")),
        },
    };
    let id = match &settings.provider {
        Provider::Twilio { .. } => Some("/sid"),
        Provider::Http(gateway) => gateway.id.as_deref(),
    };
    match request.send().await {
        Ok(response) => answer(response, id, now).await,
        // Nothing was handed over.
        Err(error) if error.is_connect() || error.is_builder() || error.is_redirect() => {
            attempted(AttemptOutcome::Fault, None, sentence(&error))
        }
        Err(error) => attempted(AttemptOutcome::Unknown, None, sentence(&error)),
    }
}

fn form(request: RequestBuilder, pairs: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

fn of_gateway(
    client: &Client,
    gateway: &Gateway,
    from: &str,
    sms: Sms<'_>,
) -> Result<RequestBuilder, String> {
    let message = [("id", sms.id), ("to", sms.to), ("from", from), ("text", sms.text)];
    let message: Map<String, Value> =
        message.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let fill = |text: &str| replace_token_values(&message, text).map_err(|error| error.to_string());
    let request =
        client.request(gateway.method.clone(), gateway.url.clone()).headers(gateway.headers.clone());
    match &gateway.body {
        Body::Json(document) => Ok(request.json(&filled(document, &fill)?)),
        Body::Form(pairs) => {
            let values = pairs.iter().map(|(_, value)| fill(value)).collect::<Result<Vec<_>, _>>()?;
            let pairs: Vec<(&str, &str)> =
                pairs.iter().zip(&values).map(|((name, _), value)| (name.as_str(), value.as_str())).collect();
            Ok(form(request, &pairs))
        }
    }
}

/// The document with the tokens of its texts replaced: so no text can end what it stands in.
fn filled(document: &Value, fill: &impl Fn(&str) -> Result<String, String>) -> Result<Value, String> {
    Ok(match document {
        Value::String(text) => Value::String(fill(text)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, fill)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), filled(value, fill)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

async fn answer(mut response: reqwest::Response, id: Option<&str>, now: DateTime<Utc>) -> Attempted {
    let status = response.status();
    let wait = retry_after(response.headers(), now);
    let mut body = Vec::new();
    let mut broken = None;
    while body.len() < MOST_READ {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                broken = Some(sentence(&error));
                break;
            }
        }
    }
    let words = one_line(&String::from_utf8_lossy(&body), MOST_KEPT);
    let found = id.map(|pointer| {
        let document: Option<Value> = serde_json::from_slice(&body).ok();
        document.as_ref().and_then(|document| document.pointer(pointer)).filter(|id| !id.is_null()).cloned()
    });
    let reply = match &found {
        Some(Some(Value::String(id))) => one_line(id, LONGEST_ID),
        Some(Some(id)) => one_line(&id.to_string(), LONGEST_ID),
        _ if words.is_empty() => status.to_string(),
        _ => words,
    };
    let outcome = match (outcome(status), &found) {
        // It took the message, but does not say so as it should.
        (AttemptOutcome::Sent, Some(None)) => AttemptOutcome::Unknown,
        (AttemptOutcome::Sent, None) if broken.is_some() => AttemptOutcome::Sent,
        (outcome, _) => outcome,
    };
    Attempted { verdict: Verdict { outcome, code: Some(status.as_u16()), reply }, wait }
}

fn one_line(text: &str, most: usize) -> String {
    text.trim().replace(char::is_control, " ").chars().take(most).collect()
}

/// What a status says of the message. Only what certainly was not sent may be sent again.
fn outcome(status: StatusCode) -> AttemptOutcome {
    match status {
        status if status.is_success() => AttemptOutcome::Sent,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => AttemptOutcome::Deferred,
        StatusCode::REQUEST_TIMEOUT => AttemptOutcome::Unknown,
        StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => AttemptOutcome::Fault,
        status if status.is_client_error() => AttemptOutcome::Refused,
        status if status.is_redirection() => AttemptOutcome::Fault,
        _ => AttemptOutcome::Unknown,
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok()?,
    };
    Some(wait.min(LONGEST_WAIT))
}

fn attempted(outcome: AttemptOutcome, code: Option<u16>, reply: String) -> Attempted {
    Attempted { verdict: Verdict { outcome, code, reply }, wait: None }
}

/// The error with its causes, without the address, which may hold a key.
fn sentence(error: &reqwest::Error) -> String {
    let mut causes = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes = inner.to_string();
        cause = inner.source();
    }
    let what = if error.is_timeout() {
        "The provider did not answer in time"
    } else if error.is_connect() {
        "The provider cannot be reached"
    } else {
        "The connection to the provider broke"
    };
    if causes.is_empty() { format!("{what}.") } else { format!("{what}: {causes}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_certainly_not_sent_is_sent_again() {
        for (status, expected) in [
            (200, AttemptOutcome::Sent),
            (201, AttemptOutcome::Sent),
            (302, AttemptOutcome::Fault),
            (400, AttemptOutcome::Refused),
            (401, AttemptOutcome::Fault),
            (404, AttemptOutcome::Fault),
            (408, AttemptOutcome::Unknown),
            (422, AttemptOutcome::Refused),
            (429, AttemptOutcome::Deferred),
            (500, AttemptOutcome::Unknown),
            (502, AttemptOutcome::Unknown),
            (503, AttemptOutcome::Deferred),
        ] {
            assert_eq!(outcome(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date() {
        let now = "2026-03-01T09:00:00Z".parse().unwrap();
        let wait = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 01 Mar 2026 09:05:00 GMT"), Some(300));
        assert_eq!(wait("Sun, 01 Mar 2026 08:00:00 GMT"), None);
        assert_eq!(wait("99999999"), Some(86_400));
        assert_eq!(wait("soon"), None);
    }
}

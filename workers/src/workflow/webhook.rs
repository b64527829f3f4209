//! Signed requests to other programs, as Standard Webhooks (standardwebhooks.com) has them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::TimeDelta;
use herald_jobs::deliver::{AttemptOutcome, Verdict};
use herald_jobs::store;
use herald_jobs::store::answer_events::ClaimedEvent;
use herald_jobs::store::webhooks::sealed_for;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use ring::hmac;

use crate::Context;
use crate::guard;

/// What a secret begins with.
const SECRET: &str = "whsec_";
/// Most of an answer that is read, in bytes, and kept, in characters.
const MOST_READ: usize = 16 * 1024;
const MOST_KEPT: usize = 500;
/// The longest that a receiver may ask us to wait.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(24);

/// Posts one event. Answers what came of it, and how long the receiver asks to wait.
pub(super) async fn post(
    context: &Context,
    client: &Client,
    name: &str,
    event: &ClaimedEvent,
) -> (Verdict, Option<TimeDelta>) {
    let fault = |reply: String| (Verdict { outcome: AttemptOutcome::Fault, code: None, reply }, None);
    let webhook = match store::webhooks::get(&context.pool, name).await {
        Ok(Some(webhook)) => webhook,
        Ok(None) => {
            let reply = format!("There is no webhook {name} any more.");
            return (Verdict { outcome: AttemptOutcome::Refused, code: None, reply }, None);
        }
        Err(error) => return fault(format!("The database is not available: {error}")),
    };
    let secret = match context.options.registry.keys.open(&sealed_for(name), &webhook.secret) {
        Ok(secret) => secret,
        Err(error) => return fault(format!("The secret of {name} cannot be used: {error}.")),
    };
    let private = context.options.allow_private_webhooks;
    let url: Url = match webhook.url.parse() {
        Ok(url) => url,
        Err(error) => return fault(format!("The address of {name} is none: {error}.")),
    };
    if let Err(problem) = guard::refuse_private(&url, private) {
        return fault(format!("{problem}."));
    }
    let (id, timestamp) = (event.id.to_string(), context.clock.now().timestamp().to_string());
    let Some(signature) = sign(secret.expose(), &id, &timestamp, &event.payload) else {
        return fault(format!("The secret of {name} is none."));
    };
    let request = client
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(event.payload.clone());
    match request.send().await {
        Ok(response) => answer(response).await,
        Err(error) if error.is_connect() || error.is_builder() => {
            (Verdict { outcome: AttemptOutcome::Deferred, code: None, reply: sentence(&error) }, None)
        }
        Err(error) => {
            (Verdict { outcome: AttemptOutcome::Unknown, code: None, reply: sentence(&error) }, None)
        }
    }
}

/// The signature of a request: HMAC-SHA256 over its id, time and body. `None`: the secret is none.
fn sign(secret: &str, id: &str, timestamp: &str, payload: &str) -> Option<String> {
    let key = BASE64_STANDARD.decode(secret.strip_prefix(SECRET)?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{payload}").as_bytes());
    Some(format!("v1,{}", BASE64_STANDARD.encode(tag)))
}

async fn answer(mut response: reqwest::Response) -> (Verdict, Option<TimeDelta>) {
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
    let wait = wait.and_then(TimeDelta::try_seconds).filter(|wait| *wait > TimeDelta::zero());
    let mut body = Vec::new();
    while body.len() < MOST_READ
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    let words: String = String::from_utf8_lossy(&body)
        .trim()
        .replace(char::is_control, " ")
        .chars()
        .take(MOST_KEPT)
        .collect();
    let outcome = match status {
        status if status.is_success() => AttemptOutcome::Sent,
        // The receiver wants no more.
        StatusCode::GONE => AttemptOutcome::Refused,
        _ => AttemptOutcome::Deferred,
    };
    let reply = if words.is_empty() { status.to_string() } else { words };
    (Verdict { outcome, code: Some(status.as_u16()), reply }, wait.map(|wait| wait.min(LONGEST_WAIT)))
}

/// The error with its innermost cause, without the address, which may hold a secret.
fn sentence(error: &reqwest::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut innermost = String::new();
    while let Some(inner) = cause {
        innermost = format!(": {inner}");
        cause = inner.source();
    }
    let what = if error.is_timeout() {
        "The receiver did not answer in time"
    } else if error.is_connect() {
        "The receiver cannot be reached"
    } else {
        "The connection to the receiver broke"
    };
    format!("{what}{innermost}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_as_the_standard_has_it() {
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(sign("secret", "a", "1", "{}"), None);
    }
}

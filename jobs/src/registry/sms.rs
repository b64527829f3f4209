//! The keys of SMS providers.

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::secret::Secret;

/// What is sent to a gateway. Tokens in its values stand for the message.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A JSON document.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
}

/// Whether `key` may have this value; `None`: it is no key of SMS that has a form.
pub(super) fn check(key: &str, value: &str) -> Option<Result<(), String>> {
    match key {
        "SMS-PROVIDER" if !matches!(value, "off" | "twilio" | "http") => Some(Err(no_provider(value))),
        "SMS-URL" => Some(url(value).map(drop)),
        "SMS-METHOD" => Some(method(value).map(drop)),
        "SMS-HEADERS" => Some(headers(value, Some(&Secret::new(""))).map(drop)),
        "SMS-BODY" => Some(body(value).map(drop)),
        "SMS-ID" => Some(pointer(value).map(drop)),
        "SMS-MAX-SEGMENTS" => Some(segments(value).map(drop)),
        _ => None,
    }
}

/// What is said of a provider that there is not.
pub fn no_provider(text: &str) -> String {
    format!("SMS-PROVIDER must be off, twilio or http, not {text:?}")
}

/// Reads `SMS-URL`.
///
/// # Errors
/// It is no address.
pub fn url(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some()).ok_or_else(|| {
        format!("SMS-URL must be an address such as https://sms.example.com/send, not {text:?}")
    })
}

/// Reads `SMS-METHOD`.
///
/// # Errors
/// It is neither POST nor PUT.
pub fn method(text: &str) -> Result<Method, String> {
    match text {
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        _ => Err(format!("SMS-METHOD must be POST or PUT, not {text:?}")),
    }
}

/// Reads `SMS-ID`.
///
/// # Errors
/// It is no JSON pointer.
pub fn pointer(text: &str) -> Result<String, String> {
    let is_pointer = text.starts_with('/');
    is_pointer
        .then(|| text.to_owned())
        .ok_or_else(|| format!("SMS-ID must be a JSON pointer such as /messages/0/id, not {text:?}"))
}

/// Reads `SMS-MAX-SEGMENTS`.
///
/// # Errors
/// It is no number of SMS.
pub fn segments(text: &str) -> Result<usize, String> {
    let most = text.parse().ok().filter(|most| (1..=100).contains(most));
    most.ok_or_else(|| format!("SMS-MAX-SEGMENTS must be a number from 1 to 100, not {text:?}"))
}

/// Reads `SMS-HEADERS`, and puts the password in.
///
/// # Errors
/// A line is no header, or wants a password that there is not.
pub fn headers(lines: &str, password: Option<&Secret>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let wrong = || format!("SMS-HEADERS: `{}` is no header", line.split(':').next().unwrap_or_default());
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        if value.contains("#password#") && password.is_none() {
            return Err("SMS-PASSWORD is not set, and SMS-HEADERS has #password#".to_owned());
        }
        let value = value.trim().replace("#password#", password.map_or("", Secret::expose));
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Reads `SMS-BODY`.
///
/// # Errors
/// It is neither a JSON document nor a form.
pub fn body(text: &str) -> Result<Body, String> {
    if text.starts_with('{') {
        let document = serde_json::from_str(text);
        return document.map(Body::Json).map_err(|error| format!("SMS-BODY is no JSON document: {error}"));
    }
    // Tokens are written as they are; `#` begins nothing in a form.
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    if pairs.iter().any(|(_, value)| value.contains('#')) {
        return Ok(Body::Form(pairs));
    }
    Err("SMS-BODY must be a JSON document, or a form such as to=#to#&text=#text#".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::registry::check;

    #[test]
    fn each_refusal_names_its_key() {
        assert_eq!(check("SMS-HEADERS", "Authorization: Bearer #password#\nX-Client: herald"), Ok(()));
        for (key, value) in [
            ("SMS-PROVIDER", "pigeon"),
            ("SMS-URL", "x"),
            ("SMS-BODY", "x"),
            ("SMS-FROM", "a\nb"),
            ("SMS-REPORT-HEADER", "a b"),
            ("SMTP-PORT", "0"),
            ("SMTP-SERVER", "a\nb"),
        ] {
            assert!(check(key, value).unwrap_err().starts_with(key));
        }
    }
}

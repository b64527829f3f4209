//! SMS settings out of the Application Registry.

use std::collections::HashMap;

use herald_jobs::seal::KeyRing;
use herald_jobs::secret::Secret;
use herald_producers::sms_report;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

/// The secret among the keys.
const PASSWORD: &str = "SMS-PASSWORD";
/// How many SMS one text may take where nothing is said.
const SEGMENTS: usize = 6;
/// Where Twilio is.
const TWILIO: &str = "https://api.twilio.com";

/// All that it takes to send SMS.
#[derive(Clone, Debug, PartialEq)]
pub struct SmsSettings {
    /// Who carries them.
    pub provider: Provider,
    /// Who they come from; empty where the provider knows.
    pub from: String,
    /// Longer texts are cut to so many SMS.
    pub most_segments: usize,
}

/// Who carries SMS.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    /// Twilio's Programmable Messaging, version 2010-04-01.
    Twilio {
        /// The account's messages.
        url: Url,
        /// The account.
        account: String,
        /// Its auth token.
        token: Secret,
        /// Where it is to report what becomes of a message.
        reports: Option<String>,
    },
    /// Any gateway that takes a request over HTTP.
    Http(Gateway),
}

impl Provider {
    /// Where it is asked.
    pub fn url(&self) -> &Url {
        match self {
            Self::Twilio { url, .. } => url,
            Self::Http(gateway) => &gateway.url,
        }
    }
}

/// How a gateway wants to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Where to.
    pub url: Url,
    /// POST or PUT.
    pub method: Method,
    /// What goes along; values are marked as secrets.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Body,
    /// Where the message's id stands in the answer: a JSON pointer (RFC 6901).
    pub id: Option<String>,
}

/// What is sent to a gateway. Tokens in its values stand for the message.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A JSON document.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
}

/// Reads the settings; `None`: SMS is off.
///
/// # Errors
/// A sentence that names the key that is missing or wrong.
pub fn read(values: &HashMap<String, String>, keys: &KeyRing) -> Result<Option<SmsSettings>, String> {
    let get = |key: &str| values.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let password = || match get(PASSWORD) {
        Some(sealed) => keys.open(PASSWORD, sealed).map(Some).map_err(|error| format!("{PASSWORD}: {error}")),
        None => Ok(None),
    };
    let need = |key: &str| get(key).ok_or_else(|| format!("{key} is not set"));
    let provider = match get("SMS-PROVIDER") {
        None | Some("off") => return Ok(None),
        Some("twilio") => {
            let account = need("SMS-ACCOUNT")?;
            need("SMS-FROM")?;
            let mut messages = url(get("SMS-URL").unwrap_or(TWILIO))?;
            messages.set_path(&format!("2010-04-01/Accounts/{account}/Messages.json"));
            Provider::Twilio {
                url: messages,
                account: account.to_owned(),
                reports: get("SMS-REPORT-URL").map(str::to_owned),
                token: password()?.ok_or_else(|| format!("{PASSWORD} is not set"))?,
            }
        }
        Some("http") => Provider::Http(Gateway {
            url: url(need("SMS-URL")?)?,
            method: get("SMS-METHOD").map_or(Ok(Method::POST), method)?,
            headers: headers(get("SMS-HEADERS").unwrap_or_default(), password()?.as_ref())?,
            body: body(need("SMS-BODY")?)?,
            id: get("SMS-ID").map(pointer).transpose()?,
        }),
        Some(other) => return Err(no_provider(other)),
    };
    let most_segments = get("SMS-MAX-SEGMENTS").map_or(Ok(SEGMENTS), segments)?;
    Ok(Some(SmsSettings { provider, from: get("SMS-FROM").unwrap_or_default().to_owned(), most_segments }))
}

/// Whether `key` may have this value, whatever the other keys say.
///
/// # Errors
/// A sentence that names the key and says what would be right.
pub(crate) fn check(key: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    if let Some(checked) = sms_report::check(key, value) {
        return checked;
    }
    match key {
        "SMS-PROVIDER" if !matches!(value, "off" | "twilio" | "http") => Err(no_provider(value)),
        "SMS-URL" => url(value).map(drop),
        "SMS-METHOD" => method(value).map(drop),
        "SMS-HEADERS" => headers(value, Some(&Secret::new(""))).map(drop),
        "SMS-BODY" => body(value).map(drop),
        "SMS-ID" => pointer(value).map(drop),
        "SMS-MAX-SEGMENTS" => segments(value).map(drop),
        _ if value.contains(char::is_control) => Err(format!("{key} must be one line of text")),
        _ => Ok(()),
    }
}

fn no_provider(text: &str) -> String {
    format!("SMS-PROVIDER must be off, twilio or http, not {text:?}")
}

fn url(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some()).ok_or_else(|| {
        format!("SMS-URL must be an address such as https://sms.example.com/send, not {text:?}")
    })
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        _ => Err(format!("SMS-METHOD must be POST or PUT, not {text:?}")),
    }
}

fn pointer(text: &str) -> Result<String, String> {
    let is_pointer = text.starts_with('/');
    is_pointer
        .then(|| text.to_owned())
        .ok_or_else(|| format!("SMS-ID must be a JSON pointer such as /messages/0/id, not {text:?}"))
}

fn segments(text: &str) -> Result<usize, String> {
    let most = text.parse().ok().filter(|most| (1..=100).contains(most));
    most.ok_or_else(|| format!("SMS-MAX-SEGMENTS must be a number from 1 to 100, not {text:?}"))
}

fn headers(lines: &str, password: Option<&Secret>) -> Result<HeaderMap, String> {
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

fn body(text: &str) -> Result<Body, String> {
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
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<SmsSettings>, String> {
        of_with(pairs, &KeyRing::default())
    }

    fn of_with(pairs: &[(&str, &str)], keys: &KeyRing) -> Result<Option<SmsSettings>, String> {
        read(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), keys)
    }

    #[test]
    fn sms_is_off_until_a_provider_is_named() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("SMS-PROVIDER", "off"), ("SMS-URL", "x")]), Ok(None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let http = [
            ("SMS-PROVIDER", "http"),
            ("SMS-URL", "https://sms.example.com/send"),
            ("SMS-BODY", "to=#to#&text=#text#"),
        ];
        assert!(of(&http).unwrap().is_some());
        let with = |key, value| of(&[&http[..], &[(key, value)]].concat()).unwrap_err();
        for (said, key) in [
            (of(&[("SMS-PROVIDER", "pigeon")]).unwrap_err(), "SMS-PROVIDER"),
            (of(&[("SMS-PROVIDER", "twilio")]).unwrap_err(), "SMS-ACCOUNT"),
            (with("SMS-URL", "ftp://x"), "SMS-URL"),
            (with("SMS-METHOD", "GET"), "SMS-METHOD"),
            (with("SMS-BODY", "{\"to\""), "SMS-BODY"),
            (with("SMS-BODY", "hello"), "SMS-BODY"),
            (with("SMS-HEADERS", "no header"), "SMS-HEADERS"),
            (with("SMS-HEADERS", "Authorization: Bearer #password#"), "SMS-PASSWORD"),
            (with("SMS-ID", "id"), "SMS-ID"),
            (with("SMS-MAX-SEGMENTS", "0"), "SMS-MAX-SEGMENTS"),
        ] {
            assert!(said.starts_with(key), "{said}");
        }
        assert_eq!(check("SMS-HEADERS", "Authorization: Bearer #password#\nX-Client: herald"), Ok(()));
        for (key, value) in
            [("SMS-PROVIDER", "pigeon"), ("SMS-URL", "x"), ("SMS-BODY", "x"), ("SMS-FROM", "a\nb")]
        {
            assert!(check(key, value).unwrap_err().starts_with(key));
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let random = ring::rand::SystemRandom::new();
        let keys: KeyRing = herald_jobs::seal::new_key(&random).unwrap().expose().parse().unwrap();
        let sealed = keys.seal(PASSWORD, &Secret::new("canary"), &random).unwrap();
        let pairs = [
            ("SMS-PROVIDER", "http"),
            ("SMS-URL", "https://sms.example.com/send"),
            ("SMS-BODY", "{\"to\": \"#to#\"}"),
            ("SMS-HEADERS", "Authorization: Bearer #password#"),
            (PASSWORD, &sealed),
        ];
        let settings = of_with(&pairs, &keys).unwrap().unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
        let Provider::Http(gateway) = settings.provider else { panic!("{settings:?}") };
        assert_eq!(gateway.headers["authorization"], "Bearer canary");
    }
}

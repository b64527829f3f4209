//! SMS settings out of the Application Registry.

use std::collections::HashMap;

pub use herald_jobs::registry::sms::Body;
use herald_jobs::registry::sms::{body, headers, method, no_provider, pointer, segments, url};
use herald_jobs::seal::KeyRing;
use herald_jobs::secret::Secret;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

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

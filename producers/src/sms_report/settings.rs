//! How the provider's reports are told from forged ones, and read: out of the Application Registry.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use herald_jobs::registry::reports::{FIELDS, Fields, fields};
use herald_jobs::seal::KeyRing;
use herald_jobs::secret::Secret;
use ring::hmac;
use subtle::ConstantTimeEq as _;

/// Where a signature stands unless the registry says otherwise.
const HEADER: &str = "X-Signature";
/// What gateways call an SMS that has arrived, and one that never will (SMPP 3.4, 5.2.28, among others).
const ARRIVED: &str = "delivered, delivrd, read";
const LOST: &str = "undelivered, failed, rejected, expired, undeliv, rejectd, deleted";

/// How a provider reports.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) signature: Signature,
    /// Where the parts of a report stand: JSON pointers, or names of a form's fields with a slash before them.
    pub(super) fields: Fields,
    pub(super) arrived: Vec<String>,
    pub(super) lost: Vec<String>,
}

/// How reports are signed.
#[derive(Debug)]
pub(super) enum Signature {
    /// HMAC-SHA1 over the address and the sorted fields, in `X-Twilio-Signature`.
    Twilio { token: Secret, url: String },
    /// HMAC-SHA256 of the body, in hexadecimal or Base64.
    Body { secret: Secret, header: String },
}

/// Reads the settings; `None`: SMS is off, or nothing that the provider says can be told from a forgery.
///
/// # Errors
/// A sentence that names the key that is wrong.
pub(super) fn read(values: &HashMap<String, String>, keys: &KeyRing) -> Result<Option<Settings>, String> {
    let get = |key: &str| values.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let open = |key: &str, sealed: &str| keys.open(key, sealed).map_err(|error| format!("{key}: {error}"));
    let words = |key: &str, default: &str| {
        get(key).unwrap_or(default).split(',').map(|word| word.trim().to_lowercase()).collect()
    };
    let (signature, at) = match get("SMS-PROVIDER") {
        Some("twilio") => {
            let (Some(sealed), Some(url)) = (get("SMS-PASSWORD"), get("SMS-REPORT-URL")) else {
                return Ok(None);
            };
            let token = open("SMS-PASSWORD", sealed)?;
            let at = "id=/MessageSid&status=/MessageStatus&from=/From&text=/Body&reason=/ErrorCode";
            (Signature::Twilio { token, url: url.to_owned() }, at)
        }
        Some("http") => {
            let Some(sealed) = get("SMS-REPORT-SECRET") else { return Ok(None) };
            let secret = open("SMS-REPORT-SECRET", sealed)?;
            let header = get("SMS-REPORT-HEADER").unwrap_or(HEADER).to_owned();
            (Signature::Body { secret, header }, get("SMS-REPORT-FIELDS").unwrap_or(FIELDS))
        }
        _ => return Ok(None),
    };
    Ok(Some(Settings {
        signature,
        fields: fields(at)?,
        arrived: words("SMS-REPORT-ARRIVED", ARRIVED),
        lost: words("SMS-REPORT-LOST", LOST),
    }))
}

impl Signature {
    /// Whether this body was signed by who knows the secret. `form` is the body where it is a form; `query` that of the address.
    pub(super) fn is_good<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        form: Option<&[(String, String)]>,
        query: Option<&str>,
    ) -> bool {
        match self {
            Self::Twilio { token, url } => {
                // Of anything else the signature does not cover the body.
                let Some(form) = form else { return false };
                let mut pairs = form.to_vec();
                pairs.sort();
                let url = query.map_or_else(|| url.clone(), |query| format!("{url}?{query}"));
                let text = pairs.into_iter().fold(url, |text, (name, value)| format!("{text}{name}{value}"));
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose().as_bytes());
                let right = hmac::sign(&key, text.as_bytes());
                header("X-Twilio-Signature").is_some_and(|given| same(given, right.as_ref()))
            }
            Self::Body { secret, header: name } => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                let right = hmac::sign(&key, body);
                header(name).is_some_and(|given| same(given, right.as_ref()))
            }
        }
    }
}

/// Whether `given` is `right`, in hexadecimal or Base64, whatever scheme is named before it.
fn same(given: &str, right: &[u8]) -> bool {
    let given = given.trim();
    let given = given.strip_prefix("sha256=").unwrap_or(given);
    let hexadecimal: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_hexadecimal = given.to_ascii_lowercase().as_bytes().ct_eq(hexadecimal.as_bytes());
    let is_base64 = given.as_bytes().ct_eq(BASE64_STANDARD.encode(right).as_bytes());
    (is_hexadecimal | is_base64).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Twilio's own documentation ("Webhooks security").
    #[test]
    fn twilios_example_is_signed_as_twilio_says() {
        let signature = Signature::Twilio {
            token: Secret::new("12345"),
            url: "https://example.com/myapp.php".to_owned(),
        };
        let form = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ];
        let form: Vec<_> = form.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let with = |given: &'static str| {
            let header = |name: &str| (name == "X-Twilio-Signature").then_some(given);
            assert!(
                !signature.is_good(header, b"{}", None, Some("foo=1&bar=2")),
                "a body that is not covered"
            );
            signature.is_good(header, b"", Some(&form), Some("foo=1&bar=2"))
        };
        assert!(with("L/OH5YylLD5NRKLltdqwSvS0BnU="));
        assert!(!with("M/OH5YylLD5NRKLltdqwSvS0BnU=") && !with(""));
    }

    #[test]
    fn a_body_is_signed_in_either_spelling() {
        let signature = Signature::Body { secret: Secret::new("key"), header: "X-Sign".to_owned() };
        let text = b"The quick brown fox jumps over the lazy dog";
        let hexadecimal = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        let good =
            |given: &str| signature.is_good(|name| (name == "X-Sign").then_some(given), text, None, None);
        assert!(good(hexadecimal) && good(&format!("sha256={hexadecimal}")));
        assert!(good(&hexadecimal.to_uppercase()));
        assert!(good("97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg="));
        assert!(!good("f7bc") && !good(""));
        assert!(!signature.is_good(|_| None, text, None, None));
    }
}

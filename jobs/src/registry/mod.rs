//! What the keys of the Application Registry may hold. `store::registry` keeps them; workers make settings of them.

pub mod mail;
pub mod reports;
pub mod sms;

use std::collections::HashMap;

use ring::rand::SecureRandom;

use crate::refusal::Refusal;
use crate::seal::{KeyRing, SealError, is_sealed};
use crate::secret::Secret;
use crate::store::registry::Entry;

/// All keys, as one sets them one after the other: where to, how, as whom, from whom, and what else there is.
const ORDER: [&str; 25] = [
    "SMTP-SERVER",
    "SMTP-PORT",
    "SMTP-SECURITY",
    "SMTP-USERNAME",
    "SMTP-PASSWORD",
    "SMTP-FROM",
    "SMTP-REPLY-TO",
    "SMTP-BOUNCE-ADDRESS",
    "SMTP-HELO",
    "SMS-PROVIDER",
    "SMS-ACCOUNT",
    "SMS-PASSWORD",
    "SMS-FROM",
    "SMS-MAX-SEGMENTS",
    "SMS-URL",
    "SMS-METHOD",
    "SMS-HEADERS",
    "SMS-BODY",
    "SMS-ID",
    "SMS-REPORT-URL",
    "SMS-REPORT-SECRET",
    "SMS-REPORT-HEADER",
    "SMS-REPORT-FIELDS",
    "SMS-REPORT-ARRIVED",
    "SMS-REPORT-LOST",
];

/// Where a key stands among all.
pub fn position(key: &str) -> usize {
    ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len())
}

/// Whether `key` may have this value, whatever the other keys say.
///
/// # Errors
/// A sentence that names the key and says what would be right.
pub fn check(key: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    if value.contains('\0') {
        return Err(format!("{key} must not hold the character NUL"));
    }
    let checked = mail::check(key, value).or_else(|| sms::check(key, value));
    match checked.or_else(|| reports::check(key, value)) {
        Some(checked) => checked,
        None if value.contains(char::is_control) => Err(format!("{key} must be one line of text")),
        None => Ok(()),
    }
}

/// Whether these changes go together with what else is set: mail must not go readable over a network by them, unless that is
/// allowed.
///
/// # Errors
/// Names the key, and says what would be right.
pub fn check_together(
    entries: &[Entry],
    changes: &[(String, Option<String>)],
    allow_plaintext: bool,
) -> Result<(), Refusal> {
    let concerned = |(key, value): &(String, Option<String>)| {
        matches!(key.as_str(), "SMTP-SERVER" | "SMTP-SECURITY") && value.is_some()
    };
    if !changes.iter().any(concerned) {
        return Ok(());
    }
    let before = entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
    let values: HashMap<String, Option<String>> = before.chain(changes.iter().cloned()).collect();
    let values = values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    match mail::sends_readable(&values, allow_plaintext) {
        Some(problem) => Err(Refusal::new("SMTP-SECURITY", problem)),
        None => Ok(()),
    }
}

/// Sealed text for `key`: made of a secret, or taken as it is where it opens.
///
/// # Errors
/// There is no key to seal with, or the sealed text does not open.
pub fn sealed(
    keys: &KeyRing,
    key: &str,
    secret: &Secret,
    random: &dyn SecureRandom,
) -> Result<String, SealError> {
    if is_sealed(secret.expose()) {
        keys.open(key, secret.expose())?;
        return Ok(secret.expose().to_owned());
    }
    keys.seal(key, secret, random)
}

//! Links in e-mails that answer their message: for one recipient, one message and one choice, until a certain time.
//!
//! A link proves that it was made here (HMAC-SHA256 with the keys that seal secrets, cut to 128 bits), so it needs no row of its own. It
//! works once since a message is answered once.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq as _;
use url::Url;
use uuid::Uuid;

use crate::seal::{KeyRing, SealError};

const PURPOSE: &str = "answer link";
/// Bytes of a tag.
const TAG: usize = 16;

/// What a link stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerLink {
    /// The message.
    pub message: Uuid,
    /// `herald.app_user.id` of whom it was sent to.
    pub recipient: i64,
    /// The reply; `None`: none is wanted, or it is typed on the page.
    pub choice: Option<String>,
    /// Until when, in seconds since the epoch.
    pub expires: i64,
}

impl AnswerLink {
    /// The address that answers, below `public_url`.
    ///
    /// # Errors
    /// There are no keys.
    pub fn url(&self, keys: &KeyRing, public_url: &Url) -> Result<Url, SealError> {
        let what = self.what();
        let proof = keys.proofs(PURPOSE, what.as_bytes()).next().ok_or(SealError::NoKeys)?;
        let tag = BASE64_URL_SAFE_NO_PAD.encode(proof.as_ref().get(..TAG).unwrap_or_default());
        let mut url = public_url.clone();
        url.set_path(&format!("/answer/{what}.{tag}"));
        url.set_query(None);
        Ok(url)
    }

    /// Reads the last part of an address; `None` where it was not made by one of these keys.
    pub fn read(keys: &KeyRing, text: &str) -> Option<Self> {
        let (what, tag) = text.rsplit_once('.')?;
        let given = BASE64_URL_SAFE_NO_PAD.decode(tag).ok().filter(|given| given.len() == TAG)?;
        let mut proofs = keys.proofs(PURPOSE, what.as_bytes());
        proofs.find(|proof| proof.as_ref().get(..TAG).is_some_and(|own| bool::from(own.ct_eq(&given))))?;
        let mut parts = what.split('.');
        let (message, recipient, expires, choice) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let choice = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(choice).ok()?).ok()?;
        Some(Self {
            message: Uuid::try_parse(message).ok()?,
            recipient: recipient.parse().ok()?,
            choice: (!choice.is_empty()).then_some(choice),
            expires: expires.parse().ok()?,
        })
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() >= self.expires
    }

    fn what(&self) -> String {
        let choice = BASE64_URL_SAFE_NO_PAD.encode(self.choice.as_deref().unwrap_or_default());
        format!("{}.{}.{}.{choice}", self.message.simple(), self.recipient, self.expires)
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;
    use crate::seal;

    fn keys() -> KeyRing {
        seal::new_key(&SystemRandom::new()).unwrap().expose().parse().unwrap()
    }

    #[test]
    fn a_link_is_read_as_it_was_made_and_nothing_else_passes() {
        let (keys, home) = (keys(), "https://herald.example/".parse().unwrap());
        for choice in [None, Some("Yes"), Some("Ja, größer / kleiner.")] {
            let link = AnswerLink {
                message: Uuid::from_u128(7),
                recipient: 42,
                choice: choice.map(str::to_owned),
                expires: 1_800_000_000,
            };
            let url = link.url(&keys, &home).unwrap();
            let text = url.path().strip_prefix("/answer/").unwrap();
            assert_eq!(AnswerLink::read(&keys, text), Some(link));
            for at in 0..text.len() {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = if changed[at] == b'b' { b'c' } else { b'b' };
                let changed = String::from_utf8(changed).unwrap();
                // The last character of base64 holds bits that do not count.
                assert!(at + 1 == text.len() || AnswerLink::read(&keys, &changed).is_none(), "{at}");
            }
            assert_eq!(AnswerLink::read(&super::tests::keys(), text), None, "another's keys");
        }
        assert!(AnswerLink::read(&keys, "").is_none() && AnswerLink::read(&keys, "a.b.c.d.e").is_none());
    }
}

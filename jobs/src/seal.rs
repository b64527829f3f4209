//! Secrets at rest: sealed text, and the keys that seal and open it.
//!
//! Sealed text is `herald:1:<key id>:<nonce, ciphertext and tag in base64url>`. It is AES-256-GCM (NIST SP 800-38D) with a random
//! nonce of 96 bits. What goes before the last colon is authenticated with it, and so is the name under which the
//! secret is kept: text that was sealed for one name does not open under another.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::SecureRandom;
use ring::{digest, hmac};

use crate::secret::Secret;

/// What sealed text begins with: the version tells the algorithm.
const SEALED: &str = "herald:1:";
/// What a key begins with, in a key file.
const KEY: &str = "herald-key:1:";
/// Bytes of a key.
const KEY_LEN: usize = 32;

/// The keys of an installation: the first seals, all open.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    key: LessSafeKey,
    proof: hmac::Key,
}

/// Why text was not sealed or opened. Holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ring is empty.
    #[error(
        "there are no keys: name a key file in the setting secrets.key_file, or put keys into HERALD_KEYS (`herald registry new-key` makes one)"
    )]
    NoKeys,
    /// It is something else.
    #[error("it is not sealed: `herald registry seal` makes sealed text")]
    NotSealed,
    /// The key is missing.
    #[error("it was sealed with key {0}, which is not among the keys here")]
    UnknownKey(String),
    /// Changed, cut, or moved.
    #[error("it does not open as {0}: it was altered, or sealed for another name")]
    DoesNotOpen(String),
    /// The machine has no randomness, or the secret is too long.
    #[error("it could not be sealed")]
    Failed,
}

/// Why keys were not read. Does not hold them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Something else stands there.
    #[error("entry {0} is no key: a key is one line as `herald registry new-key` prints it")]
    Malformed(usize),
    /// Nothing stands there.
    #[error("there is no key in it: put one in, as `herald registry new-key` prints it")]
    Empty,
}

/// A new key, as one line of a key file.
///
/// # Errors
/// The machine has no randomness.
pub fn new_key(random: &dyn SecureRandom) -> Result<Secret, SealError> {
    let mut bytes = [0; KEY_LEN];
    random.fill(&mut bytes).map_err(|_| SealError::Failed)?;
    Ok(Secret::new(format!("{KEY}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
}

/// Whether this claims to be sealed text.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED)
}

impl KeyRing {
    /// Seals a secret for `name`, with the first key.
    ///
    /// # Errors
    /// There is no key.
    pub fn seal(&self, name: &str, secret: &Secret, random: &dyn SecureRandom) -> Result<String, SealError> {
        let Key { id, key, .. } = self.keys.first().ok_or(SealError::NoKeys)?;
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| SealError::Failed)?;
        let mut text = secret.expose().as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), context(id, name), &mut text)
            .map_err(|_| SealError::Failed)?;
        let bytes = [&nonce[..], &text].concat();
        Ok(format!("{SEALED}{id}:{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for `name`.
    ///
    /// # Errors
    /// It is not sealed text, its key is not here, or it was altered or sealed for another name.
    pub fn open(&self, name: &str, sealed: &str) -> Result<Secret, SealError> {
        let (id, text) = sealed
            .strip_prefix(SEALED)
            .and_then(|rest| rest.split_once(':'))
            .filter(|(id, _)| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or(SealError::NotSealed)?;
        if self.keys.is_empty() {
            return Err(SealError::NoKeys);
        }
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| {
                let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>()?;
                let mut text = text.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let opened = key.key.open_in_place(nonce, context(id, name), &mut text).ok()?;
                Some(Secret::new(std::str::from_utf8(opened).ok()?))
            })
            .ok_or_else(|| SealError::DoesNotOpen(name.to_owned()))
    }

    /// Proofs that `what` was made here, for `purpose`: HMAC-SHA256 (RFC 2104), one for each key, that of the first key first.
    pub fn proofs(&self, purpose: &str, what: &[u8]) -> impl Iterator<Item = hmac::Tag> {
        let context = [purpose.as_bytes(), b":", what].concat();
        self.keys.iter().map(move |key| hmac::sign(&key.proof, &context))
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The names of the keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }
}

impl FromStr for KeyRing {
    type Err = KeyError;

    /// Reads keys, one a line or separated by commas or spaces; `#` begins a comment.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(keys, _)| keys));
        let entries =
            lines.flat_map(|line| line.split([',', ' ', '\t', '\r'])).filter(|entry| !entry.is_empty());
        let keys = entries
            .enumerate()
            .map(|(position, entry)| Key::parse(entry).ok_or(KeyError::Malformed(position + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self { keys }) }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Key {
    fn parse(entry: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(entry.strip_prefix(KEY)?).ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
        // A name that follows from the key cannot be given to two.
        let digest = digest::digest(&digest::SHA256, &[b"herald key id", &bytes[..]].concat());
        let id = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        // What proves must not be what seals.
        let proof = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"herald proofs");
        Some(Self {
            id,
            key: LessSafeKey::new(key),
            proof: hmac::Key::new(hmac::HMAC_SHA256, proof.as_ref()),
        })
    }
}

/// What is authenticated beside the secret.
fn context(id: &str, name: &str) -> Aad<String> {
    Aad::from(format!("{SEALED}{id}:{name}"))
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    fn key() -> String {
        new_key(&SystemRandom::new()).unwrap().expose().to_owned()
    }

    fn seal(ring: &KeyRing, name: &str, secret: &str) -> String {
        ring.seal(name, &Secret::new(secret), &SystemRandom::new()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_and_never_looks_the_same_twice() {
        let ring: KeyRing = key().parse().unwrap();
        for secret in ["", "s3cret", " spaces ", "pässwörd:herald:1:", &"x".repeat(10_000)] {
            let sealed = seal(&ring, "A", secret);
            assert!(is_sealed(&sealed));
            assert!(secret.is_empty() || !sealed.contains(secret));
            assert_eq!(ring.open("A", &sealed).unwrap().expose(), secret);
            assert_ne!(seal(&ring, "A", secret), sealed);
        }
    }

    #[test]
    fn another_key_another_name_or_one_changed_character_do_not_open_it() {
        let (ring, stranger): (KeyRing, KeyRing) = (key().parse().unwrap(), key().parse().unwrap());
        let sealed = seal(&ring, "A", "s3cret");
        assert!(matches!(stranger.open("A", &sealed), Err(SealError::UnknownKey(_))));
        assert_eq!(KeyRing::default().open("A", &sealed).unwrap_err(), SealError::NoKeys);
        assert_eq!(ring.open("B", &sealed).unwrap_err(), SealError::DoesNotOpen("B".to_owned()));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'b' { b'c' } else { b'b' };
            assert!(ring.open("A", &String::from_utf8(changed).unwrap()).is_err(), "{at}");
            assert!(ring.open("A", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(ring.open("A", "s3cret").unwrap_err(), SealError::NotSealed);
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (key(), key());
        let before: KeyRing = old.parse().unwrap();
        let sealed = seal(&before, "A", "s3cret");
        let both: KeyRing = format!("# keys\n\n{new} # of this year\r\n{old}\n").parse().unwrap();
        assert_eq!(both.open("A", &sealed).unwrap().expose(), "s3cret");
        let again = seal(&both, "A", "s3cret");
        assert!(before.open("A", &again).is_err());
        assert_eq!(new.parse::<KeyRing>().unwrap().open("A", &again).unwrap().expose(), "s3cret");
        assert_eq!(format!("{old},{new}").parse::<KeyRing>().unwrap().ids().count(), 2);
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for (text, expected) in [
            ("", KeyError::Empty),
            ("# nothing", KeyError::Empty),
            ("s3cret", KeyError::Malformed(1)),
            ("herald-key:1:c2hvcnQ", KeyError::Malformed(1)),
            (&format!("{}\nherald-key:2:x", key()), KeyError::Malformed(2)),
        ] {
            assert_eq!(text.parse::<KeyRing>().unwrap_err(), expected, "{text}");
        }
        let key = key();
        let shown = format!("{:?}", key.parse::<KeyRing>().unwrap());
        assert!(!shown.contains(&key["herald-key:1:".len()..]), "{shown}");
    }
}

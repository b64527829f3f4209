//! Secrets that let somebody in. They are drawn here, and only their hashes are kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

/// What every API token begins with, so that scanners for leaked secrets can know it.
pub(crate) const API_MARK: &str = "hrld_";

/// 256 random bits.
pub(crate) fn bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// 256 random bits as 43 characters that may stand in URLs and cookies.
pub(crate) fn random() -> String {
    URL_SAFE_NO_PAD.encode(bytes())
}

/// A few random letters and digits, to tell secrets apart; `many` up to 32.
pub(crate) fn letters(many: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    bytes().iter().take(many).map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// What is stored of a secret and looked up: an index comparison tells nobody how much of a guess was right.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (random(), random());
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        assert_ne!(hash(&one), hash(&other));
        assert_eq!(letters(8).len(), 8);
    }
}

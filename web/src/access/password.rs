//! Passwords: Argon2id in PHC form, with the parameters that OWASP's password storage cheat sheet names first.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// Passwords that are checked at one time: each takes 19 MiB and some 50 ms of a core.
const AT_ONCE: usize = 4;
/// Longest password, in bytes.
const LONGEST: usize = 1_000;

/// Stands in for the hash of who does not exist, so that a refusal takes as long and tells nothing.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_password("nobody has this password").ok());

/// A password that cannot be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be used: {0}")]
pub struct HashError(String);

/// Hashes a password, to be stored. Takes some 50 ms of a core.
///
/// # Errors
/// It is empty or longer than 1,000 bytes.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    if password.is_empty() || password.len() > LONGEST {
        return Err(HashError(format!("must be 1 to {LONGEST} bytes")));
    }
    let hash: PasswordHash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|error| HashError(error.to_string()))?;
    Ok(hash.to_string())
}

/// Checks passwords, a few at a time.
pub(crate) struct Passwords {
    room: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { room: Semaphore::new(AT_ONCE) }
    }
}

impl Passwords {
    /// Whether `password` is the one behind `hash`; with no hash the answer is no, after the same time.
    pub(crate) async fn check(&self, password: String, hash: Option<String>) -> bool {
        let Ok(_room) = self.room.acquire().await else { return false };
        tokio::task::spawn_blocking(move || matches(&password, hash.as_deref())).await.unwrap_or(false)
    }
}

fn matches(password: &str, hash: Option<&str>) -> bool {
    let known = hash.or(NOBODY.as_deref()).and_then(|hash| PasswordHash::new(hash).ok());
    let right = known.is_some_and(|known| {
        password.len() <= LONGEST && Argon2::default().verify_password(password.as_bytes(), &known).is_ok()
    });
    right && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_matches() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(matches("correct horse", Some(&hash)));
        assert!(!matches("wrong horse", Some(&hash)));
        assert!(!matches("nobody has this password", None));
        assert!(!matches("x", Some("garbage")));
        assert!(hash_password("").is_err() && hash_password(&"x".repeat(LONGEST + 1)).is_err());
    }
}

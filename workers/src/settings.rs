//! Mail settings, as the Application Registry has them now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use herald_jobs::secret::Secret;
use herald_jobs::store;
use lettre::Address;
use sqlx::PgPool;

use crate::smtp::{Security, Server, Timeouts};

/// How long settings are trusted before they are read again.
const TRUSTED: Duration = Duration::from_secs(1);

/// All that it takes to send mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// Where mail goes.
    pub server: Server,
    /// Who it comes from.
    pub from: Address,
}

/// The registry's mail settings, kept for a second.
pub struct Registry {
    pool: PgPool,
    read: Mutex<Option<Read>>,
}

#[derive(Clone)]
struct Read {
    at: Instant,
    mail: Arc<Result<MailSettings, String>>,
}

impl Registry {
    /// Settings from the registry in `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, read: Mutex::new(None) }
    }

    /// The settings, or a sentence that says what is missing or wrong.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn mail(&self) -> Result<Arc<Result<MailSettings, String>>, sqlx::Error> {
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < TRUSTED) {
            return Ok(known.mail);
        }
        let at = Instant::now();
        let mail = Arc::new(mail(&store::registry::all(&self.pool).await?));
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(Read { at, mail: mail.clone() });
        Ok(mail)
    }
}

/// Reads the mail settings out of the registry's values.
fn mail(values: &HashMap<String, String>) -> Result<MailSettings, String> {
    let get = |key: &str| values.get(key).map(|value| value.trim().to_owned());
    let host = get("SMTP-SERVER").ok_or("SMTP-SERVER is not set")?;
    let port =
        get("SMTP-PORT").map_or(Ok(25), |port| port.parse().map_err(|_| "SMTP-PORT is no port number"))?;
    let username = get("SMTP-USERNAME");
    let from = get("SMTP-FROM").or_else(|| username.clone()).ok_or("SMTP-FROM is not set")?;
    let from = from.parse().map_err(|_| format!("SMTP-FROM is no e-mail address: {from}"))?;
    let security = match get("SMTP-SECURITY").as_deref() {
        None | Some("starttls") => Security::StartTls,
        Some("tls") => Security::Tls,
        Some("none") => Security::None,
        Some(_) => return Err("SMTP-SECURITY must be starttls, tls or none".into()),
    };
    let credentials = username.map(|name| (name, Secret::new(get("SMTP-PASSWORD").unwrap_or_default())));
    let server = Server {
        host,
        port,
        security,
        trusted: None,
        credentials,
        helo: None,
        timeouts: Timeouts::default(),
    };
    Ok(MailSettings { server, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<MailSettings, String> {
        mail(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_seeds_four_keys_are_enough() {
        let settings = of(&[
            ("SMTP-SERVER", "smtp.example.com"),
            ("SMTP-PORT", "587"),
            ("SMTP-USERNAME", "herald@example.com"),
            ("SMTP-PASSWORD", "s3cret"),
        ])
        .unwrap();
        assert_eq!(settings.from.to_string(), "herald@example.com");
        assert_eq!((settings.server.port, settings.server.security), (587, Security::StartTls));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(of(&[]).unwrap_err().contains("SMTP-SERVER"));
        assert!(of(&[("SMTP-SERVER", "a"), ("SMTP-PORT", "x")]).unwrap_err().contains("SMTP-PORT"));
        assert!(of(&[("SMTP-SERVER", "a"), ("SMTP-USERNAME", "joe")]).unwrap_err().contains("SMTP-FROM"));
    }
}

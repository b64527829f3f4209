//! Settings of the channels, as the Application Registry has them now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use herald_jobs::id::DeliveryId;
use herald_jobs::registry::mail::{address, bounce_address, helo, plaintext_refusal, port, security};
use herald_jobs::seal::{KeyRing, SealError};
use herald_jobs::{return_path, store};
use lettre::Address;
use sqlx::PgPool;

use crate::sms::{self, SmsSettings};
use crate::smtp::{Security, Server, Timeouts};

/// All that it takes to send mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// Where mail goes.
    pub server: Server,
    /// Who it comes from.
    pub from: Address,
    /// Where answers go, where that is not `from`.
    pub reply_to: Option<Address>,
    /// What return paths are made of; `None`: bounces go to `from`, and Herald does not learn of them.
    pub bounces: Option<Address>,
}

/// What this process may make of the registry.
#[derive(Clone, Debug)]
pub struct Access {
    /// Open the secrets.
    pub keys: Arc<KeyRing>,
    /// Mail may go readable over a network.
    pub allow_plaintext: bool,
    /// Certificates in PEM that mail servers may be known by, besides Mozilla's authorities.
    pub mail_authorities: Option<String>,
    /// How long settings are trusted before they are read again.
    pub trusted: Duration,
}

impl Default for Access {
    /// No keys, nothing readable, the usual authorities; read again after a second.
    fn default() -> Self {
        Self {
            keys: Arc::default(),
            allow_plaintext: false,
            mail_authorities: None,
            trusted: Duration::from_secs(1),
        }
    }
}

/// What the registry says of SMS: `None` while it is off, or a sentence that says what is missing or wrong.
pub type SmsOrNone = Result<Option<SmsSettings>, String>;

/// The registry's settings, kept for a while.
pub struct Registry {
    pool: PgPool,
    access: Access,
    read: Mutex<Option<Read>>,
}

#[derive(Clone)]
struct Read {
    at: Instant,
    mail: Arc<Result<MailSettings, String>>,
    sms: Arc<SmsOrNone>,
}

impl Registry {
    /// Settings from the registry in `pool`.
    pub fn new(pool: PgPool, access: Access) -> Self {
        Self { pool, access, read: Mutex::new(None) }
    }

    /// The mail settings, or a sentence that says what is missing or wrong.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn mail(&self) -> Result<Arc<Result<MailSettings, String>>, sqlx::Error> {
        Ok(self.read().await?.mail)
    }

    /// What it says of SMS.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn sms(&self) -> Result<Arc<SmsOrNone>, sqlx::Error> {
        Ok(self.read().await?.sms)
    }

    async fn read(&self) -> Result<Read, sqlx::Error> {
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < self.access.trusted) {
            return Ok(known);
        }
        let at = Instant::now();
        let values = store::registry::all(&self.pool).await?;
        let mail = Arc::new(mail(&values, &self.access));
        let read = Read { at, mail, sms: Arc::new(sms::read(&values, &self.access.keys)) };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        Ok(read)
    }

    /// The keys of this process.
    pub fn keys(&self) -> &KeyRing {
        &self.access.keys
    }

    /// The envelope sender of one copy.
    ///
    /// # Errors
    /// There are no keys, which [`mail`] makes sure of.
    pub fn return_path(&self, settings: &MailSettings, id: DeliveryId) -> Result<Address, SealError> {
        let signed = settings.bounces.as_ref().map(|base| return_path::make(&self.access.keys, base, id));
        signed.unwrap_or_else(|| Ok(settings.from.clone()))
    }
}

/// Reads the mail settings out of the registry's values.
///
/// # Errors
/// A sentence that says what is missing or wrong.
pub fn mail(values: &HashMap<String, String>, access: &Access) -> Result<MailSettings, String> {
    let get = |key: &str| values.get(key).map(|value| value.trim());
    let host = get("SMTP-SERVER").ok_or("SMTP-SERVER is not set")?;
    let port = get("SMTP-PORT").map_or(Ok(25), port)?;
    let username = get("SMTP-USERNAME");
    let from = match (get("SMTP-FROM"), username) {
        (Some(from), _) => address("SMTP-FROM", from)?,
        (None, Some(username)) => username.parse().map_err(|_| {
            format!("SMTP-FROM is not set, and SMTP-USERNAME is no e-mail address: {username}")
        })?,
        (None, None) => return Err("SMTP-FROM is not set".into()),
    };
    let security = get("SMTP-SECURITY").map_or(Ok(Security::StartTls), security)?;
    if let Some(refusal) = plaintext_refusal(host, security, access.allow_plaintext) {
        return Err(refusal);
    }
    let password = get("SMTP-PASSWORD")
        .filter(|_| username.is_some())
        .map(|sealed| access.keys.open("SMTP-PASSWORD", sealed))
        .transpose()
        .map_err(|error| format!("SMTP-PASSWORD cannot be opened: {error}"))?;
    let credentials = match (username, password) {
        (None, _) => None,
        (Some(username), Some(password)) => Some((username.to_owned(), password)),
        (Some(_), None) => return Err("SMTP-USERNAME is set, but SMTP-PASSWORD is not".into()),
    };
    let server = Server {
        host: host.to_owned(),
        port,
        security,
        trusted: access.mail_authorities.clone(),
        credentials,
        helo: get("SMTP-HELO").map(helo).transpose()?,
        timeouts: Timeouts::default(),
    };
    let reply_to = get("SMTP-REPLY-TO").map(|text| address("SMTP-REPLY-TO", text)).transpose()?;
    let bounces = get("SMTP-BOUNCE-ADDRESS").map(bounce_address).transpose()?;
    if bounces.is_some() && access.keys.is_empty() {
        return Err(format!(
            "SMTP-BOUNCE-ADDRESS is set, but return paths cannot be signed: {}",
            SealError::NoKeys
        ));
    }
    Ok(MailSettings { server, from, reply_to, bounces })
}

#[cfg(test)]
mod tests {
    use herald_jobs::seal;
    use herald_jobs::secret::Secret;
    use ring::rand::SystemRandom;

    use super::*;

    fn access() -> Access {
        let key = seal::new_key(&SystemRandom::new()).unwrap();
        Access { keys: Arc::new(key.expose().parse().unwrap()), ..Access::default() }
    }

    fn with(access: &Access, pairs: &[(&str, &str)]) -> Result<MailSettings, String> {
        mail(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), access)
    }

    fn of(pairs: &[(&str, &str)]) -> Result<MailSettings, String> {
        with(&access(), pairs)
    }

    #[test]
    fn c20_the_seeds_four_keys_are_enough() {
        let access = access();
        let sealed = access.keys.seal("SMTP-PASSWORD", &Secret::new("s3cret"), &SystemRandom::new()).unwrap();
        let four = [
            ("SMTP-SERVER", "smtp.example.com"),
            ("SMTP-PORT", "587"),
            ("SMTP-USERNAME", "herald@example.com"),
            ("SMTP-PASSWORD", &sealed),
        ];
        let settings = with(&access, &four).unwrap();
        assert_eq!(settings.from.to_string(), "herald@example.com");
        assert_eq!((settings.server.port, settings.server.security), (587, Security::StartTls));
        assert_eq!(settings.server.credentials.as_ref().unwrap().1.expose(), "s3cret");
        assert!(!format!("{settings:?}").contains("s3cret"));
        let closed = of(&four).unwrap_err();
        assert!(closed.starts_with("SMTP-PASSWORD cannot be opened: it was sealed with key"), "{closed}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (pairs, named) in [
            (&[][..], "SMTP-SERVER"),
            (&[("SMTP-PORT", "x")], "SMTP-PORT"),
            (&[("SMTP-USERNAME", "joe")], "SMTP-FROM"),
            (&[("SMTP-FROM", "joe")], "SMTP-FROM"),
            (&[("SMTP-FROM", "a@b.example"), ("SMTP-USERNAME", "joe")], "SMTP-PASSWORD"),
            (&[("SMTP-FROM", "a@b.example"), ("SMTP-HELO", "a b")], "SMTP-HELO"),
            (&[("SMTP-FROM", "a@b.example"), ("SMTP-REPLY-TO", "b")], "SMTP-REPLY-TO"),
            (&[("SMTP-FROM", "a@b.example"), ("SMTP-BOUNCE-ADDRESS", "b")], "SMTP-BOUNCE-ADDRESS"),
            (&[("SMTP-FROM", "a@b.example"), ("SMTP-SECURITY", "ssl")], "SMTP-SECURITY"),
            (&[("SMTP-FROM", "a@b.example"), ("SMTP-SECURITY", "none")], "email.allow_plaintext"),
        ] {
            let server = if pairs.is_empty() { &[][..] } else { &[("SMTP-SERVER", "mail.example.com")] };
            let said = of(&[server, pairs].concat()).unwrap_err();
            assert!(said.contains(named), "{pairs:?}: {said}");
        }
    }

    #[test]
    fn return_paths_need_keys() {
        let pairs = [
            ("SMTP-SERVER", "mail.example.com"),
            ("SMTP-FROM", "a@b.example"),
            ("SMTP-BOUNCE-ADDRESS", "bounces@b.example"),
        ];
        assert_eq!(of(&pairs).unwrap().bounces.unwrap().to_string(), "bounces@b.example");
        let said = with(&Access::default(), &pairs).unwrap_err();
        assert!(said.contains("SMTP-BOUNCE-ADDRESS") && said.contains("secrets.key_file"), "{said}");
    }

    #[test]
    fn mail_goes_readable_only_to_this_machine_or_where_that_is_allowed() {
        let none = |host: &'static str| {
            [("SMTP-SERVER", host), ("SMTP-FROM", "a@b.example"), ("SMTP-SECURITY", "none")]
        };
        for host in ["127.0.0.1", "::1", "localhost", "127.8.8.8"] {
            assert!(of(&none(host)).is_ok(), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "mail"] {
            assert!(of(&none(host)).is_err(), "{host}");
        }
        let allowed = Access { allow_plaintext: true, ..Access::default() };
        assert!(with(&allowed, &none("10.0.0.1")).is_ok());
    }
}

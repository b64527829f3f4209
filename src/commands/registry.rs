//! The Application Registry.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use herald_jobs::registry;
use herald_jobs::seal::{self, KeyRing};
use herald_jobs::secret::Secret;
use herald_jobs::store;
use herald_jobs::store::change::ChangeError;
use herald_jobs::store::registry::Entry;
use ring::rand::SystemRandom;

use crate::commands::{ACTOR, connect};
use crate::config::Config;
use crate::wiring::Wiring;

/// From which likeness on another key is suggested, from 0 to 1.
const ALIKE: f64 = 0.7;

/// `herald registry`
#[derive(Subcommand)]
pub enum Registry {
    /// Shows all keys with their values. Secrets are not shown.
    List,
    /// Prints the value of a key. Secrets are not shown.
    Get {
        /// The key, as in SMTP-SERVER.
        key: String,
    },
    /// Sets a key; without a value it is unset. Workers follow within a second.
    Set {
        /// The key, as in SMTP-SERVER.
        key: String,
        /// The value; `-` reads it from standard input. A secret is taken from there, and sealed, or as sealed text.
        value: Option<String>,
    },
    /// Reads a secret from standard input, and prints the sealed text, to be given to `set`.
    Seal {
        /// The key that it is for: it opens for no other.
        key: String,
    },
    /// Seals all secrets again with the first key, so that the others can be dropped.
    Reseal,
    /// Prints a new key: one line for the key file.
    NewKey,
}

impl Registry {
    /// Does it.
    ///
    /// # Errors
    /// There is no such key, the value is not valid for it, or a secret cannot be sealed or opened.
    pub async fn run(self, config: Config) -> Result<()> {
        if matches!(self, Self::NewKey) {
            println!("{}", seal::new_key(&SystemRandom::new())?.expose());
            return Ok(());
        }
        let wiring = connect(config)?;
        match self {
            Self::List => list(&wiring).await,
            Self::Get { key } => get(&wiring, &key).await,
            Self::Set { key, value: None } => put(&wiring, &find(&wiring, &key).await?.key, None).await,
            Self::Set { key, value: Some(value) } => set(&wiring, &key, value).await,
            Self::Seal { key } => seal(&wiring, &key).await,
            Self::Reseal => reseal(&wiring).await,
            Self::NewKey => Ok(()),
        }
    }
}

async fn list(wiring: &Wiring) -> Result<()> {
    for Entry { key, value, description, secret } in store::registry::entries(&wiring.pool).await? {
        match value {
            Some(_) if secret => println!("{key} = ***"),
            Some(value) => println!("{key} = {value}"),
            None => println!("{key} (not set): {description}"),
        }
    }
    Ok(())
}

async fn get(wiring: &Wiring, key: &str) -> Result<()> {
    let entry = find(wiring, key).await?;
    if entry.secret {
        bail!("{key} is secret and is never shown; `herald registry set {key} -` replaces it");
    }
    println!("{}", entry.value.with_context(|| format!("{key} is not set"))?);
    Ok(())
}

async fn set(wiring: &Wiring, key: &str, value: String) -> Result<()> {
    let entry = find(wiring, key).await?;
    let from_input = value == "-";
    let value = if from_input { from_standard_input()? } else { Secret::new(value) };
    if value.expose().is_empty() {
        return put(wiring, key, None).await;
    }
    if entry.secret {
        if !from_input && !seal::is_sealed(value.expose()) {
            bail!(
                "{key} is secret, and arguments can be seen by others: give - and the secret on standard input, or sealed text \
                 as `herald registry seal {key}` prints it"
            );
        }
        return put(wiring, key, Some(sealed(&keys(wiring)?, key, &value)?)).await;
    }
    let value = value.expose().trim();
    registry::check(key, value).map_err(anyhow::Error::msg)?;
    put(wiring, key, Some(value.to_owned())).await
}

async fn seal(wiring: &Wiring, key: &str) -> Result<()> {
    if !find(wiring, key).await?.secret {
        bail!("{key} is not secret: set it as it is");
    }
    let keys = keys(wiring)?;
    let secret = from_standard_input()?;
    if secret.expose().is_empty() {
        bail!("{key}: there is nothing on standard input");
    }
    println!("{}", sealed(&keys, key, &secret)?);
    Ok(())
}

async fn reseal(wiring: &Wiring) -> Result<()> {
    let keys = keys(wiring)?;
    let mut transaction = wiring.pool.begin().await?;
    let secrets = store::registry::secrets(&mut transaction).await?;
    for (key, sealed) in &secrets {
        let secret = keys.open(key, sealed).with_context(|| format!("{key} (nothing was changed)"))?;
        let sealed = keys.seal(key, &secret, &SystemRandom::new())?;
        store::registry::set(&mut *transaction, key, Some(&sealed)).await?;
        store::audit::record(&mut *transaction, ACTOR, "registry reseal", key).await?;
    }
    transaction.commit().await?;
    println!("{} sealed with key {}", secrets.len(), keys.ids().next().unwrap_or_default());
    Ok(())
}

fn sealed(keys: &KeyRing, key: &str, secret: &Secret) -> Result<String> {
    registry::sealed(keys, key, secret, &SystemRandom::new()).with_context(|| key.to_owned())
}

fn keys(wiring: &Wiring) -> Result<KeyRing> {
    Ok(crate::keys::load(&wiring.config.secrets)?.ok_or(seal::SealError::NoKeys)?)
}

async fn put(wiring: &Wiring, key: &str, value: Option<String>) -> Result<()> {
    let (changes, allow_plaintext) = ([(key.to_owned(), value)], wiring.config.email.allow_plaintext);
    let together = |entries: &[Entry]| Ok(registry::check_together(entries, &changes, allow_plaintext)?);
    let changed = store::registry::change(&wiring.pool, &changes, ACTOR, together).await;
    changed.map_err(|error| match error {
        // The sentence names the key already.
        ChangeError::Refused(refusal) => anyhow::Error::msg(refusal.problem),
        other => other.into(),
    })
}

/// The key, or which one was perhaps meant.
async fn find(wiring: &Wiring, key: &str) -> Result<Entry> {
    let entries = store::registry::entries(&wiring.pool).await?;
    if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
        return Ok(entry.clone());
    }
    let likeness = |entry: &&Entry| strsim::jaro_winkler(&entry.key, &key.to_uppercase().replace('_', "-"));
    let best = entries.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|best| likeness(best) > ALIKE) {
        Some(best) => bail!("there is no key \"{key}\" in the registry; did you mean {}?", best.key),
        None => bail!("there is no key \"{key}\" in the registry; `herald registry list` shows all"),
    }
}

/// What stands there, without the end of its last line.
fn from_standard_input() -> Result<Secret> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

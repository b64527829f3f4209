//! Which Postgres and Redis are used: those that were configured, or private ones that run as long as this process.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::keys;
use crate::private::{self, Private};

/// Where the servers are reached.
#[derive(Deserialize, Serialize)]
pub struct Addresses {
    /// The database's URL, password included.
    pub database: String,
    /// Redis' URL, password included.
    pub redis: String,
    /// The keys that secrets are sealed with.
    pub key_file: PathBuf,
}

/// The servers of this process.
pub struct Servers {
    private: Option<Private>,
}

impl Servers {
    /// Makes sure that there are servers, and writes their addresses into `config`. Private ones keep their data in `dir`, and
    /// are announced in `.herald/running.json`, so that other commands find them. Without configured keys, one of their own seals secrets.
    ///
    /// # Errors
    /// Private servers cannot be started; the error says why.
    pub async fn provide(config: &mut Config, dir: &Path) -> Result<Self> {
        if config.has_servers()? {
            return Ok(Self { private: None });
        }
        let private = Private::start(dir, private::Options::default()).await?;
        config.database.url = private.database_url();
        config.redis.url = private.redis_url();
        if !keys::are_configured(&config.secrets) {
            config.secrets.key_file = keys::provide(dir)?;
        }
        announce(&Addresses {
            database: private.database_url(),
            redis: private.redis_url(),
            key_file: config.secrets.key_file.clone(),
        })?;
        Ok(Self { private: Some(private) })
    }

    /// The private servers, where there are any.
    pub fn private(&mut self) -> Option<&mut Private> {
        self.private.as_mut()
    }

    /// Stops private servers; configured ones are left alone.
    ///
    /// # Errors
    /// A server cannot be signalled.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(private) = self.private.take() {
            let _ = fs::remove_file(announcement()?);
            private.stop().await?;
        }
        Ok(())
    }
}

/// The private servers that run now, as their process announced them.
///
/// # Errors
/// The announcement cannot be read.
pub fn running() -> Result<Option<Addresses>> {
    match fs::read_to_string(announcement()?) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Holds passwords: for this user's eyes only.
fn announce(addresses: &Addresses) -> Result<()> {
    let path = announcement()?;
    let _ = fs::remove_file(&path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(serde_json::to_string(addresses)?.as_bytes())
        .with_context(|| format!("write {}", path.display()))
}

fn announcement() -> Result<PathBuf> {
    Ok(private::home()?.join("running.json"))
}

//! The Application Registry.

use anyhow::{Context, Result};
use clap::Subcommand;
use herald_jobs::store;

use crate::commands::{ACTOR, connect};
use crate::config::Config;

/// `herald registry`
#[derive(Subcommand)]
pub enum Registry {
    /// Shows the keys that are set. Passwords are not shown.
    List,
    /// Sets a key; without a value it is unset.
    Set {
        /// The key, as in SMTP-SERVER.
        key: String,
        /// The value; `-` reads it from standard input, so that no list of processes shows it.
        value: Option<String>,
    },
}

impl Registry {
    /// Lists or sets keys; workers follow within a second.
    ///
    /// # Errors
    /// The key is malformed.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::List => {
                let mut values: Vec<_> = store::registry::all(&wiring.pool).await?.into_iter().collect();
                values.sort();
                for (key, value) in values {
                    println!("{key} = {}", if key.contains("PASSWORD") { "***" } else { &value });
                }
            }
            Self::Set { key, value } => {
                let value = match value.as_deref() {
                    Some("-") => Some(std::io::read_to_string(std::io::stdin())?.trim_end().to_owned()),
                    _ => value,
                };
                store::registry::set(&wiring.pool, &key, value.as_deref())
                    .await
                    .with_context(|| format!("key {key}"))?;
                store::audit::record(&wiring.pool, ACTOR, "registry set", &key).await?;
            }
        }
        Ok(())
    }
}

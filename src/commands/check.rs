//! Tries the ways out.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use herald_jobs::store;
use herald_jobs::{address, id};
use herald_producers::numbers;
use herald_workers::check;
use herald_workers::smtp::Trace;

use crate::commands::connect;
use crate::config::Config;

/// `herald check`
#[derive(Subcommand)]
pub enum Check {
    /// Sends a test mail with the registry's settings, and explains what fails.
    Email(Email),
    /// Sends a test SMS with the registry's settings, and explains what fails.
    Sms(Sms),
}

/// `herald check email`
#[derive(Args)]
pub struct Email {
    /// Where the test mail goes.
    #[arg(long)]
    to: String,
    /// Prints the conversation with the mail server; the password is masked.
    #[arg(long)]
    trace: bool,
}

/// `herald check sms`
#[derive(Args)]
pub struct Sms {
    /// Where the test SMS goes.
    #[arg(long)]
    to: String,
}

impl Check {
    /// Tries it.
    ///
    /// # Errors
    /// The message did not go out; the error says why.
    pub async fn run(self, config: Config) -> Result<()> {
        match self {
            Self::Email(email) => email.run(config).await,
            Self::Sms(sms) => sms.run(config).await,
        }
    }
}

impl Email {
    async fn run(self, config: Config) -> Result<()> {
        let to = address::email(&self.to).map_err(anyhow::Error::msg).context("--to")?;
        let wiring = connect(config)?;
        let values = store::registry::all(&wiring.pool).await?;
        let trace = self.trace.then(|| Trace::new(Arc::new(|line: &str| println!("{line}"))));
        let (access, now) = (wiring.registry_access()?, wiring.clock.now());
        let said = check::email(&values, &access, &to, id::new(now), now, trace).await;
        println!("{}", said.map_err(anyhow::Error::msg)?);
        Ok(())
    }
}

impl Sms {
    async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let to = numbers::e164(&self.to, wiring.region).map_err(anyhow::Error::msg).context("--to")?;
        let values = store::registry::all(&wiring.pool).await?;
        let (access, now) = (wiring.registry_access()?, wiring.clock.now());
        let allow_private = wiring.config.sms.allow_private;
        let said = check::sms(&values, &access, allow_private, &to, id::new(now), now).await;
        println!("{}", said.map_err(anyhow::Error::msg)?);
        Ok(())
    }
}

//! Tries the ways out.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use herald_jobs::store;
use herald_jobs::{address, id};
use herald_producers::numbers;
use herald_workers::smtp::Trace;
use herald_workers::{check, mail, settings, sms};

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
        let to = mail::address(&to).map_err(anyhow::Error::msg).context("--to")?;
        let wiring = connect(config)?;
        let values = store::registry::all(&wiring.pool).await?;
        let settings = settings::mail(&values, &wiring.registry_access()?)
            .map_err(|missing| anyhow::anyhow!("e-mail is not configured: {missing}"))?;
        let trace = self.trace.then(|| Trace::new(Arc::new(|line: &str| println!("{line}"))));
        let now = wiring.clock.now();
        match check::email(&settings, &to, id::new(now), now, trace).await {
            Ok(reply) => {
                println!("{}, port {} took the mail: {reply}", settings.server.host, settings.server.port);
            }
            Err(sentence) => bail!(sentence),
        }
        Ok(())
    }
}

impl Sms {
    async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let to = numbers::e164(&self.to, wiring.region).map_err(anyhow::Error::msg).context("--to")?;
        let values = store::registry::all(&wiring.pool).await?;
        let settings = sms::read(&values, &wiring.registry_access()?.keys)
            .map_err(|missing| anyhow::anyhow!("SMS is not configured: {missing}"))?
            .context("SMS is off: SMS-PROVIDER turns it on")?;
        let now = wiring.clock.now();
        let host = settings.provider.url().host_str().unwrap_or_default().to_owned();
        match check::sms(&settings, wiring.config.sms.allow_private, &to, id::new(now), now).await {
            Ok(reply) => println!("{host} took the SMS: {reply}"),
            Err(sentence) => bail!(sentence),
        }
        Ok(())
    }
}

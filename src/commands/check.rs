//! Tries the ways out.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use herald_jobs::store;
use herald_jobs::{address, id};
use herald_workers::smtp::Trace;
use herald_workers::{check, mail, settings};

use crate::commands::connect;
use crate::config::Config;

/// `herald check`
#[derive(Subcommand)]
pub enum Check {
    /// Sends a test mail with the registry's settings, and explains what fails.
    Email(Email),
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

impl Check {
    /// Tries it.
    ///
    /// # Errors
    /// The mail did not go out; the error says why.
    pub async fn run(self, config: Config) -> Result<()> {
        let Self::Email(email) = self;
        email.run(config).await
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

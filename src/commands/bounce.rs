//! Bounces, from a mail server's pipe.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use clap::Args;
use herald_producers::bounce;

use crate::commands::connect;
use crate::config::Config;

/// `herald bounce`
#[derive(Args)]
pub struct Bounce {
    /// The address that the mail came to, where the mail server does not write it into a header (Delivered-To, X-Original-To or
    /// Envelope-To).
    #[arg(long, env = "ORIGINAL_RECIPIENT")]
    recipient: Option<String>,
}

impl Bounce {
    /// Deals with the mail, and says how. What is no bounce of ours is a success too: it is not to be returned to anybody.
    ///
    /// # Errors
    /// It could not be dealt with now, and should come again.
    pub async fn run(self, config: Config) -> Result<()> {
        let mail = read().context("standard input")?;
        let wiring = connect(config)?;
        let keys = wiring.registry_access()?.keys;
        let received =
            bounce::receive(&wiring.pool, &keys, &mail, self.recipient.as_deref(), wiring.clock.now())
                .await?;
        println!("{received}");
        Ok(())
    }
}

/// As much as is looked at. The rest is read too: a mail server takes a pipe that closes early for a failure.
fn read() -> std::io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    let mut input = std::io::stdin().lock();
    let most = u64::try_from(bounce::MOST_READ).unwrap_or(u64::MAX);
    input.by_ref().take(most).read_to_end(&mut mail)?;
    std::io::copy(&mut input, &mut std::io::sink())?;
    Ok(mail)
}

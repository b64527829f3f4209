//! Addresses that get no copies.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use herald_jobs::address;
use herald_jobs::store;
use herald_producers::numbers;

use crate::commands::{ACTOR, connect, one_line};
use crate::config::Config;
use crate::wiring::Wiring;

/// `herald suppression`
#[derive(Subcommand)]
pub enum Suppression {
    /// Shows the addresses, newest first: since when, whose bounce it was, and why.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Sends no more copies to an address.
    Add {
        /// An e-mail address, in any case, or a mobile number.
        address: String,
        /// Why, as the ledger will say.
        #[arg(long, default_value = "added by an operator")]
        reason: String,
    },
    /// Sends copies to an address again. Those that were suppressed meanwhile stay so: `herald delivery retry` sends them.
    Lift {
        /// As `list` shows it, in any case.
        address: String,
    },
}

impl Suppression {
    /// Lists, adds or lifts.
    ///
    /// # Errors
    /// The address is none, or is not as that presumes.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::List { limit } => list(&wiring, limit).await,
            Self::Add { address, reason } => add(&wiring, &address, &reason).await,
            Self::Lift { address } => lift(&wiring, address.trim()).await,
        }
    }
}

async fn list(wiring: &Wiring, limit: i64) -> Result<()> {
    for it in store::suppressions::list(&wiring.pool, limit).await? {
        let at = it.created_at.format("%Y-%m-%d %H:%M:%SZ");
        let bounce = it.delivery_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        println!("{}  {at}  {bounce}  {}", one_line(&it.address), one_line(&it.reason));
    }
    Ok(())
}

async fn add(wiring: &Wiring, text: &str, reason: &str) -> Result<()> {
    let address = if text.contains('@') { address::email(text) } else { numbers::e164(text, wiring.region) };
    let address = address.map_err(anyhow::Error::msg).context("address")?;
    let mut transaction = wiring.pool.begin().await?;
    let now = wiring.clock.now();
    if !store::suppressions::add(&mut *transaction, &address, &one_line(reason), None, now).await? {
        bail!("{address} is suppressed already; `herald suppression list` says why");
    }
    store::audit::record(&mut *transaction, ACTOR, "suppression add", &address).await?;
    transaction.commit().await?;
    println!("{address} gets no more copies");
    Ok(())
}

async fn lift(wiring: &Wiring, address: &str) -> Result<()> {
    let mut transaction = wiring.pool.begin().await?;
    if !store::suppressions::lift(&mut *transaction, address).await? {
        bail!("{} is not suppressed; `herald suppression list` shows who is", one_line(address));
    }
    store::audit::record(&mut *transaction, ACTOR, "suppression lift", address).await?;
    transaction.commit().await?;
    println!("{address} gets copies again");
    Ok(())
}

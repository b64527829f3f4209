//! The subcommands, one file each.

pub mod bounce;
pub mod check;
pub mod config;
pub mod dead;
pub mod delivery;
pub mod demo;
pub mod doctor;
pub mod inbox;
pub mod model;
pub mod registry;
pub mod send;
pub mod serve;
pub mod suppression;
pub mod template;
pub mod token;
pub mod user;

use anyhow::Result;

use crate::config::Config;
use crate::wiring::Wiring;

/// What the audit log calls whoever uses these commands.
const ACTOR: &str = "command line";

/// `herald migrate`
///
/// # Errors
/// The database cannot be reached, or was migrated by a later version.
pub async fn migrate(config: Config) -> Result<()> {
    let wiring = Wiring::new(config.with_running_servers()?, "migrate", 2)?;
    herald_jobs::store::migrate(&wiring.pool).await?;
    println!("The schema is up to date.");
    Ok(())
}

/// A short connection to a Herald that runs.
fn connect(config: Config) -> Result<Wiring> {
    Wiring::new(config.with_running_servers()?, "command", 2)
}

/// Anybody's bytes may have ended up here: they must not write over a terminal, nor look like two entries.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

//! The subcommands, one file each.

pub mod answer;
pub mod authorise;
pub mod bounce;
pub mod cancel;
pub mod check;
pub mod choice;
pub mod config;
pub mod dead;
pub mod delivery;
pub mod demo;
pub mod doctor;
pub mod event_rule;
pub mod grant;
pub mod inbox;
pub mod message_type;
pub mod model;
pub mod output;
pub mod periodic;
pub mod purge;
pub mod registry;
pub mod reminder;
pub mod run;
pub mod send;
pub mod serve;
pub mod suppression;
pub mod template;
pub mod token;
pub mod user;
pub mod wait;
pub mod watch;
pub mod webhook;

use std::process::ExitCode;

use anyhow::{Result, bail};
use herald_producers::SendError;
use serde::Serialize;

use crate::config::Config;
use crate::wiring::Wiring;

/// What the audit log calls whoever uses these commands.
const ACTOR: &str = "command line";

/// Lists of what people maintain are shown whole.
const ALL: i64 = 100_000;

/// `herald migrate`
///
/// # Errors
/// The database cannot be reached, or was migrated by a later version.
pub async fn migrate(config: Config) -> Result<()> {
    let wiring = Wiring::new(config.with_running_servers()?, "migrate", 2)?;
    herald_jobs::store::migrate(&wiring.pool).await?;
    crate::shipped::install(&wiring).await?;
    println!("The schema is up to date.");
    Ok(())
}

/// Try again: as sendmail and its like say it (sysexits.h).
pub const TRY_AGAIN: u8 = 75;

/// What the program's end says of an error: 2 where the request is at fault, 75 where trying again may help, else 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<SendError>() {
        Some(SendError::Refused(_) | SendError::KeyTaken(_) | SendError::TooLate(_)) => ExitCode::from(2),
        Some(SendError::KeyBusy | SendError::Unavailable(_) | SendError::Queue(_)) => {
            ExitCode::from(TRY_AGAIN)
        }
        None => ExitCode::FAILURE,
    }
}

/// A short connection to a Herald that runs.
fn connect(config: Config) -> Result<Wiring> {
    Wiring::new(config.with_running_servers()?, "command", 2)
}

/// Anybody's bytes may have ended up here: they must not write over a terminal, nor look like two entries.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Prints what programs read.
fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An option's text; an empty one takes the setting away.
fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.trim().is_empty())
}

/// Whether there was something to delete.
fn gone(removed: bool, what: &str, name: &str) -> Result<()> {
    if !removed {
        bail!("there is no {what} {name}");
    }
    Ok(())
}

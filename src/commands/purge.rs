//! Purging.

use anyhow::Result;
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use herald_jobs::store;
use herald_workers::purge;

use crate::commands::{connect, print_json};
use crate::config::Config;

/// `herald purge`
#[derive(Args)]
pub struct Purge {
    /// Shows what would go, and deletes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Shows how many messages were purged that nobody had seen: by day, recipient and type.
    Unread {
        /// For so many days back.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
        days: u16,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Purge {
    /// Purges what has been kept for long enough, or tells what would go or what went unread.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let (pool, retention) = (&wiring.pool, wiring.retention());
        let now = store::now(pool).await?;
        match self.command {
            Some(Command::Unread { days, json }) => {
                let since = (now - TimeDelta::days(days.into())).date_naive();
                let unread = store::purging::unread(pool, since).await?;
                if json {
                    return print_json(&unread);
                }
                for it in unread {
                    println!("{}  {}  {}  {}", it.purged_on, it.recipient, it.message_type, it.messages);
                }
            }
            None if self.dry_run => {
                for (kept, many) in purge::dry_run(pool, retention, now).await? {
                    println!("{many} {kept}");
                }
            }
            None => println!("{}", purge::told(&purge::purge(pool, retention, now).await?)),
        }
        Ok(())
    }
}

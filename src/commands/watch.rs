//! Watched tables, and what was seen of them.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use herald_jobs::event_rule::On;
use herald_jobs::store::{events, watches};

use crate::commands::{ACTOR, connect, gone, one_line};
use crate::config::Config;

/// `herald watch`
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Watch {
    /// The table, as in SQL: sales.purchase_order.
    table: Option<String>,
    /// insert, delete, update, update:COLUMN or update:COLUMN=VALUE; repeat it for more.
    #[arg(long)]
    on: Vec<On>,
    #[command(subcommand)]
    action: Option<Action>,
}

/// What else can be done with watches.
#[derive(Subcommand)]
pub enum Action {
    /// Lists what is watched, and whether its triggers are there.
    List,
    /// Watches no more, and drops the trigger.
    Remove {
        /// What `list` shows in the first column.
        id: i64,
    },
    /// Shows the last events, and what became of them.
    Events {
        /// Only those of this watch.
        #[arg(long)]
        watch: Option<i64>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        last: i64,
    },
}

impl Watch {
    /// Watches a table, or lists and removes watches.
    ///
    /// # Errors
    /// There is no such table, column or watch, or this database user may not put a trigger there.
    pub async fn run(self, config: Config) -> Result<()> {
        let pool = connect(config)?.pool;
        match (self.action, self.table) {
            (Some(Action::List), _) => {
                for it in watches::list(&pool).await? {
                    let lacks =
                        if it.has_trigger { "" } else { "  (its trigger is not there: watch it again)" };
                    println!("{}  {}.{}  {}{lacks}", it.id, it.table.0, it.table.1, one_line(&it.on));
                }
            }
            (Some(Action::Remove { id }), _) => {
                gone(watches::remove(&pool, id, ACTOR).await?, "watch", &id.to_string())?;
            }
            (Some(Action::Events { watch, last }), _) => {
                for it in events::last(&pool, watch, last).await? {
                    let at = it.at.format("%Y-%m-%d %H:%M:%SZ");
                    let result = it.result.as_deref().map_or("waits".to_owned(), one_line);
                    println!("{}  {at}  watch {}  {result}", it.happened.id, it.watch);
                }
            }
            (None, None) => {
                bail!("name a table and what of it, as in: herald watch sales.purchase_order --on insert")
            }
            (None, Some(_)) if self.on.is_empty() => {
                bail!("--on is missing: say what is watched, as in --on insert")
            }
            (None, Some(table)) => {
                for id in watches::add(&pool, &table, &self.on, ACTOR).await? {
                    println!("{id}");
                }
            }
        }
        Ok(())
    }
}

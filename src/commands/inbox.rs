//! What is pending for a user.

use anyhow::{Context, Result};
use clap::Args;
use herald_jobs::address::Username;
use herald_jobs::store;

use crate::commands::connect;
use crate::config::Config;

/// Most messages shown.
const MOST: i64 = 100;

/// `herald inbox`
#[derive(Args)]
pub struct Inbox {
    /// Whose inbox.
    username: String,
}

impl Inbox {
    /// Prints what is pending: alerts, then messages, newest first.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let name = Username::parse(&self.username).map_err(anyhow::Error::msg).context("username")?;
        let user = store::users::by_name(&wiring.pool, &name).await?;
        let user = user.with_context(|| format!("there is no user \"{name}\""))?;
        let counts = store::inbox::counts(&wiring.pool, user.id).await?;
        let most = store::inbox::MOST_COUNTED;
        let shown = |many: i64| if many > most { format!("{most}+") } else { many.to_string() };
        println!("{} alerts, {} messages", shown(counts.alerts), shown(counts.messages));
        for alert in [true, false] {
            for message in store::inbox::pending(&wiring.pool, user.id, alert, None, MOST).await? {
                let instance =
                    message.sender_instance.map_or(String::new(), |instance| format!(" {instance}"));
                println!(
                    "{}  {}  {}  {}{instance}: {}",
                    message.id,
                    message.created_at.format("%Y-%m-%d %H:%M:%S"),
                    message.required_action,
                    message.sender,
                    message.message_text.lines().next().unwrap_or_default(),
                );
            }
        }
        Ok(())
    }
}

//! Cancels messages.

use anyhow::Result;
use clap::Args;
use herald_producers::MessageId;

use crate::commands::connect;
use crate::config::Config;

/// `herald cancel`
#[derive(Args)]
pub struct Cancel {
    /// What `herald send` printed; with --batch, the id of a send to many.
    id: MessageId,
    /// Cancels all that still waits of a send to many.
    #[arg(long)]
    batch: bool,
}

impl Cancel {
    /// Cancels a message, or what is left of a batch, and the copies that have not gone out.
    ///
    /// # Errors
    /// There is no such message or batch, or the message's recipient has acted on it.
    pub async fn run(self, config: Config) -> Result<()> {
        let producer = connect(config)?.producer();
        let now = if self.batch {
            producer.cancel_batch(self.id.0).await?
        } else {
            producer.cancel(self.id).await?
        };
        println!("{}", if now { "cancelled" } else { "was cancelled before" });
        Ok(())
    }
}

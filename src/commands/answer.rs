//! Answers a message.

use anyhow::{Result, bail};
use clap::Args;
use herald_jobs::answer::Via;
use herald_producers::MessageId;
use herald_producers::workflow::{Answer as Given, Answered};

use crate::commands::{ACTOR, connect};
use crate::config::Config;

/// `herald answer`
#[derive(Args)]
pub struct Answer {
    /// The message, as `herald inbox` shows it.
    id: MessageId,
    /// The reply, or what an action came to; a message that only wants to be read takes none.
    reply: Option<String>,
    /// Who answers, as the answer tells it.
    #[arg(long, default_value = ACTOR)]
    by: String,
}

impl Answer {
    /// Answers a message for its recipient.
    ///
    /// # Errors
    /// There is no such message, it takes no such reply, or somebody was faster: the error says who, with what and when.
    pub async fn run(self, config: Config) -> Result<()> {
        let producer = connect(config)?.producer();
        let answer =
            Given { message: self.id, reply: self.reply.as_deref(), by: self.by.trim(), via: Via::Cli };
        match producer.answer(answer).await? {
            Answered::Now => println!("answered"),
            Answered::Before(standing) => bail!("message {} {}", self.id, standing.words()),
        }
        Ok(())
    }
}

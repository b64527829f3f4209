//! A demo company.

use anyhow::Result;
use clap::Args;

use crate::config::Config;

/// `herald demo`
#[derive(Args)]
pub struct Demo {
    /// Ends as soon as the first message is in its inbox, and says how long that took.
    #[arg(long)]
    until_first_message: bool,
    /// Is the worker of a demo that runs; the demo starts it.
    #[arg(long, hide = true)]
    worker: bool,
}

impl Demo {
    /// Runs the demo until Ctrl-C.
    ///
    /// # Errors
    /// A part cannot be started; the error says why.
    pub async fn run(self, mut config: Config) -> Result<()> {
        if self.worker {
            return crate::demo::work().await;
        }
        config.log.filter = "warn".into();
        crate::logging::start(&config.log)?;
        crate::demo::run(config, self.until_first_message).await
    }
}

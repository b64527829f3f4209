//! Shows the settings.

use anyhow::Result;
use clap::Args;

use crate::config::{Config, DEFAULTS};

/// `herald config`
#[derive(Args)]
pub struct Show {
    /// Shows every setting with its default and what it means instead.
    #[arg(long)]
    defaults: bool,
}

impl Show {
    /// Prints the settings; passwords are masked.
    ///
    /// # Errors
    /// Never in practice.
    pub fn run(self, config: &Config) -> Result<()> {
        if self.defaults {
            print!("{DEFAULTS}");
        } else {
            println!("{}", serde_json::to_string_pretty(&config.clone().masked())?);
        }
        Ok(())
    }
}

//! API tokens.

use anyhow::{Result, bail};
use chrono::TimeDelta;
use clap::Subcommand;
use herald_jobs::store;

use crate::commands::{ACTOR, connect};
use crate::config::Config;

/// `herald token`
#[derive(Subcommand)]
pub enum Token {
    /// Makes an API token and prints it, this once.
    Create {
        /// What it is for, as lists show it.
        name: String,
        /// Who its messages come from: a model's name or a username.
        #[arg(long)]
        sender: String,
        /// May also change templates and models, and read records through them.
        #[arg(long)]
        admin: bool,
        /// Days until it ends; without it, never.
        #[arg(long)]
        days: Option<u32>,
    },
    /// Lists the tokens.
    List,
    /// Revokes a token at once.
    Revoke {
        /// Its first characters, as `list` shows them.
        prefix: String,
    },
}

impl Token {
    /// Makes, lists or revokes tokens.
    ///
    /// # Errors
    /// There is no such token.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::Create { name, sender, admin, days } => {
                let life = days.map(|days| TimeDelta::days(days.into()));
                let token = herald_web::access::new_api_token(
                    &wiring.pool,
                    &wiring.clock,
                    &name,
                    &sender,
                    admin,
                    life,
                )
                .await?;
                store::audit::record(&wiring.pool, ACTOR, "token create", &name).await?;
                println!("{token}");
            }
            Self::List => {
                for token in store::access::api_tokens(&wiring.pool).await? {
                    let end = match (token.revoked_at, token.expires_at) {
                        (Some(at), _) => format!("revoked {}", at.format("%Y-%m-%d")),
                        (None, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
                        (None, None) => String::new(),
                    };
                    let admin = if token.admin { ", administers" } else { "" };
                    println!("{}  {}  sends as {}{admin}  {end}", token.prefix, token.name, token.sender);
                }
            }
            Self::Revoke { prefix } => {
                if store::access::revoke_api_token(&wiring.pool, &prefix, wiring.clock.now()).await? == 0 {
                    bail!("there is no token {prefix}, or it was revoked before");
                }
                store::audit::record(&wiring.pool, ACTOR, "token revoke", &prefix).await?;
            }
        }
        Ok(())
    }
}

//! API tokens.

use anyhow::{Result, bail};
use clap::Subcommand;
use herald_jobs::store;
use herald_web::access::WantedToken;

use crate::commands::{ACTOR, connect, one_line};
use crate::config::Config;

/// `herald token`
#[derive(Subcommand)]
pub enum Token {
    /// Makes an API token and prints it, this once.
    Create {
        /// What it is for, as lists show it.
        name: String,
        /// Who its messages come from: a model's name or a username. Repeat it for others that its messages may name.
        #[arg(long, required = true)]
        sender: Vec<String>,
        /// A message type that it may send; repeat it for more. Without it, any.
        #[arg(long = "type")]
        message_types: Vec<String>,
        /// Messages a minute at most, for each web process.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        rate: Option<i32>,
        /// May maintain everything, log in as anybody and answer for anybody. Keep it as you keep the database's password.
        #[arg(long)]
        admin: bool,
        /// When it ends: days from now, or a date such as 2027-01-31 (its last day, UTC). Without it, never.
        #[arg(long, value_name = "DAYS|DATE")]
        expires: Option<String>,
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
            Self::Create { name, sender, message_types, rate, admin, expires } => {
                let wanted = WantedToken { name, senders: sender, message_types, rate, admin, expires };
                let token = wanted.read(&wiring.pool, wiring.clock.now()).await?;
                let token =
                    herald_web::access::new_api_token(&wiring.pool, &wiring.clock, token, ACTOR).await?;
                println!("{token}");
            }
            Self::List => {
                for token in store::access::api_tokens(&wiring.pool).await? {
                    let end = match (token.revoked_at, token.expires_at) {
                        (Some(at), _) => format!("revoked {}", at.format("%Y-%m-%d")),
                        (None, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
                        (None, None) => String::new(),
                    };
                    let senders: Vec<&str> =
                        std::iter::once(&token.sender).chain(&token.senders).map(String::as_str).collect();
                    let mut may = format!("sends as {}", senders.join(", "));
                    if let Some(types) = &token.message_types {
                        may.push_str(&format!(", only {}", types.join(", ")));
                    }
                    if let Some(rate) = token.rate {
                        may.push_str(&format!(", {rate} a minute"));
                    }
                    if token.admin {
                        may.push_str(", administers");
                    }
                    println!("{}  {}  {}  {end}", token.prefix, one_line(&token.name), one_line(&may));
                }
            }
            Self::Revoke { prefix } => {
                let now = wiring.clock.now();
                if !store::access::revoke_api_token(&wiring.pool, &prefix, now, ACTOR).await? {
                    bail!("there is no token {prefix}, or it was revoked before");
                }
            }
        }
        Ok(())
    }
}
